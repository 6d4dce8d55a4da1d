"""Puts several studies side by side: the answer of each, and the keys of the study file in which they differ."""

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
"""The names of the techniques that have a strength."""

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
        is_confirmed: whether it was the best over fresh seeds. If not, it was the best in the search, with one seed.
    """

    value: float
    is_confirmed: bool


@dataclass(frozen=True, kw_only=True)
class ComparedStudy:
    """One of the studies of a comparison.

    Attributes:
        answer: the study with the counts of its trials.
        conclusion: the conclusion of its confirmation; None if it was not confirmed.
        best_so_far: the number and value of each trial that was better than all before it, ordered by number.
        epochs_at: for each entry of `best_so_far`, the epochs trained in all trials up to that number.
        last: the number of the last finished trial; None if none has finished.
        epochs: the epochs trained in all finished trials.
        strengths: the best strength of each technique that a trial had alone, by the technique's name.
        samplers: the samplers of its runs, each once.
        is_of_regularization: whether it searches only regularization, and no hyperparameters of a HyperModel.
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
        """The section [search] of its study file."""
        return self.answer.study.spec.search

    @property
    def name(self) -> str:
        """The name of the study."""
        return self.answer.study.name

    @property
    def train_rows(self) -> int:
        """The number of examples in its training split."""
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

        It is the winner, or if that is the baseline, the best other finalist. The selection split ranks them, so that
        the test set has no part in the choice. None without a confirmation, or if the baseline failed.
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
        """Return the verdict on a technique; None without a confirmation, or if that does not list the technique."""
        found = () if self.conclusion is None else technique_verdicts(self.conclusion)
        return next((verdict for verdict in found if verdict.technique == technique), None)

    def row_of(self, technique: str) -> TechniqueRow | None:
        """Return the row of a technique in the conclusion; None without a confirmation, or if it has no such row."""
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
            "way": another search method or network, if all studies have the same number of training examples.
            "budget": another number of trials, under the same condition.
        values: the value of each study, as JSON; "" if the study does not have the key.
    """

    key: str
    kind: Kind
    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The studies, those with the fewest training examples first, and the keys in which they differ."""

    studies: tuple[ComparedStudy, ...]
    differences: tuple[Difference, ...]

    @property
    def obstacles(self) -> tuple[Difference, ...]:
        """The differences because of which the results of the studies can't be compared."""
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
        """Whether all studies have the same objective, and it is an accuracy."""
        return self.have_one_objective and self.studies[0].search.by_accuracy

    @property
    def maximizes(self) -> bool:
        """Whether all studies have the same objective, and larger values of it are better."""
        return self.have_one_objective and self.studies[0].search.maximizes

    @property
    def is_judged_alike(self) -> bool:
        """Whether the verdicts of all studies use the same metric, or no metric."""
        return len({study.conclusion.metric for study in self.studies if study.conclusion is not None}) < 2

    @property
    def measure(self) -> Measure:
        """The measure of the gains in the comparison; it is a metric only if all verdicts use that metric."""
        metrics = {study.conclusion.metric for study in self.studies if study.conclusion is not None}
        metric = metrics.pop() if self.have_one_objective and len(metrics) == 1 else None
        return per_example(self.is_by_accuracy) if metric is None else of_metric(metric)

    def gain_of(self, study: ComparedStudy) -> Interval | None:
        """Return the gain of regularization as a whole over the baseline in one study, in `measure`.

        None if that gain is unknown.
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
        conclusion: the conclusion of its confirmation; None if it was not confirmed.
        trials: all its trials, ordered by number.
        epochs: the number of epochs that each trial trained, by its number; by default it is taken from the metrics
            of the trials.
        samplers: the samplers of its runs, each once.
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
    """Return the comparison of studies, of which there are at least two."""
    ordered = tuple(sorted(studies, key=lambda study: (study.train_rows, study.name)))
    return Comparison(studies=ordered, differences=tuple(_differences(ordered)))


def _strengths(conclusion: Conclusion | None, trials: Sequence[TrialRecord], maximizes: bool) -> dict[str, Strength]:
    """Return the best strength of each technique alone: the confirmed one, or else that of the best trial."""
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
    """Return the strength of a technique in the parameters of a trial; None unless it is the only technique."""
    try:
        settings = configuration_of(params)
        is_alone = isinstance(settings, Regularization) and settings.technique == technique
    except (TypeError, ValueError, AttributeError):  # another program wrote these parameters
        return None
    key = next(one.key for one in TECHNIQUES if one.name == technique)
    return formats.number_of(params, key) if is_alone else None


def _differences(studies: Sequence[ComparedStudy]) -> list[Difference]:
    """Return the keys in which the studies differ; those that prevent a comparison come first."""
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
    """Return the keys and values that identify the network of a study; none if no study has a HyperModel.

    The keys of the built-in network are None for a HyperModel, which does not use them.
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
    """Return the keys and values of a study's search method and budget, which its identity leaves out."""
    document = study.answer.study.spec.model_dump(mode="json")
    return {_BUDGET_KEY: document["budget"]["trials"]} | {
        f"search.{key}": document["search"][key] for key in _METHOD_KEYS
    }


def _order(key: str) -> tuple[int, str]:
    """Return the sort key of a difference: the search method first, then the other keys by name."""
    section, _, name = key.partition(".")
    return (_METHOD_KEYS.index(name) if section == "search" and name in _METHOD_KEYS else len(_METHOD_KEYS), key)


def _kind(key: str, have_one_size: bool) -> Kind:
    """Return the kind of a difference; `have_one_size` tells whether all studies have as many training examples."""
    if key == _SIZE_KEY:
        return "size"
    if key == _BUDGET_KEY:
        return "budget"
    if have_one_size and (key.startswith("model.") or key.removeprefix("search.") in _METHOD_KEYS):
        return "way"
    return "search" if key.startswith(_SEARCH_PREFIXES) else "question"


def _shown(identity: Mapping[str, Any], key: str) -> str:
    """Return the value of a key as text; "" if the study does not have it."""
    value = identity.get(key)
    if value is None:
        return ""
    return value if key in (_DATA, _HYPERMODEL) else json.dumps(value, ensure_ascii=False)
