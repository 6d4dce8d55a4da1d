"""Which schema a database has: Optuna's and our own, each with a version table of its own."""

from pathlib import Path

import sqlalchemy

from studies.errors import StorageError

OPTUNA_SCHEMA = "v3.2.0.a"
"""The schema of Optuna 5's tables, and the revision in its table `alembic_version`."""

VERSION_TABLE = "regsearch_version"
SCHEMA = "0002"
"""The newest revision in storage/migrations/versions."""

MIGRATIONS = Path(__file__).parent / "migrations"


class NoStudiesError(StorageError):
    """A database of Optuna's, or an empty one, in which regsearch has begun nothing yet."""


def create(engine: sqlalchemy.Engine) -> None:
    """Create our tables by running every migration, in one transaction."""
    from alembic import command
    from alembic.config import Config

    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        command.upgrade(config, "head")


def is_there(connection: sqlalchemy.Connection) -> bool:
    """Return whether the database has our tables."""
    return _revision(connection, VERSION_TABLE) is not None


def check_optuna(connection: sqlalchemy.Connection, path: Path) -> None:
    """Raise StorageError unless this is a database of the Optuna that is installed."""
    revision = _revision(connection, "alembic_version")
    if revision is None:
        raise StorageError(f"{path} is a database of something else: name another file with --storage")
    if revision != OPTUNA_SCHEMA:
        raise StorageError(
            f"{path} has Optuna's schema {revision}, this version works with {OPTUNA_SCHEMA}: copy the file, "
            "then run `optuna storage upgrade --storage URL`, or install the Optuna it was made with"
        )


def check(connection: sqlalchemy.Connection, path: Path) -> None:
    """Raise StorageError unless both schemas are those that this version works with."""
    check_optuna(connection, path)
    revision = _revision(connection, VERSION_TABLE)
    if revision is None:
        raise NoStudiesError(f"{path} holds no study of regsearch: start one with `regsearch run`")
    if revision != SCHEMA:
        raise StorageError(
            f"{path} has regsearch's schema {revision}, this version works with {SCHEMA}: "
            "use the version of regsearch that made it, or name another file with --storage"
        )
    missing = _OUR_TABLES - set(sqlalchemy.inspect(connection).get_table_names())
    if missing:
        raise StorageError(f"{path} is damaged: the table {min(missing)} is missing; put a copy in its place")


_OUR_TABLES = {"regsearch_studies", "regsearch_runs", "regsearch_trials", "regsearch_epochs"}


def _revision(connection: sqlalchemy.Connection, table: str) -> str | None:
    there = connection.exec_driver_sql(
        "select count(*) from sqlite_master where type = 'table' and name = ?", (table,)
    ).scalar_one()
    if not there:
        return None
    revision: str | None = connection.exec_driver_sql(f"select version_num from {table}").scalar()
    return revision
