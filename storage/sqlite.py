"""A database in an SQLite file: how it is created and opened, its settings, and its write lock."""

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path

import sqlalchemy
from sqlalchemy import event

from ..studies.errors import InputError, StorageError
from ..studies.files import open_own_file
from ..studies.records import Holder
from . import schema, study_lock, study_sql
from .database import Database, connection_of, ignore_wait
from .errors import translate_errors
from .location import command, files_folder
from .optuna.storage import FastRDBStorage
from .private_folder import make_private_folder

LOCK_SECONDS = 60
_TRY_MILLISECONDS = 250


class FileDatabase(Database):
    """An open SQLite file."""

    def __init__(self, path: Path, *, writing: bool, on_wait: Callable[[str], None] = ignore_wait) -> None:
        super().__init__(path, _rdb_storage(path, writing=writing), on_wait)
        self._path = path
        self._lock_seconds = LOCK_SECONDS
        _begin_immediately(self.engine, writing, lambda: self._lock_seconds, lambda: self._should_give_up())

    def study_lock(self, study: str) -> AbstractContextManager[object]:
        """Return the study's lock, which is the lock of a file."""
        return study_lock.StudyLock(self._path, study)

    def holder(self, study: str) -> Holder | None:
        """Return the process that has the study's lock, or None."""
        return study_lock.holder(self._path, study)

    def described(self) -> str:
        """Return the file's size, its journal mode, and the mode that the next search will set if that differs."""
        with self.read() as connection:
            mode = connection.exec_driver_sql("pragma journal_mode").scalar_one()
        change = "" if mode == journal_mode()[0] else f" (the next search sets {journal_mode()[0]})"
        return f"{self._path.stat().st_size:,} bytes, journal mode {mode}{change}"

    def uuid_of(self, connection: sqlalchemy.Connection, study_id: int) -> str | None:
        """Return a study's UUID; no lock is needed, since a transaction that writes locks the whole file."""
        return study_sql.uuid_of(connection, study_id)


def open_for_writing(path: Path, on_wait: Callable[[str], None] = ignore_wait) -> FileDatabase:
    """Open a database for writing; create its file and its tables if they are missing.

    Only the current user can read a new file. Raises StorageError if the database can't be opened or written, is
    damaged, or has another schema.
    """
    if _is_missing(path.parent) or not path.parent.is_dir():
        raise StorageError(
            f"{path} can't be created: there is no directory {path.parent}. Create it, or name another file."
        )
    with translate_errors(path):
        # several processes that open a new file at once would each create Optuna's tables
        with opening_lock(path):
            if is_new(path):
                _create(path)
            _prepare(path)
        return FileDatabase(path, writing=True, on_wait=on_wait)


def open_for_reading(path: Path, *, needs_studies: bool = True) -> FileDatabase:
    """Open an existing database for reading only.

    Args:
        path: the path of the file.
        needs_studies: whether to raise StorageError if the database has no tables of regsearch, only those of Optuna.

    Inside, the file is opened with `mode=rw`: if a process was killed while it wrote, only such a connection can roll
    back that write. Raises InputError if the file does not exist, and StorageError if it can't be read.
    """
    check_is_there(path)
    with translate_errors(path):
        with read_connection(path) as connection:
            schema.check_optuna(connection, path)
            if needs_studies or schema.is_there(connection):
                schema.check(connection, path)
        return FileDatabase(path, writing=False)


def check_is_there(path: Path) -> None:
    """Raise InputError if the path does not exist, and StorageError if it is an empty file or no file."""
    if _is_missing(path):
        run = command(path, "run")
        raise InputError(
            f"there is no database {path}. Start a study with `{run}`, or name another database with --storage."
        )
    if is_new(path):
        raise schema.NoStudiesError(f"{path} is empty. Start a study with `{command(path, 'run')}`.")


def is_new(path: Path) -> bool:
    """Return whether there is no database yet: no file, or an empty one; raises StorageError for a directory."""
    if _is_missing(path):
        return True
    if not path.is_file():
        raise StorageError(f"{path} is not a file. Name another one with --storage.")
    return path.stat().st_size == 0


def _is_missing(path: Path) -> bool:
    try:
        return not path.exists()
    except OSError as error:  # the name is too long, or the user may not read the folder
        raise StorageError(f"{path} can't be used: {error.strerror}") from error


def read_connection(path: Path) -> AbstractContextManager[sqlalchemy.Connection]:
    """Return a context manager with a connection for reading; the database may have any schema."""
    return connection_of(make_engine(path, writing=False))


@contextmanager
def opening_lock(path: Path) -> Iterator[None]:
    """Keep other processes from opening the database for writing during the block."""
    make_private_folder(files_folder(path))
    with open(files_folder(path) / "open.lock", "a", opener=open_own_file) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def journal_mode() -> tuple[str, str]:
    """Return the journal mode that is safe with this SQLite library, and the reason.

    In WAL mode, a database can be damaged if two connections write and checkpoint at once. SQLite fixed this bug in
    3.51.3, and also in 3.50.7 and 3.44.6 (sqlite.org/wal.html, "The WAL-reset bug").
    """
    version = sqlite3.sqlite_version_info[:3]
    text = sqlite3.sqlite_version
    if version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45):
        return "wal", f"SQLite {text} has the WAL-reset fix"
    return "delete", f"SQLite {text} lacks the WAL-reset fix, so a rollback journal is safer"


def _create(path: Path) -> None:
    """Create the tables in another file, then rename that file: after a kill there is a complete database or none."""
    new = files_folder(path) / "new.db"
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    create_tables(new)
    new.rename(path)


def create_tables(path: Path) -> None:
    """Create Optuna's tables and regsearch's in an empty file that no other process uses."""
    _rdb_storage(path, writing=True, creating=True).engine.dispose()
    schema.migrate(engine := make_engine(path, writing=True))
    engine.dispose()


def _prepare(path: Path) -> None:
    """Check an existing database, add regsearch's tables if they are missing, and set the journal mode."""
    engine = make_engine(path, writing=True)
    try:
        with engine.connect() as connection:
            schema.check_optuna(connection, path)
            has_our_tables = schema.is_there(connection)
            if has_our_tables:
                schema.check(connection, path)
        _set_journal_mode(path)
        if not has_our_tables:
            schema.migrate(engine)
    finally:
        engine.dispose()


def _set_journal_mode(path: Path) -> None:
    """Set the safe journal mode. SQLite can't change the mode while other processes have the file open."""
    wanted = journal_mode()[0]
    with closing(connector(path, writing=True)()) as connection:
        if connection.execute("pragma journal_mode").fetchone()[0] != wanted:
            connection.execute("pragma busy_timeout=1000")
            with suppress(sqlite3.OperationalError):
                connection.execute(f"pragma journal_mode={wanted}")


def _rdb_storage(path: Path, *, writing: bool, creating: bool = False) -> FastRDBStorage:
    # only regsearch's connector gets the path: Optuna would replace braces in a URL
    return FastRDBStorage(
        "sqlite://",
        engine_kwargs={"creator": connector(path, writing), "poolclass": sqlalchemy.QueuePool},
        skip_compatibility_check=not creating,  # schema.check has checked it
        skip_table_creation=not creating,
    )


def make_engine(path: Path, *, writing: bool) -> sqlalchemy.Engine:
    """Return an engine that opens a connection for each use, and closes it afterwards."""
    engine = sqlalchemy.create_engine("sqlite://", creator=connector(path, writing), poolclass=sqlalchemy.NullPool)
    _begin_immediately(engine, writing, lambda: LOCK_SECONDS, lambda: False)
    return engine


def connector(path: Path, writing: bool) -> Callable[[], sqlite3.Connection]:
    """Return a function that opens a connection with regsearch's settings; the file must exist."""
    pragmas = ["foreign_keys=on", "query_only=off" if writing else "query_only=on"]
    # EXTRA also syncs the folder when the journal is deleted: else the journal could return after a power cut
    pragmas.append(f"synchronous={'full' if journal_mode()[0] == 'wal' else 'extra'}")

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode=rw",
            uri=True,
            timeout=LOCK_SECONDS,
            isolation_level=None,  # SQLAlchemy begins transactions, not sqlite3
            check_same_thread=False,  # the pool lets one thread at a time use a connection
        )
        for pragma in pragmas:
            connection.execute(f"pragma {pragma}")
        return connection

    return connect


def _begin_immediately(
    engine: sqlalchemy.Engine, writing: bool, lock_seconds: Callable[[], float], should_give_up: Callable[[], bool]
) -> None:
    """Make writers take the write lock before they read, so that what they read is still true when they write.

    While another process has the lock, short attempts are repeated. So Python can handle signals between them.
    """

    @event.listens_for(engine, "begin")
    def begin(connection: sqlalchemy.Connection) -> None:
        if not writing:
            connection.exec_driver_sql("BEGIN")
            return
        deadline = time.monotonic() + lock_seconds()
        connection.exec_driver_sql(f"pragma busy_timeout={_TRY_MILLISECONDS}")
        while True:
            try:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                break
            except sqlalchemy.exc.OperationalError as error:
                if "locked" not in str(error.orig) or time.monotonic() > deadline or should_give_up():
                    raise
        connection.exec_driver_sql(f"pragma busy_timeout={1000 * LOCK_SECONDS}")

    @event.listens_for(engine, "savepoint")
    def savepoint(connection: sqlalchemy.Connection, _name: str) -> None:
        """Raise an error if SQLite has ended the transaction: otherwise a retry of Optuna would commit at once."""
        if not connection.connection.driver_connection.in_transaction:  # type: ignore[union-attr]
            raise sqlite3.OperationalError("SQLite rolled the transaction back; the disk may be full")
