"""The training loop of one trial: epoch after epoch until it ends, then the outcome of the restored epoch."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...studies.example_scores import PerExampleScores
from ...studies.trial import EpochMetrics, TrialOutcome
from ..data.splits import Rows, Splits
from ..seeds import derive_seed
from .checkpoints import Arrays, Checkpoints, TrainingCheckpoint
from .early_stopping import EarlyStopping
from .trainer import DivergedError, OnEpoch

_NEAR_ZERO = 1e-3
_VALUES_AT_ONCE = 100_000_000  # as floats, 400 MB

Weights = list[NDArray[Any]]

Measure = Callable[[Rows], float]
"""Measures a HyperModel's metric on the examples with these indices."""


class Network(Protocol):
    """A compiled network that trains one trial."""

    def train_epoch(self, order: Rows) -> float:
        """Train one epoch on the examples in this order; return the mean loss, with penalty and dropout."""

    def evaluate(self, rows: Rows) -> PerExampleScores:
        """Apply the network to some examples, with dropout off."""

    def penalty(self) -> float:
        """Return what the penalties, such as L1 and L2, add to the loss."""

    def get_weights(self) -> Weights:
        """Return copies of all weights, in the order of the Keras model."""

    def set_weights(self, weights: Arrays) -> None:
        """Restore weights that `get_weights` returned."""

    def get_state(self) -> Weights:
        """Return copies of everything that training changes: weights, optimizer state, counters, random states."""

    def set_state(self, state: Arrays) -> None:
        """Resume from what `get_state` returned."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingRun:
    """What one trial trains on, when it ends, and where its results go.

    Attributes:
        splits: the examples of each split.
        seed: decides the order of the examples, at least 0.
        patience: of early stopping, in epochs; None: there is none.
        max_epochs: at least 1.
        on_epoch: receives the metrics of each epoch.
        checkpoints: keeps the state after each epoch, and the weights at the end.
        keeps_scores: whether the outcome contains the scores of each example of the selection split.
    """

    splits: Splits
    seed: int
    patience: int | None
    max_epochs: int
    on_epoch: OnEpoch
    checkpoints: Checkpoints
    keeps_scores: bool

    def first_state(self) -> TrainingCheckpoint:
        """Return the state before the first epoch."""
        return TrainingCheckpoint(stopping=EarlyStopping(patience=self.patience))


def train_trial(network: Network, run: TrainingRun, measure: Measure | None = None) -> TrialOutcome | None:
    """Train the network until early stopping or the last epoch; see `Trainer.train`.

    Training resumes from the latest checkpoint.

    Args:
        network: compiled and initialized for this trial.
        run: what it trains on.
        measure: measures the study's objective if that is a metric of a HyperModel, else None.
    """
    started = time.perf_counter()
    state = run.checkpoints.latest()
    if state is None:
        state = run.first_state()
    else:
        network.set_state(state.network)
        started -= state.seconds
        for metrics in state.curve:  # the coordinator may not have received the last one
            if not run.on_epoch(metrics):
                return None
    while len(state.curve) < run.max_epochs and not state.stopping.is_over:
        state = _after_epoch(network, state, run, started, measure)
        run.checkpoints.save(state)
        if not run.on_epoch(state.curve[-1]):
            return None
    return finish_trial(network, state, run, started, measure)


def finish_trial(
    network: Network, state: TrainingCheckpoint, run: TrainingRun, started: float, measure: Measure | None
) -> TrialOutcome:
    """Restore the best epoch's weights, evaluate and keep them, and return the outcome.

    Args:
        network: as it is after the last epoch.
        state: after the last epoch.
        run: what it trained on.
        started: when training started, by `time.perf_counter`.
        measure: see `train_trial`.

    Raises DivergedError if a figure is NaN or infinite.
    """
    if state.best_weights is not None:
        network.set_weights(state.best_weights)
    best_epoch = state.stopping.best_epoch
    assert best_epoch is not None
    objective = None if measure is None else measure(run.splits.select)
    select, train = network.evaluate(run.splits.select), network.evaluate(run.splits.train)
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
        weights_sha256=run.checkpoints.save_weights(weights),
        select_rows=select.to_text() if run.keeps_scores else None,
        objective=objective,
    )


def epoch_order(rows: Rows, seed: int, epoch: int) -> Rows:
    """Return the examples in the order in which an epoch, counted from 0, trains on them.

    Example:
        >>> epoch_order(np.arange(5), seed=0, epoch=0).tolist() == epoch_order(np.arange(5), 0, 0).tolist()
        True
    """
    return np.random.default_rng(derive_seed(seed, "order", epoch)).permutation(rows)


def evaluated_parts(rows: Rows, at_most: int, features: int) -> Iterator[Rows]:
    """Yield the examples in parts that fit into memory; examples of many values come in smaller parts.

    Args:
        rows: indices of examples, in any order.
        at_most: examples per part, at least 1.
        features: values of one example.

    Example:
        >>> [part.tolist() for part in evaluated_parts(np.arange(5), 2, 784)]
        [[0, 1], [2, 3], [4]]
    """
    size = max(min(at_most, _VALUES_AT_ONCE // features), 1)
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _after_epoch(
    network: Network, state: TrainingCheckpoint, run: TrainingRun, started: float, measure: Measure | None
) -> TrainingCheckpoint:
    """Train one more epoch; return the state after it."""
    epoch, epoch_started = len(state.curve), time.perf_counter()
    train_loss = network.train_epoch(epoch_order(run.splits.train, run.seed, epoch))
    metrics = epoch_metrics(network, epoch, train_loss, run.splits.stop, epoch_started, measure)
    return state_after(network, state, metrics, time.perf_counter() - started)


def state_after(
    network: Network, state: TrainingCheckpoint, metrics: EpochMetrics, seconds: float
) -> TrainingCheckpoint:
    """Return the state after one more epoch with these metrics."""
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
    """Return the metrics of an epoch that was just trained.

    Raises DivergedError if one of them is NaN or infinite.
    """
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
