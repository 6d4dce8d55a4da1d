"""The four verdicts on a technique: it helps, it harms, it makes no difference, or its effect is not settled."""

import enum
import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from .. import objectives
from ..spec import StudySpec
from ..statistics import Interval, mean_interval, projected_interval

SMALLEST_GAIN_SHARE = {"cross_entropy": 0.07, "accuracy": 0.09}
"""The smallest gain that matters, as a share of the reference's loss; for accuracy, of the reference's error rate.

A smaller share would leave too many verdicts unsettled. With this one, four of five verdicts are settled if the true
effect is twice the smallest gain. This was measured on MNIST with the default number of seeds
(`tests/benchmarks/README.md`).
"""

ALIKE_LEVEL = 0.90
"""The confidence level of the interval that shows that a technique makes no difference.

A technique makes no difference if this interval lies within ± the smallest gain that matters. This is an equivalence
test: two one-sided tests, each with an error rate of at most 5 %. With several techniques, this level stays the same,
and only the level for claims of a gain rises.

Source: Schuirmann, A comparison of the two one-sided tests procedure and the power approach, 1987.
"""

_MOST_SEEDS = 100
"""If this many seeds would not settle a verdict, the verdict needs more test examples."""

_TINY = 1e-12


class Verdict(enum.StrEnum):
    """What the interval of a gain shows."""

    HELPS = "helps"
    HARMS = "harms"
    NO_DIFFERENCE = "makes no difference"
    NOT_SETTLED = "not settled"


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A verdict with its interval, and how many seeds would settle it.

    Attributes:
        verdict: one of the four verdicts.
        gain: the interval on which the verdict rests; positive is better. For the verdict "makes no difference", the
            interval has a lower confidence level (see `ALIKE_LEVEL`).
        smallest_gain: the smallest gain that matters, in the unit of the gain; above 0.
        seeds: the number of fresh seeds on which the verdict rests.
        seeds_needed: how many seeds in all would probably settle the verdict, if the mean gain stays as it is. None if
            the verdict is settled, or if only more test examples would settle it.
        is_over_seeds_only: whether the interval covers the luck of the seeds but not that of the test examples. This
            is so for a metric without a value for each example, such as AUC. Other test examples could then give
            another verdict.
    """

    verdict: Verdict
    gain: Interval
    smallest_gain: float
    seeds: int
    seeds_needed: int | None = None
    is_over_seeds_only: bool = False

    @property
    def needs_test_examples(self) -> bool:
        """Whether the verdict is not settled and more seeds alone would not settle it."""
        return self.verdict is Verdict.NOT_SETTLED and self.seeds_needed is None


def smallest_gain(spec: StudySpec, reference_loss: float) -> float:
    """Return the smallest gain that matters in a study, in the unit of the study's objective; above 0.

    Args:
        spec: the study; if it gives `confirm.smallest_gain`, that value is returned.
        reference_loss: the mean loss of the reference: cross-entropy in nats per example, 1 − accuracy, or a metric
            with its sign chosen so that smaller is better.
    """
    if spec.confirm.smallest_gain is not None:
        return spec.confirm.smallest_gain
    scale = 1 + reference_loss if is_share_of_missing(spec, reference_loss) else abs(reference_loss)
    return max(SMALLEST_GAIN_SHARE["accuracy" if spec.search.by_accuracy else "cross_entropy"] * scale, _TINY)


def is_share_of_missing(spec: StudySpec, reference_loss: float) -> bool:
    """Return whether the smallest gain is a share of 1 − metric, as for AUC, and not of the metric itself."""
    objective = spec.search.objective
    return objectives.maximizes(objective) and not objectives.is_accuracy(objective) and -1 <= reference_loss <= 0


def share_of_smallest_gain(spec: StudySpec) -> float | None:
    """Return the smallest gain as a share of the reference's loss; None if the study file gives the smallest gain."""
    if spec.confirm.smallest_gain is not None:
        return None
    return SMALLEST_GAIN_SHARE["accuracy" if spec.search.by_accuracy else "cross_entropy"]


def verdict_of(gain: Interval, smallest_gain: float) -> Verdict:
    """Return the verdict on a gain; "makes no difference" takes precedence over "helps" and "harms".

    Args:
        gain: the interval of the gain; positive is better.
        smallest_gain: the smallest gain that matters, in the same unit; above 0.

    Example:
        >>> verdict_of(Interval(mean=0.004, low=0.001, high=0.007, level=0.95), smallest_gain=0.003)
        <Verdict.HELPS: 'helps'>
    """
    if -smallest_gain <= gain.low and gain.high <= smallest_gain:
        return Verdict.NO_DIFFERENCE
    if gain.low > 0:
        return Verdict.HELPS
    return Verdict.HARMS if gain.high < 0 else Verdict.NOT_SETTLED


def settle(interval_at: Callable[[float], Interval], smallest_gain: float, level: float) -> tuple[Verdict, Interval]:
    """Return the verdict on a gain, and the interval on which it rests.

    Args:
        interval_at: returns the interval of the gain at a confidence level.
        smallest_gain: the smallest gain that matters, in the unit of the gain; above 0.
        level: the confidence level for the verdicts "helps" and "harms", in (0, 1). "Makes no difference" uses
            `ALIKE_LEVEL`, or `level` if that is lower.

    Raises ValueError if the smallest gain is not above 0.
    """
    if not smallest_gain > 0:
        raise ValueError(f"the smallest gain that matters must be above 0; given was {smallest_gain}")
    alike = interval_at(min(level, ALIKE_LEVEL))
    if verdict_of(alike, smallest_gain) is Verdict.NO_DIFFERENCE:
        return Verdict.NO_DIFFERENCE, alike
    gain = interval_at(level)
    return verdict_of(gain, smallest_gain), gain


def judge(differences: npt.ArrayLike, smallest_gain: float, level: float, next_level: float | None = None) -> Judgement:
    """Judge a technique by how much it lowers the losses of the reference.

    Args:
        differences: the loss of the reference minus the loss of the technique, both trained on the same seed; shape
            (seeds, test examples), at least 2 by 2.
        smallest_gain: the smallest gain that matters, in the unit of the losses; above 0.
        level: the confidence level for the verdicts "helps" and "harms", in (0, 1); for several techniques it is
            `shared_level`.
        next_level: the confidence level of a later evaluation with more seeds; `level` by default. It is higher than
            `level`, since both evaluations on the test set share one risk.

    Raises ValueError in the cases of `crossed_interval`, and if the smallest gain is not above 0.

    Example:
        >>> judge([[0.5, 0.6, 0.4], [0.6, 0.5, 0.5], [0.4, 0.5, 0.6]], smallest_gain=0.1, level=0.95).verdict
        <Verdict.HELPS: 'helps'>
    """
    values = np.asarray(differences, dtype=np.float64)
    seeds = len(values) if values.ndim else 0
    verdict, gain = settle(partial(projected_interval, values, seeds), smallest_gain, level)
    needed = _seeds_needed(values, smallest_gain, next_level or level) if verdict is Verdict.NOT_SETTLED else None
    return Judgement(verdict=verdict, gain=gain, smallest_gain=smallest_gain, seeds=seeds, seeds_needed=needed)


def judge_means(differences: npt.ArrayLike, smallest_gain: float, level: float) -> Judgement:
    """Judge a technique by a metric that has one value for each seed and none for a single example, such as AUC.

    The interval is Student's over seeds. It covers the luck of the seeds, but not that of the test examples.

    Args:
        differences: the gain of the technique over the reference on each seed; shape (seeds,), at least 2 seeds.
        smallest_gain: the smallest gain that matters, in the unit of the metric; above 0.
        level: the confidence level for the verdicts "helps" and "harms", in (0, 1).

    Raises ValueError for another shape, for a difference that is not finite, and if the smallest gain is not above 0.

    Example:
        >>> judge_means([0.05, 0.06, 0.055], smallest_gain=0.01, level=0.95).verdict
        <Verdict.HELPS: 'helps'>
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"a verdict needs one difference for each of at least 2 seeds; given: shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("a verdict needs finite differences; some are NaN or infinite")
    verdict, gain = settle(partial(mean_interval, values), smallest_gain, level)
    needed = None
    if verdict is Verdict.NOT_SETTLED:
        half = max(abs(float(gain.mean)), abs(smallest_gain - abs(float(gain.mean))), _TINY)
        needed = min(max(len(values) + 1, math.ceil(len(values) * ((gain.high - gain.mean) / half) ** 2)), _MOST_SEEDS)
    return Judgement(
        verdict=verdict,
        gain=gain,
        smallest_gain=smallest_gain,
        seeds=len(values),
        seeds_needed=needed,
        is_over_seeds_only=True,
    )


def _seeds_needed(values: npt.NDArray[np.float64], smallest_gain: float, level: float) -> int | None:
    """Return how many seeds in all would settle the verdict if the mean and the variances stayed the same.

    Returns None if even `_MOST_SEEDS` would not settle it.
    """

    def is_settled(seeds: int) -> bool:
        interval_at = partial(projected_interval, values, seeds)
        return settle(interval_at, smallest_gain, level)[0] is not Verdict.NOT_SETTLED

    more = range(len(values) + 1, _MOST_SEEDS + 1)
    index = bisect_left(more, True, key=is_settled)  # with more seeds, the interval only shrinks
    return more[index] if index < len(more) else None
