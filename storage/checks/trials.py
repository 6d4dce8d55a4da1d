"""Rows of Optuna's that can't be read: found before a search trips over them in its midst, and told as damage."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy

from ...studies.errors import StorageError
from ..database import Database
from ..optuna.row_check import UNREADABLE, is_ordinary


def check_trials(database: Database, connection: sqlalchemy.Connection, study_id: int, name: str) -> None:
    """Raise StorageError where a trial of a study can't be read, or makes no sense; within a transaction.

    In a file of SQLite's, which keeps any value in any column, SQL looks at every row for what is as it always is,
    which is quick; only where something isn't, trials are read as Optuna reads them, which decides.
    """
    if connection.dialect.name != "sqlite" or not is_ordinary(connection, study_id):
        _read_trials(database, study_id, name)


@contextmanager
def corruption_as_storage_error(database: Database, name: str) -> Iterator[None]:
    """Turn what Optuna raises over rows that it can't read into StorageError."""
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
                raise ValueError(f"number {trial.number} stands where {number} should")
            if not all(isinstance(value, float) for value in trial.intermediate_values.values()):
                raise ValueError(f"trial {number} has intermediate values that are no numbers")
            trial._validate()  # undocumented; pinned by a test
