"""The race drops who can't win any more, gives techniques their seeds, and ends when nothing is left to decide."""

import doctest
import math
from collections.abc import Sequence

import numpy as np
import pytest

import regsearch.studies.analysis.race
from regsearch.studies.analysis.race import TECHNIQUE_SEEDS, Contender, Decision, Part, decide, round_ends

REFERENCE, TECHNIQUE, CONFIGURATION = Part.REFERENCE, Part.TECHNIQUE, Part.CONFIGURATION


def contender(index: int, part: Part, gain: float, seeds: int, spread: float = 0.01) -> Contender:
    """A contender with that mean gain over a reference whose losses are 1, and a spread of the paired differences."""
    noise = np.random.default_rng(index).standard_normal(seeds)
    noise = (noise - noise.mean()) / noise.std(ddof=1) if spread else np.zeros(seeds)
    return Contender(index=index, part=part, losses=[1 - gain + spread * draw for draw in noise])


def reference(seeds: int) -> Contender:
    return Contender(index=0, part=REFERENCE, losses=[1.0] * seeds)


def reasons(decision: Decision) -> dict[int, str]:
    return {drop.index: drop.reason for drop in decision.drops}


def test_the_examples_hold() -> None:
    assert doctest.testmod(regsearch.studies.analysis.race).failed == 0


@pytest.mark.parametrize(
    ("seeds", "ends"), [(3, (3,)), (4, (3, 4)), (5, (3, 5)), (7, (3, 5, 7)), (8, (3, 5, 7, 8)), (10, (3, 5, 7, 10))]
)
def test_rounds_end_after_three_seeds_and_then_ever_later(seeds: int, ends: Sequence[int]) -> None:
    assert round_ends(seeds) == ends


def test_of_the_configurations_only_the_best_goes_on() -> None:
    field = [reference(3), *(contender(i, CONFIGURATION, gain, 3) for i, gain in ((1, 0.01), (2, 0.011), (3, 0.009)))]
    assert reasons(decide(field, 0, 4, 0.001)) == {1: "behind the best", 3: "behind the best"}


def test_no_configuration_goes_on_if_another_is_the_best() -> None:
    field = [reference(3), contender(1, TECHNIQUE, 0.011, 3), contender(2, CONFIGURATION, 0.01, 3)]
    decision = decide(field, 0, 3, 0.001)
    assert reasons(decision) == {2: "behind the best"}
    assert decision.drops[0].than == 1


def test_a_technique_is_dropped_once_it_has_its_seeds() -> None:
    for gain, reason in ((-0.01, "behind the best"), (-0.5, "clearly harms")):
        for seeds in (2, 3, TECHNIQUE_SEEDS - 1, TECHNIQUE_SEEDS, 7):
            field = [reference(seeds), contender(1, TECHNIQUE, gain, seeds)]
            expected = {1: reason} if seeds >= TECHNIQUE_SEEDS else {}
            assert reasons(decide(field, 0, 9, 0.001)) == expected


def test_a_drop_says_what_was_measured() -> None:
    (drop,) = decide([reference(5), contender(1, TECHNIQUE, -0.5, 5)], 0, 2, 0.001).drops
    assert (drop.index, drop.than, drop.seeds, drop.behind.level) == (1, 0, 5, 0.95)
    assert drop.behind.mean == pytest.approx(0.5)
    assert drop.behind.low < 0.5 < drop.behind.high


def test_a_technique_that_clearly_makes_no_difference_is_dropped_as_such() -> None:
    field = [reference(5), contender(1, TECHNIQUE, 0.0001, 5, 0.001), contender(2, CONFIGURATION, 0.1, 5)]
    assert reasons(decide(field, 0, 3, 0.01)) == {1: "clearly makes no difference"}


def test_a_technique_is_dropped_if_another_is_clearly_better() -> None:
    field = [reference(5), contender(1, TECHNIQUE, 0.5, 5), contender(2, CONFIGURATION, 1.0, 5)]
    decision = decide(field, 0, 3, 0.001)
    assert reasons(decision) == {1: "clearly helps, but is not the best"}
    assert decision.drops[0].than == 2
    close = [reference(5), contender(1, TECHNIQUE, 0.5, 5), contender(2, CONFIGURATION, 0.505, 5)]
    assert reasons(decide(close, 0, 3, 0.001)) == {1: "behind the best"}


def test_what_is_clear_among_two_is_not_among_many() -> None:
    field = [reference(5), contender(1, TECHNIQUE, -0.02, 5)]
    assert reasons(decide(field, 0, 2, 0.001)) == {1: "clearly harms"}
    assert reasons(decide(field, 0, 100, 0.001)) == {1: "behind the best"}


def test_references_and_the_best_are_never_dropped() -> None:
    none = Contender(index=1, part=REFERENCE, losses=[2.0, 2.1, 2.2, 2.0, 2.1])
    field = [reference(5), none, contender(2, CONFIGURATION, 0.5, 5), contender(3, TECHNIQUE, 0.1, 5)]
    assert reasons(decide(field, 0, 4, 0.001)) == {3: "clearly helps, but is not the best"}


def test_without_a_reference_techniques_are_dropped_like_configurations() -> None:
    field = [contender(1, TECHNIQUE, 0.1, 3), contender(2, TECHNIQUE, 0.0, 3), contender(3, CONFIGURATION, 0.0, 3)]
    decision = decide(field, None, 5, 0.001)
    assert reasons(decision) == {2: "behind the best", 3: "behind the best"}
    assert decision.is_over


def test_the_race_is_over_when_one_is_left_whose_gains_are_clear() -> None:
    none = Contender(index=1, part=REFERENCE, losses=[1.5, 1.51, 1.49, 1.5, 1.5])
    others = [contender(2, CONFIGURATION, 0.5, 5), contender(3, CONFIGURATION, 0.0, 5)]
    assert decide([reference(5), none, *others], 0, 4, 0.001).is_over
    unclear = Contender(index=1, part=REFERENCE, losses=[1.5, 0.0, 0.1, 1.5, 0.1])
    assert not decide([reference(5), unclear, *others], 0, 4, 0.001).is_over


@pytest.mark.parametrize("part", [TECHNIQUE, CONFIGURATION])
def test_a_clear_gain_ends_no_race_before_a_technique_has_its_seeds(part: Part) -> None:
    for seeds in (3, TECHNIQUE_SEEDS - 1, TECHNIQUE_SEEDS):
        decision = decide([reference(seeds), contender(1, part, 0.5, seeds)], 0, 2, 0.001)
        assert decision == Decision(drops=(), is_over=seeds >= TECHNIQUE_SEEDS)


def test_the_race_goes_on_while_two_can_win() -> None:
    field = [reference(3), contender(1, TECHNIQUE, 0.5, 3), contender(2, CONFIGURATION, 0.6, 3)]
    assert not decide(field, 0, 3, 0.001).is_over


def test_the_race_is_over_when_only_references_are_left() -> None:
    assert decide([reference(3)], 0, 5, 0.001) == Decision(drops=(), is_over=True)
    behind = contender(1, CONFIGURATION, -0.1, 3)
    assert decide([reference(3), behind], 0, 5, 0.001).is_over


def test_equal_losses_are_all_the_best() -> None:
    parts = (REFERENCE, TECHNIQUE, CONFIGURATION)
    field = [Contender(index=i, part=part, losses=[0.1, 0.3, 0.2, 0.1, 0.1]) for i, part in enumerate(parts)]
    assert decide(field, 0, 3, 0.001) == Decision(drops=(), is_over=False)


def test_without_spread_the_larger_loss_is_behind() -> None:
    field = [reference(2), contender(1, CONFIGURATION, -0.01, 2, spread=0)]
    decision = decide(field, 0, 2, 0.001)
    assert reasons(decision) == {1: "behind the best"}
    assert decision.drops[0].behind.low == pytest.approx(0.01)


def test_the_order_of_contenders_does_not_matter() -> None:
    field = [reference(5), *(contender(i, TECHNIQUE, 0.003 * i, 5) for i in range(1, 4))]
    assert reasons(decide(field, 0, 4, 0.005)) == reasons(decide(field[::-1], 0, 4, 0.005))


ONE = reference(3)


@pytest.mark.parametrize(
    ("field", "base", "raced", "smallest_gain", "complaint"),
    [
        ([], None, 2, 0.1, "needs contenders"),
        ([ONE, ONE], 0, 2, 0.1, "different indices"),
        ([reference(1)], 0, 2, 0.1, "at least 2"),
        ([ONE, contender(1, TECHNIQUE, 0, 4)], 0, 2, 0.1, "same number of seeds"),
        ([ONE], 3, 2, 0.1, "not among the contenders"),
        ([ONE], 0, 0, 0.1, "must be at least 1"),
        ([ONE], 0, 2, 0.0, "above 0"),
        ([ONE], 0, 2, math.nan, "above 0"),
        ([Contender(index=0, part=REFERENCE, losses=[0.1, math.nan])], 0, 2, 0.1, "finite"),
    ],
)
def test_a_race_refuses_what_makes_no_sense(
    field: list[Contender], base: int | None, raced: int, smallest_gain: float, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        decide(field, base, raced, smallest_gain)


def test_a_technique_stays_until_its_verdict_is_clear_if_asked() -> None:
    stopped = Contender(index=0, part=Part.REFERENCE, losses=[0.10, 0.12, 0.11, 0.10, 0.12])
    unclear = Contender(index=1, part=Part.TECHNIQUE, losses=[0.11, 0.12, 0.10, 0.11, 0.12])
    harmful = Contender(index=2, part=Part.TECHNIQUE, losses=[0.30, 0.32, 0.31, 0.30, 0.32])
    best = Contender(index=3, part=Part.CONFIGURATION, losses=[0.05, 0.06, 0.05, 0.06, 0.05])
    field = [stopped, unclear, harmful, best]
    usual = decide(field, reference=0, raced=4, smallest_gain=0.001)
    settling = decide(field, reference=0, raced=4, smallest_gain=0.001, settles_techniques=True)
    assert [drop.index for drop in usual.drops] == [1, 2]
    assert [(drop.index, drop.reason) for drop in settling.drops] == [(2, "clearly harms")]
    assert not settling.is_over
