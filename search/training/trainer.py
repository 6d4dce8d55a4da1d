"""What every trainer does: train one trial, epoch by epoch, and say how it ended."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from regsearch.search.training.checkpoints import NO_CHECKPOINTS, Arrays, Checkpoints, TrainingCheckpoint
from regsearch.studies.example_scores import PerExampleScores
from regsearch.studies.trial import DIVERGED, EpochMetrics, Params, TrialOutcome, TrialTask, Value

OnEpoch = Callable[[EpochMetrics], bool]
"""Told the figures of each epoch; answers whether to go on."""

Suggest = Callable[[str, str, Value], Value]
"""Asked for a parameter by its name, its distribution as Optuna's JSON and its own default; gives its value.

Raises ValueError where there is none; a trial that ends meanwhile is left by a BaseException.
"""


class DivergedError(Exception):
    """A loss stopped being finite; the trial would diverge again."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"{DIVERGED} {epoch}")


class Trainer(Protocol):
    """Trains trials of one study; what a trial gives depends on the study and its parameters alone."""

    def train(
        self,
        task: TrialTask,
        on_epoch: OnEpoch,
        checkpoints: Checkpoints = NO_CHECKPOINTS,
        suggest: Suggest | None = None,
    ) -> TrialOutcome | None:
        """Train one trial, from its latest checkpoint on; None where `on_epoch` ended it.

        `on_epoch` is told every epoch, those before the checkpoint too: the last may not have been heard.
        The task's seed, where it has one, stands for the study's. A HyperModel's trainer asks `suggest` for each
        parameter; without it, the task has them. Raises DivergedError where a loss is NaN or infinite.
        """
        ...

    def look_at_test(self, task: TrialTask, weights: Arrays) -> PerExampleScores:
        """Return what the network does on the test rows with weights that training gave; nothing is learned there."""
        ...

    def test_objective(self, task: TrialTask, weights: Arrays) -> float | None:
        """Return the study's objective on the test rows, if it is a metric of a HyperModel's; else None."""
        ...

    def save_model(self, params: Params, state: TrainingCheckpoint, path: Path) -> None:
        """Write the network of a trial with such parameters, as it is in a state, as a Keras model (.keras).

        It may be one that trains; its training is not touched. Raises OSError where the file can't be written.
        """
        ...
