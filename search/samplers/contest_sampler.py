"""Optuna samplers that propose the configurations of a contest (see `studies/contest/proposals.py`).

One is for the built-in network, the other for HyperModels.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from ...studies.configuration import Regularization, is_regularization, params_of
from ...studies.contest.proposals import Contest, Entry
from ...studies.errors import SpaceExhaustedError
from ...studies.recipes import DEFAULTS
from ...studies.trial import DIVERGED
from .point_sampler import PointSampler, within

_POINT_ATTR = "regsearch:contest_point"


class ContestSampler(PointSampler):
    """Proposes the contest's next configuration for the built-in network.

    Args:
        contest: the study's contest.
        for_enqueued: the sampler that draws the values that an enqueued trial does not fix.
    """

    def __init__(self, contest: Contest, for_enqueued: BaseSampler) -> None:
        super().__init__(for_enqueued)
        self._contest = contest

    def next_point(self, study: Study, trial: FrozenTrial) -> Mapping[str, Any]:
        """Return the parameters of the next configuration. Raises SpaceExhaustedError if none is left."""
        settings = self._contest.propose(trial.number, entries_before(study, trial))
        if settings is None:
            raise SpaceExhaustedError(is_certain=False)  # a contest does not propose every configuration
        return params_of(settings, self._contest.space)


class HyperModelContestSampler(BaseSampler):
    """Proposes the contest's next configuration for a HyperModel that asks only for the parameters of regularization.

    The trial with the HyperModel's default values shows which parameters the HyperModel asks for. Until that trial
    has finished, another sampler proposes configurations. The other sampler also serves HyperModels that ask for other
    parameters.

    A HyperModel asks for its values one by one. So the whole configuration is chosen once and stored with the trial.

    Args:
        contest: the study's contest.
        otherwise: the other sampler.
    """

    def __init__(self, contest: Contest, otherwise: BaseSampler) -> None:
        self._contest, self._otherwise = contest, otherwise
        self._point: Mapping[str, Any] | None = None

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Choose a configuration, or read the stored one. Raises SpaceExhaustedError if none is left."""
        self._point = trial.system_attrs.get(_POINT_ATTR)
        if self._point is None and "fixed_params" not in trial.system_attrs and not trial.params:
            self._point = self._choose_point(study, trial)
        if self._point is None:
            self._otherwise.before_trial(study, trial)

    def _choose_point(self, study: Study, trial: FrozenTrial) -> Mapping[str, Any] | None:
        trials = study.get_trials(deepcopy=False)
        defaults = next((t for t in trials if t.user_attrs.get("recipe") == DEFAULTS and t.state.is_finished()), None)
        if defaults is None or not is_regularization(defaults.params):
            return None
        settings = self._contest.propose(trial.number, entries_before(study, trial))
        if settings is None:
            raise SpaceExhaustedError(is_certain=False)  # a contest does not propose every configuration
        point = params_of(settings, self._contest.space)
        study._storage.set_trial_system_attr(trial._trial_id, _POINT_ATTR, point)
        return point

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters that the other sampler draws together; return none if the contest has chosen."""
        return {} if self._point is not None else self._otherwise.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the values that the other sampler draws together; return none if the contest has chosen."""
        return {} if self._point is not None else self._otherwise.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return the value that the contest chose, or a value that the other sampler draws."""
        if self._point is not None and param_name in self._point:
            return within(self._point[param_name], param_distribution)
        return self._otherwise.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Pass the trial's result to the other sampler."""
        self._otherwise.after_trial(study, trial, state, values)


def entries_before(study: Study, trial: FrozenTrial) -> list[Entry]:
    """Return the contest's entries of all earlier trials that are running or have a loss."""
    sign = -1 if study.direction == StudyDirection.MAXIMIZE else 1
    entries = []
    for past in study.get_trials(deepcopy=False):
        # a running trial of a HyperModel may not have asked for all of its values yet
        params = past.params if past.state.is_finished() else {**past.system_attrs.get(_POINT_ATTR, {}), **past.params}
        is_candidate = past.number < trial.number and past.state != TrialState.WAITING and is_regularization(params)
        loss = _loss(past, sign)
        if is_candidate and (loss is not None or past.state == TrialState.RUNNING):
            entries.append(Entry(settings=Regularization.from_params(params), loss=loss))
    return entries


def _loss(past: FrozenTrial, sign: int) -> float | None:
    """Return a trial's loss for `Entry`: infinite if the trial was pruned or diverged; None if it has no loss."""
    if past.state == TrialState.COMPLETE and past.value is not None:
        return sign * past.value
    has_infinite_loss = past.state == TrialState.PRUNED or past.user_attrs.get("reason", "").startswith(DIVERGED)
    return math.inf if has_infinite_loss else None
