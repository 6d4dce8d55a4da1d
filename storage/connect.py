"""Open a database of either kind: an SQLite file, or a database on a PostgreSQL server."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ..studies.errors import InputError
from . import sqlite
from .database import Database, ignore_wait
from .location import Location

_Place = TypeVar("_Place", contravariant=True)


class Backend(Protocol[_Place]):
    """The functions that both modules have, `sqlite` and `postgres`, to open a database."""

    def open_for_writing(self, location: _Place, on_wait: Callable[[str], None], /) -> Database:
        """Open a database; see `open_for_writing` below."""

    def open_for_reading(self, location: _Place, /, *, needs_studies: bool) -> Database:
        """Open a database; see `open_for_reading` below."""

    def is_new(self, location: _Place, /) -> bool:
        """Return whether the database has no tables yet."""


def open_for_writing(location: Location, on_wait: Callable[[str], None] = ignore_wait) -> Database:
    """Open a database for writing; create its file and its tables if they are missing.

    Args:
        location: where the database is, or where it will be created.
        on_wait: called with a message for the user when regsearch has to wait for the database.

    Raises StorageError if the database can't be opened or written, is damaged, or has another schema.
    """
    return backend_for(location).open_for_writing(location, on_wait)


def open_for_reading(location: Location, *, needs_studies: bool = True) -> Database:
    """Open an existing database for reading only.

    Args:
        location: where the database is.
        needs_studies: whether to raise StorageError if the database has no tables of regsearch, only those of Optuna.

    Raises InputError if the file does not exist, and StorageError if the database can't be read or reached.
    """
    return backend_for(location).open_for_reading(location, needs_studies=needs_studies)


def is_new(location: Location) -> bool:
    """Return whether the database has no tables yet; raises StorageError if it can't be read."""
    return backend_for(location).is_new(location)


def backend_for(location: Location) -> Backend[Any]:
    """Return the module for this kind of database; raises InputError if the driver is not installed."""
    if isinstance(location, Path):
        return sqlite
    try:
        from . import postgres
    except ImportError as error:
        raise InputError("a PostgreSQL server needs psycopg. Install it: pip install 'regsearch[postgres]'") from error
    return postgres
