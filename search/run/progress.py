"""What a user sees while a study runs: a live display on a terminal or in a notebook, otherwise lines."""

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...studies.configuration import configuration_of
from ...studies.errors import one_line
from ...studies.trial import EpochMetrics, Purpose, Tally, TrialTask

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

_REDRAW_SECONDS = 0.5  # in a notebook: each drawing is a message to the browser


@dataclass(frozen=True, kw_only=True)
class FinishedTrial:
    """How a trial ended.

    Attributes:
        task: the trial.
        state: COMPLETE, PRUNED or FAIL.
        value: its objective, if it is complete.
        remark: why it ended, if that is not obvious; else empty.
        seconds: how long it took.
    """

    task: TrialTask
    state: str
    value: float | None
    remark: str
    seconds: float


class Progress:
    """Receives the events of a run; this class prints only the messages that a user has to read.

    Subclass it to show a run in your own way.

    Example:
        >>> import regsearch
        >>> class Counter(regsearch.Progress):
        ...     finished = 0
        ...     def trial_finished(self, trial, best):
        ...         self.finished += 1
        >>> counter = Counter()
        >>> result = regsearch.run("smoke", trials=3, storage="sqlite:///example.db", confirm=False, progress=counter)
        >>> counter.finished
        3
    """

    def begin(self, what: str, finished: int, total: int, best: float | None) -> None:
        """A search or a confirmation starts; `finished` of `total` trials are done, `best` is the best value."""

    def message(self, text: str) -> None:
        """Print a line."""
        with suppress(OSError):  # nobody reads stderr any more; the run goes on
            print(one_line(text), file=sys.stderr, flush=True)  # noqa: T201 - the user's line

    def note(self, text: str) -> None:
        """Show how the run goes; this class prints nothing, because nobody has to read it."""

    def trial_began(self, task: TrialTask) -> None:
        """A worker has started a trial."""

    def epoch_finished(self, task: TrialTask, metrics: EpochMetrics) -> None:
        """A running trial has finished an epoch."""

    def trial_finished(self, trial: FinishedTrial, best: float | None) -> None:
        """A trial has ended; `best` is the best value of the study so far."""

    def techniques_changed(self, tallies: Mapping[str, Tally]) -> None:
        """A search has started or one of its trials has ended; `tallies` has each technique's, by name."""

    def total_changed(self, total: int) -> None:
        """A race has decided something; there are `total` trainings in all now."""

    def end(self) -> None:
        """The run is over."""


class LineProgress(Progress):
    """Prints one line for each finished trial."""

    def begin(self, what: str, finished: int, total: int, best: float | None) -> None:
        """Print how many trials are finished."""
        self.finished, self.total = finished, total
        self.message(f"{what}: {finished} of {total} finished" + (", resuming" if 0 < finished < total else ""))

    def trial_finished(self, trial: FinishedTrial, best: float | None) -> None:
        """Print how the trial ended."""
        self.finished += 1
        if trial.task.purpose != Purpose.TEST:  # a test evaluation is too quick to be worth a line
            self.message(f"[{self.finished}/{self.total}] {describe(trial)}")

    def note(self, text: str) -> None:
        """Print the line."""
        self.message(text)

    def total_changed(self, total: int) -> None:
        """Count up to the new total."""
        self.total = total


def describe(trial: FinishedTrial) -> str:
    """Return one line about a finished trial."""
    configuration = configuration_of(trial.task.params)
    value = "" if trial.value is None else f" {trial.value:.5f}"
    remark = f" ({trial.remark})" if trial.remark else ""
    return f"{trial.task} {trial.state}{value}{remark}, {trial.seconds:.0f} s: {configuration}"


@dataclass
class _Running:
    task: TrialTask
    epoch: int | None = None
    loss: float | None = None


@dataclass
class LiveProgress(Progress):
    """A live display: the number of finished trials, the running ones with their epoch, best value, pace, time left."""

    clock: Callable[[], float] = time.monotonic
    _running: dict[int, _Running] = field(default_factory=dict)
    _techniques: Mapping[str, Tally] = field(default_factory=dict)
    _live: "Live | None" = None

    def begin(self, what: str, finished: int, total: int, best: float | None) -> None:
        """Open the display."""
        self._what, self._total, self._best = what, total, best
        self._finished = self._finished_before = finished
        self._started = self.clock()
        self._open()

    def _open(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(
            console=Console(stderr=True), get_renderable=self._table, refresh_per_second=2, transient=True
        )
        self._live.start()

    def message(self, text: str) -> None:
        """Print a line above the display, if it is open."""
        if self._live is None:
            super().message(text)
        else:
            self._live.console.print(one_line(text), markup=False, highlight=False)

    def trial_began(self, task: TrialTask) -> None:
        """Show the trial."""
        self._running[task.number] = _Running(task)

    def epoch_finished(self, task: TrialTask, metrics: EpochMetrics) -> None:
        """Show the epoch."""
        self._running[task.number] = _Running(task, metrics.epoch + 1, metrics.stop_cross_entropy)

    def trial_finished(self, trial: FinishedTrial, best: float | None) -> None:
        """Print above the display how the trial ended."""
        self._running.pop(trial.task.number, None)
        self._finished += 1
        self._best = best
        self._show_ended(trial)

    def techniques_changed(self, tallies: Mapping[str, Tally]) -> None:
        """Show the tallies."""
        self._techniques = dict(tallies)

    def note(self, text: str) -> None:
        """Print the line above the display."""
        self.message(text)

    def total_changed(self, total: int) -> None:
        """Count up to the new total."""
        self._total = total

    def _show_ended(self, trial: FinishedTrial) -> None:
        if trial.task.purpose != Purpose.TEST:
            self.message(describe(trial))

    def end(self) -> None:
        """Close the display."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _table(self) -> "Table":
        from rich.table import Table

        finished_now = self._finished - self._finished_before
        minutes = (self.clock() - self._started) / 60
        pace = f"{finished_now / minutes:.1f} trials a minute" if finished_now else "no trial finished yet"
        if finished_now and self._finished < self._total:
            left = (self._total - self._finished) * minutes / finished_now
            pace += f", about {left:.0f} min left" if left >= 1 else ", less than a minute left"
        best = "none yet" if self._best is None else f"{self._best:.5f}"
        table = Table.grid(padding=(0, 2))
        table.add_row(f"{self._what}: {self._finished} of {self._total}", f"best {best}", pace)
        running_now = dict(self._running)  # a copy, because the display runs in its own thread
        for _, running in sorted(running_now.items()):
            epoch = "starting" if running.epoch is None else f"epoch {running.epoch}, {running.loss:.4f}"
            table.add_row(f"  {running.task}", epoch, str(configuration_of(running.task.params)))
        for technique, tally in self._techniques.items():
            best = "none complete" if tally.best is None else f"best {tally.best:.5f}"
            table.add_row(f"  {technique}", best, "1 trial" if tally.trials == 1 else f"{tally.trials} trials")
        return table


@dataclass
class NotebookProgress(LiveProgress):
    """The live display in a notebook's cell, which shows only the last finished trial instead of one line for each."""

    _cell: Any = None
    _drawn: float = 0.0
    _last: str = ""
    _note: str = ""

    def _open(self) -> None:
        from IPython.display import display

        self._last, self._drawn = "", self.clock()
        self._cell = display(self._table(), display_id=True)

    def trial_began(self, task: TrialTask) -> None:
        """Show the trial."""
        super().trial_began(task)
        self._draw()

    def epoch_finished(self, task: TrialTask, metrics: EpochMetrics) -> None:
        """Show the epoch."""
        super().epoch_finished(task, metrics)
        self._draw()

    def _show_ended(self, trial: FinishedTrial) -> None:
        if trial.task.purpose != Purpose.TEST:
            self._last = describe(trial)
        self._draw()

    def note(self, text: str) -> None:
        """Show the line in the cell, in place of the one before."""
        self._note = one_line(text)
        self._draw()

    def end(self) -> None:
        """Show how the run ended; the cell stays."""
        self._running.clear()
        self._draw(after_seconds=0.0)
        self._cell = None

    def _draw(self, after_seconds: float = _REDRAW_SECONDS) -> None:
        if self._cell is not None and self.clock() - self._drawn >= after_seconds:
            self._drawn = self.clock()
            self._cell.update(self._table())

    def _table(self) -> "Table":
        table = super()._table()
        if self._last:
            table.add_row("  last", "", self._last)
        if self._note:
            table.add_row("  note", "", self._note)
        return table


def progress_here() -> Progress:
    """Return the progress that suits the place: a display in a notebook or on a terminal, otherwise lines."""
    from rich.console import Console

    if Console().is_jupyter:
        return NotebookProgress()
    return LiveProgress() if sys.stderr.isatty() else LineProgress()
