"""The rows of a study's runs: each run inserts one when it starts, and only the newest run may write."""

import json
import os
import socket
from collections.abc import Mapping

from sqlalchemy import Connection, insert, select, update

from ..studies.errors import StorageError
from ..studies.spec import StudySpec
from . import study_sql
from .new_study import utc_now
from .tables import RunRow


def enter_run(
    connection: Connection, study_uuid: str, spec: StudySpec, *, engine: str, workers: int, versions: Mapping[str, str]
) -> int:
    """Insert a row for a run of this process and return the run's id."""
    entered = connection.execute(
        insert(RunRow).values(
            study_uuid=study_uuid,
            host=socket.gethostname(),
            pid=os.getpid(),
            engine=engine,
            workers=workers,
            search=spec.model_dump_json(include={"search", "confirm", "budget"}),
            sampler=spec.search.sampler,
            pruner=spec.search.pruner,
            versions=json.dumps(dict(versions)),
            started_at=utc_now(),
        )
    )
    assert entered.inserted_primary_key is not None
    run_id: int = entered.inserted_primary_key[0]
    return run_id


def end_run(connection: Connection, run_id: int | None, outcome: str) -> None:
    """Record how a run ended, and when."""
    connection.execute(update(RunRow).where(RunRow.run_id == run_id).values(ended_at=utc_now(), outcome=outcome))


def request_stop(connection: Connection, study_uuid: str) -> None:
    """Ask every unfinished run of a study to stop."""
    under_way = (RunRow.study_uuid == study_uuid, RunRow.ended_at.is_(None))
    connection.execute(update(RunRow).where(*under_way).values(stop_requested_at=utc_now()))


def is_stop_requested(connection: Connection, run_id: int | None) -> bool:
    """Return whether a run was asked to stop."""
    requested_at = select(RunRow.stop_requested_at).where(RunRow.run_id == run_id)
    return connection.execute(requested_at).scalar() is not None


def check_newest_run(connection: Connection, study_uuid: str, study: str, run_id: int) -> None:
    """Raise StorageError if another coordinator has started a newer run: only the newest run may write.

    The study's lock keeps two coordinators from running at once. This check still works if the lock's file was removed,
    or if the file system has no locks.
    """
    newest = study_sql.newest_run(connection, study_uuid)
    if newest.run_id != run_id:
        raise StorageError(
            f"process {newest.pid} on {newest.host} has taken over the study {study}, so this run stops. "
            "Nothing of this run was written since then."
        )
