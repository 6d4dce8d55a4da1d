"""The contest (`studies/contest/proposals.py`) as an Optuna sampler, for the built-in network and for HyperModels."""

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
        contest: of the study.
        for_enqueued: proposes the values that an enqueued trial leaves open.
    """

    def __init__(self, contest: Contest, for_enqueued: BaseSampler) -> None:
        super().__init__(for_enqueued)
        self._contest = contest

    def next_point(self, study: Study, trial: FrozenTrial) -> Mapping[str, Any]:
        """Return the parameters of the next configuration; raises SpaceExhaustedError if none is left."""
        settings = self._contest.propose(trial.number, entries_before(study, trial))
        if settings is None:
            raise SpaceExhaustedError(is_certain=False)  # configurations that no contest proposes may be left
        return params_of(settings, self._contest.space)


class HyperModelContestSampler(BaseSampler):
    """Proposes the contest's next configuration for a HyperModel that asks for a study's space and for nothing else.

    The parameters of the trial with the HyperModel's defaults show whether it does. Before that trial has finished,
    and for other HyperModels, another sampler proposes. A trial asks for its values one by one, so its configuration
    is decided once and stored with it.

    Args:
        contest: of the study.
        otherwise: the other sampler.
    """

    def __init__(self, contest: Contest, otherwise: BaseSampler) -> None:
        self._contest, self._otherwise = contest, otherwise
        self._point: Mapping[str, Any] | None = None

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Decide on the configuration, or read the stored one; raises SpaceExhaustedError if none is left."""
        self._point = trial.system_attrs.get(_POINT_ATTR)
        if self._point is None and "fixed_params" not in trial.system_attrs and not trial.params:
            self._point = self._decide(study, trial)
        if self._point is None:
            self._otherwise.before_trial(study, trial)

    def _decide(self, study: Study, trial: FrozenTrial) -> Mapping[str, Any] | None:
        trials = study.get_trials(deepcopy=False)
        defaults = next((t for t in trials if t.user_attrs.get("recipe") == DEFAULTS and t.state.is_finished()), None)
        if defaults is None or not is_regularization(defaults.params):
            return None
        settings = self._contest.propose(trial.number, entries_before(study, trial))
        if settings is None:
            raise SpaceExhaustedError(is_certain=False)  # configurations that no contest proposes may be left
        point = params_of(settings, self._contest.space)
        study._storage.set_trial_system_attr(trial._trial_id, _POINT_ATTR, point)
        return point

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return what the other sampler draws together; nothing if the contest decides."""
        return {} if self._point is not None else self._otherwise.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return what the other sampler draws together; nothing if the contest decides."""
        return {} if self._point is not None else self._otherwise.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return the value that the contest decided on, or the value that the other sampler draws."""
        if self._point is not None and param_name in self._point:
            return within(self._point[param_name], param_distribution)
        return self._otherwise.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Pass the result to the other sampler."""
        self._otherwise.after_trial(study, trial, state, values)


def entries_before(study: Study, trial: FrozenTrial) -> list[Entry]:
    """Return the trials that started before one, as the contest sees them, without those that lost their worker."""
    sign = -1 if study.direction == StudyDirection.MAXIMIZE else 1
    entries = []
    for past in study.get_trials(deepcopy=False):
        # a HyperModel's trial may not have asked for all that was decided for it
        params = past.params if past.state.is_finished() else {**past.system_attrs.get(_POINT_ATTR, {}), **past.params}
        is_known = past.number < trial.number and past.state != TrialState.WAITING and is_regularization(params)
        loss = _loss(past, sign)
        if is_known and (loss is not None or past.state == TrialState.RUNNING):
            entries.append(Entry(settings=Regularization.from_params(params), loss=loss))
    return entries


def _loss(past: FrozenTrial, sign: int) -> float | None:
    if past.state == TrialState.COMPLETE and past.value is not None:
        return sign * past.value
    is_bad = past.state == TrialState.PRUNED or past.user_attrs.get("reason", "").startswith(DIVERGED)
    return math.inf if is_bad else None
