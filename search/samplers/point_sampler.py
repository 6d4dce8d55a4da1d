"""The base of samplers that propose whole points: they decide all of a trial's values before it asks for one."""

from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from ...studies.canonical_configuration import canonical
from ...studies.spec import StudySpec
from ...studies.trial import Params

KeyOf = Callable[[Params], Hashable]
"""Gives a key of a trial's parameters; parameters that train alike have the same key."""


def key_of_settings(spec: StudySpec) -> KeyOf | None:
    """Return what tells a grid which of its points train alike; None for a study that trains every point."""
    return (lambda params: canonical(params, spec.training.max_epochs)) if spec.search.rules >= 2 else None


def tried_keys(trials: Iterable[FrozenTrial], key_of: KeyOf | None) -> set[Hashable]:
    """Return the keys of the trials that run or have ended, without those that lost their worker."""
    if key_of is None:
        return set()
    return {key_of(trial.params) for trial in trials if trial.state not in (TrialState.WAITING, TrialState.FAIL)}


class PointSampler(BaseSampler):
    """Proposes a whole point for each trial.

    Args:
        for_enqueued: proposes the values that an enqueued trial leaves open.
    """

    def __init__(self, for_enqueued: BaseSampler) -> None:
        self._for_enqueued = for_enqueued
        self._point: Mapping[str, Any] | None = None

    @abstractmethod
    def next_point(self, study: Study, trial: FrozenTrial) -> Mapping[str, Any]:
        """Return a value for every active parameter; raises SpaceExhaustedError if no point is left."""

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Decide on the point; raises SpaceExhaustedError if none is left."""
        if "fixed_params" not in trial.system_attrs:
            self._point = self.next_point(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return nothing: Optuna draws no parameters together."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return nothing: Optuna draws no parameters together."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return the point's value; for an enqueued trial, a value that it left open."""
        if self._point is None:
            return self._for_enqueued.sample_independent(study, trial, param_name, param_distribution)
        return within(self._point[param_name], param_distribution)


def within(value: Any, distribution: BaseDistribution) -> Any:
    """Return a value within its range: rounding may lead past an end.

    Example:
        >>> within(1.2, FloatDistribution(0.0, 1.0))
        1.0
    """
    if isinstance(distribution, FloatDistribution):
        return float(min(max(value, distribution.low), distribution.high))
    if isinstance(distribution, IntDistribution):
        return int(min(max(value, distribution.low), distribution.high))
    return value
