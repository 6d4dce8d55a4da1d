"""A sampler for a space that shows itself one parameter after the other, in several processes if need be."""

from collections.abc import Callable, Sequence
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

_JOINT_ATTR = "regsearch:joint"


class DefineByRunSampler(BaseSampler):
    """Gives a trial the same values however often it is made anew between two of the trial's parameters.

    What is drawn for several parameters at once is drawn once and kept with the trial: drawn again it may be
    something else, as in QMC's next point. Every other parameter has a sampler, and so a seed, of its own.

    Args:
        joint: for the trial.
        alone: gives the sampler of one parameter by its name.
    """

    def __init__(self, joint: BaseSampler, alone: Callable[[str], BaseSampler]) -> None:
        self._joint, self._alone = joint, alone

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Hand it on."""
        self._joint.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return what is drawn together."""
        kept = trial.system_attrs.get(_JOINT_ATTR)
        if kept is not None:
            return {name: json_to_distribution(text) for name, text in kept["space"].items()}
        return self._joint.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw it, or return what was drawn before."""
        if not search_space:
            return {}
        kept = trial.system_attrs.get(_JOINT_ATTR)
        if kept is None:
            drawn = self._joint.sample_relative(study, trial, search_space)
            kept = {
                "space": {name: distribution_to_json(among) for name, among in search_space.items()},
                "values": {name: value.item() if hasattr(value, "item") else value for name, value in drawn.items()},
            }
            study._storage.set_trial_system_attr(trial._trial_id, _JOINT_ATTR, kept)
        values: dict[str, Any] = kept["values"]
        return values

    def sample_independent(self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: Any) -> Any:
        """Draw one parameter by its own sampler."""
        return self._alone(param_name).sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Hand it on."""
        self._joint.after_trial(study, trial, state, values)
