"""Optuna's study as regsearch uses it: one trial at a time, without `optimize`."""

import copy
import warnings
from collections.abc import Container

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution, json_to_distribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState

from ...studies.errors import SearchSpaceChangedError
from ...studies.trial import Value
from ..tried_configurations import BY_SETTINGS


class OptunaStudy(optuna.study.Study):
    """Optuna's study without `optimize`. A sampler that has nothing left calls `stop`, which sets `exhausted`."""

    exhausted = False
    trials_now: list[FrozenTrial] | None = None

    def stop(self) -> None:
        self.exhausted = True

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        """Return the trials. A pruner gets those that were read just before: reading them again would cost time."""
        if self.trials_now is None or deepcopy:
            return super().get_trials(deepcopy, states)
        return [trial for trial in self.trials_now if states is None or trial.state in states]

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        """Return the trials. The sampler TPE gets them from the cache, without a new read.

        TPE asks for running trials before each parameter. Within a transaction only TPE's own trial changes, and TPE
        ignores that trial (undocumented). So the cache is good enough. A trial that failed because of its settings is
        shown as pruned before its first epoch. Samplers ignore failed trials, but treat such a pruned trial as the
        worst.
        """
        of_tpe = isinstance(self.sampler, TPESampler) and states is not None and TrialState.RUNNING in states
        trials = [_as_seen(trial) for trial in super()._get_trials(False, None, use_cache or of_tpe)]
        chosen = [trial for trial in trials if states is None or trial.state in states]
        return copy.deepcopy(chosen) if deepcopy else chosen


def _as_seen(trial: FrozenTrial) -> FrozenTrial:
    if trial.state is not TrialState.FAIL or BY_SETTINGS not in trial.system_attrs:
        return trial
    seen = copy.copy(trial)
    seen.state, seen.intermediate_values = TrialState.PRUNED, {}
    return seen


def suggest_value(study: OptunaStudy, trial_id: int, name: str, distribution: str, default: Value | None) -> Value:
    """Return the value of a parameter that a running trial asks for. A parameter keeps the value that it got first.

    Args:
        study: Optuna's study with the trial's sampler.
        trial_id: Optuna's id of the trial.
        name: the parameter's name.
        distribution: the parameter's distribution, as Optuna writes it in JSON.
        default: the value to use if the trial has no fixed value for the parameter; if None, the sampler chooses.

    Raises SearchSpaceChangedError if the parameter had another distribution before, in this trial or an earlier one.
    """
    if default is not None:
        given = study._storage.get_trial(trial_id).system_attrs.get("fixed_params", {})
        study._storage.set_trial_system_attr(trial_id, "fixed_params", {name: default, **given})
    # read the trials first: Optuna's cache accepts parameters only for trials that it has read
    trials = study.get_trials(deepcopy=False)
    try:
        wanted = json_to_distribution(distribution)
        known = next((trial.distributions[name] for trial in reversed(trials) if name in trial.distributions), wanted)
        if known != wanted:  # Optuna itself would let each trial have another range
            raise SearchSpaceChangedError(
                f"its search space changed: the parameter {name} is now {wanted}, but was {known}"
            )
        trial = optuna.trial.Trial(study, trial_id)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a default outside its range, which is the HyperModel's choice
            return _suggest(trial, name, wanted)
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:
        reason = " ".join(str(error).split())
        raise SearchSpaceChangedError(f"its search space changed: the parameter {name}: {reason}") from error


def _suggest(trial: optuna.trial.Trial, name: str, wanted: optuna.distributions.BaseDistribution) -> Value:
    match wanted:
        case FloatDistribution():
            return trial.suggest_float(name, wanted.low, wanted.high, step=wanted.step, log=wanted.log)
        case IntDistribution():
            return trial.suggest_int(name, wanted.low, wanted.high, step=wanted.step, log=wanted.log)
        case CategoricalDistribution():
            value: Value = trial.suggest_categorical(name, wanted.choices)  # type: ignore[assignment]
            return value
    raise AssertionError(wanted)
