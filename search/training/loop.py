"""One trial, whatever trains its network: epoch by epoch until it is over, then the figures of the restored epoch."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from regsearch.search.data.splits import Rows, Splits
from regsearch.search.seeds import derive_seed
from regsearch.search.training.checkpoints import Arrays, Checkpoints, TrainingCheckpoint
from regsearch.search.training.early_stopping import EarlyStopping
from regsearch.search.training.trainer import DivergedError, OnEpoch
from regsearch.studies.example_scores import PerExampleScores
from regsearch.studies.trial import EpochMetrics, TrialOutcome

_NEAR_ZERO = 1e-3
_VALUES_AT_ONCE = 100_000_000  # as floats, 400 MB

Weights = list[NDArray[Any]]

Measure = Callable[[Rows], float]
"""Measures a metric of a HyperModel's on some rows."""


class Network(Protocol):
    """A network under way, compiled and initialized for one trial."""

    def train_epoch(self, order: Rows) -> float:
        """Train one epoch on the rows in that order; return the mean loss, with penalty and dropout."""

    def evaluate(self, rows: Rows) -> PerExampleScores:
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
    measure: Measure | None = None,
) -> TrialOutcome | None:
    """Train the network until early stopping or `max_epochs`, from its latest checkpoint on; see `Trainer.train`.

    Args:
        keeps_rows: whether the outcome has each select row's figures.
        measure: gives the study's objective, where it is a metric of a HyperModel's.
    """
    started = time.perf_counter()
    state = checkpoints.latest()
    if state is None:
        state = TrainingCheckpoint(stopping=EarlyStopping(patience=patience))
    else:
        network.set_state(state.network)
        started -= state.seconds
        for metrics in state.curve:  # the last one may not have been heard
            if not on_epoch(metrics):
                return None
    while len(state.curve) < max_epochs and not state.stopping.is_over:
        state = _after_epoch(network, state, splits, seed, started, measure)
        checkpoints.save(state)
        if not on_epoch(state.curve[-1]):
            return None
    if state.best_weights is not None:
        network.set_weights(state.best_weights)
    return evaluate_trained(
        network,
        state,
        splits=splits,
        started=started,
        checkpoints=checkpoints,
        keeps_rows=keeps_rows,
        objective=None if measure is None else measure(splits.select),
    )


def evaluate_trained(
    network: Network,
    state: TrainingCheckpoint,
    *,
    splits: Splits,
    started: float,
    checkpoints: Checkpoints,
    keeps_rows: bool,
    objective: float | None,
) -> TrialOutcome:
    """Return what a network that has trained gives, and keep its weights; raises DivergedError as `Trainer.train`."""
    best_epoch = state.stopping.best_epoch
    assert best_epoch is not None
    select, train = network.evaluate(splits.select), network.evaluate(splits.train)
    if not math.isfinite(select.cross_entropy + train.cross_entropy + (objective or 0.0)):
        raise DivergedError(best_epoch)
    weights = network.get_weights()
    kernel = next((array for array in weights if array.ndim > 1), None)  # of the first layer that has one
    return TrialOutcome(
        best_epoch=best_epoch,
        epochs=len(state.curve),
        select_cross_entropy=select.cross_entropy,
        select_accuracy=select.accuracy,
        train_cross_entropy=train.cross_entropy,
        train_accuracy=train.accuracy,
        near_zero_share=None if kernel is None else float((np.abs(kernel) < _NEAR_ZERO).mean()),
        seconds=time.perf_counter() - started,
        weights_sha256=checkpoints.save_weights(weights),
        select_rows=select.to_text() if keeps_rows else None,
        objective=objective,
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


def _after_epoch(
    network: Network, state: TrainingCheckpoint, splits: Splits, seed: int, started: float, measure: Measure | None
) -> TrainingCheckpoint:
    """Train one more epoch; return the state after it."""
    epoch, epoch_started = len(state.curve), time.perf_counter()
    train_loss = network.train_epoch(epoch_order(splits.train, seed, epoch))
    metrics = epoch_metrics(network, epoch, train_loss, splits.stop, epoch_started, measure)
    return state_after(network, state, metrics, time.perf_counter() - started)


def state_after(
    network: Network, state: TrainingCheckpoint, metrics: EpochMetrics, seconds: float
) -> TrainingCheckpoint:
    """Return the state after one more epoch, whose figures are given."""
    epoch = metrics.epoch
    stopping = state.stopping.after(epoch, metrics.stop_loss)
    is_best = stopping.patience is not None and stopping.best_epoch == epoch
    return TrainingCheckpoint(
        curve=(*state.curve, metrics),
        stopping=stopping,
        network=network.get_state(),
        best_weights=network.get_weights() if is_best else state.best_weights,
        seconds=seconds,
    )


def epoch_metrics(
    network: Network, epoch: int, train_loss: float, stop: Rows, started: float, measure: Measure | None
) -> EpochMetrics:
    """Return the figures of an epoch that was just trained; raises DivergedError as `Trainer.train`."""
    figures = network.evaluate(stop)
    cross_entropy, penalty = figures.cross_entropy, network.penalty()
    objective = None if measure is None else measure(stop)
    if not all(map(math.isfinite, (train_loss, cross_entropy, penalty, objective or 0.0))):
        raise DivergedError(epoch)
    return EpochMetrics(
        epoch=epoch,
        train_loss=train_loss,
        stop_loss=cross_entropy + penalty,
        stop_cross_entropy=cross_entropy,
        stop_accuracy=figures.accuracy,
        seconds=time.perf_counter() - started,
        objective=objective,
    )
