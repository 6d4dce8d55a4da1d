"""A study in the database as TensorBoard's event files."""

from collections.abc import Iterator

from ..studies.records import StudyRecord
from ..studies.reports import tensorboard
from .database import Database
from .queries import get_trial, list_trials, read_curve


class RecordedEvents:
    """A study's event files, from what the database has at the moment; raises StorageError where it can't be read."""

    def __init__(self, database: Database, study: StudyRecord) -> None:
        self._database, self._study = database, study

    def experiment(self) -> bytes:
        """Return what is common to all trials."""
        return tensorboard.experiment(self._study)

    def finished(self) -> Iterator[int]:
        """Yield the numbers of the finished trials."""
        for trial in list_trials(self._database, self._study):
            if trial.state in ("complete", "pruned", "failed"):
                yield trial.number

    def trial(self, number: int) -> bytes:
        """Return the file of a finished trial."""
        trial = get_trial(self._database, self._study, number)
        return tensorboard.trial(self._study, trial, read_curve(self._database, self._study, number))
