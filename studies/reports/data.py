"""All that a report of one study is made of, as one value; its sections choose from it and put it in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ..analysis.conclusion import Conclusion
from ..analysis.importance import Importance
from ..analysis.strength_curve import StrengthCurve
from ..analysis.trials import has_techniques
from ..records import RunRecord, StudySummary, TrialRecord
from .tuned_strengths import strength_curves


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One training of one configuration.

    Attributes:
        label: which of the configuration's trainings: "trial 18", "seed 2".
        train_loss: of each epoch, in nats per example, with penalty and dropout.
        stop_cross_entropy: of each epoch, on the stopping split, in nats per example.
        best_epoch: the epoch, counted from 0, whose weights were kept.
    """

    label: str
    train_loss: Sequence[float]
    stop_cross_entropy: Sequence[float]
    best_epoch: int


@dataclass(frozen=True, kw_only=True)
class ConfirmationCost:
    """The cost so far of training finalists on fresh seeds.

    Attributes:
        trainings: how many were started, including failed ones.
        epochs: how many they trained.
        seconds: wall time of their training; of an incomplete one, of its epochs.
    """

    trainings: int
    epochs: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """What one report is made of; any value in it may come from a database that another program wrote.

    Attributes:
        answer: the study, its counts, its best trial.
        trials: all of them, by number, in any state.
        runs: of the study, the first one first.
        curves: by the configuration's name, the best one first, the baseline last; empty if none are stored.
        conclusion: None before the confirmation.
        confirmation_cost: None if no finalist was trained.
        importance: the most important first; empty if there are too few trials.
        importance_missing: why it is empty.
        edges: a sentence for each best value that lies at a limit of its range.
        command: the one that runs the study again.
    """

    answer: StudySummary
    trials: Sequence[TrialRecord]
    runs: Sequence[RunRecord]
    command: str
    curves: Mapping[str, Sequence[Curve]] = field(default_factory=dict)
    conclusion: Conclusion | None = None
    confirmation_cost: ConfirmationCost | None = None
    importance: Sequence[Importance] = ()
    importance_missing: str | None = None
    edges: Sequence[str] = ()

    @property
    def has_techniques(self) -> bool:
        """Whether all configurations are regularizations, and none has hyperparameters of a HyperModel."""
        return has_techniques(self.answer.study.spec, self.trials)

    @cached_property
    def strength_curves(self) -> tuple[StrengthCurve, ...]:
        """Each technique alone by its strength; none if a HyperModel has hyperparameters of its own."""
        if not self.has_techniques:
            return ()
        return strength_curves(self.answer.study.spec, self.trials, self.conclusion)

    @property
    def by_accuracy(self) -> bool:
        """Whether trials are ranked by accuracy; higher is better."""
        return self.answer.study.spec.search.by_accuracy
