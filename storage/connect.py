"""Opens a database, whatever its kind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from regsearch.storage import sqlite
from regsearch.storage.database import Database, ignore_wait
from regsearch.storage.location import Location
from regsearch.studies.errors import InputError


def open_for_writing(location: Location, on_wait: Callable[[str], None] = ignore_wait) -> Database:
    """Open a database, and create it and what tables it lacks.

    Args:
        location: where it is, or will be.
        on_wait: is called with a text for the user when the database is waited for.

    Raises StorageError where it can't be opened or written, is damaged, or has another schema.
    """
    opened: Database = backend_for(location).open_for_writing(location, on_wait)
    return opened


def open_for_reading(location: Location, *, needs_studies: bool = True) -> Database:
    """Open a database that must be there already; nothing can be written through it.

    Args:
        location: where it is.
        needs_studies: whether a database of Optuna's in which regsearch has begun nothing is refused.

    Raises InputError where there is no such file, StorageError where it can't be read or reached.
    """
    opened: Database = backend_for(location).open_for_reading(location, needs_studies=needs_studies)
    return opened


def is_new(location: Location) -> bool:
    """Return whether nobody has made tables there yet; raises StorageError where that can't be seen."""
    new: bool = backend_for(location).is_new(location)
    return new


def backend_for(location: Location) -> Any:
    """Return the module of a database's kind, `regsearch.storage.sqlite` or `regsearch.storage.postgres`.

    Raises InputError where its driver isn't installed.
    """
    if isinstance(location, Path):
        return sqlite
    try:
        from regsearch.storage import postgres
    except ImportError as error:
        raise InputError("a PostgreSQL server needs psycopg: pip install 'regsearch[postgres]'") from error
    return postgres
