"""Chooses the trainings for the learning curves of a report: the best configuration and the baseline."""

from collections.abc import Sequence

from ..configuration import Configuration, Regularization, configuration_of
from ..recipes import DEFAULTS
from ..records import TrialRecord
from ..spec import StudySpec
from .conclusion import Conclusion
from .finalists import NONE, Finalist, choose


def best_configuration(best: TrialRecord | None, conclusion: Conclusion | None) -> Configuration | None:
    """Return the configuration of the winner, or of the best trial if there is no winner; None without either."""
    if conclusion is not None:
        return conclusion.winner.finalist.settings
    return None if best is None else configuration_of(best.params)


def trainings_to_show(
    spec: StudySpec, trials: Sequence[TrialRecord], conclusion: Conclusion | None, best: Configuration
) -> dict[str, Finalist | TrialRecord]:
    """Return the trainings of the best configuration and of the baseline, by the name of the configuration.

    If a configuration was confirmed, its training is a finalist, else a complete trial. A configuration that has
    neither is left out.
    """
    finalists = [] if conclusion is None else [result.finalist for result in conclusion.results]
    trainings: dict[str, Finalist | TrialRecord] = {}
    for configuration in (best, _baseline(spec, trials, conclusion, best)):
        finalist = next((finalist for finalist in finalists if finalist.settings == configuration), None)
        training = finalist or next((trial for trial in trials if _has_trained(trial, configuration)), None)
        if training is not None:
            trainings[str(configuration)] = training
    return trainings


def _baseline(
    spec: StudySpec, trials: Sequence[TrialRecord], conclusion: Conclusion | None, best: Configuration
) -> Configuration | None:
    """Return the baseline: no regularization at its best learning rate, or the defaults of a HyperModel."""
    if not isinstance(best, Regularization):
        return next((configuration_of(trial.params) for trial in trials if trial.recipe == DEFAULTS), None)
    if spec.space.learning_rate == "fixed":
        return NONE
    if conclusion is not None and conclusion.baseline is not None:
        return conclusion.baseline.finalist.settings
    return next((finalist.settings for finalist in choose(trials, spec) if finalist.is_baseline), NONE)


def _has_trained(trial: TrialRecord, configuration: Configuration | None) -> bool:
    """Return whether a trial is complete and has this configuration."""
    is_complete = trial.value is not None and "best_epoch" in trial.metrics
    return is_complete and configuration_of(trial.params) == configuration
