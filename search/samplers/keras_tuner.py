"""KerasTuner's search algorithms as Optuna samplers: before each ask an oracle is made anew from the study's trials.

So a resumed search proposes what it would have, and KerasTuner keeps no project folder. Importing KerasTuner imports
TensorFlow, without starting it: `search.samplers.samplers` imports this module only for a study that asks for it.
"""

import copy
import json
import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras_tuner
import numpy as np
import optuna
import threadpoolctl
from keras_tuner.engine.trial import Trial, TrialStatus
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial, TrialState
from scipy.linalg import solve_triangular
from sklearn.gaussian_process import GaussianProcessRegressor

from regsearch.search.samplers.point_sampler import KeyOf, PointSampler, key_of_settings, tried_keys
from regsearch.studies.errors import InputError, SpaceExhaustedError
from regsearch.studies.search_space import dimensions
from regsearch.studies.spec import SpaceSpec, StudySpec
from regsearch.studies.techniques.dimension import Dimension

MOST_MODELLED = 200
"""Trials that the Gaussian process is fitted to, whose time grows with their number's cube."""

_GRID_ATTR = "regsearch:keras_tuner_grid_point"
_OBJECTIVE = "select"
_BAYESIAN_OPTIONS: Mapping[str, tuple[Callable[[float], bool], str]] = {
    "num_initial_points": (lambda value: value in range(1, MOST_MODELLED + 1), f"1 to {MOST_MODELLED}, whole"),
    "alpha": (lambda value: value > 0, "above 0"),
    "beta": (lambda value: value >= 0, "0 or above"),
}


def make_sampler(
    name: str, options: Mapping[str, Any], spec: StudySpec, seed_of: Callable[[int], int]
) -> Callable[[int], PointSampler]:
    """Return what makes the sampler `keras-tuner:…` for a trial's number.

    Raises InputError for an option that its oracle doesn't have, or that the study decides.
    """
    kind = name.partition(":")[2]
    known = _BAYESIAN_OPTIONS if kind == "bayesian" else {}
    for option, value in options.items():
        if option not in known:
            there_are = f"its sampler_options are {', '.join(known)}" if known else "it has no sampler_options"
            raise InputError(
                f"the sampler {name} takes no {option}: {there_are}; leave out {option}, all else the study decides"
            )
        is_allowed, allowed = known[option]
        if isinstance(value, bool) or not isinstance(value, int | float) or not is_allowed(value):
            raise InputError(f"{option} of the sampler {name} is a number, {allowed}; given was {value!r}")
    sampler = {"random": RandomOracleSampler, "bayesian": BayesianOracleSampler, "grid": GridOracleSampler}[kind]
    key_of = key_of_settings(spec)
    return lambda number: sampler(spec.space, seed_of(number), options, key_of)


def hyperparameters(space: SpaceSpec) -> Any:
    """Return a space as KerasTuner's HyperParameters: the names, ranges and conditions of `search_space.suggest`."""
    hp = keras_tuner.HyperParameters()
    for dimension in dimensions(space):
        if dimension.parent is None:
            _declare(hp, dimension)
        else:
            with hp.conditional_scope(dimension.parent, list(dimension.parent_values)):
                _declare(hp, dimension)
    return hp


def _declare(hp: Any, dimension: Dimension) -> None:
    name = dimension.name
    if dimension.kind == "float":
        hp.Float(name, dimension.low, dimension.high, sampling="log" if dimension.is_log else "linear")
    elif dimension.kind == "int":
        hp.Int(name, int(dimension.low), int(dimension.high))
    elif set(dimension.choices) == {False, True}:
        hp.Boolean(name)
    else:
        hp.Choice(name, list(dimension.choices))


class _OracleSampler(PointSampler):
    """Asks an oracle that was told of all trials before.

    A complete trial is told with its value. A pruned one too, with the best value it reported: so KerasTuner itself
    scores a trial that its own callbacks end early. A failed one is told as failed, a running one as ongoing; one
    that isn't of this space is left out.
    """

    oracle_class: Any
    is_certain = False  # that there is no other point, where the oracle stops

    def __init__(self, space: SpaceSpec, seed: int, options: Mapping[str, Any], key_of: KeyOf | None = None) -> None:
        super().__init__(for_enqueued=RandomSampler(seed=seed))
        self._space = hyperparameters(space)
        self._key_of = key_of
        self._seed = seed or 2**32 - 1  # KerasTuner takes 0 for "any"
        self._options = options

    def next_point(self, study: optuna.Study, trial: FrozenTrial) -> Mapping[str, Any]:
        """Return the oracle's next values; raises SpaceExhaustedError where it stops."""
        direction = "max" if study.direction is optuna.study.StudyDirection.MAXIMIZE else "min"
        oracle = self.oracle_class(
            objective=keras_tuner.Objective(_OBJECTIVE, direction),
            max_trials=None,
            hyperparameters=self._space,
            seed=self._seed,
            **self._options,
        )
        past = [one for one in study.get_trials(deepcopy=False) if one.number != trial.number]
        told = [one for one in (self._told(one, direction) for one in past) if one is not None]
        with threadpoolctl.threadpool_limits(1), warnings.catch_warnings():
            # one thread gives the same bits on any number of cores, and leaves the others to the workers
            warnings.simplefilter("ignore")  # scikit-learn's about a fit at its bounds
            values = self._ask(oracle, told, past)
        if values is None:
            raise SpaceExhaustedError(is_certain=self.is_certain)
        return self._taken(study, trial, values)

    def _ask(self, oracle: Any, told: Sequence[Any], past: Sequence[FrozenTrial]) -> dict[str, Any] | None:
        _tell(oracle, told)
        values: dict[str, Any] | None = oracle.populate_space(str(len(past)))["values"]
        return values

    def _taken(self, study: optuna.Study, trial: FrozenTrial, values: dict[str, Any]) -> dict[str, Any]:
        return values

    def _told(self, trial: FrozenTrial, direction: str) -> Any:
        """Return a trial in KerasTuner's words; None where there is nothing to tell of it."""
        values = None if trial.state is TrialState.WAITING else self._values(trial.params)
        if values is None:
            return None
        told = Trial(self._with_values(values), trial_id=str(trial.number), status=TrialStatus.FAILED)
        if trial.state is TrialState.RUNNING:
            told.status = TrialStatus.RUNNING
        elif trial.state is TrialState.COMPLETE:
            told.score = trial.value
        elif trial.state is TrialState.PRUNED:
            told.score = (max if direction == "max" else min)(trial.intermediate_values.values(), default=None)
        if told.score is not None and math.isfinite(told.score):
            told.status = TrialStatus.COMPLETED
        return told

    def _values(self, params: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return a trial's active values; None where one is missing or is none of this space."""
        hps = self._with_values({})
        for hp in self._space.space:
            if not hps.is_active(hp):
                continue
            value = params.get(hp.name)
            if not _is_of(hp, value):
                return None
            hps.values[hp.name] = value
        values: dict[str, Any] = hps.values
        return values

    def _with_values(self, values: dict[str, Any]) -> Any:
        hps = copy.copy(self._space)  # the space itself never changes, so all trials share it
        hps.values = values
        return hps


class RandomOracleSampler(_OracleSampler):
    """KerasTuner's random search: no point twice; after 21 draws in a row of tried points it stops."""

    oracle_class = keras_tuner.oracles.RandomSearchOracle


class BayesianOracleSampler(_OracleSampler):
    """KerasTuner's Bayesian optimization: a Gaussian process and a lower confidence bound.

    Beyond MOST_MODELLED finished trials it models the best half of so many, and of the others an even part.
    """

    oracle_class = keras_tuner.oracles.BayesianOptimizationOracle

    def _ask(self, oracle: Any, told: Sequence[Any], past: Sequence[FrozenTrial]) -> dict[str, Any] | None:
        oracle.gpr = _QuickRegressor(**oracle.gpr.get_params(deep=False))
        modelled = _modelled([one for one in told if one.status == TrialStatus.COMPLETED], oracle.objective.direction)
        ongoing = [one for one in told if one.status == TrialStatus.RUNNING]
        if ongoing and len(modelled) >= (oracle.num_initial_points or 3 * len(self._space.space)):
            # an oracle that lives on guesses the ongoing trials' scores by the fit of its last ask
            _tell(oracle, modelled)
            oracle.gpr.fit(*oracle._vectorize_trials())
        _tell(oracle, [*modelled, *(one for one in told if one.status == TrialStatus.FAILED), *ongoing])
        values: dict[str, Any] | None = oracle.populate_space(str(len(past)))["values"]
        return values


class GridOracleSampler(_OracleSampler):
    """KerasTuner's grid search: each number range is its lower end and ten values between; each point once."""

    oracle_class = keras_tuner.oracles.GridSearchOracle
    is_certain = True

    def _ask(self, oracle: Any, told: Sequence[Any], past: Sequence[FrozenTrial]) -> dict[str, Any] | None:
        _tell(oracle, told)
        points = [one.system_attrs[_GRID_ATTR] for one in past if _GRID_ATTR in one.system_attrs]
        tried = tried_keys(past, self._key_of)
        number = 0
        if points:
            self._go_on_from(oracle, f"point {number}", json.loads(points[-1]), is_first=True)
        while True:
            number += 1
            values: dict[str, Any] | None = oracle.populate_space(f"point {number}")["values"]
            is_repeated = values is not None and self._key_of is not None and self._key_of(values) in tried
            if values is None or not (is_repeated or oracle._duplicate(values)):
                return values
            self._go_on_from(oracle, f"point {number}", values)

    def _go_on_from(self, oracle: Any, trial_id: str, values: dict[str, Any], *, is_first: bool = False) -> None:
        """Let the oracle propose next what follows on a point in its order."""
        oracle.trials[trial_id] = Trial(self._with_values(values), trial_id=trial_id, status=TrialStatus.COMPLETED)
        oracle.start_order.append(trial_id)
        oracle._populate_next.append(trial_id)
        if is_first:
            oracle._ordered_ids.insert(trial_id)

    def _taken(self, study: optuna.Study, trial: FrozenTrial, values: dict[str, Any]) -> dict[str, Any]:
        study._storage.set_trial_system_attr(trial._trial_id, _GRID_ATTR, json.dumps(values))
        return values


class _QuickRegressor(GaussianProcessRegressor):
    """scikit-learn's regressor, whose `predict` checks a row for ten times as long as it computes with it.

    KerasTuner asks it for ten thousand rows, one at a time, before each trial.
    """

    def predict(self, X: Any, return_std: bool = False, return_cov: bool = False) -> Any:
        """Return mean and standard deviation, (n_rows,) each, as scikit-learn computes them."""
        if not return_std or not hasattr(self, "L_"):
            return super().predict(X, return_std=return_std, return_cov=return_cov)
        covariance = self.kernel_(X, self.X_train_)
        mean = self._y_train_std * (covariance @ self.alpha_) + self._y_train_mean
        explained = solve_triangular(self.L_, covariance.T, lower=True, check_finite=False)
        variance = np.maximum(self.kernel_.diag(X) - np.sum(explained**2, axis=0), 0)
        return mean, self._y_train_std * np.sqrt(variance)


def _is_of(hp: Any, value: Any) -> bool:
    if hasattr(hp, "min_value"):
        return isinstance(value, int | float) and bool(hp.min_value <= value <= hp.max_value)
    return value in hp.values


def _modelled(trials: Sequence[Any], direction: str) -> list[Any]:
    """Return at most MOST_MODELLED trials, by number: the best half of so many, and of the others an even part."""
    if len(trials) <= MOST_MODELLED:
        return list(trials)
    sign, half = -1 if direction == "max" else 1, MOST_MODELLED // 2
    best = {id(one) for one in sorted(trials, key=lambda one: sign * one.score)[:half]}
    others = [one for one in trials if id(one) not in best]
    rest = MOST_MODELLED - half
    even = {id(others[index * len(others) // rest]) for index in range(rest)}
    return [one for one in trials if id(one) in best | even]


def _tell(oracle: Any, trials: Iterable[Any]) -> None:
    """Make these the trials that an oracle knows."""
    oracle.trials = {trial.trial_id: trial for trial in trials}
    oracle.ongoing_trials = {
        trial_id: trial for trial_id, trial in oracle.trials.items() if trial.status == TrialStatus.RUNNING
    }
    oracle._tried_so_far = {
        oracle._compute_values_hash(trial.hyperparameters.values) for trial in oracle.trials.values()
    }
