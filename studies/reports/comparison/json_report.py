"""Turn a comparison into dictionaries, ready for JSON."""

from typing import Any

from ...analysis import search_methods, size_effect
from ...analysis.comparison import ComparedStudy, Comparison
from ...configuration import LABELS
from ..json_report import answer_json
from . import wording


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return the whole comparison as a dictionary."""
    names = [study.name for study in comparison.studies]
    return {
        "headline": wording.headline(comparison),
        "is_comparable": not comparison.obstacles,
        "differences": [
            {"key": one.key, "kind": one.kind, "values": dict(zip(names, one.values, strict=True))}
            for one in comparison.differences
        ],
        "studies": [_study(study) for study in comparison.studies],
        "more_rows": {
            "sentence": size_effect.sentence(comparison),
            "all": _change(size_effect.change(comparison)),
            "techniques": {name: _change(size_effect.change(comparison, name)) for name in LABELS},
        }
        if size_effect.differ_in_size(comparison) and comparison.are_of_regularization
        else None,
        "searches": _searches(comparison),
    }


def _searches(comparison: Comparison) -> dict[str, Any] | None:
    sentence = search_methods.sentences(comparison)
    if sentence is None:
        return None
    trials = search_methods.common_trials(comparison)
    return {
        "sentence": sentence,
        "after_trials": trials,
        "ways": [
            {
                "label": method.label,
                "studies": [study.name for study in method.studies],
                "seeds": list(method.seeds),
                "best": [study.best_after(trials) for study in method.studies],
            }
            for method in search_methods.search_methods(comparison)
        ],
        "leads": [
            {
                "best": lead.best.label,
                "other": lead.other.label,
                "by": None if lead.difference is None else dict(vars(lead.difference)),
                "is_paired": lead.is_paired,
                "is_beyond_noise": lead.is_beyond_noise,
            }
            for lead in search_methods.leads(comparison)
        ],
    }


def _study(study: ComparedStudy) -> dict[str, Any]:
    return {
        **answer_json(study.answer, study.conclusion),
        "train_rows": study.train_rows,
        "epochs": study.epochs,
        "best_so_far": [
            {"number": number, "value": value, "epochs": epochs}
            for (number, value), epochs in zip(study.best_so_far, study.epochs_at, strict=True)
        ],
        "strengths": {name: vars(strength) for name, strength in study.strengths.items()},
    }


def _change(change: size_effect.SizeEffect | None) -> dict[str, Any] | None:
    if change is None:
        return None
    return {
        "fewest_rows": dict(vars(change.fewest)),
        "most_rows": dict(vars(change.most)),
        "less": dict(vars(change.reduction)),
        "verdict": change.verdict,
    }
