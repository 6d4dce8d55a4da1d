"""The interface of all trainers: train one trial epoch by epoch, and return its outcome."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ...studies.example_scores import PerExampleScores
from ...studies.trial import DIVERGED, EpochMetrics, Params, TrialOutcome, TrialTask, Value
from .checkpoints import NO_CHECKPOINTS, Arrays, Checkpoints, TrainingCheckpoint

OnEpoch = Callable[[EpochMetrics], bool]
"""Receives the metrics of each epoch; returns whether the trial continues."""

Suggest = Callable[[str, str, Value], Value]
"""Returns the value of a parameter, from its name, its distribution as Optuna's JSON, and its default.

Raises ValueError if there is none, and a BaseException if the trial is stopped meanwhile.
"""


class DivergedError(Exception):
    """A loss became NaN or infinite; the trial would diverge again."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"{DIVERGED} {epoch}")


class Trainer(Protocol):
    """Trains trials of one study; an outcome depends only on the study, the data and the task."""

    def train(
        self,
        task: TrialTask,
        on_epoch: OnEpoch,
        checkpoints: Checkpoints = NO_CHECKPOINTS,
        suggest: Suggest | None = None,
    ) -> TrialOutcome | None:
        """Train one trial from its latest checkpoint on.

        Args:
            task: the trial; its seed, if it has one, replaces the study's.
            on_epoch: receives every epoch, including those before the checkpoint: the coordinator may not have
                received the last one.
            checkpoints: store the states; by default, none are stored.
            suggest: gives a HyperModel's parameters; None: the task has them.

        Returns the outcome, or None if `on_epoch` ended the trial.
        Raises DivergedError if a loss is NaN or infinite.
        """
        ...

    def look_at_test(self, task: TrialTask, weights: Arrays) -> PerExampleScores:
        """Evaluate the network with trained weights on the test set; nothing is learned there."""
        ...

    def test_objective(self, task: TrialTask, weights: Arrays) -> float | None:
        """Return the study's objective on the test set if it is a metric of a HyperModel, else None."""
        ...

    def save_model(self, params: Params, state: TrainingCheckpoint, path: Path) -> None:
        """Write the network of a trial as a Keras model.

        The trial may be training; that is not affected.

        Args:
            params: of the trial.
            state: of the network.
            path: ends in .keras.

        Raises OSError if the file can't be written.
        """
        ...
