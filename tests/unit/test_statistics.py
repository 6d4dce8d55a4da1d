"""Intervals cover both sources of luck, follow the data's units, and the winner is the simplest that noise allows."""

import doctest
import math
from collections.abc import Sequence
from random import Random
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

import regsearch.studies.statistics
from regsearch.studies.statistics import (
    Interval,
    Winner,
    choose_winner,
    choose_winner_by_seeds,
    crossed_interval,
    gain,
    mean_interval,
    projected_interval,
    shared_level,
)

TABLE = [[0.31, 0.12, -0.05, 0.40], [0.21, 0.02, 0.10, 0.33], [0.45, 0.20, 0.01, 0.70]]
DIFFERENCES = arrays(
    np.float64,
    st.tuples(st.integers(2, 5), st.integers(2, 7)),
    elements=st.floats(-1, 1, allow_subnormal=False).map(lambda number: round(number, 6)),
)


def by_hand(table: Sequence[Sequence[float]], level: float) -> tuple[float, float, float]:
    """The textbook's analysis of variance, sum by sum; the mean and both ends."""
    n_seeds, n_rows = len(table), len(table[0])
    mean = fmean(value for row in table for value in row)
    of_seed = [fmean(row) for row in table]
    of_row = [fmean(row[r] for row in table) for r in range(n_rows)]
    ms_seeds = n_rows * sum((value - mean) ** 2 for value in of_seed) / (n_seeds - 1)
    ms_rows = n_seeds * sum((value - mean) ** 2 for value in of_row) / (n_rows - 1)
    left = sum((table[s][r] - of_seed[s] - of_row[r] + mean) ** 2 for s in range(n_seeds) for r in range(n_rows))
    ms_residual = left / (n_seeds - 1) / (n_rows - 1)
    for_seeds = stats.t.ppf((1 + level) / 2, n_seeds - 1) ** 2 * max(0, ms_seeds - ms_residual)
    for_rows = stats.t.ppf((1 + level) / 2, n_rows - 1) ** 2 * max(ms_rows, ms_residual)
    half = math.sqrt((for_seeds + for_rows) / n_seeds / n_rows)
    return mean, mean - half, mean + half


def ends(interval: Interval) -> tuple[float, float, float]:
    return interval.mean, interval.low, interval.high


NEITHER = [[1.0, -1.0], [-1.0, 1.0]]


@pytest.mark.parametrize("table", [TABLE, NEITHER, [*zip(*TABLE, strict=True)]])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_an_interval_is_the_textbooks(table: Sequence[Sequence[float]], level: float) -> None:
    interval = crossed_interval(table, level)
    assert interval.level == level
    assert ends(interval) == pytest.approx(by_hand(table, level))


def test_only_seeds_that_differ_give_students_interval_over_seeds() -> None:
    of_seed = np.array([0.1, 0.4, 0.2, 0.9])
    interval = crossed_interval(np.repeat(of_seed[:, None], 6, axis=1))
    half = stats.t.ppf(0.975, 3) * of_seed.std(ddof=1) / 2
    assert ends(interval) == pytest.approx((0.4, 0.4 - half, 0.4 + half))


@given(DIFFERENCES, st.floats(-100, 100), st.floats(1e-3, 1e3))
def test_an_interval_moves_and_stretches_with_its_differences(
    differences: np.ndarray, shift: float, scale: float
) -> None:
    before = crossed_interval(differences)
    after = crossed_interval(differences * scale + shift)
    expected = [end * scale + shift for end in ends(before)]
    assert ends(after) == pytest.approx(expected, rel=1e-6, abs=1e-6 * (scale + abs(shift)))


@given(DIFFERENCES, st.randoms(use_true_random=False))
def test_an_interval_knows_no_order_of_seeds_and_of_rows(differences: np.ndarray, random: Random) -> None:
    seeds, rows = list(range(len(differences))), list(range(differences.shape[1]))
    random.shuffle(seeds)
    random.shuffle(rows)
    shuffled = crossed_interval(differences[np.ix_(seeds, rows)])
    assert ends(shuffled) == pytest.approx(ends(crossed_interval(differences)), rel=1e-6, abs=1e-9)


@given(DIFFERENCES)
def test_swapping_the_two_sides_mirrors_a_gain(differences: np.ndarray) -> None:
    forth, back = gain(differences, np.zeros_like(differences)), gain(np.zeros_like(differences), differences)
    assert (-forth.mean, -forth.high, -forth.low) == pytest.approx(ends(back), rel=1e-9, abs=1e-12)
    assert forth.mean == pytest.approx(-differences.mean(), abs=1e-12)


@given(DIFFERENCES)
def test_more_confidence_is_a_wider_interval_round_the_same_mean(differences: np.ndarray) -> None:
    narrow, wide = crossed_interval(differences, 0.8), crossed_interval(differences, 0.99)
    assert wide.low <= narrow.low <= narrow.mean == wide.mean <= narrow.high <= wide.high


@pytest.mark.parametrize("value", [0.0, 0.1, 0.7, -1 / 3])
@pytest.mark.parametrize("shape", [(3, 7), (5, 11), (5, 100)])
def test_equal_differences_have_no_spread_at_all(value: float, shape: tuple[int, int]) -> None:
    assert ends(crossed_interval(np.full(shape, value))) == (value, value, value)


@pytest.mark.parametrize("seed_spread", [0.0, 0.02, 0.1])
@pytest.mark.parametrize("n_seeds", [3, 5, 10])
def test_an_interval_covers_the_expectation_as_often_as_it_says(n_seeds: int, seed_spread: float) -> None:
    random, n_rows, studies = np.random.default_rng(n_seeds), 300, 600
    covered = 0
    for _ in range(studies):
        of_seeds = seed_spread * random.standard_normal((n_seeds, 1))
        of_rows = random.standard_t(3, (1, n_rows)) / math.sqrt(3)
        noise = 1.5 * random.standard_normal((n_seeds, n_rows))
        interval = crossed_interval(0.2 + of_seeds + of_rows + noise)
        covered += interval.low <= 0.2 <= interval.high
    # at 95 % there are fewer than this in one run of ten thousand; clamped components make it cover a little more
    assert covered >= stats.binom.ppf(1e-4, studies, 0.95)
    assert covered <= stats.binom.ppf(1 - 1e-4, studies, 0.98)


@pytest.mark.parametrize(
    ("differences", "level", "message"),
    [
        (np.zeros((1, 9)), 0.95, "at least 2 seeds × 2 examples; given was the shape .1, 9."),
        (np.zeros((3, 1)), 0.95, "at least 2 seeds"),
        (np.zeros(9), 0.95, "at least 2 seeds"),
        ([[0, 1], [math.nan, 1]], 0.95, "NaN or infinite"),
        ([[0, 1], [math.inf, 1]], 0.95, "NaN or infinite"),
        ([[0, 1], [0, 1]], 1.0, "both excluded; given was 1.0"),
        ([[0, 1], [0, 1]], 0.0, "both excluded; given was 0.0"),
    ],
)
def test_what_gives_no_interval_is_refused(differences: object, level: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        crossed_interval(differences, level)


def test_a_gain_needs_the_same_seeds_and_rows() -> None:
    with pytest.raises(ValueError, match=r"given were \(3, 4\) and \(3, 1\)"):
        gain(TABLE, np.zeros((3, 1)))


def test_a_gain_has_the_level_that_is_asked_for() -> None:
    stack = losses(0.5, 0.3, 0.4, 0.6)
    level = shared_level(3)
    gains = [gain(finalist, stack[0], level) for finalist in stack]
    assert level == pytest.approx(1 - 2 * 0.05 / 3)
    assert shared_level(1) == pytest.approx(0.9)  # one comparison, one side
    assert ends(gains[0]) == (0, 0, 0)
    for index in (1, 2, 3):
        assert gains[index] == crossed_interval(stack[0] - stack[index], level)
    assert [interval.is_above(0) for interval in gains] == [False, True, True, False]


def test_where_nothing_helps_few_studies_see_any_gain() -> None:
    random, studies, false = np.random.default_rng(1), 400, 0
    for _ in range(studies):
        stack = 0.02 * random.standard_normal((6, 5, 1)) + 0.1 * random.standard_normal((6, 5, 100))
        false += any(gain(finalist, stack[0], shared_level(5)).is_above(0) for finalist in stack)
    assert false <= stats.binom.ppf(1 - 1e-4, studies, 0.05)


@pytest.mark.parametrize(("comparisons", "looks", "level"), [(0, 1, 0.95), (1, 0, 0.95), (3, 1, 0.5), (3, 1, 1.0)])
def test_what_has_no_shared_level_is_refused(comparisons: int, looks: int, level: float) -> None:
    with pytest.raises(ValueError, match=f"{comparisons}, {looks} and {level}"):
        shared_level(comparisons, looks, level)


def losses(*levels: float, noise: float = 0.1, n_seeds: int = 4, n_rows: int = 200) -> np.ndarray:
    """Losses of finalists with those expectations, shape (finalists, seeds, rows)."""
    random = np.random.default_rng(7)
    return np.array(levels)[:, None, None] + noise * random.standard_normal((len(levels), n_seeds, n_rows))


def test_the_best_wins_where_nothing_is_tied_with_it() -> None:
    assert choose_winner(losses(0.5, 0.3, 0.4), [0, 2, 1]) == Winner(index=1, best=1, tied=(1,))


def test_the_simplest_of_the_tied_wins_though_another_has_the_lower_mean() -> None:
    stack = losses(0.5, 0.3, 0.3, 0.3)
    stack[2] -= stack[2].mean() - stack[1].mean() + 1e-4
    stack[3] -= stack[3].mean() - stack[1].mean() - 1e-4
    assert choose_winner(stack, [0, 1, 3, 2]) == Winner(index=1, best=2, tied=(1, 2, 3))


def test_of_equally_simple_ones_the_lower_mean_wins() -> None:
    stack = losses(0.3, 0.3)
    stack[1] -= stack[1].mean() - stack[0].mean() + 1e-4
    assert choose_winner(stack, [1, 1]) == Winner(index=1, best=1, tied=(0, 1))
    assert choose_winner(stack[::-1], [1, 1]) == Winner(index=0, best=0, tied=(0, 1))


def test_a_lower_level_of_confidence_ties_fewer() -> None:
    stack = losses(0.300, 0.305)
    assert choose_winner(stack, [1, 0], level=0.999).tied == (0, 1)
    assert choose_winner(stack, [1, 0], level=0.2).tied == (0,)


def test_a_single_finalist_wins() -> None:
    assert choose_winner(losses(0.3), [5]) == Winner(index=0, best=0, tied=(0,))


@given(
    arrays(np.float64, (5, 3, 4), elements=st.floats(0, 1).map(lambda number: round(number, 3))),
    st.permutations(range(5)),
)
def test_the_order_of_finalists_changes_nothing(stack: np.ndarray, order: list[int]) -> None:
    complexity = [0, 1, 2, 3, 4]
    before = choose_winner(stack, complexity)
    after = choose_winner(stack[order], [complexity[index] for index in order])
    if sorted(stack.mean(axis=(1, 2)))[0] < sorted(stack.mean(axis=(1, 2)))[1]:  # else two are best
        assert order[after.index] == before.index
        assert sorted(order[index] for index in after.tied) == list(before.tied)


@pytest.mark.parametrize(("shape", "complexity"), [((3, 4), [1, 2, 3]), ((2, 3, 4), [1]), ((0, 3, 4), [])])
def test_a_stack_without_a_complexity_of_each_is_refused(shape: tuple[int, ...], complexity: list[int]) -> None:
    with pytest.raises(ValueError, match="complexity of each finalist; given were"):
        choose_winner(np.zeros(shape), complexity)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_interval_of_a_mean_is_students(level: float) -> None:
    values = [0.3, 0.1, 0.45, 0.2]
    found = mean_interval(values, level)
    expected = stats.t.interval(level, 3, loc=np.mean(values), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected)
    assert (found.mean, found.level) == (pytest.approx(np.mean(values)), level)


def test_the_examples_hold() -> None:
    assert doctest.testmod(regsearch.studies.statistics).failed == 0


@given(DIFFERENCES, st.integers(0, 20))
def test_more_seeds_only_shrink_an_interval(table: np.ndarray, more: int) -> None:
    now, then = (projected_interval(table, len(table) + seeds) for seeds in (more, more + 1))
    assert then.mean == pytest.approx(now.mean)
    assert then.high - then.low <= now.high - now.low + 1e-12
    assert projected_interval(table, len(table)) == crossed_interval(table)


def test_what_rows_add_stays_whatever_the_seeds() -> None:
    rows = np.repeat([[0.1, 0.4, 0.2, 0.9]], 3, axis=0)
    assert ends(projected_interval(rows, 1000)) == pytest.approx(ends(crossed_interval(rows)))


def test_seeds_that_differ_shrink_like_students_interval() -> None:
    of_seed = np.array([0.1, 0.4, 0.2, 0.9])
    half = stats.t.ppf(0.975, 15) * of_seed.std(ddof=1) / 4
    projected = projected_interval(np.repeat(of_seed[:, None], 6, axis=1), 16)
    assert ends(projected) == pytest.approx((0.4, 0.4 - half, 0.4 + half))


def test_an_interval_over_one_seed_is_not_projected() -> None:
    with pytest.raises(ValueError, match="at least 2 seeds"):
        projected_interval(TABLE, 1)


def test_a_shared_level_divides_the_risk_by_comparisons_and_looks() -> None:
    assert shared_level(1) == pytest.approx(0.9)
    assert shared_level(8) == pytest.approx(0.9875)
    assert shared_level(8, looks=2) == pytest.approx(shared_level(16))
    for comparisons, looks, level in ((0, 1, 0.95), (1, 0, 0.95), (1, 1, 0.5), (1, 1, 1.0), (1, 1, math.nan)):
        with pytest.raises(ValueError, match="shared level"):
            shared_level(comparisons, looks, level)


def test_by_seeds_the_simplest_that_is_tied_wins() -> None:
    best, tied, behind = [0.10, 0.20, 0.15], [0.11, 0.20, 0.145], [0.15, 0.26, 0.19]
    assert choose_winner_by_seeds([best, tied, behind], [2, 1, 0]) == Winner(index=1, best=0, tied=(0, 1))
    assert choose_winner_by_seeds([best, tied, behind], [2, 1, 0], level=0.999).index == 2
    assert choose_winner_by_seeds([best], [3]) == Winner(index=0, best=0, tied=(0,))
    assert choose_winner_by_seeds([best, best], [1, 1]).tied == (0, 1)


@pytest.mark.parametrize(
    ("losses", "complexity", "complaint"),
    [
        ([], [], "a complexity"),
        ([[0.1]], [1], "at least 2 seeds"),
        ([[0.1, 0.2]], [1, 2], "a complexity"),
        ([[[0.1, 0.2]]], [1], "shape"),
        ([[0.1, math.nan]], [1], "finite"),
    ],
)
def test_a_winner_by_seeds_refuses_what_makes_no_sense(
    losses: list[object], complexity: list[int], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        choose_winner_by_seeds(losses, complexity)
