"""Rows of Optuna's that can't be read: found before a search trips over them in its midst, and told as damage."""

from collections.abc import Iterator
from contextlib import contextmanager

from storage.database import Database
from studies.errors import StorageError


def check_trials(database: Database, study_id: int, name: str) -> None:
    """Raise StorageError where a trial of a study can't be read, or makes no sense; within a transaction."""
    with told(database, name):
        for number, trial in enumerate(database.storage.get_all_trials(study_id, deepcopy=False)):
            if trial.number != number:
                raise ValueError(f"number {trial.number} stands where {number} should")
            if not all(isinstance(value, float) for value in trial.intermediate_values.values()):
                raise ValueError(f"trial {number} has intermediate values that are no numbers")
            trial._validate()  # undocumented; pinned by a test


@contextmanager
def told(database: Database, name: str) -> Iterator[None]:
    """Turn what Optuna raises over rows that it can't read into StorageError."""
    try:
        yield
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise StorageError(
            f"{database.path} is damaged: the trials of {name} can't be read ({error}); "
            "put a copy in its place, or begin another study with --name"
        ) from error
