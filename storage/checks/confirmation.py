"""Find the damaged rows of a confirmation before regsearch uses them."""

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy
from sqlalchemy import select

from ...studies.configuration import Regularization, configuration_of
from ...studies.example_scores import PerExampleScores
from ...studies.records import StudyRecord
from ...studies.spec import SEEDS_AT_MOST
from ..race_rounds import read_drops
from ..tables import METRICS, ConfirmationRow, FinalistRow, RoundRow, TestEvaluationRow

STATES = ("waiting", "running", "complete", "failed")
"""The states of a training."""


def check_confirmation(connection: sqlalchemy.Connection, study: StudyRecord) -> None:
    """Raise ValueError if a row of the study's confirmation is damaged; the message names the row."""
    finalists, trainings, looks = (
        _rows(connection, table, study) for table in (FinalistRow, ConfirmationRow, TestEvaluationRow)
    )
    for number, row in enumerate(finalists):
        with _named(study, row):
            check_types(FinalistRow.__table__, row)
            _check_finalist(row, number, study)
    select_counts: set[int] = set()
    for row in trainings:
        with _named(study, row):
            check_types(ConfirmationRow.__table__, row)
            _check_training(row, len(finalists), select_counts)
    trained = {(row.finalist, row.seed) for row in trainings}
    test_counts: set[int] = set()
    for row in looks:
        with _named(study, row):
            check_types(TestEvaluationRow.__table__, row)
            if (row.finalist, row.seed) not in trained:
                raise ValueError("it has a test evaluation but no training")
            _check_whole(row, row.ended_at is not None, ("cross_entropy", "accuracy"), "test_rows", test_counts)
    for number, row in enumerate(_rows(connection, RoundRow, study)):
        try:
            check_types(RoundRow.__table__, row)
            _check_round(row, number, len(finalists))
        except ValueError as error:
            raise ValueError(f"{study.name}, round {row.round}: {error}") from error


def check_types(table: Any, row: Any) -> None:
    """Raise ValueError if a value doesn't have the type of its column: SQLite accepts any value in any column."""
    for column in table.columns:
        value, declared = row._mapping[column.name], column.type.python_type
        if value is None and column.nullable:
            continue
        if not isinstance(value, declared) or (declared is float and not math.isfinite(value)):
            raise ValueError(f"its {column.name} is {value!r:.50}")


def _check_finalist(row: Any, number: int, study: StudyRecord) -> None:
    if row.finalist != number:
        raise ValueError(f"the number of this finalist should be {number}")
    if row.look < 1:
        raise ValueError(_impossible_analysis(row))
    params, roles = json.loads(row.params), json.loads(row.roles)
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise ValueError(f"its roles are {row.roles:.50}")
    try:
        settings = configuration_of(params) if study.spec.model.hypermodel else Regularization.from_params(params)
        hash(settings), str(settings)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"its params are {row.params:.50}") from error


def _check_training(row: Any, finalists: int, counts: set[int]) -> None:
    if not 0 <= row.finalist < finalists:
        raise ValueError("there is no such finalist")
    if not 0 <= row.seed < SEEDS_AT_MOST:
        raise ValueError("there is no such seed")
    if row.look < 1:
        raise ValueError(_impossible_analysis(row))
    if row.state not in STATES:
        raise ValueError(f"its state is {row.state!r:.50}")
    _check_whole(row, row.state == "complete", METRICS, "select_rows", counts)


def _check_round(row: Any, number: int, finalists: int) -> None:
    if row.round != number:
        raise ValueError(f"the number of this round should be {number}")
    if not 0 < row.seeds <= row.most_seeds <= SEEDS_AT_MOST:
        raise ValueError(f"it has {row.seeds} of at most {row.most_seeds} seeds")
    if row.look < 1:
        raise ValueError(_impossible_analysis(row))
    for drop in read_drops(row.drops):
        if not (0 <= drop.index < finalists and 0 <= drop.than < finalists):
            raise ValueError("its drops name a finalist that does not exist")


def _impossible_analysis(row: Any) -> str:
    return f"its test analysis has the impossible number {row.look}"


def _check_whole(row: Any, has_ended: bool, figures: Sequence[str], rows: str, counts: set[int]) -> None:
    """Check that an ended task has all results, and that all tasks have results for equally many examples.

    `counts` collects the numbers of examples.
    """
    missing = [name for name in (*figures, rows) if row._mapping[name] is None]
    if has_ended and missing:
        raise ValueError(f"it ended without {missing[0]}")
    content = row._mapping[rows]
    if content is not None:
        counts.add(len(PerExampleScores.from_bytes(content).losses))
    if len(counts) > 1:
        raise ValueError(f"its {rows} have another number of examples than those of other tasks")


def _rows(connection: sqlalchemy.Connection, entity: Any, study: StudyRecord) -> Sequence[Any]:
    table = entity.__table__
    return connection.execute(
        select(table).where(table.c.study_uuid == study.study_uuid).order_by(*table.primary_key.columns)
    ).all()


@contextmanager
def _named(study: StudyRecord, row: Any) -> Iterator[None]:
    seed = f", seed {row.seed}" if "seed" in row._fields else ""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{study.name}, finalist {row.finalist}{seed}: {error}") from error
