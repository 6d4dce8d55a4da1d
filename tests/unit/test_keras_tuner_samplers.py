"""KerasTuner's Bayesian oracle as a sampler: it knows the space and all trials of the study, and nothing else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
import optuna
import pytest
from conftest import Command
from optuna.trial import FrozenTrial, TrialState
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern

from regsearch.search.samplers import sampler_factory
from regsearch.search.samplers.keras_tuner import (
    MOST_MODELLED,
    BayesianOracleSampler,
    _QuickRegressor,
    hyperparameters,
)
from regsearch.studies.errors import InputError, SpaceExhaustedError
from regsearch.studies.search_space import suggest
from regsearch.studies.spec import SpaceSpec, StudySpec

SPACES = {
    "all of it": SpaceSpec(),
    "no gates": SpaceSpec.model_validate({"dropout": {"off": False}, "patience": {"off": False}}),
    "no dropout and no patience": SpaceSpec(dropout="off", patience="off"),
    "one choice": SpaceSpec(regularizer=("l2",), batch_norm=("none",)),
    "no L1": SpaceSpec(regularizer=("l2", "none")),
    "points": SpaceSpec.model_validate({"l1": {"low": 1e-3, "high": 1e-3}, "patience": {"low": 2, "high": 2}}),
}
FINITE = SpaceSpec.model_validate(
    {"regularizer": ["none"], "dropout": "off", "patience": {"low": 1, "high": 3, "off": True}}
)


class _Values:
    """A suggester of given values, which must be asked for each, and for nothing else."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = dict(values)

    def suggest_categorical(self, name: str, choices: Any, /) -> Any:
        assert self.values[name] in choices
        return self.values.pop(name)

    def suggest_float(self, name: str, low: float, high: float, /, *, log: bool = False) -> Any:
        assert low * (1 - 1e-12) <= self.values[name] <= high * (1 + 1e-12)
        return self.values.pop(name)

    suggest_int = suggest_float


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_the_space_is_that_of_all_other_samplers(space: SpaceSpec) -> None:
    for seed in range(1, 30):
        oracle = keras_tuner.oracles.BayesianOptimizationOracle(
            objective=keras_tuner.Objective("x", "min"), hyperparameters=hyperparameters(space), seed=seed
        )
        values = _Values(oracle.populate_space("0")["values"])
        suggest(values, space)
        assert values.values == {}


def ask(sampler: Any, study: optuna.Study, space: SpaceSpec) -> dict[str, Any]:
    study.sampler = sampler
    return suggest(study.ask(), space)


def test_seed_0_is_a_seed() -> None:
    proposed = [
        ask(BayesianOracleSampler(SpaceSpec(), seed, {}), optuna.create_study(), SpaceSpec()) for seed in (0, 0, 1)
    ]
    assert proposed[0] == proposed[1] != proposed[2]


def test_the_random_start_is_kerastuners() -> None:
    oracle = keras_tuner.oracles.BayesianOptimizationOracle(
        objective=keras_tuner.Objective("x", "min"), hyperparameters=hyperparameters(SpaceSpec()), seed=7
    )
    expected = oracle.populate_space("0")["values"]
    assert ask(BayesianOracleSampler(SpaceSpec(), 7, {}), optuna.create_study(), SpaceSpec()) == pytest.approx(expected)


def test_a_tried_point_is_not_drawn_again() -> None:
    study, points = optuna.create_study(), []
    with pytest.raises(SpaceExhaustedError):
        for _ in range(100):  # with one seed, so that each draw would be the same
            sampler = BayesianOracleSampler(FINITE, 1, {"num_initial_points": 100})
            points.append(tuple(sorted(ask(sampler, study, FINITE).items())))
    assert 1 < len(points) == len(set(points)) <= 12


def test_the_oracle_asks_the_quick_regressor(monkeypatch: pytest.MonkeyPatch) -> None:
    predicted: list[int] = []
    predict = _QuickRegressor.predict

    def spy(self: Any, X: Any, **options: Any) -> Any:
        predicted.append(len(X))
        return predict(self, X, **options)

    monkeypatch.setattr(_QuickRegressor, "predict", spy)
    ask(BayesianOracleSampler(SpaceSpec(), 3, {"num_initial_points": 4}), random_study(4, "minimize"), SpaceSpec())
    assert len(predicted) > 100


PARAMS = {"regularizer": "none", "use_dropout": False, "batch_norm": "none", "early_stopping": False}


def a_trial(number: int, state: TrialState, value: float | None = None, **changes: Any) -> FrozenTrial:
    distribution = optuna.distributions.CategoricalDistribution((None, False, True))
    trial = FrozenTrial(
        number=number,
        trial_id=number,
        state=state,
        value=value,
        datetime_start=None,
        datetime_complete=None,
        params={**PARAMS, **changes.pop("params", {})},
        distributions=dict.fromkeys(PARAMS, distribution),
        user_attrs={},
        system_attrs={},
        intermediate_values=changes.pop("reported", {}),
    )
    assert not changes
    return trial


@pytest.mark.parametrize(
    ("trial", "status", "score"),
    [
        (a_trial(1, TrialState.COMPLETE, 0.3), "COMPLETED", 0.3),
        (a_trial(1, TrialState.COMPLETE, float("nan")), "FAILED", None),
        (a_trial(1, TrialState.PRUNED, reported={0: 0.9, 1: 0.5, 2: 0.6}), "COMPLETED", 0.5),
        (a_trial(1, TrialState.PRUNED), "FAILED", None),
        (a_trial(1, TrialState.FAIL), "FAILED", None),
        (a_trial(1, TrialState.RUNNING), "RUNNING", None),
    ],
)
def test_how_the_oracle_knows_a_trial(trial: FrozenTrial, status: str, score: float | None) -> None:
    known = BayesianOracleSampler(SpaceSpec(), 0, {})._as_known(trial, "min")
    assert known.status == status
    assert known.hyperparameters.values == PARAMS
    if score is not None:
        assert known.score == score


def test_the_best_of_a_pruned_trial_is_its_largest_accuracy() -> None:
    trial = a_trial(1, TrialState.PRUNED, reported={0: 0.5, 1: 0.9, 2: 0.6})
    assert BayesianOracleSampler(SpaceSpec(), 0, {})._as_known(trial, "max").score == 0.9


@pytest.mark.parametrize(
    "trial",
    [
        a_trial(1, TrialState.WAITING),
        a_trial(1, TrialState.COMPLETE, 0.3, params={"regularizer": "l2"}),
        a_trial(1, TrialState.COMPLETE, 0.3, params={"regularizer": "l2", "l2": 5.0}),
        a_trial(1, TrialState.COMPLETE, 0.3, params={"regularizer": "l2", "l2": "strong"}),
        a_trial(1, TrialState.COMPLETE, 0.3, params={"regularizer": "l3"}),
    ],
)
def test_the_oracle_does_not_know_what_is_not_of_this_space(trial: FrozenTrial) -> None:
    assert BayesianOracleSampler(SpaceSpec(), 0, {})._as_known(trial, "min") is None


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the Gaussian process was given at each ask: the rows, and their scores."""
    seen: list[Any] = []
    oracle = keras_tuner.oracles.BayesianOptimizationOracle
    populate = oracle.populate_space

    def spy(self: Any, trial_id: str) -> Any:
        seen.append(self._vectorize_trials())
        return populate(self, trial_id)

    monkeypatch.setattr(oracle, "populate_space", spy)
    return seen


def random_study(count: int, direction: str) -> optuna.Study:
    study = optuna.create_study(direction=direction)
    for number in range(count):
        ask(optuna.samplers.RandomSampler(seed=number), study, SpaceSpec())
        study.tell(number, 0.08 + 0.001 * (number * 7 % 11))
    return study


@pytest.mark.parametrize(("direction", "sign"), [("minimize", 1), ("maximize", -1)])
def test_a_running_trial_counts_with_a_score_that_the_model_expects(
    direction: str, sign: int, asked: list[Any]
) -> None:
    study = random_study(6, direction)
    sampler = BayesianOracleSampler(SpaceSpec(), 3, {"num_initial_points": 4})
    running = ask(sampler, study, SpaceSpec())
    after = ask(sampler, study, SpaceSpec())
    rows, scores = asked[1]
    assert rows.shape == (7, 8)
    assert sign * scores[:6].mean() == pytest.approx(0.085, abs=0.003)
    assert 0.07 < sign * scores[6] < 0.1  # a model that was not fitted would expect 0 ± 1
    assert after != running


def test_of_many_trials_the_best_and_an_even_part_are_modelled(asked: list[Any]) -> None:
    study = random_study(2 * MOST_MODELLED, "minimize")
    ask(BayesianOracleSampler(SpaceSpec(), 3, {}), study, SpaceSpec())
    scores = sorted(asked[0][1])
    assert len(scores) == MOST_MODELLED
    assert scores[: MOST_MODELLED // 2] == sorted(trial.value for trial in study.trials[:-1])[: MOST_MODELLED // 2]
    assert scores[-1] > 0.0895


def test_the_quick_regressor_predicts_what_scikit_learns_does() -> None:
    luck = np.random.default_rng(0)
    rows = luck.random((40, 8))
    scores = np.sin(3 * rows).sum(axis=1)
    options: dict[str, Any] = {"kernel": Matern(nu=2.5), "alpha": 1e-4, "normalize_y": True, "optimizer": None}
    quick, plain = (kind(**options).fit(rows, scores) for kind in (_QuickRegressor, GaussianProcessRegressor))
    for row in (luck.random((5, 8)), rows[:1]):
        for found, expected in zip(quick.predict(row, True), plain.predict(row, True), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    assert _QuickRegressor(**options).predict(rows, return_std=True)[1] == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("keras-tuner:bayes", {}, "Did you mean keras-tuner:bayesian"),
        ("keras-tuner:hyperband", {}, "unknown sampler"),
        ("keras-tuner:random", {}, "'keras-tuner:random' was removed. Use random or qmc"),
        ("keras-tuner:grid", {}, "'keras-tuner:grid' was removed. Use grid, which"),
        (
            "keras-tuner:bayesian",
            {"tune_new_entries": True},
            r"are num_initial_points, alpha, beta\. Leave out tune_new_entries",
        ),
        ("keras-tuner:bayesian", {"seed": 3}, "all seeds derive from search.seed"),
        ("keras-tuner:bayesian", {"num_initial_points": 2.5}, "must be a whole number from 1 to 200, but is 2.5"),
        ("keras-tuner:bayesian", {"num_initial_points": 0}, "but is 0"),
        ("keras-tuner:bayesian", {"num_initial_points": MOST_MODELLED + 1}, "but is 201"),
        ("keras-tuner:bayesian", {"alpha": 0}, "above 0"),
        ("keras-tuner:bayesian", {"alpha": True}, "but is True"),
        ("keras-tuner:bayesian", {"beta": "much"}, "but is 'much'"),
    ],
)
def test_what_an_oracle_does_not_take_is_refused(name: str, options: dict[str, Any], message: str) -> None:
    spec = StudySpec().changed(search={"sampler": name, "sampler_options": options})
    with pytest.raises(InputError, match=message) as error:
        sampler_factory(spec)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_kerastuner_leaves_no_folder_and_tensorflow_says_nothing(regsearch: Command, tmp_path: Path) -> None:
    """The command's own process proposes; nothing of KerasTuner's or TensorFlow's is left or shown."""
    settings = ["--set", "search.sampler=keras-tuner:bayesian", "--set", "search.sampler_options={}"]
    done = regsearch("run", "smoke", "--trials", "2", "--workers", "1", *settings, "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name.split(".db")[0] for path in tmp_path.iterdir()} == {"regsearch"}
    assert not list(tmp_path.rglob("*oracle*")) + list(tmp_path.rglob("trial.json"))
