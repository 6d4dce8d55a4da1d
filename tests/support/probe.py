"""What a process of a search does at each moment, kept in files that outlive it: for kills at random moments.

The state is a few bytes of a file that is mapped into memory: to say something costs nothing, and after a
kill it says what the process did when it died, with no moment between looking and killing. The log has a
line for each thing a worker began or ended. As a program, `python tests/support/probe.py fake` or `… real`, this is
a worker that does so.
"""

import mmap
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = "PROBE_FOLDER"
PHASES = ("starting", "asking", "training", "checkpointing", "writing", "idle")
_BACKGROUND = 1  # which byte: 1 while another thread writes a checkpoint


class Line(NamedTuple):
    """One line of the log; the time is on the clock that all processes of the machine share."""

    seconds: float
    pid: int
    what: str  # ready, begin, trained (so many epochs), end
    number: int
    epochs: int


def state_of(folder: Path, pid: int) -> str:
    """What a process does, or did when it died."""
    try:
        state = (folder / f"{pid}.state").read_bytes()
    except FileNotFoundError:
        return "starting"
    return "checkpointing" if state[_BACKGROUND] else PHASES[state[0]]


def read_log(folder: Path) -> list[Line]:
    """What workers did, in that order; a line that a kill cut off is none."""
    try:
        text = (folder / "log").read_text()
    except FileNotFoundError:
        return []
    fields = [line.split() for line in text[: text.rfind("\n") + 1].splitlines()]
    return [Line(float(a), int(b), c, int(d), int(e)) for a, b, c, d, e in fields]


class _Probe:
    def __init__(self, folder: Path) -> None:
        path = folder / f"{os.getpid()}.state"
        path.write_bytes(bytes(2))
        with path.open("r+b") as file:
            self._state = mmap.mmap(file.fileno(), 2)
        self._log = os.open(folder / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def say(self, what: str, number: int = -1, epochs: int = -1) -> None:
        os.write(self._log, f"{time.monotonic()} {os.getpid()} {what} {number} {epochs}\n".encode())

    def set(self, phase: str) -> None:
        self._state[0] = PHASES.index(phase)

    @contextmanager
    def during(self, phase: str) -> Iterator[None]:
        before = self._state[0]
        self.set(phase)
        try:
            yield
        finally:
            self._state[0] = before

    @contextmanager
    def in_background(self) -> Iterator[None]:
        self._state[_BACKGROUND] = 1
        try:
            yield
        finally:
            self._state[_BACKGROUND] = 0

    def wrap(self, owner: Any, name: str, within: Callable[[], Any]) -> None:
        """Let a function say what it does while it does it."""
        real = getattr(owner, name)

        def wrapped(*arguments: Any, **options: Any) -> Any:
            with within():
                return real(*arguments, **options)

        setattr(owner, name, wrapped)


def probe_coordinator() -> None:
    """Let this process, which will search, say what it does, if its environment asks for it."""
    if FOLDER not in os.environ:
        return
    from regsearch.search.workers.processes import ProcessEngine
    from regsearch.storage.study_store import StudyStore

    probe = _Probe(Path(os.environ[FOLDER]))
    probe.wrap(StudyStore, "ask", lambda: probe.during("asking"))
    for name in (
        "record_epoch",
        "finish",
        "fail",
        "record_lost_worker",
        "end_run",
        "stop_requested",
        "trials_with_kept_weights",
    ):
        probe.wrap(StudyStore, name, lambda: probe.during("writing"))
    start = ProcessEngine.start

    def started(*arguments: Any) -> None:
        start(*arguments)
        probe.set("idle")

    ProcessEngine.start = started  # type: ignore[method-assign]


def probed(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return what makes the same trainers, but such that say what they do."""
    from regsearch.search.training import checkpoints
    from regsearch.search.training.checkpoints import FileCheckpoints
    from regsearch.search.workers import task_connection

    probe = _Probe(Path(os.environ[FOLDER]))
    probe.wrap(checkpoints, "write_durably", probe.in_background)
    probe.wrap(task_connection, "write_durably", lambda: probe.during("writing"))
    save = FileCheckpoints.save

    def saved(self: FileCheckpoints, state: Any) -> None:
        probe.say("trained", self._number, len(state.curve))
        save(self, state)

    FileCheckpoints.save = saved  # type: ignore[method-assign]

    class Probed:
        def __init__(self, setup: Any) -> None:
            self.trainer = make(setup)
            probe.set("idle")
            probe.say("ready")

        def train(self, task: Any, on_epoch: Callable[[Any], bool], *rest: Any) -> Any:
            def told(metrics: Any) -> bool:
                with probe.during("idle"):  # it waits for the answer
                    return on_epoch(metrics)

            probe.say("begin", task.number)
            with probe.during("training"):
                outcome = self.trainer.train(task, told, *rest)
            probe.say("end", task.number)
            return outcome

    return Probed


def kill(pid: int) -> None:
    """Kill -9; who is gone already is gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    import sys

    from regsearch.search.workers import worker

    if sys.argv[1] == "fake":
        from fakes import FakeTrainer as make
    else:
        from regsearch.search.training.setup import make_trainer as make  # type: ignore[assignment]
    worker.main(probed(make))
