"""One trial, whatever trains its network: epoch by epoch until it is over, then the figures of the restored epoch."""

import math
import time
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from search.data.splits import Rows, Splits
from search.seeds import derive_seed
from search.training.checkpoints import Arrays, Checkpoints, TrialState
from search.training.early_stopping import EarlyStopping
from search.training.trainer import DivergedError, OnEpoch
from studies.rows import RowFigures
from studies.trial import EpochMetrics, TrialOutcome

_NEAR_ZERO = 1e-3
_VALUES_AT_ONCE = 100_000_000  # as floats, 400 MB

Weights = list[NDArray[Any]]


class Network(Protocol):
    """A network under way, compiled and initialized for one trial."""

    def train_epoch(self, order: Rows) -> float:
        """Train one epoch on the rows in that order; return the mean loss, with penalty and dropout."""

    def evaluate(self, rows: Rows) -> RowFigures:
        """Apply the network to some rows, dropout off."""

    def penalty(self) -> float:
        """Return what L1 and L2 add to the loss."""

    def get_weights(self) -> Weights:
        """Return copies of all weights, in the order of the Keras model."""

    def set_weights(self, weights: Arrays) -> None:
        """Put weights back that `get_weights` returned."""

    def get_state(self) -> Weights:
        """Return copies of all that training changes: weights, the optimizer's state, counters, random states."""

    def set_state(self, state: Arrays) -> None:
        """Go on from what `get_state` returned."""


def train_trial(
    network: Network,
    *,
    patience: int | None,
    max_epochs: int,
    splits: Splits,
    seed: int,
    on_epoch: OnEpoch,
    checkpoints: Checkpoints,
    keeps_rows: bool,
) -> TrialOutcome | None:
    """Train the network until early stopping or `max_epochs`, from its latest checkpoint on; see `Trainer.train`.

    Args:
        keeps_rows: whether the outcome has each select row's figures.
    """
    started = time.perf_counter()
    state = checkpoints.latest()
    if state is None:
        state = TrialState(stopping=EarlyStopping(patience=patience))
    else:
        network.set_state(state.network)
        started -= state.seconds
        for metrics in state.curve:  # the last one may not have been heard
            if not on_epoch(metrics):
                return None
    while len(state.curve) < max_epochs and not state.stopping.is_over:
        state = _after_epoch(network, state, splits, seed, started)
        checkpoints.save(state)
        if not on_epoch(state.curve[-1]):
            return None
    if state.best_weights is not None:
        network.set_weights(state.best_weights)
    best_epoch = state.stopping.best_epoch
    assert best_epoch is not None
    select, train = network.evaluate(splits.select), network.evaluate(splits.train)
    if not math.isfinite(select.cross_entropy + train.cross_entropy):
        raise DivergedError(best_epoch)
    weights = network.get_weights()
    first_kernel = weights[0]  # (pixels, units of the first hidden layer)
    return TrialOutcome(
        best_epoch=best_epoch,
        epochs=len(state.curve),
        select_cross_entropy=select.cross_entropy,
        select_accuracy=select.accuracy,
        train_cross_entropy=train.cross_entropy,
        train_accuracy=train.accuracy,
        near_zero_share=float((np.abs(first_kernel) < _NEAR_ZERO).mean()),
        seconds=time.perf_counter() - started,
        weights_sha256=checkpoints.save_weights(weights),
        select_rows=select.to_text() if keeps_rows else None,
    )


def epoch_order(rows: Rows, seed: int, epoch: int) -> Rows:
    """Return the rows in the order in which an epoch, counted from 0, takes them."""
    return np.random.default_rng(derive_seed(seed, "order", epoch)).permutation(rows)


def evaluated_parts(rows: Rows, at_most: int, features: int) -> Iterator[Rows]:
    """Give the rows in parts that are evaluated at once, of at most so many rows, fewer where rows are long.

    Args:
        rows: in any order.
        at_most: rows of a part, at least 1.
        features: values of one row.
    """
    size = max(min(at_most, _VALUES_AT_ONCE // features), 1)
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _after_epoch(network: Network, state: TrialState, splits: Splits, seed: int, started: float) -> TrialState:
    """Train one more epoch; return the state after it."""
    epoch = len(state.curve)
    metrics = _train_epoch(network, epoch, epoch_order(splits.train, seed, epoch), splits.stop)
    stopping = state.stopping.after(epoch, metrics.stop_loss)
    is_best = stopping.patience is not None and stopping.best_epoch == epoch
    return TrialState(
        curve=(*state.curve, metrics),
        stopping=stopping,
        network=network.get_state(),
        best_weights=network.get_weights() if is_best else state.best_weights,
        seconds=time.perf_counter() - started,
    )


def _train_epoch(network: Network, epoch: int, order: Rows, stop: Rows) -> EpochMetrics:
    started = time.perf_counter()
    train_loss = network.train_epoch(order)
    judged = network.evaluate(stop)
    cross_entropy, penalty = judged.cross_entropy, network.penalty()
    if not all(map(math.isfinite, (train_loss, cross_entropy, penalty))):
        raise DivergedError(epoch)
    return EpochMetrics(
        epoch=epoch,
        train_loss=train_loss,
        stop_loss=cross_entropy + penalty,
        stop_cross_entropy=cross_entropy,
        stop_accuracy=judged.accuracy,
        seconds=time.perf_counter() - started,
    )
