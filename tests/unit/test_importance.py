"""Importance finds the technique that matters, agrees with Optuna's, and says nothing where there is nothing to say."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest

from regsearch.studies.analysis.importance import (
    BEST_PART,
    FEWEST_COMPLETE,
    FEWEST_TRIALS,
    Importances,
    divergences,
    importances,
)
from regsearch.studies.records import TrialRecord
from regsearch.studies.search_space import suggest
from regsearch.studies.spec import StudySpec

SPEC = StudySpec()


def record(number: int, params: dict[str, Any], value: float | None, state: str = "complete") -> TrialRecord:
    return TrialRecord(
        number=number,
        state=state,
        value=value,
        params=params,
        metrics={},
        reason=None,
        weights_sha256=None,
        started_at=None,
        ended_at=None,
    )


def tried(count: int, value: Callable[[dict[str, Any]], float], spec: StudySpec = SPEC) -> list[TrialRecord]:
    """Trials at random settings of the space, with values of a rule and a little noise."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    noise = np.random.default_rng(5)
    found = [suggest(study.ask(), spec.space) for _ in range(count)]
    return [record(index, params, value(params) + 0.1 * noise.standard_normal()) for index, params in enumerate(found)]


def shares(found: Importances) -> dict[str, float]:
    return {importance.technique: importance.share for importance in found.techniques}


def of_dropout(params: dict[str, Any]) -> float:
    return -1.0 if 0.2 <= params.get("dropout", 0) <= 0.4 else 0.0


def of_batch_norm_and_a_little_l2(params: dict[str, Any]) -> float:
    return -(params["batch_norm"] == "before_activation") - 0.3 * (params.get("l2", 0) > 1e-4)


@pytest.mark.parametrize("count", [60, 400])
def test_the_technique_that_matters_has_nearly_all_of_it(count: int) -> None:
    found = importances(SPEC, tried(count, of_dropout))
    assert found.reason is None
    assert found.techniques[0].technique == "dropout"
    assert found.techniques[0].share > 0.9  # without what chance adds taken away, 0.81 of 60 trials
    assert {importance.technique for importance in found.techniques} == {
        *("L1", "L2", "dropout", "BatchNorm", "early stopping")
    }
    assert sum(shares(found).values()) == pytest.approx(1)
    for importance in found.techniques:
        assert 0 <= importance.low <= importance.share <= importance.high <= 1


def test_techniques_that_do_nothing_get_no_share() -> None:
    found = importances(SPEC, tried(200, of_dropout))
    assert found.techniques[0].low > 0.8  # 0.78 if the resamples' own luck counted


def test_being_off_counts_as_a_setting() -> None:
    found = importances(SPEC, tried(300, lambda params: -1.0 if params["early_stopping"] else 0.0))
    assert found.techniques[0].technique == "early stopping"
    assert found.techniques[0].low > 0.6


def test_more_trials_narrow_the_interval() -> None:
    few, many = (importances(SPEC, tried(count, of_batch_norm_and_a_little_l2)).techniques[0] for count in (60, 1500))
    assert few.technique == many.technique == "BatchNorm"
    assert many.high - many.low < (few.high - few.low) / 2


def test_where_nothing_matters_no_technique_is_known_to() -> None:
    found = importances(SPEC, tried(200, lambda params: 0.0))
    assert all(importance.low < 0.1 for importance in found.techniques)


def test_accuracy_is_better_where_it_is_higher() -> None:
    spec = SPEC.changed(search={"objective": "accuracy"})
    trials = tried(200, of_dropout)
    upside_down = [record(trial.number, dict(trial.params), -(trial.value or 0)) for trial in trials]
    assert importances(spec, upside_down) == importances(SPEC, trials)
    assert importances(spec, trials) != importances(SPEC, trials)


def test_failed_and_infinite_trials_do_not_count() -> None:
    trials = tried(80, of_dropout)
    found = importances(SPEC, trials)
    others = [record(91, {}, None, "failed"), record(92, {"regularizer": "none"}, float("-inf"))]
    assert importances(SPEC, [*others, *trials[::-1]]) == found
    other = importances(SPEC.changed(search={"seed": 1}), trials)
    assert shares(other) == shares(found)
    assert other != found


def pruned(trials: list[TrialRecord], kept: int) -> list[TrialRecord]:
    """All but the best are pruned, with the value of the epoch at which that was."""
    ranked = sorted(trials, key=lambda trial: trial.value or 0.0)
    return ranked[:kept] + [record(t.number, dict(t.params), 9.0, "pruned") for t in ranked[kept:]]


def test_a_pruned_trial_counts_as_none_of_the_best() -> None:
    trials = tried(200, of_batch_norm_and_a_little_l2)
    found = shares(importances(SPEC, trials))
    assert found["L2"] > 0
    assert shares(importances(SPEC, pruned(trials, kept=150))) == found
    assert shares(importances(SPEC, pruned(trials, kept=150)[:60])) != found  # what was pruned tells something
    assert shares(importances(SPEC, pruned(trials, kept=30)))["BatchNorm"] > 0.5  # best are the better half of 30


def test_too_few_trials_give_a_reason() -> None:
    trials = pruned(tried(FEWEST_TRIALS, of_dropout), kept=FEWEST_COMPLETE)
    assert importances(SPEC, trials).techniques
    needs = "importance needs at least 25 complete or pruned trials, at least 10 of them complete; this study has "
    assert importances(SPEC, trials[:-1]) == Importances(techniques=(), reason=f"{needs}24, 10 of them complete")
    trials = pruned(tried(FEWEST_TRIALS, of_dropout), kept=FEWEST_COMPLETE - 1)
    assert importances(SPEC, trials) == Importances(techniques=(), reason=f"{needs}25, 9 of them complete")


def test_a_space_without_choices_gives_a_reason() -> None:
    space = {"regularizer": ["none"], "dropout": "off", "batch_norm": ["none"], "patience": "off"}
    spec = SPEC.changed(space=space)
    found = importances(spec, tried(30, lambda params: 0.0, spec))
    assert not found.techniques
    assert "tried with more than one setting" in str(found.reason)


def test_equal_values_give_a_reason() -> None:
    trials = [record(trial.number, dict(trial.params), 1.0) for trial in tried(40, of_dropout)]
    found = importances(SPEC, trials)
    assert not found.techniques
    assert "only by chance" in str(found.reason)


def test_a_technique_that_is_always_on_is_judged_by_its_strength() -> None:
    spec = SPEC.changed(space={"dropout": {"off": False}, "patience": "off"})
    found = importances(spec, tried(200, of_dropout, spec))
    assert found.techniques[0].technique == "dropout"
    assert "early stopping" not in shares(found)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_the_divergence_is_that_of_optuna() -> None:
    """On choices without Optuna's smoothing, whose evaluator also scales by the square of the best part."""
    random, study = np.random.default_rng(0), optuna.create_study()
    sizes = {"a": 2, "b": 3, "c": 6}
    choices = {name: random.integers(size, size=150) for name, size in sizes.items()}
    values = 0.7 * random.standard_normal(150) + choices["a"] - 0.4 * choices["b"]
    order = values.argsort()
    for index in order:
        study.add_trial(
            optuna.create_trial(
                params={name: int(column[index]) for name, column in choices.items()},
                distributions={
                    name: optuna.distributions.CategoricalDistribution(range(size)) for name, size in sizes.items()
                },
                value=float(values[index]),
            )
        )
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=BEST_PART)
    evaluator._prior_weight = 1e-12
    theirs = evaluator.evaluate(study)
    bins = np.concatenate([np.eye(size)[choices[name][order]] for name, size in sizes.items()], axis=1)
    ours, _ = divergences(np.ones(150), values[order], bins, np.repeat([0, 1, 2], list(sizes.values())))
    assert ours * BEST_PART**2 == pytest.approx([theirs[name] for name in sizes], rel=1e-6)


def test_a_best_part_drawn_blindly_has_the_divergence_that_is_taken_away() -> None:
    random = np.random.default_rng(0)
    bins = np.eye(5)[random.choice(5, size=100, p=[0.4, 0.3, 0.15, 0.1, 0.05])]
    values, ones, owner = np.arange(100.0), np.ones(100), np.zeros(5, dtype=np.int64)
    found = [divergences(ones, values, random.permutation(bins), owner) for _ in range(3000)]
    seen = np.array([divergence[0] for divergence, _ in found])
    assert seen.mean() == pytest.approx(found[0][1][0], abs=4 * seen.std() / len(seen) ** 0.5)


def test_trials_that_are_as_good_as_the_last_of_the_best_belong_to_them() -> None:
    values = np.array([0.0, 1, 1, 1, 2, 2, 2, 2, 2, 2])
    bins = np.eye(2)[[0, 0, 0, 0, 1, 1, 1, 1, 1, 1]]
    divergence, by_chance = divergences(np.ones(10), values, bins, np.zeros(2, dtype=np.int64))
    assert divergence[0] == pytest.approx(1 / 0.4 - 1)
    assert by_chance[0] == pytest.approx((10 - 4) / (4 * 9))


def test_ten_thousand_trials_take_half_a_second() -> None:
    trials = [
        record(number, dict(trial.params), trial.value) for number, trial in enumerate(tried(500, of_dropout) * 20)
    ]
    started = time.process_time()
    importances(SPEC, trials)
    assert time.process_time() - started < 1.5  # it took 0.3 s; machines differ
