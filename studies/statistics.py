"""Statistics of finalists on the same fresh seeds: intervals that cover seeds and examples, and the winner."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

TIE_LEVEL = 0.68
"""Ties are judged within one standard error (Breiman et al., Classification and Regression Trees, 1984).

At 95 %, almost every finalist would be tied with the best one if there are few seeds. To choose the simplest of them
would then cost half of what a technique gains. The claim that a winner beats the baseline does not depend on ties (see
`shared_level`).
"""

Losses = npt.ArrayLike
"""Losses of single examples (smaller is better): cross-entropies in nats; for accuracy, 0 if correct and 1 if wrong."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A measured mean, and an interval that holds the true mean with the confidence `level`, in (0, 1).

    Example:
        >>> Interval(mean=0.004, low=0.001, high=0.007, level=0.95).is_above(0)
        True
    """

    mean: float
    low: float
    high: float
    level: float

    def is_above(self, value: float) -> bool:
        """Return whether the whole interval is above a value."""
        return self.low > value


@dataclass(frozen=True, kw_only=True)
class Winner:
    """The winner among finalists. Each number is the index of a finalist in the array of losses.

    Attributes:
        index: the winner, which is the simplest of the tied finalists.
        best: the finalist with the lowest mean loss.
        tied: the best finalist, and those whose difference from the best may be noise, in ascending order.
    """

    index: int
    best: int
    tied: tuple[int, ...]


def crossed_interval(differences: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Return the mean of paired differences with an interval that covers both sources of luck, seeds and examples.

    A two-way crossed analysis of variance without replication gives the variance of the mean: (MS_seeds + MS_examples −
    MS_residual) / (S·N), for S seeds and N examples. This variance has two parts. The first is what seeds add to the
    residual: (MS_seeds − MS_residual) / (S·N). The second is the rest. Each part is multiplied by the square of its own
    Student quantile, with S − 1 and N − 1 degrees of freedom. The root of the sum is half the interval's length. A part
    that would be negative counts as 0. MS_examples counts as at least MS_residual. If all differences are equal, the
    interval has length 0.

    With three or more seeds, this interval holds the true mean as often as its level states. The usual alternative, one
    quantile with Satterthwaite's degrees of freedom, holds it too seldom with fewer than ten seeds:
    `tests/benchmarks/README.md` compares the two.

    Args:
        differences: shape (seeds, examples), at least 2 by 2. Entry [s, n] is the difference on example n between two
            configurations that were both trained on seed s.
        level: confidence in (0, 1).

    Raises ValueError for another shape, for a value that is not finite, and for a level outside (0, 1).

    Example:
        >>> interval = crossed_interval([[0.1, 0.3, 0.2], [0.4, 0.3, 0.6], [0.2, 0.5, 0.3]])
        >>> round(interval.mean, 3), round(interval.low, 3), round(interval.high, 3)
        (0.322, 0.031, 0.613)

    Source: S. K. Banerjee, Approximate confidence interval for linear functions of means of k populations when the
    population variances are not equal, Sankhyā 22 (1960).
    """
    values = np.asarray(differences, dtype=np.float64)
    return projected_interval(values, len(values) if values.ndim else 0, level)


def projected_interval(differences: npt.ArrayLike, seeds: int, level: float = 0.95) -> Interval:
    """Return the interval that another number of seeds would probably give.

    The mean and the three components of the variance (seeds, examples, residual) are taken from the differences. More
    seeds make the parts of the seeds and of the residual smaller. The part of the examples stays as it is, because the
    test set stays the same.

    Args:
        differences: shape (seeds, examples), at least 2 by 2, as for `crossed_interval`.
        seeds: the other number of seeds, at least 2. With as many seeds as `differences` has, the result is that of
            `crossed_interval`.
        level: confidence in (0, 1).

    Raises ValueError for the same reasons as `crossed_interval`, and for fewer than 2 seeds.

    Example:
        >>> few = [[0.1, 0.3, 0.2], [0.4, 0.3, 0.6]]
        >>> projected_interval(few, 2) == crossed_interval(few)
        True
        >>> projected_interval(few, 20).low > crossed_interval(few).low
        True
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 2 or min(values.shape) < 2:
        raise ValueError(f"an interval needs at least 2 seeds × 2 examples; given was the shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("an interval needs finite differences; some are NaN or infinite")
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1, both excluded; given was {level}")
    if seeds < 2:
        raise ValueError(f"an interval needs at least 2 seeds; given were {seeds}")
    origin = values[0, 0]  # it is subtracted so that equal differences have exactly no spread
    values = values - origin
    mean = float(values.mean())
    of_seed, of_example, residual = _components(values - mean)
    n_examples = values.shape[1]
    parts = [of_seed / seeds, (of_example + residual / seeds) / n_examples]
    half = float(np.sqrt(np.square(_student(np.array([seeds - 1, n_examples - 1]), level)) @ parts))
    mean += float(origin)
    return Interval(mean=mean, low=mean - half, high=mean + half, level=level)


def _student(degrees: npt.ArrayLike, level: float) -> npt.NDArray[np.float64]:
    """Return half the length of Student's interval at this level, in standard errors."""
    from scipy.special import stdtrit  # the import takes as long as the whole command `status`

    quantiles: npt.NDArray[np.float64] = stdtrit(degrees, (1 + level) / 2)
    return quantiles


def _components(centred: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """Return three variances, each at least 0: what seeds add to the residual, what examples add, and the residual."""
    n_seeds, n_examples = centred.shape
    of_seeds = n_examples * float(np.square(centred.mean(axis=1)).sum())
    of_examples = n_seeds * float(np.square(centred.mean(axis=0)).sum())
    residual = max(0.0, float(np.square(centred).sum()) - of_seeds - of_examples) / ((n_seeds - 1) * (n_examples - 1))
    excess_of_seeds = max(0.0, of_seeds / (n_seeds - 1) - residual)
    excess_of_examples = max(0.0, of_examples / (n_examples - 1) - residual)
    return excess_of_seeds / n_examples, excess_of_examples / n_seeds, residual


def choose_winner(losses: Losses, complexity: Sequence[int], level: float = TIE_LEVEL) -> Winner:
    """Return the winner: the simplest among the best finalist and the finalists that are tied with it.

    The best finalist has the lowest mean loss. Another finalist is tied with the best if their losses may be
    equal: the crossed interval of the difference contains 0. Among equally simple finalists, the one with the lower
    mean loss wins.

    Args:
        losses: shape (finalists, seeds, examples), on the selection split, of networks trained on the same seeds.
        complexity: one number for each finalist; smaller is simpler.
        level: confidence of the intervals, in (0, 1).

    Raises ValueError for the same reasons as `crossed_interval`, and if there is not one complexity for each finalist.

    Example:
        >>> choose_winner([[[0.1, 0.3], [0.2, 0.2]], [[0.1, 0.2], [0.2, 0.2]], [[0.9, 0.8], [0.8, 0.9]]], [0, 1, 1])
        Winner(index=0, best=1, tied=(0, 1))
    """
    stack = np.asarray(losses, dtype=np.float64)
    if stack.ndim != 3 or len(stack) != len(complexity) or not len(stack):
        raise ValueError(
            "a winner needs losses of the shape (finalists, seeds, examples) and a complexity of each finalist; "
            f"given were the shape {stack.shape} and {len(complexity)} complexities"
        )
    means = stack.mean(axis=(1, 2))
    best = int(means.argmin())
    tied = tuple(
        index for index in range(len(stack)) if not crossed_interval(stack[index] - stack[best], level).is_above(0)
    )
    winner = min(tied, key=lambda index: (complexity[index], means[index]))
    return Winner(index=winner, best=best, tied=tied)


def choose_winner_by_seeds(losses: Losses, complexity: Sequence[int], level: float = TIE_LEVEL) -> Winner:
    """Return the winner as `choose_winner` does, but from one mean loss for each finalist and seed.

    Use it if each seed also draws the splits. The selection examples then differ from seed to seed, so only means can
    be compared. The intervals that decide ties are Student's.

    Args:
        losses: shape (finalists, seeds), at least 2 seeds: mean losses on the selection split, of networks trained on
            the same seeds.
        complexity: one number for each finalist; smaller is simpler.
        level: confidence of the intervals, in (0, 1).

    Raises ValueError for another shape, for a loss that is not finite, and if there is not one complexity for each
    finalist.

    Example:
        >>> choose_winner_by_seeds([[0.1, 0.3, 0.2], [0.1, 0.2, 0.2], [0.4, 0.5, 0.5]], [0, 1, 1])
        Winner(index=0, best=1, tied=(0, 1))
    """
    table = np.asarray(losses, dtype=np.float64)
    if table.ndim != 2 or len(table) != len(complexity) or not len(table) or table.shape[1] < 2:
        raise ValueError(
            "a winner needs losses of the shape (finalists, seeds), at least 2 seeds, and a complexity of each "
            f"finalist; given were the shape {table.shape} and {len(complexity)} complexities"
        )
    if not np.isfinite(table).all():
        raise ValueError("a winner needs finite losses; some are NaN or infinite")
    means = table.mean(axis=1)
    best = int(means.argmin())
    tied = tuple(
        index for index in range(len(table)) if not mean_interval(table[index] - table[best], level).is_above(0)
    )
    winner = min(tied, key=lambda index: (complexity[index], means[index]))
    return Winner(index=winner, best=best, tied=tied)


def gain(losses: Losses, baseline: Losses, level: float = 0.95) -> Interval:
    """Return how much lower losses are than a baseline's losses, with an interval. A positive gain is good.

    Args:
        losses, baseline: shape (seeds, examples), on the same examples, of networks trained on the same seeds.
        level: confidence in (0, 1).

    Raises ValueError for the same reasons as `crossed_interval`, and if the shapes differ.

    Example:
        >>> round(gain([[0.1, 0.3], [0.2, 0.2]], [[0.3, 0.5], [0.4, 0.4]]).mean, 2)
        0.2
    """
    ours, theirs = np.asarray(losses, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if ours.shape != theirs.shape:
        raise ValueError(f"a gain needs the same seeds and examples; given were {ours.shape} and {theirs.shape}")
    return crossed_interval(theirs - ours, level)


def shared_level(comparisons: int, looks: int = 1, level: float = 0.95) -> float:
    """Return the level that each interval needs so that, with confidence `level`, no low end is above its true value.

    All comparisons at all uses of the test set share the risk 1 − level equally (Bonferroni). Only low ends are claims,
    so each interval has the level 1 − 2 (1 − level) / (comparisons · looks). This holds for the winner too, although
    luck helped to choose it.

    Args:
        comparisons: how many intervals there are, at least 1. In a race, count every finalist of the first round,
            except for the reference.
        looks: how many times the test set was used, including this time; at least 1.
        level: confidence in all low ends together, in (0.5, 1).

    Raises ValueError for fewer comparisons or looks, and for another level.

    Example:
        >>> round(shared_level(8), 4), round(shared_level(8, looks=2), 4)
        (0.9875, 0.9938)
    """
    if comparisons < 1 or looks < 1 or not 0.5 < level < 1:
        raise ValueError(
            "a shared level needs at least one comparison and one look, and a level between 0.5 and 1; "
            f"given were {comparisons}, {looks} and {level}"
        )
    return 1 - 2 * (1 - level) / (comparisons * looks)


def mean_interval(values: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Return the mean of independent values with Student's interval for it.

    Args:
        values: shape (n,), with n at least 2.
        level: confidence in (0, 1).

    Example:
        >>> mean_interval([1.0, 2.0, 3.0]).mean
        2.0
    """
    sample = np.asarray(values, dtype=np.float64)
    mean = float(sample.mean())
    half = float(_student(len(sample) - 1, level) * sample.std(ddof=1) / np.sqrt(len(sample)))
    return Interval(mean=mean, low=mean - half, high=mean + half, level=level)


def difference(one: Interval, other: Interval) -> Interval:
    """Return how much larger one mean is than another, with an interval that is computed from the two given intervals.

    On each side of the difference, the length is the root of the sum of two squared lengths, one from each given
    interval. This treats the means as independent. If both were measured on the same examples, they vary together, and
    the interval tends to be too wide. The level is the lower of the two given levels.

    Source: G. Y. Zou and A. Donner, Construction of confidence limits about effect measures: a general approach,
    Statistics in Medicine 27 (2008).

    Example:
        >>> fewer = Interval(mean=5.0, low=2.0, high=8.0, level=0.95)
        >>> more = Interval(mean=1.0, low=-3.0, high=5.0, level=0.95)
        >>> difference(fewer, more)
        Interval(mean=4.0, low=-1.0, high=9.0, level=0.95)
    """
    mean = one.mean - other.mean
    below = float(np.hypot(one.mean - one.low, other.high - other.mean))
    above = float(np.hypot(one.high - one.mean, other.mean - other.low))
    return Interval(mean=mean, low=mean - below, high=mean + above, level=min(one.level, other.level))
