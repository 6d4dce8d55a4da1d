"""The conclusion of a confirmed study: the winner, its gain over the baseline, and the gain of each technique.

A technique that the search did not tune has no verdict, since too few of its strengths were tried. All figures are
computed from the stored results of the finalists' trainings, with `studies/statistics.py`.
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
    """The gain of one finalist over another on the test set, paired by seed and example; positive is better.

    With the confidence `Conclusion.level`, the low ends of all gains in cross-entropy are below the true gains. This is
    also true of accuracy. To achieve this, the confidence level of each interval rises with the number of finalists.

    Attributes:
        cross_entropy: how much lower the cross-entropy is, in nats per example.
        accuracy: how much higher the accuracy is, as a share of the examples.
    """

    cross_entropy: Interval
    accuracy: Interval


@dataclass(frozen=True, kw_only=True)
class FinalistResult:
    """The results of one finalist over its fresh seeds.

    Attributes:
        finalist: the finalist.
        select_cross_entropy, select_accuracy: the means over seeds on the selection split, which chooses the winner.
        train_cross_entropy: the mean over seeds on the training split, with dropout off.
        test_cross_entropy, test_accuracy: the means over seeds on the test set, with their intervals.
        gain: the gain over the baseline; None for the baseline itself, or if the baseline failed.
        best_epochs: for each seed the epoch whose weights were kept, counted from 0.
        epochs: for each seed the number of trained epochs.
        is_tied: whether the finalist is the best on the selection split, or within a standard error of the best.
        gain_over_early_stopping: the gain over early stopping alone; None for early stopping alone and for no
            regularization, or if early stopping alone was not confirmed. The confidence `Conclusion.level`
            applies to these gains together, but not together with those of `gain`.
        select_cross_entropies, select_accuracies: for each seed the mean on the selection split.
        dropped: why the race gave the finalist no more seeds; None if the finalist has all seeds.
        select_objective: the mean over seeds of the metric that chose the winner, with its sign chosen so that smaller
            is better; None if cross-entropy or accuracy chose the winner.
        metric_over_baseline: the verdict on the finalist against the baseline, by the study's metric; None for the
            baseline itself, or if verdicts use cross-entropy or accuracy.
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
        """The number of fresh seeds on which the finalist was trained."""
        return len(self.epochs)

    def select_spread(self, by_accuracy: bool) -> float | None:
        """Return the standard deviation over seeds of the selection accuracy or cross-entropy; None for one seed."""
        figures = self.select_accuracies if by_accuracy else self.select_cross_entropies
        return stdev(figures) if len(figures) > 1 else None

    def select_loss(self, by_accuracy: bool) -> float:
        """Return the selection loss that ranks the finalists: cross-entropy, 1 − accuracy or the metric."""
        if self.select_objective is not None:
            return self.select_objective
        return 1 - self.select_accuracy if by_accuracy else self.select_cross_entropy

    @property
    def generalization_gap(self) -> float:
        """The selection cross-entropy minus the training cross-entropy."""
        return self.select_cross_entropy - self.train_cross_entropy


@dataclass(frozen=True, kw_only=True)
class TechniqueRow:
    """The result and the verdicts of one technique.

    Attributes:
        technique: L1, L2, L1+L2, dropout, BatchNorm, early stopping, or combination.
        result: the result of the best finalist that has this technique alone, with or without early stopping; None if
            there is no such finalist.
        tuning: how well the search tuned the technique alone; None for a combination, which is not tuned alone.
        over_early_stopping: the verdict on this finalist against early stopping alone, by the study's objective.
            None for early stopping itself, or if either finalist was not confirmed.
        over_baseline: the verdict on this finalist against the baseline; None if the baseline was not confirmed.
    """

    technique: str
    result: FinalistResult | None
    tuning: Tuning | None = None
    over_early_stopping: Judgement | None = None
    over_baseline: Judgement | None = None

    @property
    def judgement(self) -> Judgement | None:
        """The verdict against early stopping alone; if there is none, the verdict against no regularization.

        None if the technique was not tuned, or was not confirmed.
        """
        return (self.over_early_stopping or self.over_baseline) if self.is_judged else None

    @property
    def is_judged(self) -> bool:
        """Whether the search tried enough strengths of the technique for a verdict."""
        return self.tuning is None or self.tuning.is_tuned

    @property
    def unjudged(self) -> str:
        """Why no verdict is possible, such as "not tuned: 1 trial at 0.01" or "not asked"; "" if one is possible."""
        return "" if self.is_judged else str(self.tuning)

    @property
    def unconfirmed(self) -> str:
        """Why the technique has no result, such as "not tried alone" or "no complete trial"."""
        if self.tuning is None:
            return "not tried" if self.technique == "combination" else "not tried alone"
        return self.unjudged or "no complete trial"


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """The conclusion of a study.

    Attributes:
        winner: the simplest of the finalists that are tied for the best (see `FinalistResult.is_tied`).
        baseline: the result with no regularization at all, or with a HyperModel's defaults; None if the baseline
            failed.
        results: the results of all finalists with complete trainings, including the winner.
        failed: each finalist that failed, with the reason.
        techniques: one row for each technique; no rows if a HyperModel has hyperparameters of its own.
        claims_gain: whether the winner is better than the baseline beyond noise, at `level`.
        level: the confidence, such as 0.95, that the low ends of all gains in one figure are below the true gains.
        seeds: the number of fresh seeds of each finalist that the race did not drop.
        select_rows, test_rows: the numbers of examples in the selection split and in the test set.
        looks: the number of interim analyses. Each analysis evaluates finalists on the test set. The test set is fresh
            only for the first analysis.
        evaluations: the number of test evaluations, including unfinished ones; the ledger has an entry for each.
        by_accuracy: whether the study's objective is accuracy.
        unfinished_looks: the number of interim analyses that have started but not ended; no figure uses their results.
        smallest_gain: the smallest gain that matters, in the unit of the verdicts: nats per example, share of
            examples, or the unit of the metric.
        smallest_gain_share: the smallest gain as a share of the reference's loss or error rate. The reference is early
            stopping alone, or else the baseline. None if the study file gives the smallest gain.
        winner_over_early_stopping, winner_over_baseline: the verdict on the winner against early stopping alone, and
            against the baseline. None if the winner is that reference, or if that reference was not confirmed.
        is_race: whether the confirmation was a race, in which some finalists get fewer seeds than others.
        has_drawn_splits: whether each seed drew its own training, stopping and selection split.
        still_improving: whether the last epoch was the best in most trainings of early stopping alone. Longer training
            may then change the answer.
        storage_option: the option that selects the database in a command, such as ("--storage", "sqlite:///my.db").
        metric: the metric that the verdicts and the smallest gain use, such as "val_auc"; None if they use
            cross-entropy or accuracy. A metric has no value for a single example.
        select_metric: the metric that ranked the finalists on the selection split; None if this was cross-entropy or
            accuracy.
        is_share_of_missing: whether `smallest_gain_share` is a share of 1 − metric, and not of the metric.
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
        """The number of interim analyses that have ended; all figures come from them."""
        return self.looks - self.unfinished_looks

    @property
    def not_tuned(self) -> tuple[TechniqueRow, ...]:
        """The rows of the techniques that the study asks about but did not tune enough for a verdict."""
        return tuple(row for row in self.techniques if row.tuning and row.tuning.is_asked and not row.is_judged)

    @property
    def unsettled(self) -> tuple[int, ...]:
        """The indices of the finalists that represent a technique with an unsettled verdict."""
        return tuple(
            row.result.finalist.index
            for row in self.techniques
            if row.result is not None and row.judgement is not None and row.judgement.verdict is Verdict.NOT_SETTLED
        )

    @property
    def baseline_name(self) -> str:
        """The name of the baseline: "no regularization" or "the defaults"."""
        finalists = (*(result.finalist for result in self.results), *(finalist for finalist, _ in self.failed))
        is_own = any(isinstance(finalist.settings, HyperparameterValues) for finalist in finalists)
        return HyperparameterValues.baseline if is_own else Regularization.baseline

    @property
    def is_over_defaults(self) -> bool:
        """Whether the baseline is the defaults of a HyperModel. If not, it is no regularization."""
        return self.baseline_name == HyperparameterValues.baseline

    @property
    def baseline_phrase(self) -> str:
        """The phrase for trainings of the baseline: "of the defaults" or "without regularization"."""
        return "of the defaults" if self.is_over_defaults else "without regularization"

    @property
    def ranked(self) -> list[FinalistResult]:
        """The results, the best first, by the study's objective on the selection split.

        Finalists that the race dropped come last, since means over fewer seeds can't be compared with the others.
        """
        return sorted(self.results, key=lambda result: (-result.seeds, result.select_loss(self.by_accuracy)))

    @property
    def winner_is_best(self) -> bool:
        """Whether the winner has the best mean on the selection split, and is not only tied with the best."""
        best = self.ranked[0].select_loss(self.by_accuracy)
        return self.winner.select_loss(self.by_accuracy) <= best

    @property
    def others_beyond_noise(self) -> tuple[FinalistResult, ...]:
        """The results of the other finalists that are better than the baseline beyond noise."""
        return tuple(
            result
            for result in self.results
            if result.finalist.index != self.winner.finalist.index and self._beats(result)
        )

    def _beats(self, result: FinalistResult) -> bool:
        """Return whether a finalist is better than the baseline beyond noise, in `measure`."""
        if self.metric is not None:
            over = result.metric_over_baseline
            return over is not None and over.verdict is Verdict.HELPS
        return result.gain is not None and self.objective_metric(result.gain).is_above(0)

    def gain_of(self, result: FinalistResult) -> Interval | None:
        """Return the gain of a finalist over the baseline, in `measure`; None if this gain is unknown."""
        if self.metric is not None:
            return None if result.metric_over_baseline is None else result.metric_over_baseline.gain
        return None if result.gain is None else self.objective_metric(result.gain)

    @property
    def measure(self) -> Measure:
        """The measure on which verdicts are based: cross-entropy, accuracy or a metric."""
        return per_example(self.by_accuracy) if self.metric is None else of_metric(self.metric)

    @property
    def is_over_seeds_only(self) -> bool:
        """Whether the interval of any verdict leaves out the luck of the test examples."""
        judgements = [self.winner_over_early_stopping, self.winner_over_baseline]
        judgements += [one for row in self.techniques for one in (row.over_early_stopping, row.over_baseline)]
        return any(one is not None and one.is_over_seeds_only for one in judgements)

    def objective_metric(self, gain: Gain) -> Interval:
        """Return the gain in accuracy if accuracy is the study's objective, else the gain in cross-entropy.

        Claims, verdicts and rankings use only this figure, unless the objective is a metric.
        """
        return gain.accuracy if self.by_accuracy else gain.cross_entropy

    def other_metric(self, gain: Gain) -> Interval:
        """Return the gain in cross-entropy if accuracy is the study's objective, else the gain in accuracy."""
        return gain.cross_entropy if self.by_accuracy else gain.accuracy

    @property
    def figures(self) -> tuple[str, str]:
        """The names of the two figures of a gain; the figure that `objective_metric` returns comes first."""
        return ("accuracy", "cross-entropy") if self.by_accuracy else ("cross-entropy", "accuracy")

    @property
    def has_early_stopping_alone(self) -> bool:
        """Whether any finalist was compared with early stopping alone."""
        return any(result.gain_over_early_stopping is not None for result in self.results)
