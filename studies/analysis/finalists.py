"""Which configurations of a study are trained again on fresh seeds: the best, each technique alone, the baselines."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..configuration import LABELS, Configuration, Regularization, configuration_of
from ..contest.contestants import USUAL, contestant_of
from ..contest.proposals import Entry
from ..recipes import DEFAULTS, contest_of
from ..records import TrialRecord
from ..search_space import searched_space, untuned_learning_rate
from ..spec import CONTEST, SpaceSpec, StudySpec

NONE = Regularization()

_OF_NONE, _OF_DEFAULTS = "baseline: none", "baseline: defaults"
STOPPING_ALONE = "baseline: early stopping alone"
BASELINES = frozenset((_OF_NONE, _OF_DEFAULTS, STOPPING_ALONE))
"""Roles of finalists that others are compared with."""

ALONE = re.compile(r"best of .+ alone")
"""The role of the best strength of a technique."""

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
    def settings(self) -> Configuration:
        """What its parameters stand for."""
        return configuration_of(self.params)

    @property
    def is_baseline(self) -> bool:
        """Whether gains are over it: no regularization at all, or a HyperModel's defaults."""
        return self.settings == NONE or _OF_NONE in self.roles or _OF_DEFAULTS in self.roles


def choose(trials: Iterable[TrialRecord], spec: StudySpec) -> list[Finalist]:
    """Return a study's finalists as its trials are now, each configuration once, with index and look still 0.

    Returns none where no trial is complete.
    """
    sign = -1 if spec.search.maximizes else 1
    complete = [trial for trial in trials if trial.value is not None and "epochs" in trial.metrics]
    ranked = sorted(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number))
    first: dict[Configuration, TrialRecord] = {}
    for trial in ranked:
        first.setdefault(configuration_of(trial.params), trial)
    if not first:
        return []
    chosen: dict[Configuration, Finalist] = {}

    def add(settings: Configuration, role: str) -> None:
        trial = first.get(settings)
        known = chosen.get(settings)
        chosen[settings] = (
            replace(known, roles=(*known.roles, role))
            if known is not None
            else Finalist(
                index=0,
                params=_params_of(settings, searched_space(spec)) if trial is None else trial.params,
                roles=(role,),
                trial=None if trial is None else trial.number,
                look=0,
            )
        )

    for settings, role in _baselines_and_techniques(list(first), complete, spec):
        add(settings, role)
    for rank, settings in enumerate(list(first)[: spec.confirm.top], start=1):
        add(settings, f"top {rank}")
    return list(chosen.values())


def _baselines_and_techniques(
    ranked: Sequence[Configuration], complete: Sequence[TrialRecord], spec: StudySpec
) -> Iterator[tuple[Configuration, str]]:
    """Give what is a finalist whatever its rank, and why; of a HyperModel with settings of its own, its defaults."""
    regularizations = [settings for settings in ranked if isinstance(settings, Regularization)]
    if len(regularizations) < len(ranked) and spec.model.hypermodel is not None:
        yield from ((configuration_of(trial.params), _OF_DEFAULTS) for trial in complete if trial.recipe == DEFAULTS)
        return
    rate = untuned_learning_rate(spec)
    none = next((one for one in regularizations if one.technique is None), Regularization(learning_rate=rate))
    yield none, _OF_NONE
    alone = {
        technique: next((one for one in regularizations if one.technique == technique), None) for technique in LABELS
    }
    if spec.search.sampler == CONTEST:
        alone |= _best_of_contestants(complete, spec)
    if spec.space.patience != "off":
        untried = Regularization(patience=_PATIENCE, learning_rate=rate)
        yield alone["early stopping"] or untried, STOPPING_ALONE
    for technique, regularization in alone.items():
        if regularization is not None and technique != "early stopping":
            yield regularization, "best combination" if technique == "combination" else f"best of {technique} alone"


def _best_of_contestants(complete: Sequence[TrialRecord], spec: StudySpec) -> dict[str, Regularization | None]:
    """Return the best strength of each technique alone as a contest finds it, by the technique's name."""
    contest, sign = contest_of(spec), -1 if spec.search.maximizes else 1
    entries: dict[str, list[Entry]] = {}
    for trial in complete:
        settings = configuration_of(trial.params)
        if isinstance(settings, Regularization):
            entry = Entry(settings=settings, loss=sign * (trial.value or 0.0))
            entries.setdefault(contestant_of(settings), []).append(entry)
    best = (contest.best_alone(name, entries.get(name, [])) for name in USUAL)
    return {str(entry.settings.technique): entry.settings for entry in best if entry is not None}


def _params_of(regularization: Configuration, space: SpaceSpec) -> dict[str, Any]:
    """Return the parameters of a baseline that no trial was."""
    assert isinstance(regularization, Regularization)
    return regularization.params(space)
