"""The learning rate as a parameter of the space: asked for last, no technique, the same for all that don't tune it."""

from typing import Any

import keras_tuner
import optuna
import pytest
from pydantic import ValidationError

from regsearch.search.samplers.keras_tuner import hyperparameters
from regsearch.studies.analysis.finalists import choose
from regsearch.studies.analysis.importance import importances
from regsearch.studies.configuration import HyperparameterValues, Regularization, configuration_of, settings_to_enqueue
from regsearch.studies.errors import InputError
from regsearch.studies.recipes import RECIPES, initial_recipes
from regsearch.studies.records import TrialRecord
from regsearch.studies.search_space import LEARNING_RATE, PARAMETERS, enumerate_points, suggest
from regsearch.studies.spec import StudySpec

RANGE = {"low": 1e-4, "high": 1e-2}
SPEC = StudySpec().changed(space={"learning_rate": RANGE})
NONE = {"regularizer": "none", "batch_norm": "none", "use_dropout": False, "early_stopping": False}


def proposals(spec: StudySpec, count: int = 50) -> list[dict[str, Any]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [suggest(study.ask(), spec.space) for _ in range(count)]


def record(number: int, params: dict[str, Any], value: float) -> TrialRecord:
    return TrialRecord(
        number=number, state="complete", value=value, params=params, metrics={"epochs": 3.0}, reason=None,
        weights_sha256=None, started_at=None, ended_at=None,
    )  # fmt: skip


def test_it_is_asked_for_last_so_that_no_other_parameter_changes() -> None:
    seen = proposals(SPEC)
    for params in seen:
        assert list(params)[-1] == LEARNING_RATE == PARAMETERS[-1]
        assert 1e-4 <= params[LEARNING_RATE] <= 1e-2
    first = {name: value for name, value in seen[0].items() if name != LEARNING_RATE}
    assert first == proposals(StudySpec(), 1)[0]


def test_a_study_that_does_not_search_it_keeps_its_fingerprint() -> None:
    assert "space.learning_rate" not in StudySpec().identity()
    older = StudySpec.from_json('{"spec_version": 1}')
    assert older.space == StudySpec().space
    assert older.space.learning_rate == "fixed"
    assert SPEC.fingerprint() != StudySpec().fingerprint()
    assert not any(LEARNING_RATE in params for params in proposals(StudySpec()))


@pytest.mark.parametrize(
    "among",
    [
        {"low": 0.0},
        {"low": -1e-3},
        {"low": 0.1},
        {"low": float("nan")},
        {"high": float("inf")},
        {"high": 1e7},
        0.1,
        "off",
    ],
    ids=str,
)
def test_a_range_that_is_none_is_refused(among: Any) -> None:
    with pytest.raises(ValidationError, match="learning_rate"):
        StudySpec().changed(space={"learning_rate": among})


def test_a_hypermodel_with_a_searched_learning_rate_is_refused() -> None:
    with pytest.raises(ValidationError, match="can't be searched with model") as refused:
        SPEC.changed(model={"hypermodel": "mine.py:build"})
    assert "\n" not in refused.value.errors()[0]["msg"]


def test_it_is_no_technique_but_other_settings() -> None:
    slow, fast = (Regularization(l2=1e-4, learning_rate=rate) for rate in (5e-4, 5e-3))
    assert slow != fast
    assert (slow.technique, slow.complexity) == ("L2", 1)
    assert str(slow) == "L2 0.0001, learning rate 0.0005"
    bare = Regularization(learning_rate=1e-3)
    assert (bare.technique, bare.complexity, str(bare)) == (None, 0, "no regularization, learning rate 0.001")
    assert bare.rate_in(SPEC.training) == Regularization().rate_in(SPEC.training) == 1e-3
    assert fast.rate_in(SPEC.training) == 5e-3


def test_a_hypermodels_own_learning_rate_is_another_parameter() -> None:
    assert configuration_of({**NONE, LEARNING_RATE: 2e-3}) == Regularization(learning_rate=2e-3)
    assert isinstance(configuration_of({**NONE, "learning_rate": 2e-3}), HyperparameterValues)


def test_a_user_fixes_it_by_its_short_name() -> None:
    for name in ("learning_rate", LEARNING_RATE):
        assert settings_to_enqueue([f"{name}=1e-3", "dropout=0.3"], SPEC.space) == {
            LEARNING_RATE: 1e-3,
            "use_dropout": True,
            "dropout": 0.3,
        }
    with pytest.raises(InputError, match=r"^invalid learning_rate=1. .* a number from 0.0001 to 0.01.$"):
        settings_to_enqueue(["learning_rate=1"], SPEC.space)
    with pytest.raises(InputError, match=r"^can't use learning_rate=0.001: this study does not search learning_rate"):
        settings_to_enqueue(["learning_rate=0.001"], StudySpec().space)
    with pytest.raises(InputError, match="each NAME=VALUE once"):
        settings_to_enqueue(["learning_rate=1e-3", f"{LEARNING_RATE}=1e-3"], SPEC.space)


@pytest.mark.parametrize(("own", "expected"), [(1e-3, 1e-3), (0.5, 1e-2), (1e-6, 1e-4)])
def test_a_recipe_takes_the_learning_rate_of_the_study(own: float, expected: float) -> None:
    spec = SPEC.changed(training={"learning_rate": own}, search={"sampler": "tpe", "recipes": ["course", "ladder"]})
    found = initial_recipes(spec)
    assert len(found) == len({recipe.name for recipes in RECIPES.values() for recipe in recipes})
    assert {params[LEARNING_RATE] for params in found.values()} == {expected}
    without = initial_recipes(spec.changed(space={"learning_rate": "fixed"}))
    assert {name: {**params, LEARNING_RATE: expected} for name, params in without.items()} == found


def test_a_grid_lists_its_values() -> None:
    values = {"regularizer": ["none", "l2"], "l2": [1e-4], "use_dropout": [False], "batch_norm": ["none"]}
    values |= {"early_stopping": [False]}
    points = enumerate_points({**values, "learning_rate": [1e-4, 1e-3, 1e-2]}, SPEC.space)
    assert len(points) == 2 * 3
    assert {point[LEARNING_RATE] for point in points} == {1e-4, 1e-3, 1e-2}
    with pytest.raises(InputError, match=r"list of values of learning_rate\. .* \{ learning_rate = "):
        enumerate_points(values, SPEC.space)
    with pytest.raises(InputError, match="values of learning_rate: no point of the grid has this parameter"):
        enumerate_points({**values, "learning_rate": [1e-3]}, StudySpec().space)


def test_the_space_of_kerastuner_has_it() -> None:
    space = hyperparameters(SPEC.space)
    oracle = keras_tuner.oracles.RandomSearchOracle(
        objective=keras_tuner.Objective("x", "min"), hyperparameters=space, seed=1
    )
    values = oracle.populate_space("0")["values"]
    assert 1e-4 <= values[LEARNING_RATE] <= 1e-2
    assert LEARNING_RATE not in hyperparameters(StudySpec().space).values


def test_the_baselines_of_a_confirmation_have_their_own_best_learning_rate() -> None:
    trials = [
        record(0, {**NONE, LEARNING_RATE: 1e-3}, 0.4),
        record(1, {**NONE, LEARNING_RATE: 5e-3}, 0.3),
        record(2, {**NONE, "regularizer": "l2", "l2": 1e-4, LEARNING_RATE: 2e-3}, 0.2),
    ]
    found = choose(trials, SPEC.changed(confirm={"top": 3}))
    roles = {role: finalist for finalist in found for role in finalist.roles}
    assert roles["baseline: none"].params == trials[1].params
    assert roles["baseline: early stopping alone"].settings == Regularization(patience=2, learning_rate=1e-3)
    assert [finalist.trial for finalist in found if finalist.is_baseline] == [1]
    (untried, *_) = choose(trials[2:], SPEC)
    assert untried.settings == Regularization(learning_rate=1e-3)
    assert untried.is_baseline


def test_importance_counts_it_beside_the_techniques() -> None:
    trials = [
        record(number, params, abs(params[LEARNING_RATE] - 1e-3)) for number, params in enumerate(proposals(SPEC, 200))
    ]
    found = importances(SPEC, trials).techniques
    assert found[0].technique == "learning rate"
    assert found[0].share > 0.8
