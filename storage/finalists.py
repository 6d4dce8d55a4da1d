"""Which configurations of a study are trained again on fresh seeds: the best, each technique alone, the baselines."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from storage.queries import TrialRecord
from studies.space import TECHNIQUES, Regularization
from studies.spec import StudySpec

NONE = Regularization()

_PATIENCE = 2  # the course's, where no trial had early stopping alone


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """One configuration that is trained again on fresh seeds.

    Attributes:
        index: counted from 0, in the order in which they were chosen.
        params: as of a trial.
        roles: why it is one: "top 1", "L2 alone", "baseline: none", …; at least one.
        trial: the number of the trial that it was; None for a baseline that no trial was.
        look: the look, counted from 1, that it came with.
    """

    index: int
    params: Mapping[str, Any]
    roles: tuple[str, ...]
    trial: int | None
    look: int

    @property
    def regularization(self) -> Regularization:
        """What its parameters stand for."""
        return Regularization.from_params(self.params)


def choose(trials: Iterable[TrialRecord], spec: StudySpec) -> list[Finalist]:
    """Return a study's finalists as its trials are now, each configuration once, with index and look still 0.

    Returns none where no trial is complete.
    """
    sign = -1 if spec.search.objective == "accuracy" else 1
    complete = [trial for trial in trials if trial.value is not None and "epochs" in trial.metrics]
    ranked = sorted(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number))
    first: dict[Regularization, TrialRecord] = {}
    for trial in ranked:
        first.setdefault(Regularization.from_params(trial.params), trial)
    if not first:
        return []
    chosen: dict[Regularization, Finalist] = {}

    def add(regularization: Regularization, role: str) -> None:
        trial = first.get(regularization)
        known = chosen.get(regularization)
        chosen[regularization] = (
            replace(known, roles=(*known.roles, role))
            if known is not None
            else Finalist(
                index=0,
                params=_params_of(regularization) if trial is None else trial.params,
                roles=(role,),
                trial=None if trial is None else trial.number,
                look=0,
            )
        )

    add(NONE, "baseline: none")
    alone = {technique: next((r for r in first if r.technique == technique), None) for technique in TECHNIQUES}
    if spec.space.patience != "off":
        add(alone["early stopping"] or Regularization(patience=_PATIENCE), "baseline: early stopping alone")
    for technique, regularization in alone.items():
        if regularization is not None and technique != "early stopping":
            add(regularization, "best combination" if technique == "combination" else f"best of {technique} alone")
    for rank, regularization in enumerate(list(first)[: spec.confirm.top], start=1):
        add(regularization, f"top {rank}")
    return list(chosen.values())


def _params_of(regularization: Regularization) -> dict[str, Any]:
    """Return the parameters of a baseline that no trial was."""
    params: dict[str, Any] = {
        "regularizer": "none",
        "use_dropout": False,
        "batch_norm": "none",
        "early_stopping": regularization.patience is not None,
    }
    return params if regularization.patience is None else {**params, "patience": regularization.patience}
