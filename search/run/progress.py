"""Shows a run to the user: with a live display on a terminal or in a notebook, otherwise with lines."""

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
        value: the trial's objective; None if the trial is not complete.
        remark: the last epoch of a pruned trial, or the reason of a failure; empty for a complete trial.
        seconds: how long the trial took.
    """

    task: TrialTask
    state: str
    value: float | None
    remark: str
    seconds: float


class Progress:
    """Receives the events of a run. This class prints only the messages that the user should read.

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
        """Show that a search or a confirmation starts, after `finished` of `total` trials; `best` is the best value."""

    def message(self, text: str) -> None:
        """Print a line."""
        with suppress(OSError):  # stderr is closed; the run continues without it
            print(one_line(text), file=sys.stderr, flush=True)  # noqa: T201 - the user's line

    def note(self, text: str) -> None:
        """Show a line that informs about the run. This class ignores it, because the user needn't read it."""

    def trial_began(self, task: TrialTask) -> None:
        """Show that a worker has started a trial."""

    def epoch_finished(self, task: TrialTask, metrics: EpochMetrics) -> None:
        """Show that a running trial has finished an epoch."""

    def trial_finished(self, trial: FinishedTrial, best: float | None) -> None:
        """Show that a trial has ended; `best` is the best value of the study so far."""

    def techniques_changed(self, tallies: Mapping[str, Tally]) -> None:
        """Show how many trials each technique has, and its best value. `tallies` has both, by the technique's name."""

    def total_changed(self, total: int) -> None:
        """Show that a race now has `total` trainings in all."""

    def end(self) -> None:
        """Show that the search or the confirmation has ended."""


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
        """Show the new total from now on."""
        self.total = total


def describe(trial: FinishedTrial) -> str:
    """Return the line for a finished trial: state, value, remark, seconds and configuration."""
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
    """A live display: finished trials, running trials with their epochs, the best value, the pace and the time left."""

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
        """Show the trials and the best value of each technique."""
        self._techniques = dict(tallies)

    def note(self, text: str) -> None:
        """Print the line above the display."""
        self.message(text)

    def total_changed(self, total: int) -> None:
        """Show the new total from now on."""
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
            minutes_left = (self._total - self._finished) * minutes / finished_now
            pace += f", about {minutes_left:.0f} min left" if minutes_left >= 1 else ", less than a minute left"
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
    """The live display in a notebook's cell. Of all finished trials it shows only the last one."""

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
        """Show the line in the cell; it replaces the previous note."""
        self._note = one_line(text)
        self._draw()

    def end(self) -> None:
        """Draw the final state, which remains in the cell."""
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
    """Return the progress for this process: a display in a notebook or on a terminal, otherwise lines."""
    from rich.console import Console

    if Console().is_jupyter:
        return NotebookProgress()
    return LiveProgress() if sys.stderr.isatty() else LineProgress()
