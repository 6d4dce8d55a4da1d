"""KerasTuner's hyperparameters drawn by Optuna, held against KerasTuner's own."""

import warnings
from collections.abc import Callable
from typing import Any

import keras_tuner
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras_tuner.engine.hyperparameters import Choice, Float, Int
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution, json_to_distribution

from regsearch.search.training.hypermodel.hyperparameters import OptunaHyperParameters, as_parameter, known
from regsearch.studies.trial import Value

Declare = Callable[[Any], Any]


def asked(declare: Declare, seed: int) -> tuple[OptunaHyperParameters, optuna.Trial]:
    """What a HyperModel gets from a random sampler."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    trial = study.ask()

    def suggest(name: str, distribution: str, default: Value) -> Value:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a step that no decimal number is
            value: Value = trial._suggest(name, json_to_distribution(distribution))
            return value

    hp = OptunaHyperParameters(suggest)
    declare(hp)
    return hp, trial


def steps(lowest: int) -> st.SearchStrategy[Any]:
    return st.none() | st.integers(lowest, 7)


@st.composite
def parameters(draw: st.DrawFn) -> Declare:
    """Declare one parameter, as a HyperModel does."""
    kind = draw(st.sampled_from(["Int", "Float", "Choice", "Boolean", "Fixed"]))
    name = draw(st.sampled_from("abcdefgh"))
    if kind == "Choice":
        values = draw(
            st.lists(st.integers(-3, 3), min_size=1, max_size=5)
            | st.lists(st.sampled_from(["x", "y", "z"]), min_size=1)
            | st.lists(st.sampled_from([0.5, 1.5]), min_size=1)
        )
        return lambda hp: hp.Choice(name, values)
    if kind == "Boolean":
        default = draw(st.booleans())
        return lambda hp: hp.Boolean(name, default=default)
    if kind == "Fixed":
        return lambda hp: hp.Fixed(name, 3)
    sampling = draw(st.sampled_from(["linear", "log", "reverse_log"]))
    low, more = draw(st.integers(1 if sampling != "linear" else -9, 9)), draw(st.integers(0, 90))
    step = draw(steps(1 if sampling == "linear" else 2))
    scale = 1 if kind == "Int" else draw(st.sampled_from([1, 0.1, 0.37]))
    if step is not None and sampling == "linear" and kind == "Float":
        step *= scale
    return lambda hp: getattr(hp, kind)(name, low * scale, (low + more) * scale, step=step, sampling=sampling)


@st.composite
def spaces(draw: st.DrawFn) -> Declare:
    """Declare some, one under the other."""
    declared = draw(st.lists(parameters(), min_size=1, max_size=5))
    gate = draw(st.booleans())
    scoped = draw(st.lists(parameters(), max_size=3))

    def declare(hp: Any) -> None:
        for one in declared:
            one(hp)
        hp.Boolean("gate")
        with hp.conditional_scope("gate", [gate]), hp.name_scope("inner"):
            for one in scoped:
                one(hp)
        hp.Int("last", 1, 9, parent_name="gate", parent_values=[not gate])

    return declare


def is_allowed(hp: Any, value: Any) -> bool:
    """Whether KerasTuner itself could give the value."""
    if isinstance(hp, Int | Float) and hp.step is None:
        return type(value) is (int if isinstance(hp, Int) else float) and hp.min_value <= value <= hp.max_value
    allowed = [int(one) for one in hp.values] if isinstance(hp, Int) else list(hp.values)
    return value == hp.default or value in allowed


@given(spaces(), st.integers(0, 10**6))
@settings(max_examples=300, deadline=None)
def test_names_values_and_what_is_active_are_as_in_kerastuner(declare: Declare, seed: int) -> None:
    hp, _ = asked(declare, seed)
    reference = keras_tuner.HyperParameters()
    reference.values = dict(hp.values)
    declare(reference)
    assert [one.get_config() for one in hp.space] == [one.get_config() for one in reference.space]
    assert hp.values == reference.values
    first: dict[str, Any] = {}
    for one in hp.space:
        if hp.is_active(one):
            first.setdefault(one.name, one)
    assert set(first) == set(hp.values)
    assert all(is_allowed(one, hp.values[name]) for name, one in first.items())


@given(spaces(), st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_a_trials_parameters_give_the_same_values_again(declare: Declare, seed: int) -> None:
    hp, trial = asked(declare, seed)
    again = OptunaHyperParameters(known(trial.params))
    declare(again)
    assert again.values == hp.values


@pytest.mark.parametrize(
    ("hp", "distribution", "name"),
    [
        (Int("n", 32, 512, step=32), IntDistribution(32, 512, step=32), "n"),
        (Int("n", 6, 13, step=3), IntDistribution(6, 12, step=3), "n"),
        (Int("n", 2, 32, step=2, sampling="log"), CategoricalDistribution([2, 4, 8, 16, 32]), "n"),
        (Int("n", 1, 99, sampling="log"), IntDistribution(1, 99, log=True), "n"),
        (Float("x", 1e-4, 1e-2, sampling="log"), FloatDistribution(1e-4, 1e-2, log=True), "x"),
        (Float("x", 0.5, 0.95, sampling="reverse_log"), FloatDistribution(0.5, 0.95, log=True), "1.45 − x"),
        (Float("x", 0, 1), FloatDistribution(0, 1), "x"),
        (Choice("c", ["a", "b", "a"]), CategoricalDistribution(["a", "b"]), "c"),
    ],
)
def test_each_type_becomes_the_distribution_that_says_the_same(hp: Any, distribution: Any, name: str) -> None:
    parameter = as_parameter(hp)
    assert (parameter.distribution, parameter.name) == (distribution, name)


def test_reverse_log_draws_more_near_the_upper_end() -> None:
    values = [asked(lambda hp: hp.Float("x", 0.01, 1, sampling="reverse_log"), seed)[0]["x"] for seed in range(300)]
    exact = [Float("x", 0.01, 1, sampling="reverse_log").prob_to_value((n + 0.5) / 300) for n in range(300)]
    assert sorted(values)[150] == pytest.approx(sorted(exact)[150], abs=0.05)
    assert max(values) <= 1


@pytest.mark.parametrize(
    ("hp", "message"),
    [
        (
            Float("x", 1, 1e9, step=1.001, sampling="log"),
            "x has 20,734 values with its step of 1.001. Leave",
        ),
        (Int("n", 0, 2**60), r"n has values beyond 2\*\*53"),
    ],
)
def test_what_optuna_cannot_draw_is_said(hp: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_parameter(hp)


def test_an_inactive_or_fixed_parameter_is_not_asked_for() -> None:
    def declare(hp: Any) -> None:
        hp.Choice("kind", ["mlp"])
        hp.Fixed("batch", 32)
        with hp.conditional_scope("kind", ["cnn"]):
            assert hp.Int("filters", 8, 64) is None
        assert "filters" not in hp

    hp, trial = asked(declare, 0)
    assert trial.params == {"kind": "mlp"}
    assert hp.values == {"kind": "mlp", "batch": 32}


def test_a_hypermodel_that_is_not_tunable_has_its_defaults() -> None:
    class Mine(keras_tuner.HyperModel):
        def build(self, hp: Any) -> Any:
            return hp.Int("units", 8, 64, default=16)

    hp = OptunaHyperParameters(known({}))
    assert Mine(tunable=False).build(hp) == 16
