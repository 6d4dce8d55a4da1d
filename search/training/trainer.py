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
"""Returns the value of a parameter, given its name, its distribution as Optuna's JSON, and its default.

Raises ValueError if the parameter gets no value, and a BaseException if the trial was stopped meanwhile.
"""


class DivergedError(Exception):
    """Raised if a loss became NaN or infinite; if the trial is repeated, it diverges again."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"{DIVERGED} {epoch}")


class Trainer(Protocol):
    """Trains the trials of one study; an outcome depends only on the study, the data and the task."""

    def train(
        self,
        task: TrialTask,
        on_epoch: OnEpoch,
        checkpoints: Checkpoints = NO_CHECKPOINTS,
        suggest: Suggest | None = None,
    ) -> TrialOutcome | None:
        """Train one trial, starting from its latest checkpoint.

        Args:
            task: the trial; if it has a seed, that replaces the study's seed.
            on_epoch: receives the metrics of every epoch. Epochs before the checkpoint are included, because the
                coordinator may not have received the last one.
            checkpoints: stores the states of the trial; by default, nothing is stored.
            suggest: returns the parameters of a HyperModel; None: the task contains them.

        Returns the outcome, or None if `on_epoch` ended the trial.
        Raises DivergedError if a loss is NaN or infinite.
        """
        ...

    def look_at_test(self, task: TrialTask, weights: Arrays) -> PerExampleScores:
        """Return the scores on the test set of the network with these trained weights."""
        ...

    def test_objective(self, task: TrialTask, weights: Arrays) -> float | None:
        """Return the study's objective on the test set if it is a metric of a HyperModel, else None."""
        ...

    def save_model(self, params: Params, state: TrainingCheckpoint, path: Path) -> None:
        """Write the network of a trial as a Keras model.

        This does not disturb the trial if it is still training.

        Args:
            params: the parameters of the trial.
            state: the state that contains the network's weights.
            path: the file to write; its name ends in .keras.

        Raises OSError if the file can't be written.
        """
        ...
