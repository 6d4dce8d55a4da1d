"""Whether a database is whole: SQLite's own checks, and every row of every table read as what it is declared to be."""

import json

import sqlalchemy
from optuna.storages._rdb.models import BaseModel as OptunaTables  # undocumented; pinned by a contract test

from storage.confirmation_damage import check_types
from storage.database import RESTORE, Database
from storage.tables import PREFIX, Base
from studies.errors import StorageError

_PAGE = 500  # rows; an open reader would hold up a search's commits
_JSON_OF_OURS = ("spec", "search", "versions", "params", "roles")


def check_integrity(database: Database) -> str:
    """Return the journal mode of a database that is whole; raises StorageError for a damaged one."""
    with database.read() as connection:
        found = connection.exec_driver_sql("pragma integrity_check").scalar()
        if found != "ok":
            raise _damaged(database, str(found).splitlines()[-1])
        orphan = connection.exec_driver_sql("pragma foreign_key_check").first()
        if orphan is not None:
            raise _damaged(database, f"a row of {orphan[0]} belongs to no row of {orphan[2]}")
        mode: str = connection.exec_driver_sql("pragma journal_mode").scalar_one()
        there = {row.name for row in connection.exec_driver_sql("pragma table_list")}
    for table in (*OptunaTables.metadata.sorted_tables, *Base.metadata.sorted_tables):
        if table.name in there or not table.name.startswith(PREFIX):  # a database of Optuna's lacks our tables
            _read_every_row(database, table)
    return mode


def _read_every_row(database: Database, table: sqlalchemy.Table) -> None:
    """Read times, states and JSON as what they are; raises StorageError where one is none."""
    rowid = sqlalchemy.literal_column("rowid", sqlalchemy.Integer).label("rowid")
    texts = [column for column in table.columns if column.name.endswith("_json") or column.name in _JSON_OF_OURS]
    last = -(2**63)
    while True:
        page_of_rows = sqlalchemy.select(table, rowid).where(rowid > last).order_by(rowid).limit(_PAGE)
        with database.read() as connection:
            try:
                page = connection.execute(page_of_rows).all()
            except TypeError as error:  # SQLite keeps a number where a text is declared
                raise _damaged(database, f"{table.name} holds what can't be read: {error}") from error
        for row in page:
            try:
                for column in texts:
                    json.loads(row._mapping[column])
                if table.name.startswith(PREFIX):
                    check_types(table, row)
            except (ValueError, TypeError) as error:
                key = ", ".join(f"{column.name} {row._mapping[column]}" for column in table.primary_key)
                raise _damaged(database, f"{table.name} holds what can't be read: {error}, in {key}") from error
        if not page:
            return
        last = page[-1].rowid


def _damaged(database: Database, what: str) -> StorageError:
    return StorageError(f"{database.path} is damaged ({what}): {RESTORE}")
