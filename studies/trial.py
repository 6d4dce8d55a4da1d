"""The values that coordinator and worker exchange about a trial: its task, its epochs and its outcome."""

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from .example_scores import PerExampleScores
from .objectives import OURS, is_accuracy
from .spec import SEEDS_AT_MOST

Value = str | bool | int | float
"""A parameter's value."""

Params = Mapping[str, Any]
"""A trial's parameters, as Optuna stores them: a dict from name to `Value`."""


DIVERGED = "diverged at epoch"
"""If a trial failed because its loss became NaN or infinite, the stored reason begins with this text."""


class Purpose(enum.StrEnum):
    """What a task is for."""

    SEARCH = "search"  # a trial of the search
    CONFIRM = "confirm"  # a finalist, trained on a fresh seed
    TEST = "test"  # a test evaluation: that finalist, as it was trained, on the test set


class TrainingId(NamedTuple):
    """Identifies one training of a confirmation by its finalist and its fresh seed, both counted from 0.

    Example:
        >>> TrainingId(finalist=2, seed=3).number
        2003
        >>> TrainingId.of_number(2003)
        TrainingId(finalist=2, seed=3)
    """

    finalist: int
    seed: int

    @property
    def number(self) -> int:
        """The number of this training's task. Workers report this number, and names of files contain it."""
        return self.finalist * SEEDS_AT_MOST + self.seed

    @classmethod
    def of_number(cls, number: int) -> Self:
        """Return the training to which a task's number belongs."""
        return cls(*divmod(number, SEEDS_AT_MOST))


@dataclass(frozen=True, kw_only=True)
class TrialTask:
    """One attempt to train a trial of the search, or to train or test a finalist on a fresh seed.

    Attributes:
        number: the trial's number in its study, counted from 0; for a finalist, its `TrainingId.number`.
        attempt: how many earlier attempts ended because a worker was lost.
        params: the parameters to train with.
        purpose: what the task is for.
        seed: replaces the study's seed for initial weights, the order of examples and dropout. If `confirm.split` is
            "drawn", the splits depend on it, too. None: the study's own seed.
        weights_sha256: for a test evaluation, the SHA-256 of the file with the finalist's weights, if one was written.
    """

    number: int
    attempt: int
    params: Params
    purpose: Purpose = Purpose.SEARCH
    seed: int | None = None
    weights_sha256: str | None = None

    def __str__(self) -> str:
        """Return the name of the task in messages: "trial 7"."""
        if self.purpose == Purpose.SEARCH:
            return f"trial {self.number}"
        rows = ", on the test examples" if self.purpose == Purpose.TEST else ""
        return f"finalist {self.training.finalist}, seed {self.training.seed}{rows}"

    @property
    def training(self) -> TrainingId:
        """The finalist and the fresh seed of this task; only for a task of a confirmation."""
        assert self.purpose != Purpose.SEARCH
        return TrainingId.of_number(self.number)


@dataclass(frozen=True)
class Wait:
    """There is no task to hand out now, but there may be one when a running task ends."""


class DoneReason(enum.Enum):
    """Why there are no more tasks to hand out."""

    TOTAL = "all trials of the study's total, or all trainings of its confirmation, are handed out"
    EXHAUSTED = "every point of the space was tried"


@dataclass(frozen=True)
class Done:
    """There are no more tasks to hand out."""

    reason: DoneReason


NextStep = TrialTask | Wait | Done
"""What a store returns if it is asked for a task."""


@dataclass(frozen=True, kw_only=True)
class EpochMetrics:
    """The figures of one epoch; raises ValueError if a figure is NaN or infinite.

    Attributes:
        epoch: counted from 0.
        train_loss: mean over the epoch's batches, with penalty and dropout (Keras's `loss`).
        stop_loss: on the stopping split, with penalty (Keras's `val_loss`); decides early stopping.
        stop_cross_entropy: on the stopping split, without penalty, in nats per example; decides pruning.
        stop_accuracy: on the stopping split, in [0, 1]; decides pruning if the study's objective is accuracy.
        seconds: wall time of the epoch.
        objective: the study's objective on the stopping split, if it is a metric of a HyperModel. It decides pruning.
    """

    epoch: int
    train_loss: float
    stop_loss: float
    stop_cross_entropy: float
    stop_accuracy: float
    seconds: float
    objective: float | None = None

    def __post_init__(self) -> None:
        _check_finite(self)

    def value(self, objective: str) -> float | None:
        """Return the figure that a pruner compares; None if the objective is not measured after each epoch."""
        if objective not in OURS:
            return self.objective
        return self.stop_accuracy if objective == "accuracy" else self.stop_cross_entropy

    def columns(self) -> dict[str, Any]:
        """Return the figures of EPOCH_COLUMNS, by name."""
        return {name: getattr(self, name) for name in EPOCH_COLUMNS}


EPOCH_COLUMNS = tuple(name for name in EpochMetrics.__dataclass_fields__ if name != "objective")
"""The names of an epoch's figures in regsearch's tables. A HyperModel's metric is only in Optuna's tables."""


@dataclass(frozen=True, kw_only=True)
class TrialOutcome:
    """The figures of a completed trial, measured with the weights that it kept and with dropout off.

    Raises ValueError if a figure is NaN or infinite.

    Attributes:
        best_epoch: the epoch, counted from 0, whose weights were kept.
        epochs: how many epochs were trained.
        select_cross_entropy, train_cross_entropy: without penalty, in nats per example.
        select_accuracy, train_accuracy: in [0, 1].
        near_zero_share: part of the first layer's weights whose size is below 1e-3, in [0, 1]. L1 increases it. None if
            no layer has a kernel.
        seconds: wall time of its training, without epochs that were lost in an interruption.
        weights_sha256: the SHA-256 of the file with its weights; None if none was written.
        select_rows: for a finalist, its scores on the selection split, as `PerExampleScores.to_text` returns them.
        objective: the study's objective, if it is a metric of a HyperModel.
    """

    best_epoch: int
    epochs: int
    select_cross_entropy: float
    select_accuracy: float
    train_cross_entropy: float
    train_accuracy: float
    near_zero_share: float | None
    seconds: float
    weights_sha256: str | None = None
    select_rows: str | None = None
    objective: float | None = None

    def __post_init__(self) -> None:
        _check_finite(self)

    def value(self, objective: str) -> float:
        """Return the objective on the selection split."""
        if objective not in OURS:
            assert self.objective is not None
            return self.objective
        return self.select_accuracy if objective == "accuracy" else self.select_cross_entropy

    def columns(self) -> dict[str, Any]:
        """Return the figures that a trial's row in the database has, by name."""
        return {name: figure for name, figure in vars(self).items() if name not in ("select_rows", "objective")}

    @property
    def generalization_gap(self) -> float:
        """Selection minus training cross-entropy: how much worse the network is on examples that it hasn't seen."""
        return self.select_cross_entropy - self.train_cross_entropy


@dataclass(frozen=True, kw_only=True)
class TestEvaluation:
    """The scores of a finalist's network on the test set; raises ValueError if a loss is NaN or infinite.

    Attributes:
        rows: the scores of each example, as `PerExampleScores.to_text` returns them.
        objective: the study's objective on the test set, if it is a metric of a HyperModel.
    """

    rows: str
    objective: float | None = None

    def __post_init__(self) -> None:
        PerExampleScores.from_text(self.rows)
        if self.objective is not None and not math.isfinite(self.objective):
            raise ValueError(f"the objective is {self.objective} on the test examples")

    def value(self, objective: str) -> float:
        """Return the study's objective on the test set."""
        if objective not in OURS and self.objective is not None:
            return self.objective
        figures = PerExampleScores.from_text(self.rows)
        return figures.accuracy if is_accuracy(objective) else figures.cross_entropy


Outcome = TrialOutcome | TestEvaluation


class EpochDecision(enum.Enum):
    """What a store did with the report of an epoch, and what the worker must do next."""

    RECORDED = "the epoch is recorded: continue"
    REPEATED = "the epoch was already recorded before an interruption: continue"
    DIFFERS = "the epoch was already recorded before an interruption, with other figures: continue"
    PRUNED = "the epoch is recorded, and the trial is pruned: stop"
    TRIED = "an earlier trial has the same settings, so this trial failed and no epoch is recorded: stop"
    ENDED = "the trial has ended for another reason, so the epoch is not recorded: stop"


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How many trials of one technique are finished, and how good the best of these trials is.

    Attributes:
        trials: how many trials of the technique are finished.
        best: the best value of a complete trial; None if no trial is complete.
    """

    trials: int = 0
    best: float | None = None

    def after(self, value: float | None, *, maximizes: bool) -> "Tally":
        """Return the tally after one more trial, where `value` is None if the trial is not complete."""
        better = max if maximizes else min
        values = [known for known in (self.best, value) if known is not None]
        return Tally(trials=self.trials + 1, best=better(values, default=None))


@dataclass(frozen=True, kw_only=True)
class StudyProgress:
    """How many tasks of a study, or of its confirmation, are finished.

    Attributes:
        finished: number of finished tasks.
        total: number of all tasks.
        best: the best value of a completed task.
        techniques: a dict from each technique to its tally; empty if the parameters are a HyperModel's own.
    """

    finished: int
    total: int
    best: float | None
    techniques: Mapping[str, Tally] = field(default_factory=dict)


def _check_finite(figures: EpochMetrics | TrialOutcome) -> None:
    for name, figure in vars(figures).items():
        if isinstance(figure, int | float) and not math.isfinite(figure):
            raise ValueError(f"{name} is {figure}, but every figure must be finite")
