"""Which schema a database has: Optuna's and our own, each with a version table of its own."""

from collections.abc import Container
from pathlib import Path

import optuna
import sqlalchemy

from ..studies.errors import StorageError
from .location import Location, Server, command
from .optuna import tables
from .tables import Base

OPTUNA_SCHEMA = "v3.2.0.a"
"""The schema of Optuna 5's tables, and the revision in its table `alembic_version`."""

VERSION_TABLE = "regsearch_version"
SCHEMA = "0004"
"""The newest revision in storage/migrations/versions."""

MIGRATIONS = Path(__file__).parent / "migrations"


class NoStudiesError(StorageError):
    """A database of Optuna's, or an empty one, in which regsearch has begun nothing yet."""


def migrate(engine: sqlalchemy.Engine) -> None:
    """Create our tables, or bring them to the newest schema, in one transaction."""
    from alembic import command as alembic
    from alembic.config import Config

    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        alembic.upgrade(config, "head")


def is_there(connection: sqlalchemy.Connection) -> bool:
    """Return whether the database has our tables."""
    return _revision(connection, VERSION_TABLE) is not None


def check_optuna(connection: sqlalchemy.Connection, location: Location) -> None:
    """Raise StorageError unless this is a database of the Optuna that is installed."""
    outdated = outdated_optuna(connection, location)
    if outdated is not None:
        raise _outdated_error(location, "Optuna's", outdated, OPTUNA_SCHEMA)


def check(connection: sqlalchemy.Connection, location: Location) -> None:
    """Raise StorageError unless both schemas are those that this version works with, and our tables are whole."""
    check_optuna(connection, location)
    if not is_there(connection):
        raise NoStudiesError(f"{location} has no study of regsearch. Start one with `{command(location, 'run')}`.")
    outdated = outdated_ours(connection, location)
    if outdated is not None:
        raise _outdated_error(location, "regsearch's", outdated, SCHEMA)
    inspector = sqlalchemy.inspect(connection)
    for table in Base.metadata.sorted_tables:
        is_there_too = inspector.has_table(table.name)
        found = {column["name"] for column in inspector.get_columns(table.name)} if is_there_too else set()
        missing = [column.name for column in table.columns if column.name not in found]
        if missing:
            what = f"column {missing[0]} of the table {table.name}" if found else f"table {table.name}"
            raise StorageError(f"{location} is damaged: the {what} is missing. Put a backup in its place.")


def outdated_optuna(connection: sqlalchemy.Connection, location: Location) -> str | None:
    """Return Optuna's schema where it is an older one than ours; raises StorageError for a newer one, or none."""
    revision = _revision(connection, tables.VERSION_TABLE)
    if revision is None:
        raise StorageError(f"{location} is a database of another program. Name another one with --storage.")
    if revision == OPTUNA_SCHEMA:
        return None
    known = optuna.storages.RDBStorage("sqlite://").get_all_versions()
    return _if_known(revision, known, location, "Optuna's", OPTUNA_SCHEMA, "Install the Optuna it was made with")


def outdated_ours(connection: sqlalchemy.Connection, location: Location) -> str | None:
    """Return our schema where it is an older one; raises StorageError for a newer one."""
    revision = _revision(connection, VERSION_TABLE)
    if revision is None or revision == SCHEMA:
        return None
    known = {file.name.split("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*.py")}
    return _if_known(revision, known, location, "regsearch's", SCHEMA, "Use the version of regsearch that made it")


def _if_known(
    revision: str, known: Container[str], location: Location, whose: str, works_with: str, remedy: str
) -> str:
    if revision in known:
        return revision
    raise StorageError(
        f"{location} has {whose} schema {revision}, but this version works with {works_with}. {remedy}, "
        "or name another database with --storage."
    )


def _outdated_error(location: Location, whose: str, revision: str, works_with: str) -> StorageError:
    behind = f"{location} has {whose} schema {revision}, but this version works with {works_with}"
    if isinstance(location, Server):
        by = "optuna storage upgrade --storage URL" if works_with == OPTUNA_SCHEMA else command(location, "upgrade")
        return StorageError(f"{behind}. Make a backup with the server's tools, then upgrade it with `{by}`.")
    return StorageError(f"{behind}. Upgrade it, keeping a backup, with `{command(location, 'upgrade')}`.")


def _revision(connection: sqlalchemy.Connection, table: str) -> str | None:
    if not sqlalchemy.inspect(connection).has_table(table):
        return None
    revision: str | None = connection.exec_driver_sql(f"select version_num from {table}").scalar()
    return revision
