"""Optuna's study as the store uses it: outside `optimize`, one trial at a time."""

from collections.abc import Container

import optuna
from optuna.trial import FrozenTrial, TrialState


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
