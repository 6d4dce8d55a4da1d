"""What TensorBoard shows of a search: a file for each finished trial, written from what the database has of it.

So nothing is doubled or lost, however often a trial was interrupted, and training knows nothing of it. What a killed
run had no more time to write, and what earlier runs did not, is written by the next one.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from regsearch.search.run.progress import FinishedTrial, Progress
from regsearch.studies.errors import RegsearchError
from regsearch.studies.files import write_durably
from regsearch.studies.trial import EpochMetrics, Tally, TrialTask

_NAME = "events.out.tfevents.regsearch"


class StudyEvents(Protocol):
    """A study as TensorBoard's event files, from its records."""

    def experiment(self) -> bytes:
        """Return what is common to all trials."""

    def finished(self) -> Iterator[int]:
        """Yield the numbers of the finished trials."""

    def trial(self, number: int) -> bytes:
        """Return the file of a finished trial."""


class EventFiles(Progress):
    """Progress that is handed on, and leaves a file where a trial is finished.

    Args:
        progress: what the user sees.
        events: gives the files' content; may raise RegsearchError.
        folder: the study's alone.
    """

    def __init__(self, progress: Progress, events: StudyEvents, folder: Path) -> None:
        self._progress, self._events, self._folder = progress, events, folder
        self._is_told = False

    def begin(self, what: str, finished: int, total: int, best: float | None) -> None:
        """Write what is common, and what isn't there yet."""
        self._progress.begin(what, finished, total, best)
        self._write_missing()

    def message(self, text: str) -> None:
        """Hand it on."""
        self._progress.message(text)

    def techniques_changed(self, tallies: Mapping[str, Tally]) -> None:
        """Hand it on."""
        self._progress.techniques_changed(tallies)

    def note(self, text: str) -> None:
        """Hand it on."""
        self._progress.note(text)

    def total_changed(self, total: int) -> None:
        """Hand it on."""
        self._progress.total_changed(total)

    def trial_began(self, task: TrialTask) -> None:
        """Hand it on."""
        self._progress.trial_began(task)

    def epoch_finished(self, task: TrialTask, metrics: EpochMetrics) -> None:
        """Hand it on."""
        self._progress.epoch_finished(task, metrics)

    def trial_finished(self, trial: FinishedTrial, best: float | None) -> None:
        """Write the trial's file."""
        self._progress.trial_finished(trial, best)
        try:
            self._write_trial(trial.task.number)
        except (OSError, RegsearchError) as error:
            self._tell(error)

    def end(self) -> None:
        """Write what could not be written before, and trials that something else ended."""
        self._write_missing()
        self._progress.end()

    def _write_missing(self) -> None:
        try:
            self._write(self._folder / _NAME, self._events.experiment())
            for number in list(self._events.finished()):
                if not self._path(number).exists():
                    self._write_trial(number)
        except (OSError, RegsearchError) as error:
            self._tell(error)

    def _write_trial(self, number: int) -> None:
        path = self._path(number)
        path.parent.mkdir(exist_ok=True)
        self._write(path, self._events.trial(number))

    def _write(self, path: Path, content: bytes) -> None:
        # by another name first: TensorBoard reads whatever has "tfevents" in its name, half a file too
        written = self._folder / "written"
        write_durably(written, content)
        os.replace(written, path)

    def _path(self, number: int) -> Path:
        return self._folder / f"trial-{number}" / _NAME

    def _tell(self, error: OSError | RegsearchError) -> None:
        if not self._is_told:
            reason = error.strerror if isinstance(error, OSError) else error
            self._progress.message(f"TensorBoard's files can't be written now ({reason}); the next run writes them")
        self._is_told = True
