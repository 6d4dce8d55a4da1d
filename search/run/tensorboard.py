"""Writes a file for TensorBoard for each finished trial, from the trial's records in the database.

So no trial is lost or written twice if it is interrupted or retried. Each run also writes the files that are missing,
such as those of a run that was killed.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from ...studies.errors import RegsearchError
from ...studies.files import write_durably
from ...studies.trial import EpochMetrics, Tally, TrialTask
from .progress import FinishedTrial, Progress

_NAME = "events.out.tfevents.regsearch"


class StudyEvents(Protocol):
    """The contents of a study's event files."""

    def experiment(self) -> bytes:
        """Return the contents of the file that is common to all trials."""

    def finished(self) -> Iterator[int]:
        """Yield the numbers of the finished trials."""

    def trial(self, number: int) -> bytes:
        """Return the contents of the file of a finished trial."""


class EventFiles(Progress):
    """Passes all events on to another progress, and writes a file when a trial is finished.

    Args:
        progress: shows the events to the user.
        events: returns the contents of the files; may raise RegsearchError.
        folder: the study's own directory.
    """

    def __init__(self, progress: Progress, events: StudyEvents, folder: Path) -> None:
        self._progress, self._events, self._folder = progress, events, folder
        self._has_failed = False

    def begin(self, what: str, finished: int, total: int, best: float | None) -> None:
        """Write the file that is common to all trials, and the missing files of finished trials."""
        self._progress.begin(what, finished, total, best)
        self._write_missing()

    def message(self, text: str) -> None:
        """Pass the message on."""
        self._progress.message(text)

    def techniques_changed(self, tallies: Mapping[str, Tally]) -> None:
        """Pass the event on."""
        self._progress.techniques_changed(tallies)

    def note(self, text: str) -> None:
        """Pass the event on."""
        self._progress.note(text)

    def total_changed(self, total: int) -> None:
        """Pass the event on."""
        self._progress.total_changed(total)

    def trial_began(self, task: TrialTask) -> None:
        """Pass the event on."""
        self._progress.trial_began(task)

    def epoch_finished(self, task: TrialTask, metrics: EpochMetrics) -> None:
        """Pass the event on."""
        self._progress.epoch_finished(task, metrics)

    def trial_finished(self, trial: FinishedTrial, best: float | None) -> None:
        """Write the trial's file."""
        self._progress.trial_finished(trial, best)
        try:
            self._write_trial(trial.task.number)
        except (OSError, RegsearchError) as error:
            self._report(error)

    def end(self) -> None:
        """Write the files that are still missing, such as those of trials that another process ended."""
        self._write_missing()
        self._progress.end()

    def _write_missing(self) -> None:
        try:
            self._write(self._folder / _NAME, self._events.experiment())
            for number in list(self._events.finished()):
                if not self._path(number).exists():
                    self._write_trial(number)
        except (OSError, RegsearchError) as error:
            self._report(error)

    def _write_trial(self, number: int) -> None:
        path = self._path(number)
        path.parent.mkdir(exist_ok=True)
        self._write(path, self._events.trial(number))

    def _write(self, path: Path, content: bytes) -> None:
        # under another name first, because TensorBoard reads half-written files with "tfevents" in their names
        unfinished = self._folder / "written"
        write_durably(unfinished, content)
        os.replace(unfinished, path)

    def _path(self, number: int) -> Path:
        return self._folder / f"trial-{number}" / _NAME

    def _report(self, error: OSError | RegsearchError) -> None:
        if not self._has_failed:
            reason = error.strerror if isinstance(error, OSError) else error
            self._progress.message(f"TensorBoard's files can't be written now: {reason}. The next run writes them.")
        self._has_failed = True
