"""Puts several studies side by side: the answer of each study, and the keys in which their study files differ."""

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
"""The techniques whose strength is a factor or a rate: those with recipes in the set "ladder"."""

_DATA = "data"
_HYPERMODEL = "model.hypermodel"
_BUILT_IN_NETWORK = ("model.hidden", "model.activation", "model.apply_to")
_SIZE_KEY = "data.train_size"
_SEARCH_PREFIXES = ("space.", "search.seed")
_METHOD_KEYS = ("sampler", "sampler_options", "pruner", "pruner_options", "recipes")
_BUDGET_KEY = "budget.trials"


@dataclass(frozen=True, kw_only=True)
class Strength:
    """The best strength of one technique alone: an L1 or L2 factor, or a dropout rate.

    Attributes:
        value: the strength.
        is_confirmed: whether the strength comes from the confirmation, with its fresh seeds. If not, it comes from the
            best trial of the search, which has one seed.
    """

    value: float
    is_confirmed: bool


@dataclass(frozen=True, kw_only=True)
class ComparedStudy:
    """One study of a comparison.

    Attributes:
        answer: the study with the counts of its trials.
        conclusion: the conclusion of the study's confirmation; None if the study was not confirmed.
        best_so_far: the number and the value of each trial that was better than all earlier trials, ordered by number.
        epochs_at: for each trial in `best_so_far`, how many epochs this trial and all earlier ones trained together.
        last: the number of the last finished trial; None if no trial has finished.
        epochs: how many epochs all finished trials trained together.
        strengths: the best strength of each technique that was tried alone. The keys are the names of the techniques.
        samplers: the samplers that the study's runs used, without repeats.
        is_of_regularization: whether the study searches only regularization, and no hyperparameters of a HyperModel.
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
        """The section [search] of the study file."""
        return self.answer.study.spec.search

    @property
    def name(self) -> str:
        """The name of the study."""
        return self.answer.study.name

    @property
    def train_rows(self) -> int:
        """The number of examples in the study's training split."""
        study = self.answer.study
        return study.spec.data.train_rows(study.dataset.n_train)

    @property
    def trials(self) -> int:
        """The number of trials up to and including the last finished one."""
        return 0 if self.last is None else self.last + 1

    def best_after(self, trials: int) -> float | None:
        """Return the best value among the first `trials` trials; None if none of them is complete."""
        values = [value for number, value in self.best_so_far if number < trials]
        return values[-1] if values else None

    @property
    def regularized(self) -> FinalistResult | None:
        """The finalist that represents regularization as a whole.

        This is the winner. If the winner is the baseline, it is the best of the other finalists. The loss on the
        selection split ranks the finalists, so that the test set has no part in the choice. None without a
        confirmation, or if the baseline failed.
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
        """Return the verdict on a technique; None without a confirmation, or without a row for the technique."""
        found = () if self.conclusion is None else technique_verdicts(self.conclusion)
        return next((verdict for verdict in found if verdict.technique == technique), None)

    def row_of(self, technique: str) -> TechniqueRow | None:
        """Return the row of a technique in the conclusion; None without a confirmation, or without such a row."""
        rows = () if self.conclusion is None else self.conclusion.techniques
        return next((row for row in rows if row.technique == technique), None)


Kind = Literal["size", "question", "search", "way", "budget"]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A key of the study file in which the studies differ.

    Attributes:
        key: the key with its section, such as "search.sampler".
        kind: what the difference means.
            "size": the number of training examples.
            "question": other data, another network or another training, so that the answers can't be compared.
            "search": another search space or seed.
            "way": another search method or network; only if all studies have the same number of training examples.
            "budget": another number of trials; only if all studies have the same number of training examples.
        values: the value of the key in each study, as text; "" for a study without the key.
    """

    key: str
    kind: Kind
    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Several studies, sorted by their number of training examples, and the keys in which the studies differ."""

    studies: tuple[ComparedStudy, ...]
    differences: tuple[Difference, ...]

    @property
    def obstacles(self) -> tuple[Difference, ...]:
        """The differences that prevent a comparison of the studies' answers."""
        return tuple(one for one in self.differences if one.kind == "question")

    @property
    def have_one_objective(self) -> bool:
        """Whether all studies have the same objective."""
        return len({study.search.objective for study in self.studies}) == 1

    @property
    def are_of_regularization(self) -> bool:
        """Whether all studies search only regularization, and no hyperparameters of a HyperModel."""
        return all(study.is_of_regularization for study in self.studies)

    @property
    def is_by_accuracy(self) -> bool:
        """Whether all studies have the same objective, and this objective is an accuracy."""
        return self.have_one_objective and self.studies[0].search.by_accuracy

    @property
    def maximizes(self) -> bool:
        """Whether all studies have the same objective, and larger values of it are better."""
        return self.have_one_objective and self.studies[0].search.maximizes

    @property
    def is_judged_alike(self) -> bool:
        """Whether the verdicts of all confirmed studies use the same metric, or all use no metric."""
        return len({study.conclusion.metric for study in self.studies if study.conclusion is not None}) < 2

    @property
    def measure(self) -> Measure:
        """The measure of the gains: a metric if all verdicts use that metric, else accuracy or cross-entropy."""
        metrics = {study.conclusion.metric for study in self.studies if study.conclusion is not None}
        metric = metrics.pop() if self.have_one_objective and len(metrics) == 1 else None
        return per_example(self.is_by_accuracy) if metric is None else of_metric(metric)

    def gain_of(self, study: ComparedStudy) -> Interval | None:
        """Return how much regularization as a whole gains over the baseline in one study, in the unit of `measure`.

        None if this gain is unknown.
        """
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
    """Return a study as a part of a comparison.

    Args:
        answer: the study with the counts of its trials.
        conclusion: the conclusion of the study's confirmation; None if the study was not confirmed.
        trials: all trials of the study, ordered by number.
        epochs: how many epochs each trial trained. The keys are the numbers of the trials. By default, the epochs are
            taken from the metrics of the trials.
        samplers: the samplers that the study's runs used, without repeats.
    """
    maximizes = answer.study.spec.search.maximizes
    finished = [trial for trial in trials if trial.state in ("complete", "pruned", "failed")]
    if epochs is None:
        epochs = {trial.number: int(trial.metrics.get("epochs", 0)) for trial in finished}
    trained = list(accumulate(epochs.get(trial.number, 0) for trial in finished))
    epochs_until = dict(zip((trial.number for trial in finished), trained, strict=True))
    steps = [
        (trial.number, trial.value) for trial in best_so_far(finished, maximizes=maximizes) if trial.value is not None
    ]
    return ComparedStudy(
        answer=answer,
        conclusion=conclusion,
        best_so_far=steps,
        epochs_at=[epochs_until[number] for number, _ in steps],
        last=finished[-1].number if finished else None,
        epochs=trained[-1] if trained else 0,
        strengths=_strengths(conclusion, trials, maximizes),
        samplers=tuple(samplers),
        is_of_regularization=has_techniques(answer.study.spec, trials),
    )


def side_by_side(studies: Sequence[ComparedStudy]) -> Comparison:
    """Return the comparison of two or more studies."""
    ordered = tuple(sorted(studies, key=lambda study: (study.train_rows, study.name)))
    return Comparison(studies=ordered, differences=tuple(_differences(ordered)))


def _strengths(conclusion: Conclusion | None, trials: Sequence[TrialRecord], maximizes: bool) -> dict[str, Strength]:
    """Return the best strength of each technique alone: from the confirmation, or else from the best trial."""
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
    """Return the strength of a technique in the parameters of a trial; None unless the trial has it alone."""
    try:
        settings = configuration_of(params)
        is_alone = isinstance(settings, Regularization) and settings.technique == technique
    except (TypeError, ValueError, AttributeError):  # another program wrote these parameters
        return None
    key = next(one.key for one in TECHNIQUES if one.name == technique)
    return formats.number_of(params, key) if is_alone else None


def _differences(studies: Sequence[ComparedStudy]) -> list[Difference]:
    """Return the keys in which the studies differ; keys that prevent a comparison come first."""
    have_one_size = len({study.train_rows for study in studies}) == 1
    identities = [study.answer.study.spec.identity() | _network(study, studies) for study in studies]
    for identity, study in zip(identities, studies, strict=True):
        dataset = study.answer.study.dataset
        identity[_DATA] = f"{dataset.name} ({dataset.sha256[:16]}…)"
        if have_one_size:
            identity |= _method(study)
    shown = {key: tuple(_shown(identity, key) for identity in identities) for key in set().union(*identities)}
    return [
        Difference(key=key, kind=_kind(key, have_one_size), values=shown[key])
        for key in sorted(shown, key=lambda key: (_kind(key, have_one_size) != "question", _order(key)))
        if len({value for value in shown[key] if value or key not in _BUILT_IN_NETWORK}) > 1
    ]


def _network(study: ComparedStudy, studies: Sequence[ComparedStudy]) -> dict[str, Any]:
    """Return the keys and values that identify the network of a study; an empty dict if no study has a HyperModel.

    For a HyperModel, the keys of the built-in network have the value None, since a HyperModel does not use them.
    """
    codes = [_code(one) for one in studies]
    if not any(codes):
        return {}
    code = _code(study)
    if code is None:
        return {_HYPERMODEL: "the built-in network"}
    # the same file may be at several paths; the first study's path gives all of them one name
    first = studies[codes.index(code)].answer.study.spec.model.hypermodel
    return {
        _HYPERMODEL: f"{Path(first or '').name} ({code[1][:8]}…)",
        **dict.fromkeys((f"{_HYPERMODEL}_sha256", *_BUILT_IN_NETWORK)),
    }


def _code(study: ComparedStudy) -> tuple[str, str] | None:
    """Return the name of a study's HyperModel and the SHA-256 of its file; None for the built-in network."""
    model = study.answer.study.spec.model
    return None if model.hypermodel is None else (model.hypermodel.rpartition(":")[2], model.hypermodel_sha256 or "")


def _method(study: ComparedStudy) -> dict[str, Any]:
    """Return the keys and values of a study's search method and budget; `StudySpec.identity` leaves them out."""
    document = study.answer.study.spec.model_dump(mode="json")
    return {_BUDGET_KEY: document["budget"]["trials"]} | {
        f"search.{key}": document["search"][key] for key in _METHOD_KEYS
    }


def _order(key: str) -> tuple[int, str]:
    """Return a number and a name to sort keys by: keys of the search method come first, the others follow by name."""
    section, _, name = key.partition(".")
    return (_METHOD_KEYS.index(name) if section == "search" and name in _METHOD_KEYS else len(_METHOD_KEYS), key)


def _kind(key: str, have_one_size: bool) -> Kind:
    """Return the kind of a difference; `have_one_size` tells whether all training splits have the same size."""
    if key == _SIZE_KEY:
        return "size"
    if key == _BUDGET_KEY:
        return "budget"
    if have_one_size and (key.startswith("model.") or key.removeprefix("search.") in _METHOD_KEYS):
        return "way"
    return "search" if key.startswith(_SEARCH_PREFIXES) else "question"


def _shown(identity: Mapping[str, Any], key: str) -> str:
    """Return the value of a key as text; "" if the study does not have the key."""
    value = identity.get(key)
    if value is None:
        return ""
    return value if key in (_DATA, _HYPERMODEL) else json.dumps(value, ensure_ascii=False)
