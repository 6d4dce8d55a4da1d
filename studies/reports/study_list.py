"""List all studies of a database, as text and as JSON."""

from collections.abc import Sequence
from typing import Any

from ..analysis.study_status import Status
from .table import as_table


def as_text(statuses: Sequence[Status]) -> str:
    """Return a table with a row for each study."""
    if not statuses:
        return "no studies yet"
    rows = [
        (
            status.answer.study.name,
            status.answer.study.dataset.name,
            f"{status.answer.counts.finished}/{status.answer.study.spec.budget.trials}",
            None if status.answer.best is None else f"{status.answer.best.value:.5f}",
            status.state,
            f"{status.answer.study.created_at:%Y-%m-%d %H:%M} UTC",
        )
        for status in statuses
    ]
    return as_table(("study", "data", "finished", "best", "state", "started"), rows)


def as_json(statuses: Sequence[Status]) -> dict[str, Any]:
    """Return the studies as a dictionary, ready for JSON."""
    return {
        "studies": [
            {
                "study": status.answer.study.name,
                "dataset": status.answer.study.dataset.name,
                "finished": status.answer.counts.finished,
                "total": status.answer.study.spec.budget.trials,
                "best_value": None if status.answer.best is None else status.answer.best.value,
                "state": status.state,
            }
            for status in statuses
        ]
    }
