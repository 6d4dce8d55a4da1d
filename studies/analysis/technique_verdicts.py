"""The result of a confirmation for each technique: a verdict with its interval, or the reason why there is none."""

from dataclasses import dataclass

from ..configuration import Regularization
from ..statistics import Interval
from .conclusion import Conclusion, FinalistResult, TechniqueRow
from .verdicts import Verdict

EARLY_STOPPING_ALONE = "early stopping alone"


@dataclass(frozen=True, kw_only=True)
class TechniqueVerdict:
    """The verdict on one technique, by the objective of the study.

    Attributes:
        technique: the label of the technique, such as "L1" or "combination".
        result: the result of the finalist that represents the technique; None if no such finalist was confirmed.
        verdict: one of the four verdicts; None if the technique has no verdict.
        reason: why the technique has no verdict; "" if it has one.
        gain: the interval on which the verdict rests, positive is better; None if the technique was not confirmed.
        over: the name of the configuration over which `gain` was measured, such as "early stopping alone".
        gain_over_early_stopping, over_baseline: the gain over early stopping alone, and over the baseline; None if
            unknown.
        smallest_gain: the smallest gain that matters, in the unit of the gains; 0 if unknown.
        seeds: the number of fresh seeds on which the finalist was trained; 0 without a finalist.
        seeds_needed: how many seeds in all would probably settle the verdict. None if the verdict is settled, or if
            the number is unknown.
        needs_test_examples: whether the verdict is not settled and more seeds alone would not settle it.
        is_over_seeds_only: whether the interval leaves out the luck of the test examples, as for a metric such as AUC.
    """

    technique: str
    result: FinalistResult | None
    verdict: Verdict | None
    reason: str
    gain: Interval | None
    over: str
    gain_over_early_stopping: Interval | None
    over_baseline: Interval | None
    smallest_gain: float
    seeds: int
    seeds_needed: int | None
    needs_test_examples: bool
    is_over_seeds_only: bool = False

    @property
    def name(self) -> str:
        """The name of the technique in a sentence, such as "L1" or "the best combination"."""
        return "the best combination" if self.technique == "combination" else self.technique


def technique_verdicts(conclusion: Conclusion) -> tuple[TechniqueVerdict, ...]:
    """Return the verdict on each technique, in the order of the conclusion's rows."""
    return tuple(_of_row(conclusion, row) for row in conclusion.techniques)


def _of_row(conclusion: Conclusion, row: TechniqueRow) -> TechniqueVerdict:
    """Return the verdict on the technique of one row."""
    result = row.result
    over_early_stopping, over_baseline = row.over_early_stopping, row.over_baseline
    judgement = over_early_stopping or over_baseline
    has_verdict = result is not None and row.is_judged and judgement is not None
    return TechniqueVerdict(
        technique=row.technique,
        result=result,
        verdict=judgement.verdict if has_verdict and judgement is not None else None,
        reason="" if has_verdict else _reason(conclusion, row),
        gain=None if judgement is None else judgement.gain,
        over=conclusion.baseline_name if over_early_stopping is None else EARLY_STOPPING_ALONE,
        gain_over_early_stopping=None if over_early_stopping is None else over_early_stopping.gain,
        over_baseline=None if over_baseline is None else over_baseline.gain,
        smallest_gain=conclusion.smallest_gain if judgement is None else judgement.smallest_gain,
        seeds=0 if result is None else result.seeds,
        seeds_needed=judgement.seeds_needed if has_verdict and judgement is not None else None,
        needs_test_examples=bool(has_verdict and judgement and judgement.needs_test_examples),
        is_over_seeds_only=judgement is not None and judgement.is_over_seeds_only,
    )


def _reason(conclusion: Conclusion, row: TechniqueRow) -> str:
    """Return the reason why a technique has no verdict, such as "its training failed" or "not tried alone"."""
    if row.result is not None:
        return row.unjudged or "nothing to compare it with"
    if row.is_judged and any(_technique(settings) == row.technique for settings in _failed(conclusion)):
        return "its training failed"
    return row.unconfirmed


def _failed(conclusion: Conclusion) -> list[object]:
    """Return the configurations of the finalists that failed."""
    return [finalist.settings for finalist, _ in conclusion.failed]


def _technique(settings: object) -> str | None:
    """Return the label of the technique of a configuration; None without a technique."""
    return settings.technique if isinstance(settings, Regularization) else None
