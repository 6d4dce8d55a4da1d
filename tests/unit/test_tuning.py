"""How well each technique alone was tuned, and which of its strengths are good, by rules over plain values."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from regsearch.studies.analysis.strength_curve import Baseline, Regions, StrengthCurve
from regsearch.studies.analysis.tuning import ALONE, FEWEST_TRIALS, Tuning, points_alone, position_of, spanned, tunings
from regsearch.studies.spec import SpaceSpec

NONE: dict[str, Any] = {"regularizer": "none", "use_dropout": False, "batch_norm": "none", "early_stopping": False}
STOPPED = {"early_stopping": True, "patience": 2}


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A trial as the rules read it."""

    number: int
    params: Mapping[str, Any]
    value: float | None = None
    state: str = "complete"
    metrics: Mapping[str, int | float] = field(default_factory=lambda: {"epochs": 12})
    reason: str | None = None
    recipe: str | None = None


def l1(strength: float, **more: Any) -> dict[str, Any]:
    return {**NONE, "regularizer": "l1", "l1": strength, **more}


def tuned(*trials: Tried, space: SpaceSpec | None = None, maximizes: bool = False) -> dict[str, Tuning]:
    found = tunings(trials, space or SpaceSpec(), maximizes=maximizes)
    return {tuning.technique: tuning for tuning in found}


def trials_of(strengths: list[float]) -> list[Tried]:
    return [Tried(number=number, params=l1(strength), value=0.1) for number, strength in enumerate(strengths)]


def test_every_technique_alone_has_a_fewest() -> None:
    assert set(FEWEST_TRIALS) == set(ALONE)
    assert list(tuned()) == list(ALONE)


def test_trials_with_and_without_early_stopping_count_to_the_technique() -> None:
    of_l1 = [Tried(number=0, params=l1(1e-3), value=0.2), Tried(number=1, params=l1(1e-4, **STOPPED), value=0.1)]
    others = [
        Tried(number=2, params=NONE, value=0.1),
        Tried(number=3, params={**NONE, **STOPPED}, value=0.1),
        Tried(number=4, params=l1(1e-4, use_dropout=True, dropout=0.2), value=0.1),
        Tried(number=5, params=l1(1e-4), state="running"),
        Tried(number=6, params={"units": 64}, value=0.1),
        Tried(number=7, params={**NONE, "regularizer": "l1", "l1": "much"}, value=0.1),
        Tried(number=8, params={**NONE, "batch_norm": "<b>"}, value=0.1),
    ]
    found = tuned(*of_l1, *others)
    assert [attempt.trial for attempt in found["L1"].attempts] == [1, 0], "the smallest strength first"
    assert found["L1"].strengths == (1e-4, 1e-3)
    assert found["early stopping"].strengths == (2.0,)
    assert sum(tuning.trials for tuning in found.values()) == 3


def test_a_technique_is_tuned_by_its_different_trained_strengths() -> None:
    pruned = Tried(number=9, params=l1(1e-6), state="pruned", metrics={"epochs": 3})
    failed = Tried(number=10, params=l1(1e-1), state="failed", metrics={}, reason="diverged at epoch 0")
    repeated = [*trials_of([1e-5, 1e-4, 1e-4, 3e-4, 1e-3]), pruned]
    assert not tuned(*repeated)["L1"].is_tuned
    lost = Tried(number=10, params=l1(1e-1), state="failed", metrics={}, reason="its worker ended")
    assert not tuned(*repeated, lost)["L1"].is_tuned, "what failed otherwise is no trained strength"
    assert tuned(*repeated, failed)["L1"].is_tuned, "a strength that diverges is too strong"
    found = tuned(*repeated, Tried(number=11, params=l1(1e-2), value=0.4), failed)["L1"]
    assert found.is_tuned
    assert (found.trials, len(found.complete), len(found.pruned), len(found.failed)) == (8, 6, 1, 1)
    assert found.pruned_after == (3,)
    assert [attempt.has_diverged for attempt in found.failed] == [True]
    assert found.best is not None
    assert found.best.trial == 0, "the first of equals"


@pytest.mark.parametrize(
    ("strengths", "words"),
    [
        ([], "not tuned: no trial"),
        ([0.01], "not tuned: 1 trial at 0.01"),
        ([0.01, 1e-7], "not tuned: 2 trials at 1e-07 and 0.01"),
        ([0.01, 0.01], "not tuned: 2 trials at 0.01"),
        ([1e-5, 0.01, 1e-7], "not tuned: 3 trials from 1e-07 to 0.01"),
        ([1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 1e-2], "tuned: 6 trials from 1e-06 to 0.01"),
    ],
)
def test_the_tuning_is_told_in_words(strengths: list[float], words: str) -> None:
    assert str(tuned(*trials_of(strengths))["L1"]) == words


def test_each_technique_has_words_for_its_own_strength() -> None:
    pair = {**NONE, "regularizer": "l1_l2", "l1": 1e-5, "l2": 1e-3}
    failed = Tried(number=3, params=l1(0.01), state="failed", reason="diverged at epoch 0")
    found = tuned(
        Tried(number=0, params={**NONE, "batch_norm": "after_activation"}, value=0.1),
        Tried(number=1, params=pair, value=0.1),
        Tried(number=2, params={**NONE, **STOPPED}, value=0.1),
        failed,
    )
    assert str(found["BatchNorm"]) == "not tuned: 1 trial, after activation"
    assert str(found["L1+L2"]) == "not tuned: 1 trial at L1 1e-05 with L2 0.001"
    assert str(found["early stopping"]) == "tuned: 1 trial with patience 2"
    assert str(found["L1"]) == "not tuned: 1 trial at 0.01, which failed"
    assert position_of((1e-5, 1e-3)) == pytest.approx(1e-4)
    assert spanned([(1e-5, 1e-3), (1e-4, 1e-3)]) == "2 pairs"


def space(**keys: Any) -> SpaceSpec:
    return SpaceSpec.model_validate(keys)


@pytest.mark.parametrize(
    ("keys", "points"),
    [
        ({}, {"L1": math.inf, "L1+L2": math.inf, "dropout": math.inf, "BatchNorm": 2, "early stopping": 8}),
        ({"l1": {"low": 1e-3, "high": 1e-3}}, {"L1": 1, "L1+L2": math.inf}),
        ({"regularizer": ["none", "l2"], "dropout": "off"}, {"L1": 0, "L1+L2": 0, "L2": math.inf, "dropout": 0}),
        ({"regularizer": ["l1"]}, {"L1": math.inf, "dropout": 0, "BatchNorm": 0, "early stopping": 0}),
        ({"dropout": {"low": 0.1, "high": 0.5, "off": False}}, {"L1": 0, "dropout": math.inf, "BatchNorm": 0}),
        ({"batch_norm": ["none", "before_activation"], "patience": "off"}, {"BatchNorm": 1, "early stopping": 0}),
    ],
)
def test_a_space_says_how_many_strengths_a_technique_has_alone(keys: dict[str, Any], points: dict[str, float]) -> None:
    of_space = space(**keys)
    assert {technique: points_alone(of_space, technique) for technique in points} == points


def test_no_more_strengths_are_needed_than_the_space_has() -> None:
    narrow = space(l1={"low": 1e-3, "high": 1e-3}, batch_norm=["none", "before_activation"], regularizer=["none", "l1"])
    found = tuned(*trials_of([1e-3]), space=narrow)
    assert found["L1"].fewest == 1
    assert found["L1"].is_tuned
    assert found["BatchNorm"].fewest == 1
    assert not found["BatchNorm"].is_tuned
    assert str(found["L2"]) == "not asked"
    assert not found["L2"].is_asked


def curve_of(
    losses: dict[float, float], level: float | None, spread: float | None = None, **more: Any
) -> StrengthCurve:
    trials = [
        Tried(number=number, params=l1(strength), value=loss) for number, (strength, loss) in enumerate(losses.items())
    ]
    baseline = None if level is None else Baseline(name="no regularization", value=level, spread=spread, seeds=5)
    return StrengthCurve(tuning=tuned(*trials, **more)["L1"], baseline=baseline)


MNIST = {1e-6: 0.1030, 1e-5: 0.0861, 3e-5: 0.0846, 1e-4: 0.0958, 1e-3: 0.190, 1e-2: 0.440}


@pytest.mark.parametrize(
    ("spread", "good", "too_weak_to", "too_strong_from"),
    [
        (None, (1e-5, 3e-5), 1e-6, 1e-4),
        (0.0005, (1e-5, 3e-5), 1e-6, 1e-4),
        (0.1, (1e-5, 3e-5), 1e-6, 1e-4),
    ],
)
def test_good_strengths_keep_most_of_the_gain(
    spread: float | None, good: tuple[float, float], too_weak_to: float, too_strong_from: float
) -> None:
    found = curve_of(MNIST, 0.1057, spread).regions
    assert found == Regions(good=good, too_weak_to=too_weak_to, too_strong_from=too_strong_from)


def test_what_one_seeds_luck_amounts_to_is_not_bad() -> None:
    losses = {1e-5: 0.0906, 3e-5: 0.08, 1e-4: 0.0891, 1e-3: 0.2}
    without, with_luck = (curve_of(losses, 0.1, spread).regions for spread in (None, 0.0095))
    assert without == Regions(good=(3e-5, 3e-5), too_weak_to=1e-5, too_strong_from=1e-4)
    assert with_luck == Regions(good=(3e-5, 1e-4), too_weak_to=1e-5, too_strong_from=1e-3)


def test_where_no_strength_is_better_none_is_good() -> None:
    losses = {1e-4: 0.102, 1e-3: 0.105, 1e-2: 0.2}
    assert curve_of(losses, 0.1).regions is None, "nothing says how much is luck"
    assert curve_of(losses, 0.1, 0.006).regions == Regions(good=None, too_weak_to=None, too_strong_from=1e-2)


def test_regions_need_two_strengths_and_a_baseline() -> None:
    assert curve_of({1e-2: 0.4}, 0.1, 0.01).regions is None
    assert curve_of({}, 0.1).regions is None
    assert curve_of(MNIST, None).regions is None
    assert curve_of(MNIST, None).gain is None


def test_an_objective_that_is_maximized_is_turned_round() -> None:
    accuracies = {strength: 1 - loss for strength, loss in MNIST.items()}
    curve = curve_of(accuracies, 1 - 0.1057, maximizes=True)
    assert curve.tuning.best is not None
    assert curve.tuning.best.strength == 3e-5
    assert curve.gain == pytest.approx(0.0211)
    assert curve.regions == curve_of(MNIST, 0.1057).regions


def test_a_curve_takes_the_best_trial_at_each_strength() -> None:
    trials = [Tried(number=0, params=l1(1e-4), value=0.2), Tried(number=1, params=l1(1e-4, **STOPPED), value=0.1)]
    curve = StrengthCurve(tuning=tuned(*trials)["L1"], baseline=None)
    assert [attempt.trial for attempt in curve.line] == [1]
