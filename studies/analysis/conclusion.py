"""What a confirmed study concludes: the winner, what it gains over none, and what each technique gains.

A technique that the search did not tune has no verdict: its figures are about one setting of it. Every figure follows
from the per-row losses that the confirmation kept, by studies/statistics.py.
"""

from dataclasses import dataclass
from statistics import stdev

from ..configuration import HyperparameterValues, Regularization
from ..measure import Measure, of_metric, per_example
from ..statistics import Interval
from .finalists import Finalist
from .race import Drop
from .tuning import Tuning
from .verdicts import Judgement, Verdict


@dataclass(frozen=True, kw_only=True)
class Gain:
    """What one finalist gains over another on the test set, paired by seed and example; positive is better.

    All finalists of a study share the risk of a misleading low end, separately for each figure, so each interval has a
    higher level.

    Attributes:
        cross_entropy: nats per example, the other's minus its own; positive is better.
        accuracy: share of examples, its own minus the other's; positive is better.
    """

    cross_entropy: Interval
    accuracy: Interval


@dataclass(frozen=True, kw_only=True)
class FinalistResult:
    """One finalist's figures over the fresh seeds.

    Attributes:
        select_cross_entropy, select_accuracy: means over seeds and the selection split, which chose the winner.
        train_cross_entropy: mean over seeds, dropout off.
        test_cross_entropy, test_accuracy: over seeds and the test set.
        gain: over the baseline; None for the baseline itself, and if it failed.
        best_epochs, epochs: of each seed; the restored epoch, counted from 0, and how many were trained.
        gain_over_early_stopping: over early stopping alone, whose gains share their own risk; None for early stopping
            alone and for no regularization, and if early stopping alone was not confirmed.
        is_tied: whether on the selection split it is the best, or within a standard error of the best.
        select_cross_entropies, select_accuracies: of each seed, on the selection split.
        dropped: why a race gave it no more seeds; None if it has all of them.
        select_objective: mean over seeds of the metric that chose the winner, such that less is better; None if that
            was cross-entropy or accuracy.
        metric_over_baseline: the verdict on it against the baseline by the study's metric; None for the baseline
            itself, and if verdicts go by cross-entropy or accuracy.
    """

    finalist: Finalist
    select_cross_entropy: float
    select_accuracy: float
    train_cross_entropy: float
    test_cross_entropy: Interval
    test_accuracy: Interval
    gain: Gain | None
    best_epochs: tuple[int, ...]
    epochs: tuple[int, ...]
    is_tied: bool
    gain_over_early_stopping: Gain | None = None
    select_cross_entropies: tuple[float, ...] = ()
    select_accuracies: tuple[float, ...] = ()
    dropped: Drop | None = None
    select_objective: float | None = None
    metric_over_baseline: Judgement | None = None

    @property
    def seeds(self) -> int:
        """On how many fresh seeds it was trained."""
        return len(self.epochs)

    def select_spread(self, by_accuracy: bool) -> float | None:
        """Return the standard deviation over seeds of select accuracy or cross-entropy; None for fewer than two."""
        figures = self.select_accuracies if by_accuracy else self.select_cross_entropies
        return stdev(figures) if len(figures) > 1 else None

    def select_loss(self, by_accuracy: bool) -> float:
        """Return what ranks the finalists, least first: cross-entropy, share of wrong examples, or the metric."""
        if self.select_objective is not None:
            return self.select_objective
        return 1 - self.select_accuracy if by_accuracy else self.select_cross_entropy

    @property
    def generalization_gap(self) -> float:
        """Select minus train cross-entropy."""
        return self.select_cross_entropy - self.train_cross_entropy


@dataclass(frozen=True, kw_only=True)
class TechniqueRow:
    """What one technique gains over none.

    Attributes:
        technique: L1, L2, L1+L2, dropout, BatchNorm, early stopping, or combination.
        result: of the best finalist with it and, except for early stopping, nothing else; None if there is none.
        tuning: how well the search tuned it alone; None for a combination, which is not tuned alone.
        gain_over_early_stopping: the verdict on it in the study's objective, together with early stopping, against
            early stopping alone; None for early stopping itself, and if either was not confirmed.
        over_baseline: the same against no regularization; None if that was not confirmed.
    """

    technique: str
    result: FinalistResult | None
    tuning: Tuning | None = None
    gain_over_early_stopping: Judgement | None = None
    over_baseline: Judgement | None = None

    @property
    def judgement(self) -> Judgement | None:
        """The verdict on the technique: over early stopping alone if there is one, else over no regularization.

        None if it was not tuned, or not confirmed.
        """
        return (self.gain_over_early_stopping or self.over_baseline) if self.is_judged else None

    @property
    def is_judged(self) -> bool:
        """Whether there can be a verdict on the technique, and not only on one setting of it."""
        return self.tuning is None or self.tuning.is_tuned

    @property
    def unjudged(self) -> str:
        """Why there is no verdict, in words: "not tuned: 1 trial at 0.01", "not asked"; "" where there is one."""
        return "" if self.is_judged else str(self.tuning)

    @property
    def unconfirmed(self) -> str:
        """Why there is no result, in words."""
        if self.tuning is None:
            return "not tried" if self.technique == "combination" else "not tried alone"
        return self.unjudged or "no complete trial"


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """What a study concludes.

    Attributes:
        winner: the simplest finalist that is the best on the selection split over the fresh seeds, or tied with it.
        baseline: no regularization at all, or a HyperModel's defaults; None if it failed.
        results: of every finalist whose seeds all trained, the winner among them.
        failed: each other finalist, and why it failed.
        techniques: a row each; none for hyperparameter values of a HyperModel.
        claims_gain: whether the winner beats none beyond noise, at `level`.
        level: of the finalists' own intervals, and of the low ends of all gains in one figure together, such as
            0.95.
        seeds: how many fresh seeds, the same for all that no race dropped.
        select_rows, test_rows: how many examples of the selection split and of the test set each figure is over.
        looks: how often finalists were chosen and evaluated on the test set, which is fresh only the first time.
        unfinished_looks: those of them that have started and not ended; no figure is from them.
        smallest_gain: the smallest gain that matters, in the unit of the verdicts: nats per example, share of
            examples, or the metric's own.
        smallest_gain_share: that as a share of the loss, or error rate, of early stopping alone, where the study file
            does not give it; else None.
        winner_over_early_stopping, winner_over_baseline: the verdicts on the winner; None for the reference itself.
        is_race: whether the finalists ran a race, in which some get fewer seeds than others.
        has_drawn_splits: whether each seed drew its training, stopping and selection split.
        storage_option: what names the database in a command, such as ("--storage", "sqlite:///my.db").
        still_improving: whether most trainings of early stopping alone (without it: of the baseline) were best in
            their last epoch, so that training longer would tell more.
        evaluations: entries in the ledger of test evaluations, also those of unfinished looks.
        by_accuracy: whether the study's objective is accuracy.
        metric: the metric that verdicts and smallest gain go by, such as "val_auc", which has no figure for each
            example; None where they go by cross-entropy or accuracy.
        select_metric: the metric by which a race compared finalists on the selection split, likewise.
        is_share_of_missing: whether `smallest_gain_share` is of what the metric's figure is short of 1.
    """

    winner: FinalistResult
    baseline: FinalistResult | None
    results: tuple[FinalistResult, ...]
    failed: tuple[tuple[Finalist, str], ...]
    techniques: tuple[TechniqueRow, ...]
    claims_gain: bool
    level: float
    seeds: int
    select_rows: int
    test_rows: int
    looks: int
    evaluations: int
    by_accuracy: bool
    unfinished_looks: int = 0
    smallest_gain: float = 0.0
    smallest_gain_share: float | None = None
    winner_over_early_stopping: Judgement | None = None
    winner_over_baseline: Judgement | None = None
    is_race: bool = False
    has_drawn_splits: bool = False
    still_improving: bool = False
    storage_option: tuple[str, ...] = ()
    metric: str | None = None
    select_metric: str | None = None
    is_share_of_missing: bool = False

    @property
    def completed_looks(self) -> int:
        """The looks that its figures are from."""
        return self.looks - self.unfinished_looks

    @property
    def not_tuned(self) -> tuple[TechniqueRow, ...]:
        """The techniques that the study asks about and that have no verdict, since its search did not tune them."""
        return tuple(row for row in self.techniques if row.tuning and row.tuning.is_asked and not row.is_judged)

    @property
    def unsettled(self) -> tuple[int, ...]:
        """The finalists that stand for a technique whose verdict is not settled."""
        return tuple(
            row.result.finalist.index
            for row in self.techniques
            if row.result is not None and row.judgement is not None and row.judgement.verdict is Verdict.NOT_SETTLED
        )

    @property
    def baseline_name(self) -> str:
        """The name of the baseline in words: "no regularization", "the defaults"."""
        finalists = (*(result.finalist for result in self.results), *(finalist for finalist, _ in self.failed))
        is_own = any(isinstance(finalist.settings, HyperparameterValues) for finalist in finalists)
        return HyperparameterValues.baseline if is_own else Regularization.baseline

    @property
    def is_over_defaults(self) -> bool:
        """Whether gains are over a HyperModel's defaults, and not over no regularization."""
        return self.baseline_name == HyperparameterValues.baseline

    @property
    def baseline_phrase(self) -> str:
        """What trainings of the baseline are, in words."""
        return "of the defaults" if self.is_over_defaults else "without regularization"

    @property
    def ranked(self) -> list[FinalistResult]:
        """The results by the study's objective on the selection split, the best first; those that a race dropped last.

        The other means are over seeds that the dropped ones do not have.
        """
        return sorted(self.results, key=lambda result: (-result.seeds, result.select_loss(self.by_accuracy)))

    @property
    def winner_is_best(self) -> bool:
        """Whether the winner has the best mean on the selection split, and is not only the simplest of those tied."""
        best = self.ranked[0].select_loss(self.by_accuracy)
        return self.winner.select_loss(self.by_accuracy) <= best

    @property
    def others_beyond_noise(self) -> tuple[FinalistResult, ...]:
        """The finalists beside the winner whose gain in the study's objective is beyond noise."""
        return tuple(
            result
            for result in self.results
            if result.finalist.index != self.winner.finalist.index and self._beats(result)
        )

    def _beats(self, result: FinalistResult) -> bool:
        """Return whether a finalist's gain over the baseline is beyond noise, in what verdicts go by."""
        if self.metric is not None:
            over = result.metric_over_baseline
            return over is not None and over.verdict is Verdict.HELPS
        return result.gain is not None and self.objective_metric(result.gain).is_above(0)

    def gain_of(self, result: FinalistResult) -> Interval | None:
        """Return what a finalist gains over the baseline in what verdicts go by; None where that isn't known."""
        if self.metric is not None:
            return None if result.metric_over_baseline is None else result.metric_over_baseline.gain
        return None if result.gain is None else self.objective_metric(result.gain)

    @property
    def measure(self) -> Measure:
        """The name, unit and digits of the figure that verdicts go by."""
        return per_example(self.by_accuracy) if self.metric is None else of_metric(self.metric)

    @property
    def is_over_seeds_only(self) -> bool:
        """Whether any verdict's interval leaves out the luck of the test examples."""
        judgements = [self.winner_over_early_stopping, self.winner_over_baseline]
        judgements += [one for row in self.techniques for one in (row.gain_over_early_stopping, row.over_baseline)]
        return any(one is not None and one.is_over_seeds_only for one in judgements)

    def objective_metric(self, gain: Gain) -> Interval:
        """Return a gain in the study's objective, or cross-entropy where that is a metric.

        Claims, verdicts and orders go by it alone, unless the study has a metric.
        """
        return gain.accuracy if self.by_accuracy else gain.cross_entropy

    def other_metric(self, gain: Gain) -> Interval:
        """Return a gain in the other figure that each example has."""
        return gain.cross_entropy if self.by_accuracy else gain.accuracy

    @property
    def figures(self) -> tuple[str, str]:
        """The names of the figures that each example has, the one that the study goes by first."""
        return ("accuracy", "cross-entropy") if self.by_accuracy else ("cross-entropy", "accuracy")

    @property
    def has_early_stopping_alone(self) -> bool:
        """Whether any finalist can be compared with early stopping alone."""
        return any(result.gain_over_early_stopping is not None for result in self.results)
