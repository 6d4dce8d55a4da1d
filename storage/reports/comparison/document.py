"""A comparison for programs: plain values, ready for JSON."""

from typing import Any

from storage.reports.comparison import need
from storage.reports.comparison.value import ComparedStudy, Comparison
from storage.reports.document import answer_json
from studies.space import TECHNIQUES


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return all of it."""
    names = [study.name for study in comparison.studies]
    return {
        "headline": need.headline(comparison),
        "is_comparable": not comparison.obstacles,
        "differences": [
            {"key": one.key, "kind": one.kind, "values": dict(zip(names, one.values, strict=True))}
            for one in comparison.differences
        ],
        "studies": [_study(study) for study in comparison.studies],
        "more_rows": {
            "sentence": need.sentence(comparison),
            "all": _change(need.change(comparison)),
            "techniques": {name: _change(need.change(comparison, name)) for name in TECHNIQUES},
        }
        if need.differ_in_size(comparison)
        else None,
    }


def _study(study: ComparedStudy) -> dict[str, Any]:
    return {
        **answer_json(study.answer, study.conclusion),
        "train_rows": study.train_rows,
        "best_so_far": [{"number": number, "value": value} for number, value in study.best_so_far],
        "strengths": {name: vars(strength) for name, strength in study.strengths.items()},
    }


def _change(change: need.Change | None) -> dict[str, Any] | None:
    if change is None:
        return None
    return {
        "fewest_rows": dict(vars(change.fewest)),
        "most_rows": dict(vars(change.most)),
        "less": dict(vars(change.less)),
        "verdict": change.verdict,
    }
