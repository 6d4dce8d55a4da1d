"""What a study's trials are about, and which of them were the best so far."""

from collections.abc import Iterable

from ..configuration import Regularization, configuration_of
from ..records import TrialRecord
from ..spec import StudySpec


def best_so_far(trials: Iterable[TrialRecord], *, maximizes: bool) -> list[TrialRecord]:
    """Return the trials, by number, whose value is better than all before."""
    steps: list[TrialRecord] = []
    for trial in trials:
        if trial.value is None:
            continue
        best = steps[-1].value if steps else None
        if best is None or (trial.value > best if maximizes else trial.value < best):
            steps.append(trial)
    return steps


def has_techniques(spec: StudySpec, trials: Iterable[TrialRecord]) -> bool:
    """Return whether a study's settings are regularizations, and none a HyperModel's own."""
    return spec.model.hypermodel is None or all(
        isinstance(configuration_of(trial.params), Regularization) for trial in trials if trial.state == "complete"
    )
