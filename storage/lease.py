"""One coordinator per study on a server: it holds a lease, which is a table row that heartbeats keep valid.

The tables of leases hold nothing that must last, so they need no migrations.
"""

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import column, text

from ..studies.errors import CommitInDoubtError, StorageError, StorageUnavailableError
from ..studies.records import Holder
from .errors import translate_errors
from .location import Server, command
from .study_lock import held_error

TABLE, STEPS = "regsearch_leases", "regsearch_steps"
LEASE_SECONDS = 15
BEAT_SECONDS = 1.0
ANSWER_SECONDS = 180.0
"""If the server's answer to a commit was lost: for how many seconds to ask whether the commit was done."""

TAKING_SECONDS = 90.0
"""For how many seconds to wait for the running step of a silent holder; the server ends the step after 60 seconds."""

_POLL_SECONDS = 0.25
_LOCKED = "55P03"  # PostgreSQL's SQLSTATE for a lock that was not available in time

_held_here: set[str] = set()  # the owner ids of the leases that this process holds

CREATE = (
    text(
        f"create table if not exists {TABLE} (study text primary key, owner text, host text, pid integer, "
        "process text, since text, beat_at timestamp with time zone)"
    ),
    text(f"create table if not exists {STEPS} (study text primary key, owner text, steps bigint not null default 0)"),
)
_ENTER, _ENTER_STEPS = (  # check first: inserting a row that exists would wait for its writer
    text(
        f"insert into {table} (study) select :study where not exists (select 1 from {table} where study = :study) "
        "on conflict (study) do nothing"
    )
    for table in (TABLE, STEPS)
)
# silence counts from the server's last start at the earliest: a server that is down receives no heartbeats
_LOOK = (
    "select owner, host, pid, process, since, beat_at, extract(epoch from clock_timestamp() - "
    f"greatest(beat_at, pg_postmaster_start_time())) > :lease_seconds as is_silent from {TABLE} where study = :study"
)
_COLUMNS: list[Any] = [column(name) for name in ("owner", "host", "pid", "process", "since", "beat_at", "is_silent")]
_ROW, _LOCKED_ROW = text(_LOOK).columns(*_COLUMNS), text(f"{_LOOK} for update").columns(*_COLUMNS)
_TAKE = text(
    f"update {TABLE} set owner = :owner, host = :host, pid = :pid, process = :process, since = "
    "to_char(now() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS+00:00'), beat_at = clock_timestamp() "
    "where study = :study"
)
_TAKE_STEPS = text(f"update {STEPS} set owner = :owner where study = :study")
_STEP = text(f"update {STEPS} set steps = steps + 1 where study = :study and owner = :owner returning steps").columns(
    column("steps")
)
_COUNTED = text(f"select owner, steps from {STEPS} where study = :study for update").columns(
    column("owner"), column("steps")
)
_BEAT = text(f"update {TABLE} set beat_at = clock_timestamp() where study = :study and owner = :owner")
_RELEASE = text(f"update {TABLE} set owner = null where study = :study and owner = :owner")
_STUDIES = text(f"select study from {TABLE} where owner is not null order by study").columns(column("study"))


class Lease:
    """The lease of one study on a server; a context manager that its coordinator holds from start to end.

    **Ownership**: at most one process holds the lease. Another process may take over the lease if the last heartbeat is
    `LEASE_SECONDS` old, or if the holder was a process of this machine and is dead.

    **Atomicity**: each transaction of the holder adds 1 to a count of steps, in a row that names the holder. So a
    process can't commit any more after it has lost the lease. A process that takes over the lease first waits until the
    running transaction has ended. If the server's answer to a commit is lost, the count shows whether it was done.

    **Crash behaviour**: if the holder is killed, its heartbeats end. So the lease ends by itself.

    **Clocks**: all times are from the clock of the server, so the clocks of two machines are never compared.

    Args:
        engine: the engine of the server.
        server: the server, for messages.
        study: the study's name.
        should_give_up: returns whether to stop waiting for the server.
        on_wait: called with a message for the user when regsearch has to wait for the server.

    Raises InputError if another process holds the lease, StorageError if the server can't be used.
    """

    def __init__(
        self,
        engine: sqlalchemy.Engine,
        server: Server,
        study: str,
        *,
        should_give_up: Callable[[], bool],
        on_wait: Callable[[str], None],
    ) -> None:
        self._engine, self._server, self._study = engine, server, study
        self._should_give_up, self._on_wait = should_give_up, on_wait
        self._mine = {"study": study, "owner": str(uuid.uuid4())}
        self._is_over = threading.Event()
        self._heartbeat_thread = threading.Thread(target=self._send_heartbeats, name=f"lease of {study}", daemon=True)

    def __enter__(self) -> "Lease":
        _held_here.add(self._mine["owner"])
        try:
            with translate_errors(self._server):
                self._take()
        except BaseException:
            _held_here.discard(self._mine["owner"])
            raise
        self._heartbeat_thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_over.set()
        self._heartbeat_thread.join(timeout=BEAT_SECONDS)  # it may be waiting for a server that doesn't answer
        with suppress(sqlalchemy.exc.SQLAlchemyError), self._engine.begin() as connection:
            connection.execute(_RELEASE, self._mine)
        _held_here.discard(self._mine["owner"])

    def step(self, connection: sqlalchemy.Connection) -> int:
        """Add 1 to the count of steps and return the count; raises StorageError if another process took over."""
        step: int | None = connection.execute(_STEP, self._mine).scalar()
        if step is None:
            raise self._overtaken_error()
        return step

    def was_done(self, step: int) -> bool:
        """Return whether a step was committed. This is for a commit whose answer from the server was lost.

        Asks the server until it replies. Raises CommitInDoubtError if it doesn't reply within `ANSWER_SECONDS`. Raises
        StorageError if another process has taken over the study.
        """
        deadline, has_warned = time.monotonic() + ANSWER_SECONDS, False
        while True:
            try:
                # this waits for the row's lock, which the lost transaction holds until it has ended
                with translate_errors(self._server), self._engine.connect() as connection:
                    row = connection.execute(_COUNTED, {"study": self._study}).one_or_none()
                break
            except StorageUnavailableError as error:
                if self._should_give_up() or time.monotonic() > deadline:
                    raise self._in_doubt_error(error) from error
                if not has_warned:
                    minutes = f"{ANSWER_SECONDS / 60:.0f} minutes"
                    self._on_wait(f"{error}; for up to {minutes}, regsearch asks whether the last write is stored")
                    has_warned = True
                time.sleep(_POLL_SECONDS)
        if row is None or row.owner != self._mine["owner"]:
            raise self._overtaken_error()
        return bool(row.steps >= step)

    def _in_doubt_error(self, error: StorageUnavailableError) -> CommitInDoubtError:
        see = command(self._server, "status", self._study)
        return CommitInDoubtError(
            f"{str(error).rstrip('.')}. The last write may be lost: `{see}` shows what is stored."
        )

    def _take(self) -> None:
        seen: Any = None
        deadline = time.monotonic() + TAKING_SECONDS
        while True:
            row, is_mine = self._look_and_take()
            if is_mine:
                return
            if (seen is not None and row.beat_at != seen) or time.monotonic() > deadline:
                raise held_error(self._server, self._study, _holder(row))
            seen = row.beat_at
            time.sleep(_POLL_SECONDS)

    def _look_and_take(self) -> tuple[Any, bool]:
        """Take the lease if it is free; return the lease's row as it was before, and whether this process took it."""
        with self._engine.begin() as connection:
            connection.execute(_ENTER, {"study": self._study})
            connection.execute(_ENTER_STEPS, {"study": self._study})
            row = _look(connection, self._study, _LOCKED_ROW)
            if _is_held(row):
                return row, False
            try:
                with connection.begin_nested():  # this waits until a running step has ended
                    connection.execute(_TAKE_STEPS, self._mine)
            except sqlalchemy.exc.OperationalError as error:
                if getattr(error.orig, "sqlstate", None) != _LOCKED:
                    raise
                return row, False  # try again: the server ends an idle transaction after a minute
            me = {"host": socket.gethostname(), "pid": os.getpid(), "process": _process(os.getpid())}
            connection.execute(_TAKE, {**self._mine, **me})
            return row, True

    def _send_heartbeats(self) -> None:
        while not self._is_over.wait(BEAT_SECONDS):
            with suppress(sqlalchemy.exc.SQLAlchemyError), self._engine.begin() as connection:
                connection.execute(_BEAT, self._mine)

    def _overtaken_error(self) -> StorageError:
        row = None
        with suppress(sqlalchemy.exc.SQLAlchemyError), self._engine.connect() as connection:
            row = _look(connection, self._study)
        who = "another process" if row is None or row.owner is None else f"process {row.pid} on {row.host}"
        return StorageError(
            f"{who} has taken over the study {self._study}, so this run stops. "
            "Nothing of this run was written since then."
        )


def holder(connection: sqlalchemy.Connection, study: str) -> Holder | None:
    """Return the process that holds the lease of a study now, or None."""
    row = _look(connection, study)
    return _holder(row) if row is not None and _is_held(row) else None


def held(connection: sqlalchemy.Connection) -> dict[str, Holder]:
    """Return a dict from the name of each study that is searched to the process that holds its lease."""
    found = {study: holder(connection, study) for study in connection.execute(_STUDIES).scalars().all()}
    return {study: who for study, who in found.items() if who is not None}


def _look(connection: sqlalchemy.Connection, study: str, statement: Any = _ROW) -> Any:
    return connection.execute(statement, {"study": study, "lease_seconds": LEASE_SECONDS}).one_or_none()


def _is_held(row: Any) -> bool:
    return row.owner is not None and not row.is_silent and not _is_dead(row)


def _holder(row: Any) -> Holder:
    return Holder(host=row.host, pid=row.pid, since=row.since)


def _is_dead(row: Any) -> bool:
    """Return whether the row names a process of this machine that no longer holds the lease.

    Either that process is dead, or it is this process: it gave up the lease, but could not write that to the table.
    """
    mine = _process(os.getpid())
    if not row.process or not mine or row.process.split()[:2] != mine.split()[:2]:
        return False
    if row.process == mine:
        return row.owner not in _held_here
    try:
        os.kill(row.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False  # another user's process: it may be the holder
    its = _process(row.pid)
    return its is None or its not in ("", row.process)


def _process(pid: int) -> str | None:
    """Return a text that identifies a process: the machine's boot, the PID namespace, the PID and the start time.

    The text is None if the process is a zombie: it has ended, but its parent process has not noticed. The text is empty
    if the operating system doesn't show these facts.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = Path("/proc/self/ns/pid").readlink()
        # after the name, which may contain any character, the state is field 1 and the start time field 20
        stat_line = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    state, *rest = stat_line.rpartition(")")[2].split()
    return None if state == "Z" else f"{boot} {namespace} {pid} {rest[18]}"
