"""A database in a file of SQLite's: engines, pragmas, how it is created and opened, and who may write."""

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
from ..studies.records import Holder
from . import schema, study_lock, study_sql
from .database import Database, connection_of, ignore_wait
from .errors import translate_errors
from .location import command, files_folder
from .optuna.storage import FastRDBStorage

LOCK_SECONDS = 60
_TRY_MILLISECONDS = 250


class FileDatabase(Database):
    """An open file of SQLite's."""

    def __init__(self, path: Path, *, writing: bool, on_wait: Callable[[str], None] = ignore_wait) -> None:
        super().__init__(path, _rdb_storage(path, writing=writing), on_wait)
        self._path = path
        self._lock_seconds = LOCK_SECONDS
        _begin_immediately(self.engine, writing, lambda: self._lock_seconds, lambda: self._should_give_up())

    def study_lock(self, study: str) -> AbstractContextManager[object]:
        """Return the lock on the study's file."""
        return study_lock.StudyLock(self._path, study)

    def holder(self, study: str) -> Holder | None:
        """Return who has the lock of a study's file."""
        return study_lock.holder(self._path, study)

    def described(self) -> str:
        """Return the file's size, its journal mode, and what the next search makes of that."""
        with self.read() as connection:
            mode = connection.exec_driver_sql("pragma journal_mode").scalar_one()
        change = "" if mode == journal_mode()[0] else f" (the next search makes it {journal_mode()[0]})"
        return f"{self._path.stat().st_size:,} bytes, journal mode {mode}{change}"

    def uuid_of(self, connection: sqlalchemy.Connection, study_id: int) -> str | None:
        """Return a study's UUID; a transaction that writes has the whole file to itself."""
        return study_sql.uuid_of(connection, study_id)


def open_for_writing(path: Path, on_wait: Callable[[str], None] = ignore_wait) -> FileDatabase:
    """Open a database, and create it and what tables it lacks; readable by its owner only.

    Raises StorageError where it can't be opened or written, is damaged, or has another schema.
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
    """Open a database that must be there already; nothing can be written through it.

    Args:
        path: of the file.
        needs_studies: whether a database of Optuna's in which regsearch has begun nothing is refused.

    It is opened `mode=rw` all the same: after a kill in mid-write only such a connection can roll the
    journal back. Raises InputError where there is no such file, StorageError where it can't be read.
    """
    check_is_there(path)
    with translate_errors(path):
        with read_connection(path) as connection:
            schema.check_optuna(connection, path)
            if needs_studies or schema.is_there(connection):
                schema.check(connection, path)
        return FileDatabase(path, writing=False)


def check_is_there(path: Path) -> None:
    """Raise InputError where there is no such file, StorageError where it can't be a database with studies."""
    if _is_missing(path):
        run = command(path, "run")
        raise InputError(
            f"there is no database {path}. Start a study with `{run}`, or name another database with --storage."
        )
    if is_new(path):
        raise schema.NoStudiesError(f"{path} is empty. Start a study with `{command(path, 'run')}`.")


def is_new(path: Path) -> bool:
    """Return whether there is no database yet: no file, or an empty one; raises StorageError for another thing."""
    if _is_missing(path):
        return True
    if not path.is_file():
        raise StorageError(f"{path} is not a file. Name another one with --storage.")
    return path.stat().st_size == 0


def _is_missing(path: Path) -> bool:
    try:
        return not path.exists()
    except OSError as error:  # a name that is too long, or a folder that may not be looked into
        raise StorageError(f"{path} can't be used: {error.strerror}") from error


def read_connection(path: Path) -> AbstractContextManager[sqlalchemy.Connection]:
    """Return a connection of the moment, for reading, to a database of any schema."""
    return connection_of(make_engine(path, writing=False))


@contextmanager
def opening_lock(path: Path) -> Iterator[None]:
    """Let no other process open the database for writing meanwhile."""
    files_folder(path).mkdir(mode=0o700, exist_ok=True)
    with (files_folder(path) / "open.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def journal_mode() -> tuple[str, str]:
    """Return the journal mode that suits this SQLite library, and why.

    WAL can corrupt a database that two connections write and checkpoint at once: a bug of SQLite that
    was fixed in 3.51.3, and in 3.50.7 and 3.44.6 (sqlite.org/wal.html, "The WAL-reset bug").
    """
    version = sqlite3.sqlite_version_info[:3]
    text = sqlite3.sqlite_version
    if version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45):
        return "wal", f"SQLite {text} has the WAL-reset fix"
    return "delete", f"SQLite {text} lacks the WAL-reset fix, so a rollback journal is safer"


def _create(path: Path) -> None:
    """Create the tables in a file beside, then move it into place: a kill leaves all or nothing."""
    new = files_folder(path) / "new.db"
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    create_tables(new)
    new.rename(path)


def create_tables(path: Path) -> None:
    """Create Optuna's tables and ours in an empty file that nobody else uses."""
    _rdb_storage(path, writing=True, creating=True).engine.dispose()
    schema.migrate(engine := make_engine(path, writing=True))
    engine.dispose()


def _prepare(path: Path) -> None:
    """Check an existing database, give an Optuna database our tables, and set the journal mode."""
    engine = make_engine(path, writing=True)
    try:
        with engine.connect() as connection:
            schema.check_optuna(connection, path)
            ours = schema.is_there(connection)
            if ours:
                schema.check(connection, path)
        _set_journal_mode(path)
        if not ours:
            schema.migrate(engine)
    finally:
        engine.dispose()


def _set_journal_mode(path: Path) -> None:
    """Change to the journal mode that suits; while others have the file open it stays as it is."""
    wanted = journal_mode()[0]
    with closing(connector(path, writing=True)()) as connection:
        if connection.execute("pragma journal_mode").fetchone()[0] != wanted:
            connection.execute("pragma busy_timeout=1000")
            with suppress(sqlite3.OperationalError):
                connection.execute(f"pragma journal_mode={wanted}")


def _rdb_storage(path: Path, *, writing: bool, creating: bool = False) -> FastRDBStorage:
    # the path goes to a connector of our own: Optuna would fill in braces in a URL
    return FastRDBStorage(
        "sqlite://",
        engine_kwargs={"creator": connector(path, writing), "poolclass": sqlalchemy.QueuePool},
        skip_compatibility_check=not creating,  # schema.check has done it
        skip_table_creation=not creating,
    )


def make_engine(path: Path, *, writing: bool) -> sqlalchemy.Engine:
    """Return an engine whose connections last as long as they are used."""
    engine = sqlalchemy.create_engine("sqlite://", creator=connector(path, writing), poolclass=sqlalchemy.NullPool)
    _begin_immediately(engine, writing, lambda: LOCK_SECONDS, lambda: False)
    return engine


def connector(path: Path, writing: bool) -> Callable[[], sqlite3.Connection]:
    """Return what opens a connection with the settings that all of ours have; the file must be there."""
    pragmas = ["foreign_keys=on", "query_only=off" if writing else "query_only=on"]
    # EXTRA also syncs the folder when the journal is deleted: else a power cut could bring it back
    pragmas.append(f"synchronous={'full' if journal_mode()[0] == 'wal' else 'extra'}")

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{path.as_uri()}?mode=rw",
            uri=True,
            timeout=LOCK_SECONDS,
            isolation_level=None,  # SQLAlchemy begins transactions, not sqlite3
            check_same_thread=False,  # the pool hands a connection from thread to thread, never to two
        )
        for pragma in pragmas:
            connection.execute(f"pragma {pragma}")
        return connection

    return connect


def _begin_immediately(
    engine: sqlalchemy.Engine, writing: bool, lock_seconds: Callable[[], float], should_give_up: Callable[[], bool]
) -> None:
    """Let writers take the write lock before they read: what they read is then still true when they write.

    While another process has it, they try again and again in Python, where signals are heard.
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
        """Refuse what Optuna tries again after SQLite rolled the transaction back: it would commit at once."""
        if not connection.connection.driver_connection.in_transaction:  # type: ignore[union-attr]
            raise sqlite3.OperationalError("SQLite rolled the transaction back; the disk may be full")
