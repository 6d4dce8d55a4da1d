"""The base class of samplers that choose all values of a trial before the trial asks for the first one."""

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
"""A function that returns a key of a trial's parameters. Parameters that give the same training have the same key."""


def key_of_settings(spec: StudySpec) -> KeyOf | None:
    """Return a function that gives points the same key if their training is the same.

    Return None if the study, by the rules of older studies, trains every point.
    """
    return (lambda params: canonical(params, spec.training.max_epochs)) if spec.search.rules >= 2 else None


def tried_keys(trials: Iterable[FrozenTrial], key_of: KeyOf | None) -> set[Hashable]:
    """Return the keys of all trials that are running, complete or pruned."""
    if key_of is None:
        return set()
    return {key_of(trial.params) for trial in trials if trial.state not in (TrialState.WAITING, TrialState.FAIL)}


class PointSampler(BaseSampler):
    """Proposes a whole point of the search space for each trial.

    Args:
        for_enqueued: the sampler that draws the values that an enqueued trial does not fix.
    """

    def __init__(self, for_enqueued: BaseSampler) -> None:
        self._for_enqueued = for_enqueued
        self._point: Mapping[str, Any] | None = None

    @abstractmethod
    def next_point(self, study: Study, trial: FrozenTrial) -> Mapping[str, Any]:
        """Return a value for every active parameter. Raises SpaceExhaustedError if no point is left."""

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Choose the point, unless the trial was enqueued. Raises SpaceExhaustedError if none is left."""
        if "fixed_params" not in trial.system_attrs:
            self._point = self.next_point(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return no parameters, so that Optuna draws none together."""
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return no values, because Optuna draws no parameters together."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return the point's value; for an enqueued trial, draw a value that the trial does not fix."""
        if self._point is None:
            return self._for_enqueued.sample_independent(study, trial, param_name, param_distribution)
        return within(self._point[param_name], param_distribution)


def within(value: Any, distribution: BaseDistribution) -> Any:
    """Return the value, limited to the range of the distribution: rounding may have moved it outside.

    Example:
        >>> within(1.2, FloatDistribution(0.0, 1.0))
        1.0
    """
    if isinstance(distribution, FloatDistribution):
        return float(min(max(value, distribution.low), distribution.high))
    if isinstance(distribution, IntDistribution):
        return int(min(max(value, distribution.low), distribution.high))
    return value
