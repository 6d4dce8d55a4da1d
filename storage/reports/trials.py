"""Every trial of a study: as a table, CSV or JSON."""

import csv
import io
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from storage.queries import StudyRecord, TrialRecord
from storage.reports.answer import dataset_json, dataset_line
from storage.reports.table import as_table
from studies.space import PARAMETERS, Regularization

_METRICS = ("select_cross_entropy", "select_accuracy", "train_cross_entropy", "train_accuracy")
_TEXTS = ("recipe", "reason", "dataset")
COLUMNS = ("number", "state", "value", *PARAMETERS, "best_epoch", "epochs", *_METRICS, "seconds", *_TEXTS)
"""Of a row of `as_rows`; what does not apply is None in it."""


def as_text(study: StudyRecord, trials: Iterable[TrialRecord]) -> str:
    """Return a table for a person."""
    rows = [
        (
            trial.number,
            trial.state,
            _rounded(trial.value, 5),
            _rounded(trial.metrics.get("select_accuracy"), 4),
            trial.metrics.get("epochs"),
            trial.reason or (Regularization.from_params(trial.params) if trial.params else ""),
        )
        for trial in trials
    ]
    table = as_table(("trial", "state", "value", "accuracy", "epochs", "settings"), rows)
    return f"{dataset_line(study.dataset)}\n{table}"


def as_csv(study: StudyRecord, trials: Iterable[TrialRecord]) -> Iterator[str]:
    """Yield CSV, a line at a time; what does not apply is empty."""
    for row in itertools.chain([COLUMNS], as_rows(study, trials)):
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(row)
        yield line.getvalue()


def as_rows(study: StudyRecord, trials: Iterable[TrialRecord]) -> Iterator[list[Any]]:
    """Yield a row for each trial, in the order of COLUMNS."""
    for trial in trials:
        texts = dict(zip(_TEXTS, (trial.recipe, trial.reason, study.dataset.name), strict=True))
        known = {**trial.params, **trial.metrics, **texts}
        yield [trial.number, trial.state, trial.value, *(known.get(column) for column in COLUMNS[3:])]


def as_json(study: StudyRecord, trials: Iterable[TrialRecord]) -> dict[str, Any]:
    """Return them for a program."""
    return {
        "study": study.name,
        "dataset": dataset_json(study.dataset),
        "trials": [
            {
                "number": trial.number,
                "state": trial.state,
                "value": trial.value,
                "params": dict(trial.params),
                "metrics": dict(trial.metrics),
                "recipe": trial.recipe,
                "reason": trial.reason,
                "weights_sha256": trial.weights_sha256,
                "started_at": None if trial.started_at is None else trial.started_at.isoformat() + "Z",
                "ended_at": None if trial.ended_at is None else trial.ended_at.isoformat() + "Z",
            }
            for trial in trials
        ],
    }


def _rounded(figure: float | None, digits: int) -> str | None:
    return None if figure is None else f"{figure:.{digits}f}"
