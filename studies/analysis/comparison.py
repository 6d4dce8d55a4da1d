"""Several studies side by side, as one value: each with its answer, and the keys in which they differ."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

from .. import formats
from ..configuration import Regularization, configuration_of
from ..measure import Measure, of_metric, per_example
from ..records import StudySummary, TrialRecord
from ..spec import SearchSpec
from ..statistics import Interval
from ..techniques import TECHNIQUES
from .conclusion import Conclusion, FinalistResult, TechniqueRow
from .technique_verdicts import TechniqueVerdict, technique_verdicts
from .trials import best_so_far, has_techniques

STRENGTHS = tuple(technique.name for technique in TECHNIQUES if technique.strengths)
"""The techniques that have a strength."""

_DATA = "data"
_HYPERMODEL = "model.hypermodel"
_BUILT_IN_NETWORK = ("model.hidden", "model.activation", "model.apply_to")
_SIZE_KEY = "data.train_size"
_HOW_IT_WAS_SEARCHED = ("space.", "search.seed")
_WAYS = ("sampler", "sampler_options", "pruner", "pruner_options", "recipes")
_BUDGET_KEY = "budget.trials"


@dataclass(frozen=True, kw_only=True)
class Strength:
    """The best strength of one technique alone: an L1 or L2 factor, or a dropout rate.

    Attributes:
        is_confirmed: whether it is the best over fresh seeds, and not only of the search's trials, one seed each.
    """

    value: float
    is_confirmed: bool


@dataclass(frozen=True, kw_only=True)
class ComparedStudy:
    """One of the studies.

    Attributes:
        answer, conclusion: as of a report.
        best_so_far: number and value of each trial that was better than all before, by number.
        epochs_at: epochs that were trained until each of those had ended, in the order of numbers.
        last: the number of the last finished trial; None before the first.
        epochs: that were trained in all finished trials.
        strengths: by the name of the technique, where any trial had it alone.
        samplers: of its runs, each once.
        is_of_regularization: whether its settings are regularizations, and none a HyperModel's own.
    """

    answer: StudySummary
    conclusion: Conclusion | None
    best_so_far: Sequence[tuple[int, float]]
    epochs_at: Sequence[int]
    last: int | None
    epochs: int
    strengths: Mapping[str, Strength]
    samplers: tuple[str, ...] = ()
    is_of_regularization: bool = True

    @property
    def search(self) -> SearchSpec:
        """How it was searched."""
        return self.answer.study.spec.search

    @property
    def name(self) -> str:
        """The study's."""
        return self.answer.study.name

    @property
    def train_rows(self) -> int:
        """On how many rows its networks were trained."""
        study = self.answer.study
        return study.spec.data.train_rows(study.dataset.n_train)

    @property
    def trials(self) -> int:
        """How many trials there are up to the last finished one."""
        return 0 if self.last is None else self.last + 1

    def best_after(self, trials: int) -> float | None:
        """Return the best value of the first so many trials, by number; None where none of them is complete."""
        values = [value for number, value in self.best_so_far if number < trials]
        return values[-1] if values else None

    @property
    def regularized(self) -> FinalistResult | None:
        """The finalist that shows what regularization gains: the winner, or if that is none, the best other one.

        It is the best on the select rows, so the test rows had no part in its choice. None without a confirmation,
        and where no regularization at all failed.
        """
        if self.conclusion is None:
            return None
        if self.conclusion.winner.gain is not None:
            return self.conclusion.winner
        return min(
            (result for result in self.conclusion.results if result.gain is not None),
            key=lambda result: result.select_loss(self.search.by_accuracy),
            default=None,
        )

    def verdict_on(self, technique: str) -> TechniqueVerdict | None:
        """Return the verdict on a technique, or why there is none; None without a confirmation that knows it."""
        found = () if self.conclusion is None else technique_verdicts(self.conclusion)
        return next((verdict for verdict in found if verdict.technique == technique), None)

    def row_of(self, technique: str) -> TechniqueRow | None:
        """Return what the confirmation says of a technique; None without one."""
        rows = () if self.conclusion is None else self.conclusion.techniques
        return next((row for row in rows if row.technique == technique), None)


Kind = Literal["size", "question", "search", "way", "budget"]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A key in which the studies differ.

    Attributes:
        kind: "size" is how many rows they train on; "question" means that they ask something else, of other data,
            another network or training; "search" that they only looked elsewhere, or with other luck. Where all train
            on as many rows, "way" is by what means they searched, or for which network, and "budget" how long.
        values: each study's, in JSON; "" where it is not given.
    """

    key: str
    kind: Kind
    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The studies, the fewest training rows first, and where they differ."""

    studies: tuple[ComparedStudy, ...]
    differences: tuple[Difference, ...]

    @property
    def obstacles(self) -> tuple[Difference, ...]:
        """The differences that make the studies' figures answers to different questions."""
        return tuple(one for one in self.differences if one.kind == "question")

    @property
    def have_one_objective(self) -> bool:
        """Whether their trials were ranked by the same figure."""
        return len({study.search.objective for study in self.studies}) == 1

    @property
    def are_of_regularization(self) -> bool:
        """Whether all of them ask which regularization a network needs, and none for a HyperModel's own settings."""
        return all(study.is_of_regularization for study in self.studies)

    @property
    def is_by_accuracy(self) -> bool:
        """Whether all trials were ranked by an accuracy."""
        return self.have_one_objective and self.studies[0].search.by_accuracy

    @property
    def maximizes(self) -> bool:
        """Whether larger is better in what all trials were ranked by."""
        return self.have_one_objective and self.studies[0].search.maximizes

    @property
    def is_judged_alike(self) -> bool:
        """Whether the verdicts of all studies go by one metric, or those of none by any."""
        return len({study.conclusion.metric for study in self.studies if study.conclusion is not None}) < 2

    @property
    def measure(self) -> Measure:
        """How gains are told in what the studies are about; a metric only if all verdicts go by it."""
        metrics = {study.conclusion.metric for study in self.studies if study.conclusion is not None}
        metric = metrics.pop() if self.have_one_objective and len(metrics) == 1 else None
        return per_example(self.is_by_accuracy) if metric is None else of_metric(metric)

    def gain_of(self, study: ComparedStudy) -> Interval | None:
        """Return what regularization as a whole gains over none in a study, in what the studies are about."""
        result, conclusion = study.regularized, study.conclusion
        if result is None or conclusion is None:
            return None
        if conclusion.metric is not None and self.measure == conclusion.measure:
            return conclusion.gain_of(result)
        if result.gain is None:
            return None
        return result.gain.accuracy if self.is_by_accuracy else result.gain.cross_entropy


def summarize_study(
    answer: StudySummary,
    conclusion: Conclusion | None,
    trials: Sequence[TrialRecord],
    epochs: Mapping[int, int] | None = None,
    samplers: Sequence[str] = (),
) -> ComparedStudy:
    """Return what a comparison shows of a study.

    Args:
        trials: by number.
        epochs: how many epochs each trial trained, by its number; if not given, as far as the trials tell.
        samplers: of its runs, each once.
    """
    maximizes = answer.study.spec.search.maximizes
    finished = [trial for trial in trials if trial.state in ("complete", "pruned", "failed")]
    if epochs is None:
        epochs = {trial.number: int(trial.metrics.get("epochs", 0)) for trial in finished}
    trained = list(accumulate(epochs.get(trial.number, 0) for trial in finished))
    until = dict(zip((trial.number for trial in finished), trained, strict=True))
    steps = [
        (trial.number, trial.value) for trial in best_so_far(finished, maximizes=maximizes) if trial.value is not None
    ]
    return ComparedStudy(
        answer=answer,
        conclusion=conclusion,
        best_so_far=steps,
        epochs_at=[until[number] for number, _ in steps],
        last=finished[-1].number if finished else None,
        epochs=trained[-1] if trained else 0,
        strengths=_strengths(conclusion, trials, maximizes),
        samplers=tuple(samplers),
        is_of_regularization=has_techniques(answer.study.spec, trials),
    )


def side_by_side(studies: Sequence[ComparedStudy]) -> Comparison:
    """Return studies side by side; at least two."""
    ordered = tuple(sorted(studies, key=lambda study: (study.train_rows, study.name)))
    return Comparison(studies=ordered, differences=tuple(_differences(ordered)))


def _strengths(conclusion: Conclusion | None, trials: Sequence[TrialRecord], maximizes: bool) -> dict[str, Strength]:
    rows = () if conclusion is None else conclusion.techniques
    found = {}
    for technique in STRENGTHS:
        result = next((row.result for row in rows if row.technique == technique), None)
        value = None if result is None else _strength(technique, result.finalist.params)
        if value is not None:
            found[technique] = Strength(value=value, is_confirmed=True)
            continue
        alone = [
            (trial.value, strength)
            for trial in trials
            if trial.value is not None and (strength := _strength(technique, trial.params)) is not None
        ]
        if alone:
            best = (max if maximizes else min)(alone, key=lambda one: one[0])
            found[technique] = Strength(value=best[1], is_confirmed=False)
    return found


def _strength(technique: str, params: Mapping[str, Any]) -> float | None:
    """Return the strength of a technique where it is alone in a trial's parameters."""
    try:
        settings = configuration_of(params)
        is_alone = isinstance(settings, Regularization) and settings.technique == technique
    except (TypeError, ValueError, AttributeError):  # something else wrote them
        return None
    key = next(one.key for one in TECHNIQUES if one.name == technique)
    return formats.number_of(params, key) if is_alone else None


def _differences(studies: Sequence[ComparedStudy]) -> list[Difference]:
    have_one_size = len({study.train_rows for study in studies}) == 1
    identities = [study.answer.study.spec.identity() | _network(study, studies) for study in studies]
    for identity, study in zip(identities, studies, strict=True):
        dataset = study.answer.study.dataset
        identity[_DATA] = f"{dataset.name} ({dataset.sha256[:16]}…)"
        if have_one_size:
            identity |= _means(study)
    shown = {key: tuple(_shown(identity, key) for identity in identities) for key in set().union(*identities)}
    return [
        Difference(key=key, kind=_kind(key, have_one_size), values=shown[key])
        for key in sorted(shown, key=lambda key: (_kind(key, have_one_size) != "question", _order(key)))
        if len({value for value in shown[key] if value or key not in _BUILT_IN_NETWORK}) > 1
    ]


def _network(study: ComparedStudy, among: Sequence[ComparedStudy]) -> dict[str, Any]:
    """Return what tells a study's network from others where any is a HyperModel's; that has no `model.hidden`."""
    codes = [_code(one) for one in among]
    if not any(codes):
        return {}
    code = _code(study)
    if code is None:
        return {_HYPERMODEL: "the built-in network"}
    first = among[codes.index(code)].answer.study.spec.model.hypermodel  # it may lie in several places
    return {
        _HYPERMODEL: f"{Path(first or '').name} ({code[1][:8]}…)",
        **dict.fromkeys((f"{_HYPERMODEL}_sha256", *_BUILT_IN_NETWORK)),
    }


def _code(study: ComparedStudy) -> tuple[str, str] | None:
    """Return a HyperModel's name and the SHA-256 of its file; None for the built-in network."""
    model = study.answer.study.spec.model
    return None if model.hypermodel is None else (model.hypermodel.rpartition(":")[2], model.hypermodel_sha256 or "")


def _means(study: ComparedStudy) -> dict[str, Any]:
    """Return by what means and how long a study was searched, which no fingerprint covers."""
    document = study.answer.study.spec.model_dump(mode="json")
    return {_BUDGET_KEY: document["budget"]["trials"]} | {f"search.{key}": document["search"][key] for key in _WAYS}


def _order(key: str) -> tuple[int, str]:
    section, _, name = key.partition(".")
    return (_WAYS.index(name) if section == "search" and name in _WAYS else len(_WAYS), key)


def _kind(key: str, have_one_size: bool) -> Kind:
    if key == _SIZE_KEY:
        return "size"
    if key == _BUDGET_KEY:
        return "budget"
    if have_one_size and (key.startswith("model.") or key.removeprefix("search.") in _WAYS):
        return "way"
    return "search" if key.startswith(_HOW_IT_WAS_SEARCHED) else "question"


def _shown(identity: Mapping[str, Any], key: str) -> str:
    value = identity.get(key)
    if value is None:
        return ""
    return value if key in (_DATA, _HYPERMODEL) else json.dumps(value, ensure_ascii=False)
