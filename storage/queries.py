"""Read studies, trials and runs from the tables with SQL, without loading all trials into memory."""

import difflib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import select

from ..studies.errors import InputError, StorageError
from ..studies.records import Counts, DatasetInfo, RunRecord, StudyRecord, StudySummary, TrialRecord
from ..studies.spec import StudySpec
from ..studies.trial import EpochMetrics
from .database import Database
from .location import command
from .optuna import tables
from .paths import weights_file
from .tables import METRICS, EpochRow, RunRow, StudyRow

UUID_ATTR = "regsearch:study"
"""The user attribute with regsearch's UUID of an Optuna study. Optuna's ids are reused, and names can change."""

_STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}
_PAGE = 500  # trials that are read at a time
_KILLED = "it was killed"


def study_names(database: Database) -> list[str]:
    """Return the names of all studies of regsearch, as they are in Optuna's tables now."""
    with database.read() as connection:
        return list(connection.execute(tables.STUDY_NAMES, {"key": UUID_ATTR}).scalars())


def find_study(database: Database, name: str) -> StudyRecord | None:
    """Return the study of that name, or None.

    Raises InputError if the name belongs to an Optuna study that regsearch did not create.
    """
    with database.read() as connection:
        study_id = connection.execute(tables.STUDY_ID, {"name": name}).scalar() if _is_utf8(name) else None
        if study_id is None:
            return None
        attr = connection.execute(tables.STUDY_ATTR, {"id": study_id, "key": UUID_ATTR}).scalar()
        row = None
        if attr is not None:
            study_uuid = str(json.loads(attr))
            row = connection.execute(select(StudyRow.__table__).where(StudyRow.study_uuid == study_uuid)).first()
        if row is None:
            raise InputError(f"{name} is an Optuna study that regsearch did not create. Choose another --name.")
        return StudyRecord(
            name=name,
            study_id=study_id,
            study_uuid=row.study_uuid,
            created_at=row.created_at,
            spec=_read_spec(row.spec, name),
            dataset=DatasetInfo(
                name=row.dataset,
                source=row.source,
                sha256=row.dataset_sha256,
                n_train=row.n_train,
                n_test=row.n_test,
            ),
            versions=json.loads(row.versions),
        )


def _read_spec(text: str, name: str) -> StudySpec:
    try:
        return StudySpec.from_json(text).changed(study={"name": name})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(
            f"the study {name} can't be read by this version of regsearch. Install a later version."
        ) from error


def check_not_copied(database: Database, study: StudyRecord) -> None:
    """Raise InputError if the study was copied with Optuna: study and copy would write the same rows of regsearch."""
    with database.read() as connection:
        bound = {"key": UUID_ATTR, "uuid": json.dumps(study.study_uuid)}
        copies = connection.execute(tables.STUDIES_WITH_ATTR, bound).scalar_one()
    if copies > 1:
        raise InputError(
            f"{study.name} was copied with Optuna, and both studies use the same rows. Delete one with Optuna first."
        )


def _is_utf8(name: str) -> bool:
    """Return whether a name is valid UTF-8. If not, no study has this name, and the database can't search for it."""
    return name == name.encode("utf-8", "replace").decode()


def get_study(database: Database, name: str) -> StudyRecord:
    """Return the study of that name; if there is none, raises InputError with similar names."""
    study = find_study(database, name)
    if study is None:
        names = study_names(database)
        near = difflib.get_close_matches(name, names, n=2) or names[:10]
        hint = f"It has {', '.join(near)}." if near else "It has no studies yet."
        raise InputError(f"{database.location} has no study called {name!r}. {hint}")
    return study


def count_trials(database: Database, study: StudyRecord) -> Counts:
    """Return how many trials are in each state."""
    with database.read() as connection:
        rows = connection.execute(tables.TRIALS_BY_STATE, {"id": study.study_id})
        return Counts(**{_state(state): count for state, count in rows})


def best_trial(database: Database, study: StudyRecord) -> TrialRecord | None:
    """Return the complete trial with the best value, the first if several are equal; None if none is complete."""
    statement = tables.LARGEST_VALUE if study.spec.search.maximizes else tables.SMALLEST_VALUE
    with database.read() as connection:
        number = connection.execute(statement, {"id": study.study_id}).scalar()
        return None if number is None else _trials(connection, study, number, number)[0]


def read_answer(database: Database, study: StudyRecord) -> StudySummary:
    """Return the summary that `best` prints, and that a run prints at its end."""
    best = best_trial(database, study)
    weights = None if best is None else kept_weights(database, study, best)
    return StudySummary(study=study, counts=count_trials(database, study), best=best, weights=weights)


def kept_weights(database: Database, study: StudyRecord, trial: TrialRecord) -> Path | None:
    """Return the file with a trial's weights; None if it doesn't exist or was changed."""
    path = weights_file(database.location, study.name, trial.number)
    try:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
    return path if sha256 == trial.weights_sha256 else None


def list_trials(database: Database, study: StudyRecord) -> Iterator[TrialRecord]:
    """Yield all trials, ordered by number. They are read in pages: one long read would delay a search's commits."""
    with database.read() as connection:
        last: int = connection.execute(tables.LAST_NUMBER, {"id": study.study_id}).scalar_one()
    for first in range(0, last + 1, _PAGE):
        with database.read() as connection:
            page = _trials(connection, study, first, min(first + _PAGE - 1, last))
        yield from page


def get_trial(database: Database, study: StudyRecord, number: int) -> TrialRecord:
    """Return the trial of that number; raises InputError if there is none."""
    with database.read() as connection:
        found = _trials(connection, study, number, number) if 0 <= number < 2**63 else []
    if not found:
        see = command(database.location, "trials", study.name)
        raise InputError(f"{study.name} has no trial {number}. See `{see}`.")
    return found[0]


def read_curve(database: Database, study: StudyRecord, number: int) -> list[EpochMetrics]:
    """Return the recorded metrics of each epoch of a trial, in the order of the epochs."""
    query = select(EpochRow.__table__).where(EpochRow.study_uuid == study.study_uuid, EpochRow.number == number)
    with database.read() as connection:
        return [
            EpochMetrics(
                epoch=int(row.epoch),
                train_loss=float(row.train_loss),
                stop_loss=float(row.stop_loss),
                stop_cross_entropy=float(row.stop_cross_entropy),
                stop_accuracy=float(row.stop_accuracy),
                seconds=float(row.seconds),
            )
            for row in connection.execute(query.order_by(EpochRow.epoch))
        ]


def list_runs(database: Database, study: StudyRecord) -> list[RunRecord]:
    """Return all runs of a study, the oldest first.

    A run without a recorded end was killed if a later run has begun, or if no process searches the study now.
    """
    is_held = database.holder(study.name) is not None
    records = []
    with database.read() as connection:
        rows = connection.execute(
            select(RunRow.__table__).where(RunRow.study_uuid == study.study_uuid).order_by(RunRow.run_id)
        ).all()
        for row, following in zip(rows, [*rows, None][1:], strict=True):
            end = row.ended_at or (following and following.started_at)
            was_killed = row.ended_at is None and (following is not None or not is_held)
            bound = {"id": study.study_id, "begin": row.started_at, "end": end}
            finished = connection.execute(tables.FINISHED_BETWEEN, bound).one()
            records.append(
                RunRecord(
                    host=row.host,
                    pid=row.pid,
                    engine=row.engine,
                    workers=row.workers,
                    started_at=row.started_at,
                    ended_at=row.ended_at,
                    outcome=_KILLED if was_killed else row.outcome,
                    finished_trials=finished.trials,
                    last_finished_at=finished.last,
                )
            )
    return records


def _trials(connection: sqlalchemy.Connection, study: StudyRecord, first: int, last: int) -> list[TrialRecord]:
    """Return the trials from the number `first` to the number `last`, both included."""
    bound = {"id": study.study_id, "uuid": study.study_uuid, "first": first, "last": last}
    rows = connection.execute(tables.TRIALS, bound).all()
    params: dict[int, dict[str, Any]] = {row.number: {} for row in rows}
    bound = {"id": study.study_id, "first": first, "last": last}
    for number, name, value, distribution in connection.execute(tables.PARAMS, bound):
        params[number][name] = _decode(value, distribution)
    return [
        TrialRecord(
            number=row.number,
            state=_state(row.state),
            value=row.value,
            params=params[row.number],
            metrics={name: row._mapping[name] for name in METRICS if row._mapping[name] is not None},
            reason=row.reason,
            weights_sha256=row.weights_sha256,
            recipe=row.recipe,
            started_at=row.datetime_start,
            ended_at=row.datetime_complete,
        )
        for row in rows
    ]


def _state(stored: str) -> str:
    if stored not in _STATES:
        raise ValueError(f"a trial has the unknown state {stored!r}")
    return _STATES[stored]


def _decode(value: float, distribution_json: str) -> Any:
    """Turn the number that Optuna stores into a parameter's value; a test compares this with Optuna's own code."""
    try:
        distribution = json.loads(distribution_json)
        match distribution["name"]:
            case "CategoricalDistribution":
                return distribution["attributes"]["choices"][int(value)]
            case "IntDistribution":
                return int(value)
            case _:
                return float(value)
    except (TypeError, LookupError, OverflowError) as error:
        raise ValueError(f"a parameter is stored as {value!r}, which is no value of {distribution_json!r}") from error
