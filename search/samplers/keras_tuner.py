"""KerasTuner's Bayesian optimization as an Optuna sampler: each ask makes its oracle anew from the study's trials.

So a resumed search proposes what it would have, and KerasTuner keeps no project directory. Importing KerasTuner imports
TensorFlow without starting it, so `search.samplers.factory` imports this module only for a study that asks for it.

KerasTuner and scikit-learn have no public way to do these, so private names are used (the tests are in
tests/unit/test_keras_tuner_samplers.py):

- `Oracle.trials`, `ongoing_trials` and `_tried_so_far` with `_compute_values_hash` are set to the study's trials. An
  oracle otherwise learns of trials only by running them: test_a_tried_point_is_not_drawn_again,
  test_a_running_trial_counts_with_a_score_that_the_model_expects.
- `BayesianOptimizationOracle._vectorize_trials` gives the rows to fit the model to, before running trials are scored by
  it: test_a_running_trial_counts_with_a_score_that_the_model_expects.
- `BayesianOptimizationOracle.gpr` is replaced by a quicker regressor: test_the_oracle_asks_the_quick_regressor.
- `GaussianProcessRegressor._y_train_std` and `_y_train_mean` scale that regressor's predictions back:
  test_the_quick_regressor_predicts_what_scikit_learns_does.
"""

import copy
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

from ...studies.errors import InputError, SpaceExhaustedError
from ...studies.search_space import dimensions
from ...studies.spec import SpaceSpec
from ...studies.techniques.dimension import Dimension
from .point_sampler import PointSampler

MOST_MODELLED = 200
"""Trials that the Gaussian process is fitted to: its time grows with the cube of their number."""

_OBJECTIVE = "select"
_OPTIONS: Mapping[str, tuple[Callable[[float], bool], str]] = {
    "num_initial_points": (lambda value: value in range(1, MOST_MODELLED + 1), f"1 to {MOST_MODELLED}, whole"),
    "alpha": (lambda value: value > 0, "above 0"),
    "beta": (lambda value: value >= 0, "0 or above"),
}


def check_options(options: Mapping[str, Any]) -> None:
    """Raise InputError for an option that the oracle doesn't have, or that the study decides."""
    for option, value in options.items():
        if option not in _OPTIONS:
            raise InputError(
                f"the sampler keras-tuner:bayesian takes no {option}: its sampler_options are {', '.join(_OPTIONS)}; "
                f"leave out {option}, the study decides all else."
            )
        is_allowed, allowed = _OPTIONS[option]
        if isinstance(value, bool) or not isinstance(value, int | float) or not is_allowed(value):
            raise InputError(
                f"{option} of the sampler keras-tuner:bayesian is a number, {allowed}; given was {value!r}."
            )


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


class BayesianOracleSampler(PointSampler):
    """KerasTuner's Bayesian optimization: a Gaussian process and a lower confidence bound.

    The oracle gets a complete trial with its value, and a pruned one with the best value it reported: so KerasTuner
    scores a trial that its own callbacks end early. A failed trial counts as failed, a running one as ongoing. A trial
    outside this space is left out. Of more than MOST_MODELLED complete trials, the model sees the best half of so many
    and an even part of the others.

    Args:
        space: of the study.
        seed: of the trial.
        options: of the oracle, by `check_options`.
    """

    def __init__(self, space: SpaceSpec, seed: int, options: Mapping[str, Any]) -> None:
        super().__init__(for_enqueued=RandomSampler(seed=seed))
        self._space = hyperparameters(space)
        self._seed = seed or 2**32 - 1  # KerasTuner takes 0 for "any"
        self._options = options

    def next_point(self, study: optuna.Study, trial: FrozenTrial) -> Mapping[str, Any]:
        """Return the oracle's next values.

        Raises SpaceExhaustedError if it stops, as it does after 21 draws in a row of tried points.
        """
        direction = "max" if study.direction is optuna.study.StudyDirection.MAXIMIZE else "min"
        oracle = keras_tuner.oracles.BayesianOptimizationOracle(
            objective=keras_tuner.Objective(_OBJECTIVE, direction),
            max_trials=None,
            hyperparameters=self._space,
            seed=self._seed,
            **self._options,
        )
        oracle.gpr = _QuickRegressor(**oracle.gpr.get_params(deep=False))
        others = [other for other in study.get_trials(deepcopy=False) if other.number != trial.number]
        known = [known for known in (self._as_known(other, direction) for other in others) if known is not None]
        with threadpoolctl.threadpool_limits(1), warnings.catch_warnings():
            # one thread gives the same bits on any number of cores, and leaves the others to the workers
            warnings.simplefilter("ignore")  # scikit-learn's about a fit at its bounds
            self._teach(oracle, known)
            values: dict[str, Any] | None = oracle.populate_space(str(len(others)))["values"]
        if values is None:
            raise SpaceExhaustedError(is_certain=False)
        return values

    def _teach(self, oracle: Any, trials: Sequence[Any]) -> None:
        """Give the oracle the study's trials, in KerasTuner's words."""
        modelled = _modelled(_of_status(trials, TrialStatus.COMPLETED), oracle.objective.direction)
        failed, ongoing = _of_status(trials, TrialStatus.FAILED), _of_status(trials, TrialStatus.RUNNING)
        if ongoing and len(modelled) >= (oracle.num_initial_points or 3 * len(self._space.space)):
            # an oracle that lives on guesses the ongoing trials' scores by the fit of its last ask
            _set_trials(oracle, modelled)
            oracle.gpr.fit(*oracle._vectorize_trials())
        _set_trials(oracle, [*modelled, *failed, *ongoing])

    def _as_known(self, trial: FrozenTrial, direction: str) -> Any:
        """Return a trial in KerasTuner's words; None if the oracle has nothing to learn from it."""
        values = None if trial.state is TrialState.WAITING else self._values(trial.params)
        if values is None:
            return None
        known = Trial(self._with_values(values), trial_id=str(trial.number), status=TrialStatus.FAILED)
        if trial.state is TrialState.RUNNING:
            known.status = TrialStatus.RUNNING
        elif trial.state is TrialState.COMPLETE:
            known.score = trial.value
        elif trial.state is TrialState.PRUNED:
            known.score = (max if direction == "max" else min)(trial.intermediate_values.values(), default=None)
        if known.score is not None and math.isfinite(known.score):
            known.status = TrialStatus.COMPLETED
        return known

    def _values(self, params: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return a trial's active values; None if one is missing or outside this space."""
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


class _QuickRegressor(GaussianProcessRegressor):
    """scikit-learn's regressor with a quick `predict`: the original checks a row for ten times as long as it computes.

    KerasTuner asks for ten thousand rows, one at a time, before each trial.
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


def _of_status(trials: Iterable[Any], status: str) -> list[Any]:
    return [trial for trial in trials if trial.status == status]


def _modelled(trials: Sequence[Any], direction: str) -> list[Any]:
    """Return at most MOST_MODELLED trials, by number: the best half of so many, and an even part of the others."""
    if len(trials) <= MOST_MODELLED:
        return list(trials)
    sign, half = -1 if direction == "max" else 1, MOST_MODELLED // 2
    best = {id(trial) for trial in sorted(trials, key=lambda trial: sign * trial.score)[:half]}
    others = [trial for trial in trials if id(trial) not in best]
    rest = MOST_MODELLED - half
    even = {id(others[index * len(others) // rest]) for index in range(rest)}
    return [trial for trial in trials if id(trial) in best | even]


def _set_trials(oracle: Any, trials: Iterable[Any]) -> None:
    """Make these the trials that an oracle knows."""
    oracle.trials = {trial.trial_id: trial for trial in trials}
    oracle.ongoing_trials = {
        trial_id: trial for trial_id, trial in oracle.trials.items() if trial.status == TrialStatus.RUNNING
    }
    oracle._tried_so_far = {
        oracle._compute_values_hash(trial.hyperparameters.values) for trial in oracle.trials.values()
    }
