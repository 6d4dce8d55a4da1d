"""Optuna's study as the store uses it: outside `optimize`, one trial at a time."""

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
    """Optuna's study, outside `optimize`: a sampler that has nothing left says so by calling stop."""

    exhausted = False
    trials_now: list[FrozenTrial] | None = None

    def stop(self) -> None:
        self.exhausted = True

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        """Return the trials; to a pruner those that were read just before it was asked, which costs less."""
        if self.trials_now is None or deepcopy:
            return super().get_trials(deepcopy, states)
        return [trial for trial in self.trials_now if states is None or trial.state in states]

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        """Return the trials; to TPE, which asks for those that run before each parameter, as they were at the first.

        Within one transaction nothing changes but its own trial, which it leaves out (undocumented). A trial that
        failed because of its settings is shown as pruned before its first epoch: samplers leave out what failed, and
        of what was pruned that is the worst.
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
    """Return the value of one more parameter of a trial that runs; what it has already is given again.

    Args:
        study: with the trial's sampler.
        trial_id: Optuna's.
        name, distribution: of the parameter; the distribution as Optuna writes it in JSON.
        default: its value where the trial was begun with none for it; None: the sampler is asked.

    Raises RefusedError where it had another distribution before, in this trial or in an earlier one.
    """
    if default is not None:
        given = study._storage.get_trial(trial_id).system_attrs.get("fixed_params", {})
        study._storage.set_trial_system_attr(trial_id, "fixed_params", {name: default, **given})
    # Optuna's cache takes parameters only of trials that it has read
    trials = study.get_trials(deepcopy=False)
    wanted = json_to_distribution(distribution)
    there = next((trial.distributions[name] for trial in reversed(trials) if name in trial.distributions), wanted)
    if there != wanted:  # of ranges, Optuna lets each trial have its own
        raise SearchSpaceChangedError(
            f"its search space changed: the parameter {name} is now {wanted}, but was {there}"
        )
    trial = optuna.trial.Trial(study, trial_id)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a default outside its own range: it is what the HyperModel says
            return _ask(trial, name, wanted)
    except (ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise SearchSpaceChangedError(f"its search space changed: the parameter {name}: {reason}") from error


def _ask(trial: optuna.trial.Trial, name: str, wanted: optuna.distributions.BaseDistribution) -> Value:
    match wanted:
        case FloatDistribution():
            return trial.suggest_float(name, wanted.low, wanted.high, step=wanted.step, log=wanted.log)
        case IntDistribution():
            return trial.suggest_int(name, wanted.low, wanted.high, step=wanted.step, log=wanted.log)
        case CategoricalDistribution():
            value: Value = trial.suggest_categorical(name, wanted.choices)  # type: ignore[assignment]
            return value
    raise AssertionError(wanted)
