"""Upgrade an older database to the current schemas. A kill at any moment leaves the old database or the new one."""

import logging
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import sqlalchemy
from optuna.storages import RDBStorage

from ..studies.errors import InputError
from ..studies.records import Holder
from . import connect, schema, study_lock
from .backup import write_copy
from .errors import translate_errors
from .location import Location, Server, files_folder
from .sqlite import (
    check_is_there,
    connector,
    make_engine,
    open_for_reading,
    opening_lock,
    read_connection,
)


@dataclass(frozen=True, kw_only=True)
class Upgrade:
    """What an upgrade did.

    Attributes:
        location: the location of the database.
        steps: the steps, such as "regsearch's schema 0001 → 0002"; empty if the database was up to date.
        backup: the copy of the old database; None if nothing was done, or on a server.
    """

    location: Location
    steps: tuple[str, ...] = ()
    backup: Path | None = None


def upgrade(location: Location) -> Upgrade:
    """Upgrade a database to the current schemas of regsearch and Optuna.

    An SQLite file is first copied to a backup beside it. A second copy is upgraded and checked. Then one transaction
    writes this copy over the database. No other process can use the database meanwhile.

    On a server, only regsearch's schema is upgraded, in one transaction. Backups are made with the server's own tools.

    Raises InputError while a study is searched, StorageError if the database can't be used, is damaged, or has a newer
    schema.
    """
    if isinstance(location, Server):
        return _upgrade_on_server(location)
    check_is_there(location)
    with translate_errors(location):
        if not _steps(location):
            open_for_reading(location, needs_studies=False).close()  # this raises an error if a table is missing
            return Upgrade(location=location)
        with opening_lock(location), _no_search(location):
            return _upgrade_alone(location)


def _upgrade_on_server(server: Server) -> Upgrade:
    connect.backend_for(server)  # raises InputError if the driver is not installed
    from . import postgres

    with translate_errors(server), postgres.exclusive_engine(server) as (engine, searched):
        with engine.connect() as connection:
            if not sqlalchemy.inspect(connection).get_table_names():
                raise schema.NoStudiesError(f"{server} is empty, so there is nothing to upgrade.")
            schema.check_optuna(connection, server)
            steps = _steps_of(connection, server)
        if steps and searched:
            raise _searched_error(server, *next(iter(searched.items())))
        if steps:
            schema.migrate(engine)
    connect.open_for_reading(server, needs_studies=False).close()  # this raises an error if a table is missing
    return Upgrade(location=server, steps=steps)


def _upgrade_alone(path: Path) -> Upgrade:
    steps = _steps(path)
    if not steps:  # another process has just upgraded it
        return Upgrade(location=path)
    new = files_folder(path) / "upgrade.db"
    # the journal of a killed upgrade would damage the new copy
    for leftover in (new, new.with_name(f"{new.name}-journal")):
        leftover.unlink(missing_ok=True)
    backup = _free_name(path)
    with closing(_exclusive(path)) as original:
        write_copy(original, path, backup)
        try:
            shutil.copy(backup, new)
            _migrate(new)
            with closing(sqlite3.connect(new)) as upgraded:
                upgraded.backup(original)
        finally:
            new.unlink(missing_ok=True)
    return Upgrade(location=path, steps=steps, backup=backup)


def _steps(path: Path) -> tuple[str, ...]:
    """Return the steps that the database needs, in words."""
    with read_connection(path) as connection:
        return _steps_of(connection, path)


def _steps_of(connection: sqlalchemy.Connection, location: Location) -> tuple[str, ...]:
    optuna, ours = schema.outdated_optuna(connection, location), schema.outdated_ours(connection, location)
    steps = []
    if optuna is not None:
        steps.append(f"Optuna's schema {optuna} → {schema.OPTUNA_SCHEMA}")
    if ours is not None:
        steps.append(f"regsearch's schema {ours} → {schema.SCHEMA}")
    return tuple(steps)


def _migrate(path: Path) -> None:
    """Upgrade a database to the current schemas. No other process may use the database meanwhile."""
    with read_connection(path) as connection:
        is_optuna_outdated = schema.outdated_optuna(connection, path) is not None
        has_our_tables = schema.is_there(connection)
    if is_optuna_outdated:
        with _without_alembic_logging():
            url = str(sqlalchemy.URL.create("sqlite", database=str(path)))  # quotes braces, which Optuna would replace
            storage = RDBStorage(url, skip_compatibility_check=True)
            storage.upgrade()
            storage.engine.dispose()
    if has_our_tables:
        engine = make_engine(path, writing=True)
        schema.migrate(engine)
        engine.dispose()
    with read_connection(path) as connection:
        if has_our_tables:
            schema.check(connection, path)
        else:
            schema.check_optuna(connection, path)


@contextmanager
def _no_search(path: Path) -> Iterator[None]:
    """Hold the locks of all studies during the block; raises InputError if another process holds a lock."""
    prefix = "study-"
    with ExitStack() as stack:
        for file in sorted(files_folder(path).glob(f"{prefix}*.lock")):
            study = file.stem.removeprefix(prefix)
            try:
                stack.enter_context(study_lock.StudyLock(path, study))
            except InputError as error:
                raise _searched_error(path, study, study_lock.holder(path, study)) from error
        yield


def _searched_error(location: Location, study: str, holder: Holder | None) -> InputError:
    return InputError(
        f"{location} can't be upgraded while the study {study} is searched by "
        f"{holder or 'another process'}. Stop that search, then try again."
    )


def _exclusive(path: Path) -> sqlite3.Connection:
    """Return a connection that locks out all other processes until it is closed, also between transactions."""
    connection = connector(path, writing=True)()
    connection.execute("pragma locking_mode=exclusive")
    connection.execute("begin exclusive")
    connection.execute("commit")
    return connection


def _free_name(path: Path) -> Path:
    names = (path.with_name(f"{path.name}.backup-{number}") for number in count(1))
    return next(name for name in names if not name.exists())


@contextmanager
def _without_alembic_logging() -> Iterator[None]:
    """Prevent Optuna's migrations from configuring logging: they do this if the root logger has no handler."""
    silent = logging.NullHandler()
    logging.getLogger().addHandler(silent)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(silent)
