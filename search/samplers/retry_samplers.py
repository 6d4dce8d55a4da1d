"""Samplers that propose another configuration if they are asked again for the same trial."""

from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, QMCSampler
from optuna.trial import FrozenTrial


class RandomChoices(BaseSampler):
    """Draws each parameter alone: choices with one sampler, such as a random one, and numbers with another sampler.

    Args:
        choices: the sampler of the categorical parameters.
        numbers: the sampler of all other parameters.
    """

    def __init__(self, choices: BaseSampler, numbers: BaseSampler) -> None:
        self._choices, self._numbers = choices, numbers

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Prepare the sampler of the numbers for a trial."""
        self._numbers.before_trial(study, trial)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return no parameters, so that Optuna draws none together."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return no values, because Optuna draws no parameters together."""
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw the value of one parameter."""
        sampler = self._choices if isinstance(param_distribution, CategoricalDistribution) else self._numbers
        return sampler.sample_independent(study, trial, param_name, param_distribution)


class SkippingQMCSampler(QMCSampler):
    """A QMCSampler of Optuna that skips the points that it has already proposed for the same trial.

    Args:
        skipped: how many points of the sequence to skip.
        options: the options of Optuna's sampler.
    """

    def __init__(self, skipped: int, **options: Any) -> None:
        super().__init__(**options)
        self._skipped = skipped

    def _find_sample_id(self, study: optuna.Study, search_space: dict[str, BaseDistribution]) -> int:
        for _ in range(self._skipped):
            super()._find_sample_id(study, search_space)
        return super()._find_sample_id(study, search_space)
