"""The training loop of one trial: it trains epoch after epoch, then evaluates the weights of the best epoch."""

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
_VALUES_AT_ONCE = 100_000_000  # 400 MB as floats

Weights = list[NDArray[Any]]

Measure = Callable[[Rows], float]
"""Measures a metric of a HyperModel on the examples with these indices."""


class Network(Protocol):
    """A compiled network that trains one trial."""

    def train_epoch(self, order: Rows) -> float:
        """Train one epoch on the examples in this order; return the mean training loss, including penalties."""

    def evaluate(self, rows: Rows) -> PerExampleScores:
        """Return the network's scores on some examples, with dropout off."""

    def penalty(self) -> float:
        """Return what the penalties, such as L1 and L2, add to the loss."""

    def get_weights(self) -> Weights:
        """Return copies of all weights, in the order of the Keras model."""

    def set_weights(self, weights: Arrays) -> None:
        """Restore weights that `get_weights` returned."""

    def get_state(self) -> Weights:
        """Return copies of everything that training changes: weights, optimizer state, counters, random states."""

    def set_state(self, state: Arrays) -> None:
        """Restore a state that `get_state` returned."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingRun:
    """What one trial trains on, when it ends, and where its results go.

    Attributes:
        splits: the examples of each split.
        seed: decides the order of the examples, at least 0.
        patience: the patience of early stopping, in epochs; None: the trial has no early stopping.
        max_epochs: the largest number of epochs, at least 1.
        on_epoch: receives the metrics of each epoch.
        checkpoints: stores the state after each epoch, and the final weights.
        keeps_scores: whether the outcome contains the scores of each example in the selection split.
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
        network: the network, compiled and initialized for this trial.
        run: the splits and the settings of the trial.
        measure: measures the study's objective; None unless the objective is a metric of a HyperModel.
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
    """Restore the best epoch's weights, evaluate and store them, and return the outcome of the trial.

    Args:
        network: the network after the last epoch.
        state: the state after the last epoch.
        run: the splits and the settings of the trial.
        started: the start time of the training, by `time.perf_counter`.
        measure: see `train_trial`.

    Raises DivergedError if a loss or the objective is NaN or infinite.
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
    kernel = next((array for array in weights if array.ndim > 1), None)  # the first kernel
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
    """Yield indices of examples in parts that fit into memory; the larger the examples, the smaller the parts.

    Args:
        rows: indices of examples, in any order.
        at_most: the largest number of examples in a part, at least 1.
        features: the number of values in one example.

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
    """Evaluate the network after an epoch, and return the metrics of that epoch.

    Raises DivergedError if a metric is NaN or infinite.
    """
    scores = network.evaluate(stop)
    cross_entropy, penalty = scores.cross_entropy, network.penalty()
    objective = None if measure is None else measure(stop)
    if not all(map(math.isfinite, (train_loss, cross_entropy, penalty, objective or 0.0))):
        raise DivergedError(epoch)
    return EpochMetrics(
        epoch=epoch,
        train_loss=train_loss,
        stop_loss=cross_entropy + penalty,
        stop_cross_entropy=cross_entropy,
        stop_accuracy=scores.accuracy,
        seconds=time.perf_counter() - started,
        objective=objective,
    )
