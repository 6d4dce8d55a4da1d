"""Write every trial of a study as a table, CSV or JSON."""

import csv
import io
import itertools
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from ..configuration import configuration_of
from ..errors import one_line
from ..records import StudyRecord, TrialRecord
from ..search_space import LEARNING_RATE, PARAMETERS, short_name
from .answer import dataset_json, dataset_line
from .table import as_table

_METRICS = ("select_cross_entropy", "select_accuracy", "train_cross_entropy", "train_accuracy")
_TEXTS = ("recipe", "reason", "dataset")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_OTHERS = ("best_epoch", "epochs", *_METRICS, "seconds", *_TEXTS)


def columns(study: StudyRecord, trials: Iterable[TrialRecord]) -> tuple[str, ...]:
    """Return the column names of `as_rows`; as in Optuna, a parameter of a HyperModel is named "params_NAME"."""
    return ("number", "state", "value", *_parameters(study, trials).values(), *_OTHERS)


def as_text(study: StudyRecord, trials: Iterable[TrialRecord]) -> str:
    """Return a table with a row for each trial."""
    rows = [
        (
            trial.number,
            trial.state,
            _rounded(trial.value, 5),
            _rounded(trial.metrics.get("select_accuracy"), 4),
            trial.metrics.get("epochs"),
            trial.reason or (configuration_of(trial.params) if trial.params else ""),
        )
        for trial in trials
    ]
    table = as_table(("trial", "state", "value", "accuracy", "epochs", "configuration"), rows)
    return f"{dataset_line(study.dataset)}\n{table}"


def as_csv(study: StudyRecord, trials: Iterable[TrialRecord]) -> Iterator[str]:
    """Yield the lines of a CSV file, first the header; a cell without a value is empty."""
    if study.spec.model.hypermodel is not None:
        trials = list(trials)  # the columns are the parameters of all trials together
    for row in itertools.chain([columns(study, trials)], as_rows(study, trials)):
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(_spreadsheet_cell(value) for value in row)
        yield line.getvalue()


def as_rows(study: StudyRecord, trials: Iterable[TrialRecord]) -> Iterator[list[Any]]:
    """Yield a row for each trial, with its values in the order of `columns`; None if a trial has no such value."""
    if study.spec.model.hypermodel is not None:
        trials = list(trials)
    parameters = _parameters(study, trials)
    for trial in trials:
        texts = dict(zip(_TEXTS, (trial.recipe, trial.reason, study.dataset.name), strict=True))
        params = {parameters.get(name, name): value for name, value in trial.params.items()}
        known = {**params, **trial.metrics, **texts}
        heads = (*parameters.values(), *_OTHERS)
        yield [trial.number, trial.state, trial.value, *(known.get(head) for head in heads)]


def _parameters(study: StudyRecord, trials: Iterable[TrialRecord]) -> dict[str, str]:
    """Return the column name of each parameter, by the name of the parameter."""
    if study.spec.model.hypermodel is None:
        is_fixed = study.spec.space.learning_rate == "fixed"
        return {name: short_name(name) for name in PARAMETERS if name != LEARNING_RATE or not is_fixed}
    return {name: f"params_{name}" for trial in trials for name in trial.params}


def as_json(study: StudyRecord, trials: Iterable[TrialRecord]) -> dict[str, Any]:
    """Return the trials as a dictionary, ready for JSON."""
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


def without_formula(text: str) -> str:
    """Return a text that a spreadsheet doesn't take for a formula when it opens a CSV file.

    Example:
        >>> without_formula("=1+1"), without_formula("-0.5")
        ("'=1+1", '-0.5')
    """
    if not text.startswith(_FORMULA_STARTS):
        return text
    with suppress(ValueError):
        float(text)
        return text
    return f"'{text}"


def _spreadsheet_cell(value: Any) -> Any:
    return without_formula(one_line(value)) if isinstance(value, str) else value


def _rounded(figure: float | None, digits: int) -> str | None:
    return None if figure is None else f"{figure:.{digits}f}"
