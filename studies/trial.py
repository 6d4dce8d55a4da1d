"""One trial as it travels between coordinator and worker: what is asked, and what comes back."""

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Params = Mapping[str, Any]
"""A trial's parameters by name, as Optuna stores them: str, bool, int or float values."""


@dataclass(frozen=True, kw_only=True)
class TrialTask:
    """One try at one trial.

    Attributes:
        number: the trial's number in its study, counted from 0.
        attempt: how often a worker was lost over this trial before, counted from 0.
        params: the parameters to train with.
    """

    number: int
    attempt: int
    params: Params


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
    """

    epoch: int
    train_loss: float
    stop_loss: float
    stop_cross_entropy: float
    stop_accuracy: float
    seconds: float

    def __post_init__(self) -> None:
        _check_finite(self)


@dataclass(frozen=True, kw_only=True)
class TrialOutcome:
    """What a completed trial gave, at its restored epoch and with dropout off.

    Raises ValueError for a figure that is NaN or infinite.

    Attributes:
        best_epoch: the epoch, counted from 0, whose weights were kept.
        epochs: how many epochs were trained.
        select_cross_entropy, train_cross_entropy: without penalty, in nats per row.
        select_accuracy, train_accuracy: in [0, 1].
        near_zero_share: part of the first layer's weights below 1e-3 in size, in [0, 1] (L1's doing).
        seconds: wall time of its training, as far as the result stands on it.
        weights_sha256: of the file with its weights; None where none was written.
    """

    best_epoch: int
    epochs: int
    select_cross_entropy: float
    select_accuracy: float
    train_cross_entropy: float
    train_accuracy: float
    near_zero_share: float
    seconds: float
    weights_sha256: str | None = None

    def __post_init__(self) -> None:
        _check_finite(self)

    @property
    def generalization_gap(self) -> float:
        """Select minus train cross-entropy: how much worse the network does on rows it hasn't seen."""
        return self.select_cross_entropy - self.train_cross_entropy


class Verdict(enum.Enum):
    """What became of an epoch that was handed in to be recorded."""

    RECORDED = "recorded: go on"
    REPEATED = "it was recorded, and judged, before an interruption: go on"
    DIFFERS = "as REPEATED, but its figures are others now: go on"
    PRUNED = "recorded, and the trial is pruned: stop"
    ENDED = "not recorded, since something else has ended the trial: stop"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How far a study is: finished trials, and the best value of a completed one."""

    finished: int
    best: float | None


def _check_finite(figures: EpochMetrics | TrialOutcome) -> None:
    for name, figure in vars(figures).items():
        if isinstance(figure, int | float) and not math.isfinite(figure):
            raise ValueError(f"{name} is {figure}; a trial that diverged has no such figure")
