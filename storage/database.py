"""Opens the database: engines, pragmas, the one transaction helper, and the one place that translates errors.

Optuna commits once per call; an ask with five suggestions would be eight commits, and a crash between
them would leave half a trial. `Database.transaction` joins Optuna's session to one open connection, so
that whatever happens inside, our own rows included, is committed together or not at all.
"""

import fcntl
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import optuna
import sqlalchemy
from optuna.storages import get_storage as cached
from sqlalchemy import event

from storage import schema
from storage.lean import LeanStorage
from studies.errors import InputError, StorageError, UnavailableError

LOCK_SECONDS = 60
_TRY_MILLISECONDS = 250
RESTORE = "move it away, or put a copy in its place, and try again"
_USER_AND_PASSWORD = re.compile(r"[^/]*:/*[^/]*:[^/]*@")


def database_path(url: str) -> Path:
    """Return the absolute path of the file behind a storage URL.

    Raises InputError where the URL can't be parsed or names a database that isn't supported. Nothing of
    the URL is repeated: it may hold a password, and in a mistyped one that may stand anywhere.
    """
    try:
        parsed = sqlalchemy.make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):  # ValueError: a port that is no number
        raise InputError("the storage URL can't be parsed; it is written like sqlite:///regsearch.db") from None
    if parsed.get_backend_name() != "sqlite":
        raise InputError(
            f"only SQLite is supported as storage, sqlite:///FILE; given was one of {parsed.get_backend_name()}"
        )
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise InputError(f"the driver of {parsed.drivername} is missing; write sqlite:///FILE")
    has_options = "?" in url or parsed.host or parsed.username or parsed.password or parsed.port
    if has_options or not parsed.database or parsed.database == ":memory:":
        raise InputError("storage is a file of its own: write sqlite:///FILE without options, host or password")
    if _USER_AND_PASSWORD.match(url):
        raise InputError(
            "the storage URL looks as if it held a password, which a file has no use for; "
            "a file that is really called so is written sqlite:///./FILE"
        )
    if "\0" in parsed.database:
        raise InputError("the storage URL's path holds a NUL character")
    return Path(parsed.database).absolute()


class Database:
    """One open database: Optuna's storage and an engine for our own tables.

    Make one with `open_for_writing` or `open_for_reading`, and close it.
    """

    def __init__(self, path: Path, *, writing: bool) -> None:
        rdb = _rdb_storage(path, writing=writing)
        self.path = path
        self.engine: sqlalchemy.Engine = rdb.engine
        self._rdb = rdb
        self.storage: optuna.storages.BaseStorage = cached(rdb)
        self.lock_seconds: float = LOCK_SECONDS  # how long a transaction waits for another process's
        self.gives_up: Callable[[], bool] = lambda: False  # whether waiting for a lock has lost its sense
        _begin_immediately(self.engine, writing, lambda: self.lock_seconds, lambda: self.gives_up())

    @contextmanager
    def transaction(self) -> Iterator[sqlalchemy.Connection]:
        """Run Optuna's calls on `storage` and statements on the connection given as one transaction.

        It is committed when the block ends and rolled back when it raises; Optuna's cache is then
        thrown away, since it may hold what never came to be. Don't nest.
        """
        session = self._rdb.scoped_session  # undocumented; pinned by a contract test
        try:
            with translated_errors(self.path), self.engine.connect() as connection, connection.begin():
                session.remove()
                session.configure(bind=connection, join_transaction_mode="create_savepoint")
                try:
                    yield connection
                finally:
                    session.remove()
                    session.configure(bind=self.engine, join_transaction_mode="conditional_savepoint")
        except BaseException:
            self.storage = cached(self._rdb)
            raise

    def look_back(self, begin: int) -> None:
        """Let `storage` hold only a part of the trials below a number; it only grows (`storage/history.py`)."""
        if begin > self._rdb.history_begin:
            self._rdb.history_begin = begin
            self.storage = cached(self._rdb)

    @contextmanager
    def read(self) -> Iterator[sqlalchemy.Connection]:
        """Give a connection for reading; keep it short, an open reader can hold up a commit."""
        with translated_errors(self.path), self.engine.connect() as connection:
            try:
                yield connection
            except (ValueError, TypeError) as error:  # a text that is no UTF-8, no JSON, no time, or no text at all
                raise StorageError(f"{self.path} holds what can't be read ({_first_line(error)}): {RESTORE}") from error

    def close(self) -> None:
        """Close every connection."""
        self._rdb.scoped_session.remove()
        self.engine.dispose()

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def open_for_writing(path: Path) -> Database:
    """Open a database, and create it and what tables it lacks; readable by its owner only.

    Raises StorageError where it can't be opened or written, is damaged, or has another schema.
    """
    if _is_missing(path.parent) or not path.parent.is_dir():
        raise StorageError(f"{path} can't be created: there is no folder {path.parent}")
    with translated_errors(path):
        # several processes that open a new file at once would each create Optuna's tables
        with no_other_opens(path):
            if is_new(path):
                _create(path)
            _prepare(path)
        return Database(path, writing=True)


def open_for_reading(path: Path, *, needs_studies: bool = True) -> Database:
    """Open a database that must be there already; nothing can be written through it.

    Args:
        path: of the file.
        needs_studies: whether a database of Optuna's in which regsearch has begun nothing is refused.

    It is opened `mode=rw` all the same: after a kill in mid-write only such a connection can roll the
    journal back. Raises InputError where there is no such file, StorageError where it can't be read.
    """
    check_is_there(path)
    with translated_errors(path):
        with checking(path) as connection:
            schema.check_optuna(connection, path)
            if needs_studies or schema.is_there(connection):
                schema.check(connection, path)
        return Database(path, writing=False)


def check_is_there(path: Path) -> None:
    """Raise InputError where there is no such file, StorageError where it can't be a database with studies."""
    if _is_missing(path):
        raise InputError(
            f"there is no database {path}: start a study with `regsearch run`, or name another with --storage"
        )
    if is_new(path):
        raise schema.NoStudiesError(f"{path} is empty: start a study with `regsearch run`")


def is_new(path: Path) -> bool:
    """Return whether there is no database yet: no file, or an empty one; raises StorageError for another thing."""
    if _is_missing(path):
        return True
    if not path.is_file():
        raise StorageError(f"{path} is no file: name another with --storage")
    return path.stat().st_size == 0


def _is_missing(path: Path) -> bool:
    try:
        return not path.exists()
    except OSError as error:  # a name that is too long, or a folder that may not be looked into
        raise StorageError(f"{path} can't be used: {error.strerror}") from error


@contextmanager
def checking(path: Path) -> Iterator[sqlalchemy.Connection]:
    """Give a connection of the moment, for reading, to a database of any schema."""
    engine = make_engine(path, writing=False)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def no_other_opens(path: Path) -> Iterator[None]:
    """Let no other process open the database for writing meanwhile."""
    side_folder(path).mkdir(mode=0o700, exist_ok=True)
    with (side_folder(path) / "open.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def side_folder(path: Path) -> Path:
    """Return the folder beside a database that holds its locks and logs, and data while a search runs."""
    return path.with_name(path.name + ".d")


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
    new = side_folder(path) / "new.db"
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    _rdb_storage(new, writing=True, creating=True).engine.dispose()
    schema.migrate(engine := make_engine(new, writing=True))
    engine.dispose()
    new.rename(path)


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


def _rdb_storage(path: Path, *, writing: bool, creating: bool = False) -> LeanStorage:
    # the path goes to a connector of our own: Optuna would fill in braces in a URL
    return LeanStorage(
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
    engine: sqlalchemy.Engine, writing: bool, lock_seconds: Callable[[], float], gives_up: Callable[[], bool]
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
                if "locked" not in str(error.orig) or time.monotonic() > deadline or gives_up():
                    raise
        connection.exec_driver_sql(f"pragma busy_timeout={1000 * LOCK_SECONDS}")

    @event.listens_for(engine, "savepoint")
    def savepoint(connection: sqlalchemy.Connection, _name: str) -> None:
        """Refuse what Optuna tries again after SQLite rolled the transaction back: it would commit at once."""
        if not connection.connection.driver_connection.in_transaction:  # type: ignore[union-attr]
            raise sqlite3.OperationalError("SQLite rolled the transaction back; the disk may be full")


@contextmanager
def translated_errors(path: Path) -> Iterator[None]:
    """Turn what the database raises into one line for the user."""
    try:
        yield
    except (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError):
        raise  # a bug of ours
    except (sqlalchemy.exc.SQLAlchemyError, sqlite3.Error, optuna.exceptions.StorageInternalError) as error:
        raise _explained(path, error) from error
    except OSError as error:
        where = "" if error.filename is None else f" ({error.filename})"
        raise StorageError(f"{path} can't be used: {error.strerror}{where}") from error
    except UnicodeDecodeError as error:
        raise StorageError(f"{path} is damaged ({_first_line(error)}): {RESTORE}") from error
    except LookupError as error:
        if "is not among the defined enum values" not in str(error):
            raise
        raise StorageError(f"{path} is damaged ({error}): {RESTORE}") from error


def _explained(path: Path, error: BaseException) -> StorageError:
    text = _first_line(_first_error(error))
    if "locked" in text:
        return UnavailableError(f"{path} is locked by another process: end that process and try again")
    if "full" in text or "disk I/O" in text:
        return UnavailableError(f"{path} can't be written ({text}): make room on its disk and try again")
    if "readonly" in text:
        return StorageError(f"{path} can't be written: the file, its folder or its disk is read-only")
    if any(word in text for word in ("malformed", "not a database", "no such", "has no column")):
        return StorageError(f"{path} is damaged or no database ({text}): {RESTORE}")
    return StorageError(f"{path} can't be used: {text}")


def _first_error(error: BaseException) -> BaseException:
    """Return what went wrong first: SQLite's error, not one of rolling back what SQLite rolled back itself."""
    first, cause = error, error.__cause__ or error.__context__
    while cause is not None:
        if isinstance(cause, sqlite3.Error) or not isinstance(first, sqlite3.Error):
            first = cause
        cause = cause.__cause__ or cause.__context__
    return first


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
