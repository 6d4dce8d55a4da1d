"""A database on a PostgreSQL server: how to connect, create and open it, and how a commit happens exactly once."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import psycopg
import sqlalchemy
from psycopg.conninfo import make_conninfo
from sqlalchemy import text
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from ..studies.errors import InputError, StorageError
from ..studies.records import Holder
from . import lease, schema
from .database import Database, connection_of, ignore_wait
from .errors import translate_errors
from .lease import Lease
from .location import Server, command, files_folder
from .optuna.storage import FastRDBStorage
from .optuna.tables import LOCKED_STUDY_ATTR, VERSION_TABLE
from .private_folder import make_private_folder
from .queries import UUID_ATTR

_DIALECT = "postgresql+psycopg://"
_CLIENT_OPTIONS = {  # options of libpq; those of the URL take precedence
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "application_name": "regsearch",
}
# lock_timeout: a call that waits longer for a lock fails, and regsearch repeats it for minutes
# idle_in_transaction_session_timeout: ends the transaction of a process that was stopped or has lost its machine
# synchronous_commit: an acknowledged commit is on the server's disk, whatever the server's default is
_OF_SESSION = (
    "select set_config('lock_timeout', '10s', false), "
    "set_config('idle_in_transaction_session_timeout', '60s', false), "
    "set_config('default_transaction_read_only', %s, false), "
    "case when current_setting('synchronous_commit') = 'off' then set_config('synchronous_commit', 'on', false) end"
)
_OPENING = 0x7265677365617263  # the key of an advisory lock: "regsearc" in ASCII
# each process that opens a new database may take some seconds to create or check its tables
_WAIT_FOR_OPENING = text("set local lock_timeout = '10min'")
_NEVER_IDLE = text("set local idle_in_transaction_session_timeout = 0")
_ENCODING = text("show server_encoding")
_LOCK_OPENING = text("select pg_advisory_xact_lock(:key)")
_DESCRIBED = text("select current_setting('server_version'), pg_database_size(current_database())")


class ServerDatabase(Database):
    """An open database on a server."""

    def __init__(self, server: Server, *, writing: bool, on_wait: Callable[[str], None] = ignore_wait) -> None:
        super().__init__(server, _rdb_storage(server, writing=writing), on_wait)
        self._server = server
        self._lease: Lease | None = None
        self._steps: sqlalchemy.Connection | None = None

    @contextmanager
    def study_lock(self, study: str) -> Iterator[None]:
        """Hold a study's lease during the block. Each transaction in the block is a step of the holder."""
        held = Lease(
            self.engine,
            self._server,
            study,
            should_give_up=lambda: self._should_give_up(),
            on_wait=self._on_wait,
        )
        with held as self._lease:
            try:
                yield
            finally:
                self._lease = None

    def holder(self, study: str) -> Holder | None:
        """Return the process that holds a study's lease, or None."""
        with self.read() as connection:
            return lease.holder(connection, study) if _has_leases(connection) else None

    def described(self) -> str:
        """Return the server's version and the database's size."""
        with self.read() as connection:
            version, size = connection.execute(_DESCRIBED).one()
        return f"{size:,} bytes, PostgreSQL {version}"

    @property
    def is_fenced(self) -> bool:
        """Whether this process holds a lease. If so, each transaction fails after another process has taken over."""
        return self._lease is not None

    def uuid_of(self, connection: sqlalchemy.Connection, study_id: int) -> str | None:
        """Return a study's UUID, and lock its row in Optuna's table, as Optuna does when it adds a trial."""
        value = connection.execute(LOCKED_STUDY_ATTR, {"study_id": study_id, "key": UUID_ATTR}).scalar()
        uuid: str | None = None if value is None else json.loads(value)
        return uuid

    @contextmanager
    def _connected(self) -> Iterator[sqlalchemy.Connection]:
        """Yield the same connection for each step. Otherwise the pool would test the connection at each step."""
        if self._steps is None:
            self._steps = self.engine.connect()
        connection = self._steps
        try:
            yield connection
        finally:
            if connection.invalidated or connection.in_transaction():  # it can't be used again
                self._close_steps()

    def close(self) -> None:
        """Close every connection."""
        self._close_steps()
        super().close()

    def _close_steps(self) -> None:
        steps, self._steps = self._steps, None
        with suppress(sqlalchemy.exc.SQLAlchemyError):  # the connection may be broken
            if steps is not None:
                steps.close()

    @contextmanager
    def _committed(self, connection: sqlalchemy.Connection) -> Iterator[None]:
        """Commit at the end of the block; if the server's answer is lost, ask the server whether it has committed."""
        transaction, held, step = connection.begin(), self._lease, None
        is_committing = False
        try:
            if held is not None:
                step = held.step(connection)
            yield
            is_committing = True
            transaction.commit()
        except BaseException as error:
            with suppress(sqlalchemy.exc.SQLAlchemyError):  # the connection may be broken
                transaction.rollback()
            is_lost = is_committing and isinstance(error, sqlalchemy.exc.DBAPIError) and error.connection_invalidated
            if not is_lost or held is None or step is None or not held.was_done(step):
                raise

    @contextmanager
    def _reading(self) -> Iterator[sqlalchemy.Connection]:
        with self.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
            yield connection


def open_for_writing(server: Server, on_wait: Callable[[str], None] = ignore_wait) -> ServerDatabase:
    """Open an existing database on the server, and create the tables that are missing.

    Raises InputError for options of the URL that libpq doesn't know, StorageError if the database can't be reached or
    written, or has another schema.
    """
    with translate_errors(server):
        make_private_folder(files_folder(server))
        with exclusive_engine(server) as (engine, _):
            _prepare(engine, server)
        return ServerDatabase(server, writing=True, on_wait=on_wait)


def open_for_reading(server: Server, *, needs_studies: bool = True) -> ServerDatabase:
    """Open a database for transactions that only read; see `regsearch.storage.connect.open_for_reading`."""
    with translate_errors(server):
        with read_connection(server) as connection:
            if not _has_optuna_tables(connection):
                raise schema.NoStudiesError(f"{server} is empty. Start a study with `{command(server, 'run')}`.")
            schema.check_optuna(connection, server)
            if needs_studies or schema.is_there(connection):
                schema.check(connection, server)
        return ServerDatabase(server, writing=False)


def is_new(server: Server) -> bool:
    """Return whether the database has no tables of Optuna; raises StorageError if it can't be reached."""
    with translate_errors(server), read_connection(server) as connection:
        return not _has_optuna_tables(connection)


def read_connection(server: Server) -> AbstractContextManager[sqlalchemy.Connection]:
    """Return a context manager with a connection for reading; the database may have any schema."""
    return connection_of(make_engine(server, writing=False))


@contextmanager
def opening_lock(engine: sqlalchemy.Engine) -> Iterator[None]:
    """Keep other processes from opening the database for writing during the block."""
    with engine.begin() as connection:
        connection.execute(_NEVER_IDLE)
        connection.execute(_WAIT_FOR_OPENING)
        connection.execute(_LOCK_OPENING, {"key": _OPENING})
        yield


@contextmanager
def exclusive_engine(server: Server) -> Iterator[tuple[sqlalchemy.Engine, dict[str, Holder]]]:
    """Yield an engine for writing, and a dict from each searched study to the process that holds its lease.

    No other process can open the database for writing during the block.
    """
    engine = make_engine(server, writing=True)
    try:
        with opening_lock(engine):
            with engine.connect() as connection:
                searched = lease.held(connection) if _has_leases(connection) else {}
            yield engine, searched
    finally:
        engine.dispose()


def make_engine(server: Server, *, writing: bool) -> sqlalchemy.Engine:
    """Return an engine that opens a connection for each use, and closes it afterwards."""
    return sqlalchemy.create_engine(_DIALECT, creator=connector(server, writing), poolclass=sqlalchemy.NullPool)


def connector(server: Server, writing: bool) -> Callable[[], "psycopg.Connection[Any]"]:
    """Return a function that opens a connection with regsearch's settings; raises InputError for unknown options."""
    dialect: Any = PGDialect_psycopg
    arguments, options = dialect().create_connect_args(server.url)
    options = {**_CLIENT_OPTIONS, **options, "client_encoding": "utf8"}  # overrides the URL and the environment
    try:
        make_conninfo(*arguments, **options)
    except psycopg.ProgrammingError:  # its text may contain the password
        raise InputError("the storage URL has an option that libpq doesn't know. Correct it.") from None

    def connect() -> "psycopg.Connection[Any]":
        connection: psycopg.Connection[Any] = psycopg.connect(*arguments, **options, autocommit=True)
        connection.execute(_OF_SESSION, ["off" if writing else "on"])
        connection.autocommit = False
        return connection

    return connect


def _prepare(engine: sqlalchemy.Engine, server: Server) -> None:
    """Create the missing tables of Optuna and regsearch; if it is killed, the next process creates the rest."""
    with engine.connect() as connection:
        encoding = connection.execute(_ENCODING).scalar_one()
        if encoding != "UTF8":
            raise StorageError(
                f"{server} has the encoding {encoding}, not UTF8. Create a database with `createdb --encoding UTF8`."
            )
        lacks_optuna_tables = not _has_optuna_tables(connection)
    if lacks_optuna_tables:
        _rdb_storage(server, writing=True, creating=True).engine.dispose()
    with engine.connect() as connection:
        schema.check_optuna(connection, server)
        lacks_our_tables = not schema.is_there(connection)
        if not lacks_our_tables:
            schema.check(connection, server)
    if lacks_our_tables:
        schema.migrate(engine)
    with engine.begin() as connection:
        if not _has_leases(connection):
            for table in lease.CREATE:
                connection.execute(table)


def _has_optuna_tables(connection: sqlalchemy.Connection) -> bool:
    return sqlalchemy.inspect(connection).has_table(VERSION_TABLE)


def _has_leases(connection: sqlalchemy.Connection) -> bool:
    inspector = sqlalchemy.inspect(connection)
    return inspector.has_table(lease.TABLE) and inspector.has_table(lease.STEPS)


def _rdb_storage(server: Server, *, writing: bool, creating: bool = False) -> FastRDBStorage:
    # one connection for steps and one for the lease; an engine that only creates tables keeps none open
    pool = (
        {"poolclass": sqlalchemy.NullPool} if creating else {"pool_size": 2, "max_overflow": 3, "pool_pre_ping": True}
    )
    isolation = "READ COMMITTED" if writing else "REPEATABLE READ"
    # only regsearch's connector gets the URL: Optuna would replace braces in it, and keep the password
    return FastRDBStorage(
        _DIALECT,
        engine_kwargs={"creator": connector(server, writing), "isolation_level": isolation, **pool},
        skip_compatibility_check=not creating,  # schema.check has checked it
        skip_table_creation=not creating,
    )
