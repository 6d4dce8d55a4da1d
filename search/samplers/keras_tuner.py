"""An Optuna sampler that uses KerasTuner's Bayesian optimization.

For each trial, the sampler creates KerasTuner's oracle again from the study's trials. So a resumed search proposes the
same configurations as a search without interruption, and KerasTuner needs no project directory.

Importing KerasTuner imports TensorFlow without starting it. So `search.samplers.factory` imports this module only if a
study uses this sampler.

KerasTuner and scikit-learn have no public interface for the following, so this module uses private names. Tests in
tests/unit/test_keras_tuner_samplers.py check each use:

- `Oracle.trials`, `ongoing_trials` and `_tried_so_far` (with `_compute_values_hash`) are set to the study's trials.
  Otherwise an oracle only knows the trials that it ran itself. Tests: test_a_tried_point_is_not_drawn_again,
  test_a_running_trial_counts_with_a_score_that_the_model_expects.
- `BayesianOptimizationOracle._vectorize_trials` returns the rows to which the model is fitted. The fitted model then
  estimates the scores of running trials. Test: test_a_running_trial_counts_with_a_score_that_the_model_expects.
- `BayesianOptimizationOracle.gpr` is replaced by a faster regressor. Test: test_the_oracle_asks_the_quick_regressor.
- `GaussianProcessRegressor._y_train_std` and `_y_train_mean` scale the predictions of that regressor back. Test:
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
"""The Gaussian process is fitted to at most this number of trials. A fit's time grows with the cube of the number."""

_OBJECTIVE = "select"
_OPTIONS: Mapping[str, tuple[Callable[[float], bool], str]] = {
    "num_initial_points": (
        lambda value: value in range(1, MOST_MODELLED + 1),
        f"a whole number from 1 to {MOST_MODELLED}",
    ),
    "alpha": (lambda value: value > 0, "a number above 0"),
    "beta": (lambda value: value >= 0, "a number, at least 0"),
}


def check_options(options: Mapping[str, Any]) -> None:
    """Raise InputError if a study can't set an option of the oracle, or if the option's value is wrong."""
    for option, value in options.items():
        if option not in _OPTIONS:
            raise InputError(
                f"the sampler 'keras-tuner:bayesian' has no option {option}: its sampler_options are "
                f"{', '.join(_OPTIONS)}. Leave out {option}."
            )
        is_allowed, allowed = _OPTIONS[option]
        if isinstance(value, bool) or not isinstance(value, int | float) or not is_allowed(value):
            raise InputError(
                f"{option} of the sampler 'keras-tuner:bayesian' must be {allowed}, but is {value!r}. Correct it."
            )


def hyperparameters(space: SpaceSpec) -> Any:
    """Return KerasTuner's HyperParameters with the names, ranges and conditions of `search_space.suggest`."""
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
    """Proposes configurations by KerasTuner's Bayesian optimization: a Gaussian process and a lower confidence bound.

    The oracle learns from the study's trials, except those outside this space:

    - The score of a complete trial is its value.
    - The score of a pruned trial is the best value that it reported. KerasTuner does the same if its own callbacks end
      a trial early.
    - A failed trial counts as failed, and a running trial as ongoing.

    If more than MOST_MODELLED trials have a score, the model uses only this number of trials. One half of them are the
    best trials. The other half are evenly spaced among the rest.

    Args:
        space: the study's search space.
        seed: the trial's seed.
        options: the oracle's options, which must pass `check_options`.
    """

    def __init__(self, space: SpaceSpec, seed: int, options: Mapping[str, Any]) -> None:
        super().__init__(for_enqueued=RandomSampler(seed=seed))
        self._space = hyperparameters(space)
        self._seed = seed or 2**32 - 1  # KerasTuner replaces a seed of 0 by a random one
        self._options = options

    def next_point(self, study: optuna.Study, trial: FrozenTrial) -> Mapping[str, Any]:
        """Return the values that the oracle proposes.

        Raises SpaceExhaustedError if the oracle stops. The oracle stops after it has drawn, 21 times in a row, a point
        that was already tried.
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
            # one thread gives the same bits on any number of cores, and leaves the other cores to the workers
            warnings.simplefilter("ignore")  # scikit-learn warns if a fitted parameter lies at a bound
            self._set_study_trials(oracle, known)
            values: dict[str, Any] | None = oracle.populate_space(str(len(others)))["values"]
        if values is None:
            raise SpaceExhaustedError(is_certain=False)
        return values

    def _set_study_trials(self, oracle: Any, trials: Sequence[Any]) -> None:
        """Make the study's trials known to the oracle."""
        scored = _select_trials(_with_status(trials, TrialStatus.COMPLETED), oracle.objective.direction)
        failed, ongoing = _with_status(trials, TrialStatus.FAILED), _with_status(trials, TrialStatus.RUNNING)
        if ongoing and len(scored) >= (oracle.num_initial_points or 3 * len(self._space.space)):
            # KerasTuner estimates the scores of ongoing trials with its previous fit, which a new oracle lacks
            _set_trials(oracle, scored)
            oracle.gpr.fit(*oracle._vectorize_trials())
        _set_trials(oracle, [*scored, *failed, *ongoing])

    def _as_known(self, trial: FrozenTrial, direction: str) -> Any:
        """Return a trial as KerasTuner's Trial; None if the oracle can learn nothing from the trial."""
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
        """Return the values of a trial's active parameters; None if a value is missing or outside this space."""
        hps = self._with_values({})
        for hp in self._space.space:
            if not hps.is_active(hp):
                continue
            value = params.get(hp.name)
            if not _has_value(hp, value):
                return None
            hps.values[hp.name] = value
        values: dict[str, Any] = hps.values
        return values

    def _with_values(self, values: dict[str, Any]) -> Any:
        hps = copy.copy(self._space)  # the space itself never changes, so all trials share it
        hps.values = values
        return hps


class _QuickRegressor(GaussianProcessRegressor):
    """scikit-learn's regressor with a faster `predict`.

    Before each trial, KerasTuner predicts ten thousand rows, one at a time. For a single row, the original `predict`
    spends ten times as long on checks as on the computation.
    """

    def predict(self, X: Any, return_std: bool = False, return_cov: bool = False) -> Any:
        """Return the mean and standard deviation that scikit-learn predicts for each row, as two arrays (n_rows,)."""
        if not return_std or not hasattr(self, "L_"):
            return super().predict(X, return_std=return_std, return_cov=return_cov)
        covariance = self.kernel_(X, self.X_train_)
        mean = self._y_train_std * (covariance @ self.alpha_) + self._y_train_mean
        explained = solve_triangular(self.L_, covariance.T, lower=True, check_finite=False)
        variance = np.maximum(self.kernel_.diag(X) - np.sum(explained**2, axis=0), 0)
        return mean, self._y_train_std * np.sqrt(variance)


def _has_value(hp: Any, value: Any) -> bool:
    if hasattr(hp, "min_value"):
        return isinstance(value, int | float) and bool(hp.min_value <= value <= hp.max_value)
    return value in hp.values


def _with_status(trials: Iterable[Any], status: str) -> list[Any]:
    return [trial for trial in trials if trial.status == status]


def _select_trials(trials: Sequence[Any], direction: str) -> list[Any]:
    """Return at most MOST_MODELLED trials, in their order: half are the best, half are evenly spaced among the rest."""
    if len(trials) <= MOST_MODELLED:
        return list(trials)
    sign, half = -1 if direction == "max" else 1, MOST_MODELLED // 2
    best = {id(trial) for trial in sorted(trials, key=lambda trial: sign * trial.score)[:half]}
    others = [trial for trial in trials if id(trial) not in best]
    rest = MOST_MODELLED - half
    spaced = {id(others[index * len(others) // rest]) for index in range(rest)}
    return [trial for trial in trials if id(trial) in best | spaced]


def _set_trials(oracle: Any, trials: Iterable[Any]) -> None:
    """Replace the trials that an oracle knows."""
    oracle.trials = {trial.trial_id: trial for trial in trials}
    oracle.ongoing_trials = {
        trial_id: trial for trial_id, trial in oracle.trials.items() if trial.status == TrialStatus.RUNNING
    }
    oracle._tried_so_far = {
        oracle._compute_values_hash(trial.hyperparameters.values) for trial in oracle.trials.values()
    }
