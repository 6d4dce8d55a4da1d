"""Check whether a database is undamaged: by SQLite's own checks, and by reading every row of every table."""

import itertools
import json
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any, TypeAlias

import sqlalchemy

from ...studies.errors import StorageError
from ..database import Database
from ..errors import RESTORE
from ..optuna.tables import OPTUNA_TABLES
from ..sqlite import FileDatabase
from ..tables import PREFIX, Base
from .confirmation import check_types

_Pages: TypeAlias = Generator[Sequence[Any], None, None]
_PAGE = 500  # rows that are read at a time
_JSON_COLUMNS = ("spec", "search", "versions", "params", "roles", "drops")


def check_integrity(database: Database) -> None:
    """Raise StorageError if a database is damaged. SQLite's own checks are done only for a file, not on a server."""
    if isinstance(database, FileDatabase):
        _check_file(database)
    with database.read() as connection:
        existing = set(sqlalchemy.inspect(connection).get_table_names())
    for table in (*OPTUNA_TABLES, *Base.metadata.sorted_tables):
        if table.name in existing or not table.name.startswith(
            PREFIX
        ):  # a database that only Optuna has used lacks regsearch's tables
            _read_every_row(database, table)


def _check_file(database: Database) -> None:
    with database.read() as connection:
        found = connection.exec_driver_sql("pragma integrity_check").scalar()
        if found != "ok":
            raise _damaged(database, str(found).splitlines()[-1])
        orphan = connection.exec_driver_sql("pragma foreign_key_check").first()
        if orphan is not None:
            raise _damaged(database, f"a row of {orphan[0]} refers to a missing row of {orphan[2]}")


def _read_every_row(database: Database, table: sqlalchemy.Table) -> None:
    """Read all times, states and JSON texts of a table; raises StorageError if one can't be read."""
    texts = [column for column in table.columns if column.name.endswith("_json") or column.name in _JSON_COLUMNS]
    pages = _pages_of_file(database, table) if isinstance(database, FileDatabase) else _pages_of_server(database, table)
    with closing(pages):
        for row in itertools.chain.from_iterable(pages):
            try:
                for column in texts:
                    json.loads(row._mapping[column])
                if table.name.startswith(PREFIX):
                    check_types(table, row)
            except (ValueError, TypeError) as error:
                key = ", ".join(f"{column.name} {row._mapping[column]}" for column in table.primary_key)
                raise _damaged(
                    database, f"{table.name} holds a value that can't be read: {error}, in the row {key}"
                ) from error


def _pages_of_file(database: Database, table: sqlalchemy.Table) -> _Pages:
    """Yield the rows of a table in pages. One long read of all rows would delay the commits of a search."""
    rowid = sqlalchemy.literal_column("rowid", sqlalchemy.Integer).label("rowid")
    last = -(2**63)
    while True:
        page_of_rows = sqlalchemy.select(table, rowid).where(rowid > last).order_by(rowid).limit(_PAGE)
        with database.read() as connection:
            try:
                page = connection.execute(page_of_rows).all()
            except TypeError as error:  # SQLite can keep a number in a column for text
                raise _damaged(database, f"{table.name} holds a value that can't be read: {error}") from error
        if not page:
            return
        yield page
        last = page[-1].rowid


def _pages_of_server(database: Database, table: sqlalchemy.Table) -> _Pages:
    with database.read() as connection:
        pages = connection.execution_options(yield_per=_PAGE).execute(sqlalchemy.select(table))
        with closing(pages):
            yield from pages.partitions()


def _damaged(database: Database, what: str) -> StorageError:
    return StorageError(f"{database.location} is damaged: {what}. {RESTORE}")
