"""Define `ReportData`, which holds everything that a report of one study shows."""

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
        label: which training of the configuration this is: "trial 18", "seed 2".
        train_loss: the training loss after each epoch, in nats per example, with penalty and dropout.
        stop_cross_entropy: the cross-entropy on the stopping split after each epoch, in nats per example.
        best_epoch: the epoch with the weights that were kept, counted from 0.
    """

    label: str
    train_loss: Sequence[float]
    stop_cross_entropy: Sequence[float]
    best_epoch: int


@dataclass(frozen=True, kw_only=True)
class ConfirmationCost:
    """What the trainings of finalists on fresh seeds have cost so far.

    Attributes:
        trainings: how many trainings have started, including failed ones.
        epochs: how many epochs they trained.
        seconds: the wall time of the trainings; for an incomplete training, the time of its epochs.
    """

    trainings: int
    epochs: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """Everything that one report shows. Another program may have written any of these values to the database.

    Attributes:
        answer: the study, its counts, and its best trial.
        trials: all trials in any state, ordered by their number.
        runs: the runs of the study, the first one first.
        command: the command that runs the study again.
        curves: the trainings of each configuration. The keys are the names of the configurations, the best one first
            and the baseline last. Empty if no curves are stored.
        conclusion: the result of the confirmation; None before it.
        confirmation_cost: what the confirmation cost; None if no finalist was trained.
        importance: the techniques, the most important first; empty if there are too few trials.
        importance_missing: why `importance` is empty.
        edges: a sentence for each setting of the best trial that lies at a limit of its range.
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
        """Whether all trials have only techniques as settings, and no other hyperparameters of a HyperModel."""
        return has_techniques(self.answer.study.spec, self.trials)

    @cached_property
    def strength_curves(self) -> tuple[StrengthCurve, ...]:
        """The strength curve of each technique alone; empty if a HyperModel has other parameters than techniques."""
        if not self.has_techniques:
            return ()
        return strength_curves(self.answer.study.spec, self.trials, self.conclusion)

    @property
    def by_accuracy(self) -> bool:
        """Whether trials are ranked by accuracy, so that higher values are better."""
        return self.answer.study.spec.search.by_accuracy
