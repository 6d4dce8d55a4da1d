"""Selects the trials that were the best so far, and tells whether a study searches only regularization."""

from collections.abc import Iterable

from ..configuration import Regularization, configuration_of
from ..records import TrialRecord
from ..spec import StudySpec


def best_so_far(trials: Iterable[TrialRecord], *, maximizes: bool) -> list[TrialRecord]:
    """Return each trial that has a better value than all trials before it.

    Args:
        trials: the trials, ordered by number; trials without a value are left out.
        maximizes: whether larger values are better.
    """
    steps: list[TrialRecord] = []
    for trial in trials:
        if trial.value is None:
            continue
        best = steps[-1].value if steps else None
        if best is None or (trial.value > best if maximizes else trial.value < best):
            steps.append(trial)
    return steps


def has_techniques(spec: StudySpec, trials: Iterable[TrialRecord]) -> bool:
    """Return whether a study searches only regularization, and no hyperparameters of a HyperModel."""
    return spec.model.hypermodel is None or all(
        isinstance(configuration_of(trial.params), Regularization) for trial in trials if trial.state == "complete"
    )
