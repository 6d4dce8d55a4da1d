"""One trial is one Regularization; "off" is a choice of its own; what a user enqueues lies in the space."""

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regsearch.studies.configuration import Regularization, settings_to_enqueue
from regsearch.studies.errors import InputError
from regsearch.studies.search_space import PARAMETERS, enumerate_points, suggest
from regsearch.studies.spec import SpaceSpec, StudySpec

SPACE = SpaceSpec()


def proposals(space: SpaceSpec, count: int = 200) -> list[dict[str, object]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [suggest(study.ask(), space) for _ in range(count)]


def test_every_technique_may_be_off_and_only_then_has_no_strength() -> None:
    seen = proposals(SPACE)
    for params in seen:
        assert ("l1" in params) == (params["regularizer"] in ("l1", "l1_l2"))
        assert ("l2" in params) == (params["regularizer"] in ("l2", "l1_l2"))
        assert ("dropout" in params) == params["use_dropout"]
        assert ("patience" in params) == params["early_stopping"]
        assert list(params) == [name for name in PARAMETERS if name in params]
    assert {params["use_dropout"] for params in seen} == {False, True}
    assert {params["early_stopping"] for params in seen} == {False, True}
    assert {params["regularizer"] for params in seen} == {"none", "l1", "l2", "l1_l2"}


def test_a_technique_that_must_be_on_has_no_gate() -> None:
    space = StudySpec().changed(space={"dropout": {"off": False}, "patience": "off"}).space
    for params in proposals(space, 20):
        assert "use_dropout" not in params
        assert "dropout" in params
        assert "early_stopping" not in params
        assert "patience" not in params


def test_a_trial_is_one_regularization() -> None:
    params = {"regularizer": "l1_l2", "l1": 1e-5, "l2": 1e-4, "use_dropout": True, "dropout": 0.25}
    params |= {"batch_norm": "before_activation", "early_stopping": True, "patience": 3}
    assert Regularization.from_params(params) == Regularization(
        l1=1e-5, l2=1e-4, dropout=0.25, batch_norm="before_activation", patience=3
    )


def test_no_parameters_mean_no_regularization() -> None:
    assert Regularization.from_params({}) == Regularization()
    assert str(Regularization()) == "no regularization"


def test_a_regularization_says_what_it_is() -> None:
    assert (
        str(Regularization(l2=1e-4, dropout=0.25, batch_norm="after_activation", patience=3))
        == "L2 0.0001, dropout 0.25, BatchNorm after activation, early stopping (patience 3)"
    )


@pytest.mark.parametrize(
    ("settings", "params"),
    [
        (["l2=1e-4"], {"regularizer": "l2", "l2": 1e-4}),
        (["l1=1e-5", "l2=1e-4"], {"regularizer": "l1_l2", "l1": 1e-5, "l2": 1e-4}),
        (["l1=1e-5", "regularizer=l1_l2"], {"regularizer": "l1_l2", "l1": 1e-5}),
        (["dropout=0.3"], {"use_dropout": True, "dropout": 0.3}),
        (["dropout=off"], {"use_dropout": False}),
        (["patience=4"], {"early_stopping": True, "patience": 4}),
        (["patience=off"], {"early_stopping": False}),
        (["regularizer=none", "batch_norm=none"], {"regularizer": "none", "batch_norm": "none"}),
        (["use_dropout=true"], {"use_dropout": True}),
    ],
)
def test_settings_open_the_gates_they_need(settings: list[str], params: dict[str, object]) -> None:
    assert settings_to_enqueue(settings, SPACE) == params


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["l2=1"], "invalid l2=1. In this study it must be a number from 1e-07 to 0.01."),
        (["l2=nan"], "invalid l2=nan. In this study it must be a number"),
        (["l2"], "NAME=VALUE"),
        (["momentum=1"], "NAME one of regularizer"),
        (["l2=1e-4", "l2=1e-5"], "each NAME=VALUE once"),
        (
            ["l2=1e-4", "regularizer=none"],
            "^l2=1e-4 contradicts regularizer=none. Give only one of them, or another regularizer.$",
        ),
        (["regularizer=l3"], "invalid regularizer=l3. In this study it must be one of none, l1, l2, l1_l2."),
        (["patience=2.5"], "must be a whole number from 1 to 8"),
        (["patience=9"], "invalid patience=9"),
        (["use_dropout=maybe"], "one of false, true"),
        (["dropout=0.3", "use_dropout=false"], "contradict each other"),
        (["dropout=off", "use_dropout=true"], "contradict each other"),
        (["patience=off", "early_stopping=true"], "contradict each other"),
    ],
)
def test_settings_outside_the_space_are_refused(settings: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        settings_to_enqueue(settings, SPACE)


@pytest.mark.parametrize(
    ("space", "setting", "name"),
    [
        ({"dropout": "off"}, "dropout=0.3", "dropout"),
        ({"dropout": {"off": False}}, "use_dropout=true", "use_dropout"),
        ({"regularizer": ["none", "l1"]}, "l2=1e-4", "l2"),
        ({"patience": "off"}, "patience=3", "patience"),
    ],
)
def test_a_setting_that_the_study_does_not_search_is_refused(space: dict[str, object], setting: str, name: str) -> None:
    message = f"^can't use {setting}: this study does not search {name}. Leave {name} out.$"
    with pytest.raises(InputError, match=message):
        settings_to_enqueue([setting], StudySpec().changed(space=space).space)


def test_a_strength_and_a_regularizer_without_it_contradict_each_other() -> None:
    with pytest.raises(InputError, match=r"^l2=1e-4 contradicts regularizer=l1\. Give"):
        settings_to_enqueue(["l2=1e-4", "regularizer=l1"], SPACE)


def test_off_is_refused_where_the_space_has_no_such_choice() -> None:
    space = StudySpec().changed(space={"dropout": {"off": False}, "patience": {"off": False}}).space
    with pytest.raises(InputError, match=r"^dropout can't be off in this study: space\.dropout does not have"):
        settings_to_enqueue(["dropout=off"], space)
    with pytest.raises(InputError, match=r"^early stopping can't be off .* Give patience a value instead\.$"):
        settings_to_enqueue(["patience=off"], space)


GRID = {
    "regularizer": ["none", "l2"],
    "l2": [1e-4, 1e-3],
    "use_dropout": [False, True],
    "dropout": [0.1, 0.2, 0.3],
    "batch_norm": ["none"],
    "early_stopping": [True],
    "patience": [2],
}


def test_a_grid_has_each_distinct_point_once() -> None:
    points = enumerate_points(GRID, SPACE)
    assert len(points) == (1 + 2) * (1 + 3)
    assert len({tuple(sorted(point.items())) for point in points}) == len(points)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"l2": []}, "list of values of l2"),
        ({"l2": 1e-4}, "list of values of l2"),
        ({"l2": [7.0]}, "invalid l2=7.0"),
        ({"l1": [1e-4]}, "can't use the values of l1: no point of the grid has this parameter. Leave l1 out"),
        ({"momentum": [1]}, "values of momentum"),
    ],
)
def test_a_grid_outside_the_space_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        enumerate_points({**GRID, **change}, SPACE)


def test_a_grid_needs_values_of_every_parameter() -> None:
    with pytest.raises(InputError, match="list of values of batch_norm"):
        enumerate_points({name: values for name, values in GRID.items() if name != "batch_norm"}, SPACE)


@given(st.lists(st.text(max_size=30), max_size=4))
def test_any_settings_are_taken_or_refused(settings: list[str]) -> None:
    try:
        params = settings_to_enqueue(settings, SPACE)
    except InputError:
        return
    assert set(params) <= set(PARAMETERS)
