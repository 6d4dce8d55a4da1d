"""One trial as it travels between coordinator and worker: what is asked, and what comes back."""

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
"""A trial's parameters by name, as Optuna stores them, each a `Value`."""


DIVERGED = "diverged at epoch"
"""What the reason of a trial begins with whose loss became NaN or infinite."""


class Purpose(enum.StrEnum):
    """What a task is for."""

    SEARCH = "search"  # a trial of the search
    CONFIRM = "confirm"  # a finalist, trained on a fresh seed
    TEST = "test"  # a test look: that finalist, as it was trained, on the test rows


class TrainingId(NamedTuple):
    """Which training of a confirmation: a finalist and a fresh seed, both counted from 0.

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
        """The number of its task: workers report it, and the names of its files have it."""
        return self.finalist * SEEDS_AT_MOST + self.seed

    @classmethod
    def of_number(cls, number: int) -> Self:
        """Return the training whose task has that number."""
        return cls(*divmod(number, SEEDS_AT_MOST))


@dataclass(frozen=True, kw_only=True)
class TrialTask:
    """One try at one trial, or at one finalist on one fresh seed.

    Attributes:
        number: the trial's number in its study, counted from 0; of a finalist its `TrainingId.number`.
        attempt: how often a worker was lost over this task before, counted from 0.
        params: the parameters to train with.
        purpose: what it is for.
        seed: stands for the study's seed in initial weights, orders and dropout, and in the split too where the study's
            `confirm.split` is "drawn"; None: the study's own.
        weights_sha256: for a test look, of the file with the finalist's weights, if one was written.
    """

    number: int
    attempt: int
    params: Params
    purpose: Purpose = Purpose.SEARCH
    seed: int | None = None
    weights_sha256: str | None = None

    def __str__(self) -> str:
        """Return what it is called in messages."""
        if self.purpose == Purpose.SEARCH:
            return f"trial {self.number}"
        rows = ", on the test rows" if self.purpose == Purpose.TEST else ""
        return f"finalist {self.training.finalist}, seed {self.training.seed}{rows}"

    @property
    def training(self) -> TrainingId:
        """Which training of a finalist it is; only for a task of a confirmation."""
        assert self.purpose != Purpose.SEARCH
        return TrainingId.of_number(self.number)


@dataclass(frozen=True)
class Wait:
    """There is nothing to hand out now, but there may be once something that runs has ended."""


class DoneReason(enum.Enum):
    """Why there is nothing more to hand out."""

    TOTAL = "all trials of the study's total, or all trainings of its confirmation, are handed out"
    EXHAUSTED = "every point of the space was tried"


@dataclass(frozen=True)
class Done:
    """There is nothing more to hand out."""

    reason: DoneReason


NextStep = TrialTask | Wait | Done
"""What a store answers if it is asked for a task."""


@dataclass(frozen=True, kw_only=True)
class EpochMetrics:
    """What one epoch gave; raises ValueError for a figure that is NaN or infinite.

    Attributes:
        epoch: counted from 0.
        train_loss: mean over the epoch's batches, with penalty and dropout (Keras's `loss`).
        stop_loss: on the stop rows, with penalty (Keras's `val_loss`); decides early stopping.
        stop_cross_entropy: on the stop rows, without penalty, in nats per row; what a pruner judges.
        stop_accuracy: on the stop rows, in [0, 1].
        seconds: wall time of the epoch.
        objective: on the stop rows, where the study's is a metric of a HyperModel's; what a pruner judges then.
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
        """Return what a pruner judges by that objective; None for a metric that isn't known of each epoch."""
        if objective not in OURS:
            return self.objective
        return self.stop_accuracy if objective == "accuracy" else self.stop_cross_entropy

    def columns(self) -> dict[str, Any]:
        """Return the figures of EPOCH_COLUMNS."""
        return {name: getattr(self, name) for name in EPOCH_COLUMNS}


EPOCH_COLUMNS = tuple(name for name in EpochMetrics.__dataclass_fields__ if name != "objective")
"""The figures of an epoch that tables of ours have; a metric of a HyperModel's is Optuna's intermediate value alone."""


@dataclass(frozen=True, kw_only=True)
class TrialOutcome:
    """What a completed trial gave, at its restored epoch and with dropout off.

    Raises ValueError for a figure that is NaN or infinite.

    Attributes:
        best_epoch: the epoch, counted from 0, whose weights were kept.
        epochs: how many epochs were trained.
        select_cross_entropy, train_cross_entropy: without penalty, in nats per row.
        select_accuracy, train_accuracy: in [0, 1].
        near_zero_share: part of the first layer's weights below 1e-3 in size, in [0, 1] (L1's doing); None where no
            layer has a kernel.
        seconds: wall time of its training, as far as the result stands on it.
        weights_sha256: of the file with its weights; None where none was written.
        select_rows: of a finalist, the select rows' figures, as `RowFigures.to_text` returns them.
        objective: the study's, where it is a metric of a HyperModel's.
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
        """Return the objective on the select rows."""
        if objective not in OURS:
            assert self.objective is not None
            return self.objective
        return self.select_accuracy if objective == "accuracy" else self.select_cross_entropy

    def columns(self) -> dict[str, Any]:
        """Return the figures that a trial's row has."""
        return {name: figure for name, figure in vars(self).items() if name not in ("select_rows", "objective")}

    @property
    def generalization_gap(self) -> float:
        """Select minus train cross-entropy: how much worse the network does on rows it hasn't seen."""
        return self.select_cross_entropy - self.train_cross_entropy


@dataclass(frozen=True, kw_only=True)
class TestEvaluation:
    """What a finalist's network did on the test rows; raises ValueError where a loss is NaN or infinite.

    Attributes:
        rows: each row's figures, as `regsearch.studies.example_scores.RowFigures.to_text` returns them.
        objective: the study's, on the test rows, where it is a metric of a HyperModel's.
    """

    rows: str
    objective: float | None = None

    def __post_init__(self) -> None:
        PerExampleScores.from_text(self.rows)
        if self.objective is not None and not math.isfinite(self.objective):
            raise ValueError(f"the objective is {self.objective} on the test rows")

    def value(self, objective: str) -> float:
        """Return the study's objective on the test rows."""
        if objective not in OURS and self.objective is not None:
            return self.objective
        figures = PerExampleScores.from_text(self.rows)
        return figures.accuracy if is_accuracy(objective) else figures.cross_entropy


Outcome = TrialOutcome | TestEvaluation


class EpochDecision(enum.Enum):
    """What became of an epoch that was handed in to be recorded."""

    RECORDED = "recorded: go on"
    REPEATED = "it was recorded, and judged, before an interruption: go on"
    DIFFERS = "as REPEATED, but its figures are others now: go on"
    PRUNED = "recorded, and the trial is pruned: stop"
    TRIED = "not recorded, since an earlier trial has the same settings, and the trial has failed by that: stop"
    ENDED = "not recorded, since something else has ended the trial: stop"


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How far one technique is.

    Attributes:
        trials: how many of its trials are finished.
        best: the best value of a complete one; None before there is one.
    """

    trials: int = 0
    best: float | None = None

    def after(self, value: float | None, *, maximizes: bool) -> "Tally":
        """Return the tally after one more trial; its value is None unless it is complete."""
        better = max if maximizes else min
        values = [known for known in (self.best, value) if known is not None]
        return Tally(trials=self.trials + 1, best=better(values, default=None))


@dataclass(frozen=True, kw_only=True)
class StudyProgress:
    """How far a study, or its confirmation, is.

    Attributes:
        finished: tasks that are finished.
        total: tasks in all.
        best: the best value of a completed one.
        techniques: the tally of each technique of a search, by its name; empty if its settings are a HyperModel's own.
    """

    finished: int
    total: int
    best: float | None
    techniques: Mapping[str, Tally] = field(default_factory=dict)


def _check_finite(figures: EpochMetrics | TrialOutcome) -> None:
    for name, figure in vars(figures).items():
        if isinstance(figure, int | float) and not math.isfinite(figure):
            raise ValueError(f"{name} is {figure}; a trial that diverged has no such figure")
