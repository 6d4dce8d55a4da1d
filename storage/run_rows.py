"""The rows of a study's runs: one is entered when a run starts, and the newest one alone may write."""

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
    """Enter a run of this process and return its id."""
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
    """Enter how a run ended."""
    connection.execute(update(RunRow).where(RunRow.run_id == run_id).values(ended_at=utc_now(), outcome=outcome))


def request_stop(connection: Connection, study_uuid: str) -> None:
    """Ask the runs of a study that have not ended to stop."""
    under_way = (RunRow.study_uuid == study_uuid, RunRow.ended_at.is_(None))
    connection.execute(update(RunRow).where(*under_way).values(stop_requested_at=utc_now()))


def is_stop_requested(connection: Connection, run_id: int | None) -> bool:
    """Return whether a run was asked to stop."""
    requested_at = select(RunRow.stop_requested_at).where(RunRow.run_id == run_id)
    return connection.execute(requested_at).scalar() is not None


def check_newest_run(connection: Connection, study_uuid: str, study: str, run_id: int) -> None:
    """Raise StorageError if another coordinator took over: the newest run alone may write.

    The study's lock keeps two coordinators from running at once. This check holds if the lock's file was removed, or
    lies on a file system that doesn't lock.
    """
    newest = study_sql.newest_run(connection, study_uuid)
    if newest.run_id != run_id:
        raise StorageError(
            f"the study {study} was taken over by process {newest.pid} on {newest.host}. "
            "This process stops; it has written nothing since."
        )
