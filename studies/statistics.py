"""What finalists trained on the same fresh seeds say: intervals that cover seeds and rows, and the winner."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

TIE_LEVEL = 0.68
"""Ties are judged within one standard error (Breiman et al., Classification and Regression Trees, 1984).

At 95 % almost everything is tied with the best of a few seeds, and half of what a technique gains is given away for
simplicity; the claim that a winner beats the baseline doesn't rest on ties (see `gains_over`).
"""

Losses = npt.ArrayLike
"""Losses of single rows, smaller is better: cross-entropies in nats, or 1 − correctness for accuracy."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean, and the ends between which its expectation lies with the confidence `level`, in (0, 1)."""

    mean: float
    low: float
    high: float
    level: float

    def is_above(self, value: float) -> bool:
        """Return whether even the low end is above a value."""
        return self.low > value


@dataclass(frozen=True, kw_only=True)
class Winner:
    """Who won among finalists, by their positions in the stack of losses.

    Attributes:
        index: the winner, the simplest of those tied.
        best: the one with the lowest mean loss.
        tied: those that noise can't tell from the best, in ascending order; the winner and the best are among them.
    """

    index: int
    best: int
    tied: tuple[int, ...]


def crossed_interval(differences: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Return the mean of paired differences with an interval for both sources of luck, the seed and the row.

    A two-way crossed analysis of variance without replication splits the variance of the mean, (MS_seeds + MS_rows −
    MS_residual) / (S·R), into what seeds add beyond the residual, (MS_seeds − MS_residual) / (S·R), and the rest. Half
    the interval's length is the root of the sum of both parts, each times the square of its own Student quantile, with
    S − 1 and R − 1 degrees of freedom. From three seeds on this covers as often as it says; one quantile for the sum,
    by Satterthwaite's degrees of freedom, covers too seldom below ten. A part that would be negative counts as 0, and
    MS_rows as at least MS_residual. Without any spread the interval is the mean alone. How both were held against each
    other: `tests/benchmarks/README.md`.

    Args:
        differences: shape (seeds, rows), at least 2 by 2: at [s, r] what two configurations, both trained on seed s,
            differ by on row r.
        level: confidence in (0, 1).

    Raises ValueError for another shape, for a value that is not finite, and for a level outside (0, 1).
    Source: S. K. Banerjee, Approximate confidence interval for linear functions of means of k populations when the
    population variances are not equal, Sankhyā 22 (1960).
    """
    values = np.asarray(differences, dtype=np.float64)
    return projected_interval(values, len(values) if values.ndim else 0, level)


def projected_interval(differences: npt.ArrayLike, seeds: int, level: float = 0.95) -> Interval:
    """Return the interval that so many seeds would probably give: `crossed_interval` if all but their number stayed.

    The mean and the three components of variance (seeds, rows, residual) are those of the differences. More seeds
    shrink what seeds and the residual add; what the rows add stays, since the test rows are the same.

    Args:
        differences: shape (seeds, rows), at least 2 by 2, as for `crossed_interval`.
        seeds: how many there would be, at least 2; with as many as there are it is `crossed_interval`.
        level: confidence in (0, 1).

    Raises ValueError as `crossed_interval` does, and for fewer than 2 seeds.

    Example:
        >>> few = [[0.1, 0.3, 0.2], [0.4, 0.3, 0.6]]
        >>> projected_interval(few, 2) == crossed_interval(few)
        True
        >>> projected_interval(few, 20).low > crossed_interval(few).low
        True
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 2 or min(values.shape) < 2:
        raise ValueError(f"an interval needs an array of at least 2 seeds × 2 rows; given was the shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("an interval needs finite differences; some are NaN or infinite")
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1, both excluded; given was {level}")
    if seeds < 2:
        raise ValueError(f"an interval needs at least 2 seeds; asked for were {seeds}")
    origin = values[0, 0]  # so that equal differences have exactly no spread
    values = values - origin
    mean = float(values.mean())
    of_seed, of_row, residual = _components(values - mean)
    n_rows = values.shape[1]
    parts = [of_seed / seeds, (of_row + residual / seeds) / n_rows]
    half = float(np.sqrt(np.square(_student(np.array([seeds - 1, n_rows - 1]), level)) @ parts))
    mean += float(origin)
    return Interval(mean=mean, low=mean - half, high=mean + half, level=level)


def _student(degrees: npt.ArrayLike, level: float) -> npt.NDArray[np.float64]:
    """Return how many standard errors Student's interval of that level reaches on either side."""
    from scipy.special import stdtrit  # it takes as long to import as all of a `status`

    quantiles: npt.NDArray[np.float64] = stdtrit(degrees, (1 + level) / 2)
    return quantiles


def _components(centred: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the variance that a seed adds beyond the residual, that a row adds, and the residual's; all at least 0."""
    n_seeds, n_rows = centred.shape
    of_seeds = n_rows * float(np.square(centred.mean(axis=1)).sum())
    of_rows = n_seeds * float(np.square(centred.mean(axis=0)).sum())
    residual = max(0.0, float(np.square(centred).sum()) - of_seeds - of_rows) / ((n_seeds - 1) * (n_rows - 1))
    beyond_of_seeds = max(0.0, of_seeds / (n_seeds - 1) - residual)
    beyond_of_rows = max(0.0, of_rows / (n_rows - 1) - residual)
    return beyond_of_seeds / n_rows, beyond_of_rows / n_seeds, residual


def choose_winner(losses: Losses, complexity: Sequence[int], level: float = TIE_LEVEL) -> Winner:
    """Return the simplest finalist that noise can't tell from the one with the lowest mean loss.

    A finalist is tied with the best where the crossed interval of its loss minus the best's reaches down to 0. Of
    equally simple ones the lower mean wins.

    Args:
        losses: shape (finalists, seeds, rows), on the select rows, of networks trained on the same seeds.
        complexity: of each finalist, smaller is simpler.
        level: confidence of the intervals, in (0, 1).

    Raises ValueError as crossed_interval does, and where there is not one complexity for each finalist.
    """
    stack = np.asarray(losses, dtype=np.float64)
    if stack.ndim != 3 or len(stack) != len(complexity) or not len(stack):
        raise ValueError(
            "a winner needs losses of the shape (finalists, seeds, rows) and a complexity of each finalist; "
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
    """Return the simplest finalist that noise can't tell from the one with the lowest mean, by means of each seed.

    For seeds that draw the split as well: select rows then differ between seeds, so that only paired means can be
    compared. A finalist is tied with the best if Student's interval of its loss minus the best's reaches down to 0.
    Of equally simple ones the lower mean wins.

    Args:
        losses: shape (finalists, seeds), at least 2 seeds: mean losses on the select rows, trained on the same seeds.
        complexity: of each finalist, smaller is simpler.
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
    """Return how much lower losses are than a baseline's, row by row and seed by seed; positive is better.

    Args:
        losses, baseline: shape (seeds, rows), on the same rows, of networks trained on the same seeds.
        level: confidence in (0, 1).

    Raises ValueError as crossed_interval does, and where the shapes differ.
    """
    ours, theirs = np.asarray(losses, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if ours.shape != theirs.shape:
        raise ValueError(f"a gain needs the same seeds and rows of both; given were {ours.shape} and {theirs.shape}")
    return crossed_interval(theirs - ours, level)


def gains_over(losses: Losses, baseline: int, level: float = 0.95) -> tuple[Interval, ...]:
    """Return how much lower each finalist's losses are than the baseline's; positive is better.

    With the confidence `level`, no low end is above the truth in any of them: the risk 1 − level is shared among the
    comparisons (Bonferroni), so each interval alone has the higher level 1 − 2 (1 − level) / comparisons. That holds
    for the winner too, though the luck of its seeds helped to choose it. A gain is claimed where `is_above(0)`.

    Args:
        losses: shape (finalists, seeds, rows), on the test rows, of networks trained on the same seeds.
        baseline: its position among the finalists; its own gain is 0.
        level: confidence in all low ends together, in (0, 1).

    Raises ValueError as crossed_interval does, for a level of at most 0.5 and for another shape.
    """
    stack = np.asarray(losses, dtype=np.float64)
    if stack.ndim != 3 or len(stack) < 2:
        raise ValueError(f"gains need at least two finalists × seeds × rows; given was the shape {stack.shape}")
    if not 0.5 < level < 1:
        raise ValueError(f"the level of low ends lies between 0.5 and 1, both excluded; given was {level}")
    each = shared_level(len(stack) - 1, level=level)
    return tuple(gain(finalist, stack[baseline], each) for finalist in stack)


def shared_level(comparisons: int, looks: int = 1, level: float = 0.95) -> float:
    """Return the level of each interval if no low end is above the truth in any of them, with the confidence `level`.

    The risk 1 − level is shared equally (Bonferroni) among the comparisons, and among the looks at the test set.

    Args:
        comparisons: how many intervals, at least 1; for a race all finalists that began it but the reference.
        looks: how many times the test set was used, this time included; at least 1.
        level: confidence in all low ends together, in (0.5, 1).

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
    """Return the mean of independent values, shape (n,) with n at least 2, with Student's interval."""
    sample = np.asarray(values, dtype=np.float64)
    mean = float(sample.mean())
    half = float(_student(len(sample) - 1, level) * sample.std(ddof=1) / np.sqrt(len(sample)))
    return Interval(mean=mean, low=mean - half, high=mean + half, level=level)


def difference(one: Interval, other: Interval) -> Interval:
    """Return how much one mean is above another, by what their intervals say.

    Each end lies as far from the difference as the two ends on that side together, the squares of their lengths added.
    The two count as independent: where both were measured on the same rows, and so vary together, the interval is
    rather too wide. Its level is the lower one of theirs.

    Source: G. Y. Zou and A. Donner, Construction of confidence limits about effect measures: a general approach,
    Statistics in Medicine 27 (2008).
    """
    mean = one.mean - other.mean
    below = float(np.hypot(one.mean - one.low, other.high - other.mean))
    above = float(np.hypot(one.high - one.mean, other.mean - other.low))
    return Interval(mean=mean, low=mean - below, high=mean + above, level=min(one.level, other.level))
