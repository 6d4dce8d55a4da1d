"""The command in this process: quick, guarded, and held against what every command must keep.

While a command runs, nothing outside a folder can be written, no process started, no network reached, and memory
and time are bounded.
"""

import io
import logging
import os
import platform
import re
import resource
import signal
import socket
import sqlite3
import sys
import threading
import traceback
import urllib.parse
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import fakes
from fuzz_inputs import SECRET
from werkzeug.serving import BaseWSGIServer

from regsearch.search.cli import commands
from regsearch.search.data import mnist
from regsearch.search.data.arrays import DataUnavailableError
from regsearch.search.run.progress import Progress
from regsearch.search.training.setup import TrainerSetup
from regsearch.search.workers import engines
from regsearch.search.workers.engines import make_engine
from regsearch.search.workers.inline import InlineEngine
from regsearch.storage import dashboard_server, sqlite
from regsearch.studies.errors import InputError
from regsearch.studies.trial import TrialTask

HANG_SECONDS = 60  # a search that was asked for takes one; what takes longer hangs
MOST_TRIALS = 4  # of a run; then it is stopped as by SIGTERM
MORE_MEMORY_BYTES = 3_000_000_000


class Hung(BaseException):
    """An input took too long."""


class Escaped(BaseException):
    """An input reached for something outside its folder: not the product's mistake, but nothing to let happen."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a command did: its exit code (1: a traceback), what it wrote, and the lines that progress showed."""

    code: int
    out: str
    err: str
    told: list[str]
    problems: list[str]


class _Guard:
    """Refuses, by Python's audit events, what no input may do; hooks can't be removed, so it can be switched."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self._is_installed = False

    @contextmanager
    def allowing_only(self, folder: Path) -> Iterator[None]:
        """Refuse to write outside a folder, to start processes, and to reach the network, while the block runs."""
        if not self._is_installed:
            sys.addaudithook(self._audit)
            self._is_installed = True
        self.folder = str(folder)
        try:
            yield
        finally:
            self.folder = None

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.folder is None:
            return
        if event == "open":
            path, mode, flags = arguments
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC) if isinstance(flags, int) else 0
            if (writes or (isinstance(mode, str) and set(mode) & set("wax+"))) and not isinstance(path, int):
                self._check(path)
        elif event in ("os.mkdir", "os.rmdir", "os.remove", "os.truncate", "os.chmod", "os.mkfifo", "shutil.rmtree"):
            self._check(arguments[0])
        elif event in ("os.rename", "os.link", "os.symlink"):
            self._check(arguments[0])
            self._check(arguments[1])
        elif event == "sqlite3.connect":
            name = arguments[0] if isinstance(arguments[0], str) else os.fsdecode(arguments[0])
            if name.startswith("file:"):
                name = urllib.parse.unquote(urllib.parse.urlsplit(name).path, errors="surrogateescape")
            if name != ":memory:":
                self._check(name)
        elif event.startswith(("subprocess.", "os.fork", "os.exec", "os.posix_spawn", "os.system", "socket.connect")):
            raise Escaped(event)

    def _check(self, path: Any) -> None:
        if isinstance(path, int) or path == os.devnull:
            return
        self_folder, self.folder = self.folder, None  # what follows raises events too
        try:
            found = os.path.realpath(os.fsdecode(path))
        finally:
            self.folder = self_folder
        assert self_folder is not None
        if found != self_folder and not found.startswith(self_folder + os.sep):
            raise Escaped(found[:200])


_GUARD = _Guard()


@contextmanager
def _bounded_memory() -> Iterator[None]:
    """Let an allocation fail that a machine might grant, and then not have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if sys.platform == "linux" else None
    if pages is not None:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MORE_MEMORY_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextmanager
def _bounded_time() -> Iterator[None]:
    def hung(*_: object) -> None:
        raise Hung

    before = signal.signal(signal.SIGALRM, hung)
    signal.setitimer(signal.ITIMER_REAL, HANG_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class _ShortTrainer(fakes.FakeTrainer):
    """Trains so many epochs at most, whatever was asked for."""

    def __init__(self, setup: TrainerSetup) -> None:
        super().__init__(setup)
        self.max_epochs = min(self.max_epochs, 3)


class _ShortEngine(InlineEngine):
    """Stops a search that was asked for a million trials, as a user would."""

    def __init__(self) -> None:
        super().__init__(_ShortTrainer)
        self._begun = 0

    def submit(self, task: TrialTask) -> None:
        self._begun += 1
        if self._begun > MOST_TRIALS and signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, signal.SIG_IGN):
            signal.raise_signal(signal.SIGTERM)
        super().submit(task)


def _make_engine(name: str, **options: object) -> InlineEngine:
    make_engine(name, **options)
    return _ShortEngine()


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != "regsearch":  # its decisions are meant to be logged
            self.lines.append(record.getMessage())


@contextmanager
def spared_disk() -> Iterator[None]:
    """Wait for no disk: only a power cut would tell."""
    connector = sqlite.connector

    def hasty(path: Path, writing: bool) -> Callable[[], sqlite3.Connection]:
        connect = connector(path, writing)

        def connected() -> sqlite3.Connection:
            connection = connect()
            connection.execute("pragma synchronous=off")
            return connection

        return connected

    with (
        mock.patch.object(sqlite, "connector", hasty),
        mock.patch.object(os, "fsync"),
    ):
        yield


@contextmanager
def harness(folder: Path) -> Iterator[None]:
    """Patch what a command must not do here: start workers, fetch data, serve for ever."""

    def no_fetch(_target: Path) -> None:
        raise DataUnavailableError("no network")

    platform.platform()  # once it has asked the machine, by a process, it remembers
    environment = {"REGSEARCH_MNIST": str(folder / "mnist.npz"), "KERAS_HOME": str(folder), "COLUMNS": "100"}
    environment["XDG_CACHE_HOME"] = "cache"  # in the folder of each case
    with spared_disk(), ExitStack() as stack:
        for target, name, new in (
            (engines, "make_engine", _make_engine),
            (mnist, "_download", no_fetch),
            (BaseWSGIServer, "serve_forever", lambda self, **_: None),
            (dashboard_server, "_listen", _listen_anywhere),
        ):
            stack.enter_context(mock.patch.object(target, name, new))
        stack.enter_context(mock.patch.dict(os.environ, environment))
        os.environ.pop("REGSEARCH_STORAGE", None)
        os.environ.pop("FAKE_FAULTS", None)
        yield


def _listen_anywhere(port: int) -> socket.socket:
    """Take whatever port is free: the one that was asked for may be in use."""
    if not 0 <= port <= 65535:
        raise InputError(f"cannot listen on port {port}: it is out of range.")
    return socket.create_server((dashboard_server.HOST, 0))


def call(folder: Path, arguments: Sequence[str], **environment: str) -> Outcome:
    """Run the command in a folder, in this process; raises Escaped where it reached outside `folder`'s parents."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True)
    problems: list[str] = []
    told = io.StringIO()
    message = Progress.message

    def tell(progress: Progress, text: str) -> None:
        with mock.patch.object(sys, "stderr", told):
            message(progress, text)

    records = _Records()
    loggers = [logging.getLogger(name) for name in (None, "optuna")]
    threads = set(threading.enumerate())
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    here = os.getcwd()
    code = 1
    with ExitStack() as stack:
        for target, name, new in (
            (sys, "argv", ["regsearch", *arguments]),
            (sys, "stdin", io.StringIO()),
            (sys, "stdout", out),
            (sys, "stderr", err),
            (Progress, "message", tell),
        ):
            stack.enter_context(mock.patch.object(target, name, new))
        stack.enter_context(mock.patch.dict(os.environ, environment))
        caught = stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("default")
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        for logger in loggers:
            logger.addHandler(records)
        os.chdir(folder)
        try:
            with _bounded_memory(), _bounded_time(), _GUARD.allowing_only(folder.parent):
                commands.main()
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else 1
        except Escaped:
            raise
        except BaseException as error:  # noqa: BLE001 - a traceback is what is looked for
            problems.append("traceback: " + "".join(traceback.format_exception(error))[-3000:])
        finally:
            os.chdir(here)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            for logger in loggers:
                logger.removeHandler(records)
        problems += [f"a warning: {warning.category.__name__}: {warning.message}" for warning in caught]
    problems += [f"logged: {line}" for line in records.lines]
    problems += [f"a thread is left: {thread.name}" for thread in set(threading.enumerate()) - threads]

    def text(stream: io.TextIOWrapper) -> str:
        content = stream.buffer.getvalue().decode("utf-8")  # type: ignore[attr-defined]
        stream.detach()
        return str(content)

    return Outcome(code=code, out=text(out), err=text(err), told=told.getvalue().split("\n")[:-1], problems=problems)


_NOTES = re.compile(r"the study's total of \d+ is too low|resume with: regsearch resume |Press Ctrl-C to stop")


def broken_rules(outcome: Outcome, allowed: Sequence[int] = (0, 2, 3, 4, 143)) -> list[str]:
    """Return what a command did that no command may do."""
    broken = list(outcome.problems)
    if outcome.code not in allowed:
        broken.append(f"exit code {outcome.code}, allowed {allowed}")
    lines = outcome.err.splitlines()
    errors = [line for line in lines if not _NOTES.match(line)]
    is_doctor = outcome.out.startswith(("ok ", "{"))
    if outcome.code in (2, 3, 4) and not is_doctor and len(lines) != 1:
        broken.append(f"{len(lines)} lines on stderr")
    if outcome.code == 4 and not any("no trial" in line or "in a row failed" in line for line in lines):
        broken.append("exit code 4 though trials can complete")
    if outcome.code == 4 and any(re.search(r"\] trial \d+ COMPLETE", line) for line in outcome.told):
        broken.append("exit code 4 though a trial completed")
    if outcome.code in (0, 143) and errors:
        broken.append(f"talk on stderr: {errors[0][:200]}")
    if any(not line.startswith("regsearch: ") for line in errors):
        broken.append(f"a line that isn't ours: {errors[0][:200]}")
    for line in [*lines, *outcome.told]:
        if not line.isprintable():
            broken.append(f"it shows what can't be printed: {line[:200]!r}")
        if len(line) > 2100:
            broken.append(f"a line of {len(line)} characters: {line[:100]!r}")
    if SECRET in outcome.out + outcome.err + "".join(outcome.told):
        broken.append("it shows a password")
    return broken
