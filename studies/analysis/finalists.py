"""Chooses the finalists of a study: the best configurations, the best of each technique alone, and the baselines."""

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
"""The roles of the finalists with which the other finalists are compared."""

ALONE = re.compile(r"best of .+ alone")
"""A pattern that matches the role of a finalist with the best strength of one technique alone."""

_PATIENCE = 2  # of the baseline "early stopping alone" if no trial had it; the course uses this patience


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """One configuration that is trained again on fresh seeds.

    Attributes:
        index: the position in the order in which the finalists were chosen, counted from 0.
        params: the parameters, with the same names as the parameters of a trial.
        roles: why it is a finalist, such as "top 1", "best of L2 alone" or "baseline: none"; at least one role.
        trial: the number of the best trial with this configuration; None for a baseline that no trial tried.
        look: the number of the interim analysis for which it was added, counted from 1.
    """

    index: int
    params: Mapping[str, Any]
    roles: tuple[str, ...]
    trial: int | None
    look: int

    @property
    def settings(self) -> Configuration:
        """The configuration that the parameters describe."""
        return configuration_of(self.params)

    @property
    def is_baseline(self) -> bool:
        """Whether it is the baseline of gains: no regularization at all, or the defaults of a HyperModel."""
        return self.settings == NONE or _OF_NONE in self.roles or _OF_DEFAULTS in self.roles


def choose(trials: Iterable[TrialRecord], spec: StudySpec) -> list[Finalist]:
    """Choose the finalists from the trials so far; return an empty list without a complete trial.

    The caller sets their `index` and `look`, which are 0 here.
    """
    sign = -1 if spec.search.maximizes else 1
    complete = [trial for trial in trials if trial.value is not None and "epochs" in trial.metrics]
    ranked = sorted(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number))
    best_trials: dict[Configuration, TrialRecord] = {}
    for trial in ranked:
        best_trials.setdefault(configuration_of(trial.params), trial)
    if not best_trials:
        return []
    finalists: dict[Configuration, Finalist] = {}

    def add(settings: Configuration, role: str) -> None:
        trial = best_trials.get(settings)
        known = finalists.get(settings)
        finalists[settings] = (
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

    for settings, role in _baselines_and_techniques(list(best_trials), complete, spec):
        add(settings, role)
    for rank, settings in enumerate(list(best_trials)[: spec.confirm.top], start=1):
        add(settings, f"top {rank}")
    return list(finalists.values())


def _baselines_and_techniques(
    ranked: Sequence[Configuration], complete: Sequence[TrialRecord], spec: StudySpec
) -> Iterator[tuple[Configuration, str]]:
    """Yield each configuration that is a finalist whatever its rank, with its role.

    These are the baselines and the best configuration of each technique. If a HyperModel has hyperparameters of its
    own, only the HyperModel's defaults are yielded.

    Args:
        ranked: the configurations of the complete trials, the best first.
        complete: the complete trials.
        spec: the study.
    """
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
    """Return the configuration with the best strength of each technique alone, by the rules of the `contest` sampler.

    The keys are the labels of the techniques.
    """
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
    """Return the parameters of a baseline that no trial tried."""
    assert isinstance(regularization, Regularization)
    return regularization.params(space)
