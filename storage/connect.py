"""Open a database, whatever its kind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ..studies.errors import InputError
from . import sqlite
from .database import Database, ignore_wait
from .location import Location

_Place = TypeVar("_Place", contravariant=True)


class Backend(Protocol[_Place]):
    """How databases of one kind are opened: what the modules `sqlite` and `postgres` of this package have in common."""

    def open_for_writing(self, location: _Place, on_wait: Callable[[str], None], /) -> Database:
        """Open a database; see `open_for_writing` below."""

    def open_for_reading(self, location: _Place, /, *, needs_studies: bool) -> Database:
        """Open a database; see `open_for_reading` below."""

    def is_new(self, location: _Place, /) -> bool:
        """Return whether there are no tables yet."""


def open_for_writing(location: Location, on_wait: Callable[[str], None] = ignore_wait) -> Database:
    """Open a database, and create it and the tables that it lacks.

    Args:
        location: where it is, or will be.
        on_wait: is called with a text for the user when the database is waited for.

    Raises StorageError if it can't be opened or written, is damaged, or has another schema.
    """
    return backend_for(location).open_for_writing(location, on_wait)


def open_for_reading(location: Location, *, needs_studies: bool = True) -> Database:
    """Open an existing database; nothing can be written through it.

    Args:
        location: where it is.
        needs_studies: whether to refuse a database of Optuna in which regsearch has not started a study.

    Raises InputError if there is no such file, StorageError if it can't be read or reached.
    """
    return backend_for(location).open_for_reading(location, needs_studies=needs_studies)


def is_new(location: Location) -> bool:
    """Return whether there are no tables yet; raises StorageError if that can't be seen."""
    return backend_for(location).is_new(location)


def backend_for(location: Location) -> Backend[Any]:
    """Return the backend that opens a location.

    Raises InputError if its driver is not installed.
    """
    if isinstance(location, Path):
        return sqlite
    try:
        from . import postgres
    except ImportError as error:
        raise InputError("a PostgreSQL server needs psycopg. Install it: pip install 'regsearch[postgres]'") from error
    return postgres
