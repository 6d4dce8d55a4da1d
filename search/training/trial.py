"""One trial, whatever trains its network: epoch by epoch until it is over, then the figures of the restored epoch."""

import math
import time
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from search.data.splits import Rows, Splits
from search.seeds import derive_seed
from search.training.early_stopping import EarlyStopping
from search.training.trainer import DivergedError, OnEpoch
from studies.trial import EpochMetrics, TrialOutcome

_NEAR_ZERO = 1e-3

Weights = list[NDArray[Any]]


class Evaluation(NamedTuple):
    """Cross-entropy (nats per row, no penalty) and accuracy in [0, 1] on some rows, dropout off."""

    cross_entropy: float
    accuracy: float


class Network(Protocol):
    """A network under way, compiled and initialized for one trial."""

    def train_epoch(self, order: Rows) -> float:
        """Train one epoch on the rows in that order; return the mean loss, with penalty and dropout."""

    def evaluate(self, rows: Rows) -> Evaluation:
        """Judge the network on some rows."""

    def penalty(self) -> float:
        """Return what L1 and L2 add to the loss."""

    def get_weights(self) -> Weights:
        """Return copies of all weights, in the order of the Keras model."""

    def set_weights(self, weights: Weights) -> None:
        """Put weights back that `get_weights` returned."""


def train_trial(
    network: Network, *, patience: int | None, max_epochs: int, splits: Splits, seed: int, on_epoch: OnEpoch
) -> TrialOutcome | None:
    """Train the network until early stopping or `max_epochs`; see `Trainer.train`."""
    started = time.perf_counter()
    stopping = EarlyStopping(patience=patience)
    best_weights: Weights | None = None
    epoch = 0
    while epoch < max_epochs and not stopping.is_over:
        metrics = _train_epoch(network, epoch, epoch_order(splits.train, seed, epoch), splits.stop)
        if not on_epoch(metrics):
            return None
        stopping = stopping.after(epoch, metrics.stop_loss)
        if stopping.patience is not None and stopping.best_epoch == epoch:
            best_weights = network.get_weights()
        epoch += 1
    if best_weights is not None:
        network.set_weights(best_weights)
    assert stopping.best_epoch is not None
    select, train = network.evaluate(splits.select), network.evaluate(splits.train)
    if not math.isfinite(select.cross_entropy + train.cross_entropy):
        raise DivergedError(stopping.best_epoch)
    first_kernel = network.get_weights()[0]  # (pixels, units of the first hidden layer)
    return TrialOutcome(
        best_epoch=stopping.best_epoch,
        epochs=epoch,
        select_cross_entropy=select.cross_entropy,
        select_accuracy=select.accuracy,
        train_cross_entropy=train.cross_entropy,
        train_accuracy=train.accuracy,
        near_zero_share=float((np.abs(first_kernel) < _NEAR_ZERO).mean()),
        seconds=time.perf_counter() - started,
    )


def epoch_order(rows: Rows, seed: int, epoch: int) -> Rows:
    """Return the rows in the order in which an epoch, counted from 0, takes them."""
    return np.random.default_rng(derive_seed(seed, "order", epoch)).permutation(rows)


def _train_epoch(network: Network, epoch: int, order: Rows, stop: Rows) -> EpochMetrics:
    started = time.perf_counter()
    train_loss = network.train_epoch(order)
    cross_entropy, accuracy = network.evaluate(stop)
    penalty = network.penalty()
    if not all(map(math.isfinite, (train_loss, cross_entropy, penalty))):
        raise DivergedError(epoch)
    return EpochMetrics(
        epoch=epoch,
        train_loss=train_loss,
        stop_loss=cross_entropy + penalty,
        stop_cross_entropy=cross_entropy,
        stop_accuracy=accuracy,
        seconds=time.perf_counter() - started,
    )
