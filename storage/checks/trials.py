"""Find damaged rows of Optuna's tables before a search starts, not in its middle."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy

from ...studies.errors import StorageError
from ..database import Database
from ..optuna.row_check import UNREADABLE, is_ordinary


def check_trials(database: Database, connection: sqlalchemy.Connection, study_id: int, name: str) -> None:
    """Raise StorageError if a trial of a study can't be read or makes no sense; call it within a transaction.

    In an SQLite file, quick SQL statements check each row first. If all rows look as usual, the trials are undamaged.
    Otherwise, and always on a server, Optuna reads the trials: this slower check decides.
    """
    if connection.dialect.name != "sqlite" or not is_ordinary(connection, study_id):
        _read_trials(database, study_id, name)


@contextmanager
def corruption_as_storage_error(database: Database, name: str) -> Iterator[None]:
    """Raise StorageError if Optuna raises an error in the block because it can't read its rows."""
    try:
        yield
    except UNREADABLE as error:
        raise StorageError(
            f"{database.location} is damaged: the trials of {name} can't be read ({error}). "
            "Put a backup in its place, or start another study with --name."
        ) from error


def _read_trials(database: Database, study_id: int, name: str) -> None:
    with corruption_as_storage_error(database, name):
        for number, trial in enumerate(database.storage.get_all_trials(study_id, deepcopy=False)):
            if trial.number != number:
                raise ValueError(f"a trial has the number {trial.number}, but it should have {number}")
            if not all(isinstance(value, float) for value in trial.intermediate_values.values()):
                raise ValueError(f"trial {number} has intermediate values that are not numbers")
            trial._validate()  # undocumented; a test checks that it still works
