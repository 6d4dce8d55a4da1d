"""What samplers that propose whole points have in common: a trial's values are decided before it is asked for any."""

from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from regsearch.studies.canonical_configuration import canonical
from regsearch.studies.spec import StudySpec
from regsearch.studies.trial import Params

KeyOf = Callable[[Params], Hashable]
"""Gives a key of parameters that is the same for those that train alike."""


def key_of_settings(spec: StudySpec) -> KeyOf | None:
    """Return what tells a grid which of its points train alike; None for a study that trains each of them."""
    return (lambda params: canonical(params, spec.training.max_epochs)) if spec.search.rules >= 2 else None


def tried_keys(trials: Iterable[FrozenTrial], key_of: KeyOf | None) -> set[Hashable]:
    """Return the keys of the settings of trials that run or have ended, but not by the loss of their worker."""
    if key_of is None:
        return set()
    return {key_of(one.params) for one in trials if one.state not in (TrialState.WAITING, TrialState.FAIL)}


class PointSampler(BaseSampler):
    """Proposes a whole point for each trial.

    Args:
        for_enqueued: proposes what the settings of an enqueued trial leave open.
    """

    def __init__(self, for_enqueued: BaseSampler) -> None:
        self._for_enqueued = for_enqueued
        self._point: Mapping[str, Any] | None = None

    @abstractmethod
    def next_point(self, study: Study, trial: FrozenTrial) -> Mapping[str, Any]:
        """Return a value of every parameter that is active; raises SpaceExhaustedError where no point is left."""

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Decide on the point; raises SpaceExhaustedError where none is left."""
        if "fixed_params" not in trial.system_attrs:
            self._point = self.next_point(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Nothing is sampled together in Optuna's sense."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing is sampled together in Optuna's sense."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return the point's value; for an enqueued trial, what its settings left open."""
        if self._point is None:
            return self._for_enqueued.sample_independent(study, trial, param_name, param_distribution)
        return within(self._point[param_name], param_distribution)


def within(value: Any, distribution: BaseDistribution) -> Any:
    """Return a value within its range: rounding may lead past an end."""
    if isinstance(distribution, FloatDistribution):
        return float(min(max(value, distribution.low), distribution.high))
    if isinstance(distribution, IntDistribution):
        return int(min(max(value, distribution.low), distribution.high))
    return value
