"""A sampler for HyperModels, which define their search space one parameter at a time while they build a model."""

from collections.abc import Callable, Sequence
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

_JOINT_ATTR = "regsearch:joint"


class DefineByRunSampler(BaseSampler):
    """Proposes values that stay the same if the sampler is created again in the middle of a trial.

    Values that are drawn together are drawn once and stored with the trial. A second draw could give other values:
    QMC, for example, would continue with its next point. Each parameter that is drawn alone has its own sampler
    with its own seed.

    Args:
        joint: the sampler that draws several parameters together.
        sampler_of: a function that returns the sampler of one parameter, given the parameter's name.
    """

    def __init__(self, joint: BaseSampler, sampler_of: Callable[[str], BaseSampler]) -> None:
        self._joint, self._sampler_of = joint, sampler_of

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Prepare the joint sampler for a trial."""
        self._joint.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters that the joint sampler draws together."""
        stored = trial.system_attrs.get(_JOINT_ATTR)
        if stored is not None:
            return {name: json_to_distribution(text) for name, text in stored["space"].items()}
        return self._joint.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw the values of these parameters together, or return the stored values of an earlier draw."""
        if not search_space:
            return {}
        stored = trial.system_attrs.get(_JOINT_ATTR)
        if stored is None:
            drawn = self._joint.sample_relative(study, trial, search_space)
            stored = {
                "space": {name: distribution_to_json(distribution) for name, distribution in search_space.items()},
                "values": {name: value.item() if hasattr(value, "item") else value for name, value in drawn.items()},
            }
            study._storage.set_trial_system_attr(trial._trial_id, _JOINT_ATTR, stored)
        values: dict[str, Any] = stored["values"]
        return values

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: Any) -> Any:
        """Draw the value of one parameter with the parameter's own sampler."""
        return self._sampler_of(param_name).sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Pass the trial's result to the joint sampler."""
        self._joint.after_trial(study, trial, state, values)
