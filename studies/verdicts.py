"""The four verdicts on a technique: it helps, it harms, it makes no difference, or that is not settled."""

import enum
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from studies import objectives
from studies.spec import StudySpec
from studies.statistics import Interval, crossed_interval

SMALLEST_GAIN_SHARE = {"cross_entropy": 0.05, "accuracy": 0.05}
"""The smallest gain that matters, as a share of the loss, or of the error rate, of the reference."""

_MOST_SEEDS = 1000
_TINY = 1e-12


class Verdict(enum.StrEnum):
    """What a gain's interval says."""

    HELPS = "helps"
    HARMS = "harms"
    NO_DIFFERENCE = "makes no difference"
    NOT_SETTLED = "not settled"


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A verdict, with what would settle it.

    Attributes:
        verdict: one of the four.
        gain: the interval that it rests on; positive is better.
        smallest_gain: the smallest gain that matters, in the unit of the gain; above 0.
        seeds: on how many fresh seeds it rests.
        seeds_needed: how many seeds in all would probably settle it, if the mean stays as it is; None if it is
            settled, and if no number would do, since the test examples are too few.
    """

    verdict: Verdict
    gain: Interval
    smallest_gain: float
    seeds: int
    seeds_needed: int | None = None

    @property
    def needs_test_examples(self) -> bool:
        """Whether it is not settled and more seeds alone would not settle it."""
        return self.verdict is Verdict.NOT_SETTLED and self.seeds_needed is None


def smallest_gain(spec: StudySpec, reference_loss: float) -> float:
    """Return the smallest gain that matters in a study, in its objective's unit; above 0.

    Args:
        spec: of the study; its `confirm.smallest_gain` counts if it is given.
        reference_loss: mean loss of the reference: nats per example, 1 − accuracy, or a metric whose sign is such that
            less is better.
    """
    if spec.confirm.smallest_gain is not None:
        return spec.confirm.smallest_gain
    objective = spec.search.objective
    is_share = objectives.maximizes(objective) and not objectives.is_accuracy(objective) and -1 < reference_loss < 0
    scale = 1 + reference_loss if is_share else abs(reference_loss)  # such as AUC: what is missing to 1
    name = "accuracy" if objectives.is_accuracy(objective) else "cross_entropy"
    return max(SMALLEST_GAIN_SHARE[name] * scale, _TINY)


def share_of_smallest_gain(spec: StudySpec) -> float | None:
    """Return the smallest gain that matters as a share of the reference's loss; None where the study gives it."""
    if spec.confirm.smallest_gain is not None:
        return None
    return SMALLEST_GAIN_SHARE["accuracy" if spec.search.by_accuracy else "cross_entropy"]


def shared_level(comparisons: int, look: int = 1, level: float = 0.95) -> float:
    """Return the level of each interval, so that with the confidence `level` no low end is above the truth.

    Args:
        comparisons: with one reference; the risk is shared among them (Bonferroni).
        look: how often test figures were shown, this time included: each time has its part of the risk.
        level: confidence in all low ends together, in (0.5, 1).
    """
    return 1 - 2 * (1 - level) / (max(comparisons, 1) * look)


def verdict_of(gain: Interval, smallest_gain: float) -> Verdict:
    """Return the verdict on a gain; that it makes no difference goes before that it helps or harms.

    Args:
        gain: positive is better.
        smallest_gain: above 0, in the same unit.

    Example:
        >>> verdict_of(Interval(mean=0.004, low=0.001, high=0.007, level=0.95), smallest_gain=0.003)
        <Verdict.HELPS: 'helps'>
    """
    if -smallest_gain <= gain.low and gain.high <= smallest_gain:
        return Verdict.NO_DIFFERENCE
    if gain.low > 0:
        return Verdict.HELPS
    return Verdict.HARMS if gain.high < 0 else Verdict.NOT_SETTLED


def judge(differences: npt.ArrayLike, smallest_gain: float, level: float) -> Judgement:
    """Judge a technique by how much lower its losses are than the reference's.

    Args:
        differences: shape (seeds, test examples), at least 2 by 2: the reference's loss less the technique's, both
            trained on the same seed.
        smallest_gain: above 0, in the losses' unit.
        level: confidence of the interval, in (0, 1).

    Raises ValueError as `crossed_interval` does.
    """
    values = np.asarray(differences, dtype=np.float64)
    interval = crossed_interval(values, level)
    verdict = verdict_of(interval, smallest_gain)
    needed = _seeds_needed(values, smallest_gain, level) if verdict is Verdict.NOT_SETTLED else None
    return Judgement(
        verdict=verdict, gain=interval, smallest_gain=smallest_gain, seeds=len(values), seeds_needed=needed
    )


def _seeds_needed(values: npt.NDArray[np.float64], smallest_gain: float, level: float) -> int | None:
    """Return how many seeds would settle the verdict if means and variances stayed what they are."""
    from studies.statistics import projected_interval

    for seeds in range(len(values) + 1, _MOST_SEEDS + 1):
        if verdict_of(projected_interval(values, seeds, level), smallest_gain) is not Verdict.NOT_SETTLED:
            return seeds
    return None
