"""Check and migrate the schemas of a database: Optuna's and regsearch's, each with a version table of its own."""

from collections.abc import Container
from pathlib import Path

import optuna
import sqlalchemy

from ..studies.errors import StorageError
from .location import Location, Server, command
from .optuna import tables
from .tables import Base

OPTUNA_SCHEMA = "v3.2.0.a"
"""The revision of the schema of Optuna 5, as in the table `alembic_version`."""

VERSION_TABLE = "regsearch_version"
SCHEMA = "0004"
"""The newest revision in storage/migrations/versions."""

MIGRATIONS = Path(__file__).parent / "migrations"


class NoStudiesError(StorageError):
    """The database is empty, or only Optuna has used it: it has no tables of regsearch yet."""


def migrate(engine: sqlalchemy.Engine) -> None:
    """Create regsearch's tables, or upgrade them to the newest schema, in one transaction."""
    from alembic import command as alembic
    from alembic.config import Config

    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        alembic.upgrade(config, "head")


def is_there(connection: sqlalchemy.Connection) -> bool:
    """Return whether the database has regsearch's tables."""
    return _revision(connection, VERSION_TABLE) is not None


def check_optuna(connection: sqlalchemy.Connection, location: Location) -> None:
    """Raise StorageError if Optuna's schema in the database is not that of the installed version of Optuna."""
    outdated = outdated_optuna(connection, location)
    if outdated is not None:
        raise _outdated_error(location, "Optuna's", outdated, OPTUNA_SCHEMA)


def check(connection: sqlalchemy.Connection, location: Location) -> None:
    """Raise StorageError if a schema is not that of this version, or if a table of regsearch is incomplete."""
    check_optuna(connection, location)
    if not is_there(connection):
        raise NoStudiesError(f"{location} has no study of regsearch. Start one with `{command(location, 'run')}`.")
    outdated = outdated_ours(connection, location)
    if outdated is not None:
        raise _outdated_error(location, "regsearch's", outdated, SCHEMA)
    inspector = sqlalchemy.inspect(connection)
    for table in Base.metadata.sorted_tables:
        has_table = inspector.has_table(table.name)
        found = {column["name"] for column in inspector.get_columns(table.name)} if has_table else set()
        missing = [column.name for column in table.columns if column.name not in found]
        if missing:
            what = f"column {missing[0]} of the table {table.name}" if found else f"table {table.name}"
            raise StorageError(f"{location} is damaged: the {what} is missing. Put a backup in its place.")


def outdated_optuna(connection: sqlalchemy.Connection, location: Location) -> str | None:
    """Return the revision of the database's Optuna schema if it is outdated, else None.

    Raises StorageError for a newer revision, or if the database has no tables of Optuna.
    """
    revision = _revision(connection, tables.VERSION_TABLE)
    if revision is None:
        raise StorageError(f"{location} is a database of another program. Name another one with --storage.")
    if revision == OPTUNA_SCHEMA:
        return None
    known = optuna.storages.RDBStorage("sqlite://").get_all_versions()
    return _known_revision(
        revision, known, location, "Optuna's", OPTUNA_SCHEMA, "Install the version of Optuna that made this database"
    )


def outdated_ours(connection: sqlalchemy.Connection, location: Location) -> str | None:
    """Return the revision of the database's regsearch schema if it is outdated, else None.

    Raises StorageError for a newer revision.
    """
    revision = _revision(connection, VERSION_TABLE)
    if revision is None or revision == SCHEMA:
        return None
    known = {file.name.split("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*.py")}
    return _known_revision(
        revision, known, location, "regsearch's", SCHEMA, "Use the version of regsearch that made this database"
    )


def _known_revision(
    revision: str, known: Container[str], location: Location, owner: str, expected: str, remedy: str
) -> str:
    if revision in known:
        return revision
    raise StorageError(
        f"{location} has {owner} schema {revision}, but this version works with {expected}. {remedy}, "
        "or name another database with --storage."
    )


def _outdated_error(location: Location, owner: str, revision: str, expected: str) -> StorageError:
    behind = f"{location} has {owner} schema {revision}, but this version works with {expected}"
    if isinstance(location, Server):
        by = "optuna storage upgrade --storage URL" if expected == OPTUNA_SCHEMA else command(location, "upgrade")
        return StorageError(f"{behind}. Make a backup with the server's tools, then upgrade the database with `{by}`.")
    return StorageError(f"{behind}. Run `{command(location, 'upgrade')}`, which keeps a backup.")


def _revision(connection: sqlalchemy.Connection, table: str) -> str | None:
    if not sqlalchemy.inspect(connection).has_table(table):
        return None
    revision: str | None = connection.exec_driver_sql(f"select version_num from {table}").scalar()
    return revision
