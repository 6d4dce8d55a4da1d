"""A verdict follows from where a gain's interval lies, and says what would settle it."""

import doctest
import math

import numpy as np
import pytest

import regsearch.studies.analysis.verdicts
from regsearch.studies.analysis.verdicts import ALIKE_LEVEL, Verdict, judge, judge_means, settle, verdict_of
from regsearch.studies.statistics import Interval, crossed_interval, projected_interval

D = 0.01


def differences(gain: float, seed: float = 0.0, row: float = 0.0, residual: float = 0.0, seeds: int = 5) -> np.ndarray:
    """Paired differences of 200 rows with exactly those deviations of the effects of seeds and rows."""
    random = np.random.default_rng(1)

    def exact(*shape: int) -> np.ndarray:
        draws = random.standard_normal(shape)
        for axis in range(len(shape)):
            draws = draws - draws.mean(axis=axis, keepdims=True)
        return draws / max(draws.std(), 1e-12)

    return gain + seed * exact(seeds)[:, None] + row * exact(200)[None] + residual * exact(seeds, 200)


def interval(low: float, high: float, level: float = 0.95) -> Interval:
    return Interval(mean=(low + high) / 2, low=low, high=high, level=level)


def test_the_examples_hold() -> None:
    assert doctest.testmod(regsearch.studies.analysis.verdicts).failed == 0


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.001, 0.02, Verdict.HELPS),
        (0.0, 0.02, Verdict.NOT_SETTLED),
        (-0.02, -0.001, Verdict.HARMS),
        (-0.02, 0.0, Verdict.NOT_SETTLED),
        (-D, D, Verdict.NO_DIFFERENCE),
        (-D, D * 1.001, Verdict.NOT_SETTLED),
        (-D * 1.001, D, Verdict.NOT_SETTLED),
        (0.001, D, Verdict.NO_DIFFERENCE),
        (-D, -0.001, Verdict.NO_DIFFERENCE),
        (0.0, 0.0, Verdict.NO_DIFFERENCE),
        (-0.02, 0.02, Verdict.NOT_SETTLED),
    ],
)
def test_a_verdict_follows_from_the_interval(low: float, high: float, verdict: Verdict) -> None:
    assert verdict_of(interval(low, high), D) is verdict


def test_a_gain_is_judged_at_the_level_that_is_asked_for() -> None:
    values = differences(0.05, seed=0.01)
    judgement = judge(values, D, 0.99)
    assert judgement.verdict is Verdict.HELPS
    assert judgement.gain == crossed_interval(values, 0.99)
    assert (judgement.seeds, judgement.seeds_needed, judgement.needs_test_examples) == (5, None, False)
    assert judge(-values, D, 0.99).verdict is Verdict.HARMS


def test_no_difference_rests_on_an_interval_of_its_own_level() -> None:
    values = differences(0.0, seed=0.008)
    assert verdict_of(crossed_interval(values, 0.99), D) is Verdict.NOT_SETTLED
    judgement = judge(values, D, 0.99)
    assert judgement.verdict is Verdict.NO_DIFFERENCE
    assert judgement.gain == crossed_interval(values, ALIKE_LEVEL)
    assert verdict_of(judgement.gain, D) is judgement.verdict


def test_a_level_below_that_of_no_difference_is_kept() -> None:
    assert judge(differences(0.0, seed=0.001), D, 0.8).gain.level == 0.8


def test_no_difference_goes_before_a_small_gain() -> None:
    assert judge(differences(0.005, seed=0.001), D, 0.95).verdict is Verdict.NO_DIFFERENCE


def test_seeds_needed_is_the_smallest_number_that_settles_it() -> None:
    values = differences(0.03, seed=0.05)
    judgement = judge(values, D, 0.95)
    assert judgement.verdict is Verdict.NOT_SETTLED
    assert judgement.seeds_needed is not None
    assert projected_interval(values, judgement.seeds_needed, 0.95).low > 0
    assert projected_interval(values, judgement.seeds_needed - 1, 0.95).low <= 0
    assert not judgement.needs_test_examples


def test_more_seeds_can_also_show_that_it_makes_no_difference() -> None:
    judgement = judge(differences(0.0, seed=0.03), D, 0.95)
    assert judgement.verdict is Verdict.NOT_SETTLED
    assert judgement.seeds_needed is not None


def test_if_rows_decide_more_test_examples_are_needed() -> None:
    judgement = judge(differences(0.01, row=0.2, residual=0.1), D, 0.95)
    assert judgement.verdict is Verdict.NOT_SETTLED
    assert judgement.seeds_needed is None
    assert judgement.needs_test_examples


def test_two_seeds_and_no_spread_are_judged() -> None:
    assert judge(np.full((2, 3), 0.02), D, 0.95).verdict is Verdict.HELPS
    assert judge(np.zeros((2, 3)), D, 0.95).verdict is Verdict.NO_DIFFERENCE


def test_settle_asks_for_both_levels() -> None:
    asked = []

    def interval_at(level: float) -> Interval:
        asked.append(level)
        return interval(-1, 1, level)

    assert settle(interval_at, D, 0.98)[0] is Verdict.NOT_SETTLED
    assert asked == [ALIKE_LEVEL, 0.98]


@pytest.mark.parametrize(
    ("values", "smallest_gain", "level", "complaint"),
    [
        ([[0.1, math.nan], [0.1, 0.2]], D, 0.95, "finite"),
        ([[0.1, 0.2]], D, 0.95, "at least 2 seeds"),
        ([0.1, 0.2], D, 0.95, "at least 2 seeds"),
        (0.1, D, 0.95, "at least 2 seeds"),
        ([[0.1], [0.2]], D, 0.95, "2 examples"),
        ([[0.1, 0.2], [0.1, 0.2]], 0.0, 0.95, "above 0"),
        ([[0.1, 0.2], [0.1, 0.2]], math.nan, 0.95, "above 0"),
        ([[0.1, 0.2], [0.1, 0.2]], D, 1.0, "level"),
        ([[0.1, 0.2], [0.1, 0.2]], D, 0.0, "level"),
    ],
)
def test_a_judgement_refuses_what_makes_no_sense(
    values: object, smallest_gain: float, level: float, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        judge(values, smallest_gain, level)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ([0.1], r"at least 2 seeds; given: shape \(1,\)"),
        ([[0.1, 0.2], [0.1, 0.2]], r"at least 2 seeds; given: shape \(2, 2\)"),
        ([0.1, math.nan], "some are NaN or infinite"),
        ([0.1, math.inf], "some are NaN or infinite"),
    ],
)
def test_a_judgement_of_means_says_which_differences_it_refuses(values: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        judge_means(values, D, 0.95)  # type: ignore[arg-type]
