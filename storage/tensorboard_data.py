"""Turn a study in the database into TensorBoard's event files."""

from collections.abc import Iterator

from ..studies.records import StudyRecord
from ..studies.reports import tensorboard
from .database import Database
from .queries import get_trial, list_trials, read_curve


class RecordedEvents:
    """The contents of a study's event files, as the database has them now; raises StorageError if it can't be read."""

    def __init__(self, database: Database, study: StudyRecord) -> None:
        self._database, self._study = database, study

    def experiment(self) -> bytes:
        """Return the contents of the file that describes the whole study."""
        return tensorboard.experiment(self._study)

    def finished(self) -> Iterator[int]:
        """Yield the numbers of the finished trials."""
        for trial in list_trials(self._database, self._study):
            if trial.state in ("complete", "pruned", "failed"):
                yield trial.number

    def trial(self, number: int) -> bytes:
        """Return the contents of the file of a finished trial."""
        trial = get_trial(self._database, self._study, number)
        return tensorboard.trial(self._study, trial, read_curve(self._database, self._study, number))
