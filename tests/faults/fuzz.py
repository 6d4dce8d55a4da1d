"""Inputs mutated from valid ones, by the thousand: each ends with an exit code and one line, and harms nothing.

python tests/faults/fuzz.py --inputs 10000 --seed 0, or one of them again: --kind options --only 123

Everything runs in this process, with trials of milliseconds. While an input runs, nothing outside a temporary
folder can be written, no process started, no network reached, and memory is bounded.
"""

import argparse
import faulthandler
import io
import logging
import os
import platform
import random
import re
import resource
import shutil
import signal
import sqlite3
import sys
import tempfile
import threading
import time
import traceback
import urllib.parse
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent.parent))  # for `python tests/faults/fuzz.py`

import fakes
import numpy as np
from helpers import raw_study

from search import cli, pruners, samplers, session
from search.data import mnist
from search.data.arrays import DataUnavailableError
from search.engines import make_engine
from search.engines.inline import InlineEngine
from search.files import TEMPORARY, sealed
from search.progress import Progress
from search.training.setup import TrainerSetup
from storage import dashboard
from storage import database as storage_database
from storage.store import StudyStore
from studies.trial import TrialTask

SECRET = "S3NT1NEL"
HANG_SECONDS = 60  # a search that was asked for takes one; what takes longer hangs
MOST_TRIALS = 4  # of a run; then it is stopped as by SIGTERM
MORE_MEMORY_BYTES = 3_000_000_000

STUDY_FILE = """
[study]
name = "mine"
question = "Which regularization? ü"
[data]
source = "own.npz"
stop_fraction = 0.2
select_fraction = 2e-1
train_size = 30
[model]
hidden = [8, 4]
activation = "relu"
apply_to = "widest"
[training]
trainer = "compiled"
optimizer = "adam"
learning_rate = 1e-3
batch_size = 32
max_epochs = 3
[space]
regularizer = ["none", "l1", "l2", "l1_l2"]
l1 = { low = 1e-7, high = 1e-2 }
l2 = { low = 1e-7, high = 1e-2 }
dropout = { low = 0.05, high = 0.6, off = true }
batch_norm = ["none", "before_activation", "after_activation"]
patience = { low = 1, high = 8, off = true }
[search]
objective = "cross_entropy"
sampler = "tpe"
sampler_options = { n_startup_trials = 2, n_ei_candidates = 8 }
pruner = "median"
pruner_options = { n_startup_trials = 3, n_warmup_steps = 0 }
recipes = []
seed = 0
[confirm]
top = 3
seeds = 5
[budget]
trials = 2
timeout = "30m"
epoch_timeout = "10m"
"""

GRID = """
[data]
source = "own.npz"
[space]
dropout = "off"
patience = "off"
[search]
sampler = "grid"
sampler_options = { regularizer = ["none", "l2"], l2 = [1e-4, 1e-3], batch_norm = ["none"] }
pruner = "hyperband"
pruner_options = { reduction_factor = 3 }
[budget]
trials = 3
"""

COMMANDS = [
    "run mine.toml --trials 8 --quiet",
    "run mine.toml --name other --trials 2 --timeout 30m --workers 2 --engine inline --json",
    "run mine.toml --name third --data own.npz --set training.max_epochs=2 --no-confirm",
    "run mine.toml --name fourth --set search.sampler=random --set search.sampler_options={} --trials 1",
    "run grid.toml --set space.l2={low=1e-6,high=1e-3} --set search.pruner=none --set search.pruner_options={}",
    "run smoke --trials 1 --data own.npz --set data.train_size=20 --engine processes --storage sqlite:///new.db",
    "run digits --set study.question=why --set model.hidden=[8] --set budget.timeout=1h --data mnist --trials 1",
    "run mnist --name auto --trials 1 --quiet",
    "resume mine --trials 9 --workers 1 --quiet",
    "resume mine --timeout 5s --engine inline --data own.npz --json",
    "stop mine",
    "list --json",
    "list",
    "status mine --json",
    "status mine",
    "trials mine --csv",
    "trials mine --json",
    "trials mine",
    "best mine --json",
    "best mine --storage sqlite:///regsearch.db",
    "enqueue mine --param l2=1e-4 --param dropout=off",
    "enqueue mine --param regularizer=l1_l2 --param patience=3 --param use_dropout=true",
    "dashboard --port 0 --allow-host searches.example.org",
    "doctor --json",
    "doctor --storage sqlite:///regsearch.db",
    "delete mine --yes",
    "schema",
    "--help",
    "run --help",
]

URLS = [
    "sqlite:///regsearch.db",
    "sqlite:///./folder/../regsearch.db",
    "sqlite+pysqlite:///regsearch.db",
    "sqlite:///{cwd}/regsearch.db",
    "sqlite:///new{x}%20 ü#.db",
    "sqlite:///:memory:",
    "sqlite://",
    "sqlite:///folder",
    "sqlite:///pipe",
    "sqlite:///regsearch.db?mode=ro",
    "sqlite:///file:regsearch.db?mode=ro&uri=true",
    f"sqlite://user:{SECRET}@host/regsearch.db",
    f"postgresql://user:{SECRET}@localhost/db",
    f"postgresql+psycopg://user:{SECRET}@localhost:5432/db?sslmode=require",
    f"postgresql://localhost/db?user=me&password={SECRET}",
    f"mysql+pymysql://user:{SECRET}%40@[::1]:3306/db?charset=utf8mb4",
    f"redis://:{SECRET}@localhost:6379/0",
    f"journal:///tmp/{SECRET}.log",
]

NASTY = [
    *("", " ", "0", "-1", "-0", "1", "2", "0.5", "1e309", "-1e-400", "nan", "inf", "-inf", "true", "false", "null"),
    *("none", "off", "9223372036854775807", "9223372036854775808", "2147483648", "-9223372036854775809", "1e18"),
    *("9" * 400, "9" * 5000, "0x" + "f" * 5000, "0b" + "1" * 70000, "1_000", "1__0", "+1", "01", "1.", ".5", "٣", "²"),
    *("1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", "1979-13-41", "99:99:99", "9" * 400 + "h", "0s", "1h1h"),
    *("\ufeff", "\u202e", "\u2028", "\u200b", "\x1b[31m", "\x1b]0;title\x07", "\x7f", "\x0b", "\x85", "\r", "\n", "\t"),
    *("\udcff", "\ud800", "К", "ﬁ", "ß", "é", "🙂", "İ", "\x00", "\\u0000", "\\ud800", "\\U0010ffff", "\\"),
    *("a" * 65, "a" * 300, "a" * 5000, "a" * 70000, "ü" * 200, "/" * 300, "../" * 3, "..", ".", "/", "~", "-", "--"),
    *("%", "%s", "%n", "{}", "{0}", "{x}", "$HOME", "`id`", "';--", '"', "'", '"""', "'''", "#", "=", "==", ",", ";"),
    *("[" * 3000, "{a=" * 3000, "[" * 50 + "]" * 50, "a." * 3000 + "a", "a." * 30000 + "a", "[[a]]", "[a]", "{}", "[]"),
    *("--help", "--set", "--json", "mine", "kept2", "own.npz", "mine.toml", "processes", "ray", "base", "GridSampler"),
    *("CmaEsSampler", "GPSampler", "NSGAIISampler", "BruteForceSampler", "QMCSampler", "PartialFixedSampler"),
    *("PatientPruner", "PercentilePruner", "ThresholdPruner", "SuccessiveHalvingPruner", "WilcoxonPruner"),
    *("study.name=x", "search.sampler_options.a=1", "search.seed=-1", "space.l1=off", "confirm=off", "mnist", "digits"),
    *("__class__", "__proto__", "constructor", "pipe", "folder", "loop.npz", "big.npz", "/dev/null", "/dev/full"),
]

_NUMBERS = [
    *("0", "1", "2", "-1", "0.0", "1e-300", "5e-324", "1e300", "1e6", "0.4999", "inf", "nan", "1000000", "true"),
    *("9223372036854775807", "9223372036854775808", "0x" + "f" * 4000),
]

_TOKEN = re.compile(r"\w+|\s+|.", re.DOTALL)


class Hung(BaseException):
    """An input took too long."""


class Escaped(BaseException):
    """An input reached for something outside its folder: not the product's mistake, but nothing to let happen."""


class Interrupted(BaseException):
    """Stands for kill -9."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a command did: its exit code (1: a traceback), what it wrote, and the lines that progress showed."""

    code: int
    out: str
    err: str
    told: list[str]
    problems: list[str]


@dataclass
class Figures:
    """Of one kind of input: how many, which exit codes, and what broke a rule."""

    inputs: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    outside: int = 0
    failures: list[str] = field(default_factory=list)


# ---------------------------------------------------------------------------------------------------- the guards


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


# ---------------------------------------------------------------------------------------- the command, in-process


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


def _make_engine(name: str) -> InlineEngine:
    make_engine(name)
    return _ShortEngine()


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def harness(folder: Path) -> Iterator[None]:
    """Patch what a command must not do here: start workers, fetch data, serve for ever, wait for the disk."""

    def no_fetch(_target: Path) -> None:
        raise DataUnavailableError("no network")

    real_connector = storage_database.connector

    def connector(path: Path, writing: bool) -> Callable[[], sqlite3.Connection]:
        connect = real_connector(path, writing)

        def connected() -> sqlite3.Connection:
            connection = connect()
            connection.execute("pragma synchronous=off")
            connection.execute("pragma busy_timeout=1000")
            return connection

        return connected

    platform.platform()  # once it has asked the machine, by a process, it remembers
    environment = {"REGSEARCH_MNIST": str(folder / "mnist.npz"), "KERAS_HOME": str(folder), "COLUMNS": "100"}
    with ExitStack() as stack:
        for target, name, new in (
            (session, "make_engine", _make_engine),
            (mnist, "_fetch", no_fetch),
            (dashboard._Server, "serve_forever", lambda self: None),
            (dashboard._Server, "server_bind", _bind_anywhere),
            (storage_database, "connector", connector),
            (os, "fsync", lambda descriptor: None),
        ):
            stack.enter_context(mock.patch.object(target, name, new))
        stack.enter_context(mock.patch.dict(os.environ, environment))
        os.environ.pop("REGSEARCH_STORAGE", None)
        os.environ.pop("FAKE_FAULTS", None)
        yield


def _bind_anywhere(server: Any) -> None:
    """Take whatever port is free: the one that was asked for may be somebody's."""
    server.server_address[1].to_bytes(2, "big")  # raises OverflowError as binding does
    server.server_name, server.server_port = "localhost", 0
    server.setup_environ()


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
                cli.main()
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


_NOTES = re.compile(r"it lies beyond the study's total|go on with: regsearch resume |Ctrl-C ends it")


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


# -------------------------------------------------------------------------------------------------- valid inputs


def arrays(**changes: Any) -> dict[str, Any]:
    """A small data set of three classes, as an .npz file's arrays."""
    generator = np.random.default_rng(0)
    return {
        "x_train": generator.integers(0, 256, (90, 4, 4)).astype(np.uint8),
        "y_train": (np.arange(90) % 3).astype(np.uint8),
        "x_test": generator.integers(0, 256, (12, 4, 4)).astype(np.uint8),
        "y_test": (np.arange(12) % 3).astype(np.uint8),
    } | changes


class World:
    """A folder with valid inputs of every kind, from which each case gets a copy.

    Attributes:
        kept: the raw rows of a study that no input names.
        whole: the raw rows of `mine` had it not been interrupted.
    """

    def __init__(self, folder: Path) -> None:
        self.root = Path(os.path.realpath(folder))
        self.valid = self.root / "valid"
        self.case = self.root / "a" / "b" / "c" / "case"
        self.valid.mkdir()
        self.case.parent.mkdir(parents=True)
        np.savez(self.root / "mnist.npz", **arrays())
        np.savez(self.root / "own.npz", **arrays())
        shutil.copy(self.root / "own.npz", self.valid)
        (self.valid / "mine.toml").write_text(STUDY_FILE)
        (self.valid / "grid.toml").write_text(GRID)
        (self.valid / "folder").mkdir()
        self.database = self.valid / "regsearch.db"
        study = [str(self.valid / "mine.toml"), f"--data={self.root}/own.npz", "--quiet"]
        storage = f"--storage=sqlite:///{self.database}"
        self._must(storage, "run", *study, "--name=kept", "--trials=2")
        shutil.copy(self.database, self.root / "whole.db")
        self._must(f"--storage=sqlite:///{self.root}/whole.db", "run", *study, "--trials=4")
        self.whole = raw_study(self.root / "whole.db", "mine")
        self.kept = raw_study(self.database, "kept")
        self.ended = self._interrupt(study, "ended", "finish")
        self.interrupted = self._interrupt(study, "interrupted", "record_epoch")
        shutil.copytree(self.interrupted, self.valid, dirs_exist_ok=True)

    def _must(self, storage: str, command: str, *arguments: str) -> None:
        outcome = call(self.valid, [command, storage, *arguments])
        assert outcome.code == 0, (outcome.err, outcome.problems)

    def _interrupt(self, study: Sequence[str], name: str, method: str) -> Path:
        """Return a folder with the database of a search that was killed over its second trial or a later one."""
        folder = self.root / name
        folder.mkdir()
        shutil.copy(self.database, folder / "regsearch.db")
        real = getattr(StudyStore, method)

        def die(store: StudyStore, task: TrialTask, result: Any) -> Any:
            if task.number >= 1 and getattr(result, "epoch", 1) == 1:
                raise Interrupted
            return real(store, task, result)

        with mock.patch.object(StudyStore, method, die):
            outcome = call(self.valid, ["run", *study, "--trials=4", f"--storage=sqlite:///{folder}/regsearch.db"])
        assert "Interrupted" in outcome.problems[0]
        return folder

    def fresh_case(self, source: Path | None = None) -> Path:
        """Return the folder of a case, with fresh copies of the valid inputs in it."""
        shutil.rmtree(self.case, ignore_errors=True)
        shutil.copytree(source or self.valid, self.case)
        if source is None:
            os.mkfifo(self.case / "pipe.db")
            (self.case / "loop.npz").symlink_to("loop.npz")
        return self.case


@contextmanager
def made_world() -> Iterator[World]:
    """Give a world in a temporary folder, with the harness around it."""
    with tempfile.TemporaryDirectory() as folder, harness(Path(folder)):
        yield World(Path(folder))


# ----------------------------------------------------------------------------------------------------- mutations


def mutated_text(text: str, others: Sequence[str], generator: random.Random) -> str:
    """Return a text with one to three changes to its tokens."""
    tokens = _TOKEN.findall(text) or [""]
    for _ in range(generator.choice((1, 1, 2, 3))):
        at = generator.randrange(len(tokens))
        match generator.randrange(9):
            case 0:
                del tokens[at : at + generator.choice((1, 1, 2, 8))]
            case 1:
                tokens[at:at] = tokens[at : at + generator.choice((1, 2, 6, 40))] * generator.choice((1, 1, 2, 50))
            case 2:
                other = generator.randrange(len(tokens))
                tokens[at], tokens[other] = tokens[other], tokens[at]
            case 3:
                tokens[at:at] = [generator.choice(NASTY)]
            case 4:
                donor = _TOKEN.findall(generator.choice(others)) or [""]
                begin = generator.randrange(len(donor))
                tokens[at : at + generator.randrange(6)] = donor[begin : begin + generator.randrange(1, 12)]
            case 5:
                tokens[at] = tokens[at].swapcase() if generator.random() < 0.5 else tokens[at][::-1]
            case 6:
                line = text.splitlines() or [""]
                tokens.insert(at, generator.choice(line) + "\n" * (len(line) > 1))
            case _:
                words = [n for n, token in enumerate(tokens) if re.match(r"\w", token)] or [0]
                tokens[generator.choice(words)] = generator.choice(NASTY)
        tokens = tokens or [""]
    return "".join(tokens)


def with_other_value(study: str, generator: random.Random) -> str:
    """Return a study file in which one or two keys have other values: often read well, and then hard to serve."""
    lines = study.splitlines()
    keys = [n for n, line in enumerate(lines) if "=" in line]
    for _ in range(generator.choice((1, 1, 2))):
        at = generator.choice(keys)
        key, _, value = lines[at].partition(" = ")
        number = generator.choice(_NUMBERS)
        text = generator.choice(
            ("tpe", "off", "none", "auto", "digits", "", "\\u0000", "\\u202e", "a" * 2000, "1h", "9" * 400 + "h")
        )
        old = re.sub(r"[0-9][0-9.e-]*", number, value, count=generator.randrange(3))
        other = lines[generator.choice(keys)].partition(" = ")[2]
        new = generator.choice((old, old, number, other, f'"{text}"', f"[{value}, {value}]", f"{{ x = {value} }}"))
        lines[at] = f"{key} = {new}"
        if generator.random() < 0.1:
            lines.insert(at, generator.choice((lines[at], f"{key}.{'a.' * 3000}a = 1", f"x.{key} = 1")))
    return "\n".join(lines)


def mutated_bytes(content: bytes, generator: random.Random) -> bytes:
    """Return bytes with one to four changes."""
    changed = bytearray(content)
    for _ in range(generator.choice((1, 1, 1, 2, 4))):
        at = generator.randrange(len(changed) or 1)
        length = min(generator.choice((1, 2, 4, 64, 512)), len(changed) - at)
        match generator.randrange(8):
            case 0 | 1 | 2 if changed:
                changed[at] ^= 1 << generator.randrange(8)
            case 3 if changed:
                changed[at : at + length] = bytes(length)
            case 4:
                changed[at : at + length] = generator.choice((b"\xff", b"\x00", b"\x80\xff\xfe", b"\x7f")) * length
            case 5:
                del changed[at : at + length]
            case 6:
                changed[at:at] = generator.randbytes(length)
            case _:
                del changed[at:]
    return bytes(changed)


# --------------------------------------------------------------------------------------------- the kinds of input

Kind = Callable[[World, random.Random], tuple[str, Outcome, list[str]]]
"""Runs one input: what it was, what the command did, and which rules it broke."""


def _checked(world: World, folder: Path, before: bytes, outcome: Outcome, **options: Any) -> list[str]:
    """Hold a command against the rules, and the database against what was in it."""
    broken = broken_rules(outcome, **options)
    database = folder / "regsearch.db"
    if outcome.code == 2 and database.read_bytes() != before:
        broken.append("exit code 2, and the database was changed")
    if raw_study(database, "kept") != world.kept:
        broken.append("a study that nobody named was changed")
    return broken + _left_over(folder)


def _left_over(folder: Path) -> list[str]:
    found = [path for path in folder.rglob("*") if path.name.endswith((TEMPORARY, "-data", "new.db")) and path.exists()]
    broken = [f"left over: {path.name}" for path in found if path.parent.name.endswith((".d", "-trials"))]
    for log in folder.rglob("*.log"):
        if SECRET.encode() in log.read_bytes():
            broken.append(f"a password in {log.name}")
    return broken


def study_files(world: World, generator: random.Random) -> tuple[str, Outcome, list[str]]:
    """A study file."""
    folder = world.fresh_case()
    text = generator.choice((STUDY_FILE, STUDY_FILE, GRID))
    if generator.random() < 0.6:
        text = with_other_value(text, generator)
    else:
        text = mutated_text(text, (STUDY_FILE, GRID), generator)
    content = text.encode("utf-8", "surrogatepass")
    if generator.random() < 0.15:
        content = mutated_bytes(content, generator)
    if generator.random() < 0.05:
        content = b"\xef\xbb\xbf" + content
    if generator.random() < 0.02:
        content = text.encode("utf-16", "surrogatepass")
    (folder / "fuzz.toml").write_bytes(content)
    before = (folder / "regsearch.db").read_bytes()
    outcome = call(folder, ["run", "fuzz.toml"])
    return repr(content), outcome, _checked(world, folder, before, outcome)


def options(world: World, generator: random.Random) -> tuple[str, Outcome, list[str]]:
    """A command line."""
    folder = world.fresh_case()
    command = generator.choice(COMMANDS)
    arguments = command.split(" ")
    for _ in range(generator.choice((1, 1, 1, 2, 3))):
        at = generator.randrange(len(arguments))
        match generator.randrange(7):
            case 0:
                del arguments[at]
            case 1:
                arguments.insert(at, arguments[at])
            case 2:
                other = generator.choice(generator.choice(COMMANDS).split(" "))
                arguments.insert(generator.randrange(len(arguments) + 1), other)
            case 3:
                arguments[at] = generator.choice(NASTY)
            case _:
                arguments[at] = mutated_text(arguments[at], COMMANDS, generator)
        arguments = arguments or [""]
    # no process can be given a NUL, nor anything that isn't bytes
    arguments = [os.fsdecode(a.replace("\0", "").encode("utf-8", "surrogateescape" if _is_bytes(a) else "replace"))
                 for a in arguments]  # fmt: skip
    before = (folder / "regsearch.db").read_bytes()
    outcome = call(folder, arguments)
    return repr(arguments), outcome, _checked(world, folder, before, outcome)


def _is_bytes(text: str) -> bool:
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def urls(world: World, generator: random.Random) -> tuple[str, Outcome, list[str]]:
    """A storage URL, given as an option or in the environment."""
    folder = world.fresh_case()
    url = generator.choice(URLS).replace("{cwd}", str(folder))
    if generator.random() < 0.9:
        url = mutated_text(url, URLS, generator)
    url = os.fsdecode(url.replace("\0", "").encode("utf-8", "surrogateescape" if _is_bytes(url) else "replace"))
    valid = ("list", "status mine", "doctor", "best mine", "run mine.toml --trials 1", "delete mine", "enqueue mine")
    arguments = generator.choice(valid).split(" ")
    before = (folder / "regsearch.db").read_bytes()
    if generator.random() < 0.5:
        outcome = call(folder, [*arguments, "--storage", url])
    else:
        outcome = call(folder, arguments, REGSEARCH_STORAGE=url)
    broken = _checked(world, folder, before, outcome)
    if re.match(rf"(?i)sqlite(\+pysqlite)?:///|[^:]*{SECRET}", url) and "it shows a password" in broken:
        broken.remove("it shows a password")  # the path of a file, or a scheme, is no password
    return repr((arguments, url)), outcome, broken


def _labels(count: int, classes: int) -> Any:
    return (np.arange(count) % classes).astype(np.int64)


def _image(value: Any, kind: Any) -> Any:
    images = np.zeros((90, 4, 4), kind)
    images[5, 1, 2] = value
    return images


REFUSED_ARRAYS: dict[str, dict[str, Any]] = {
    "NaN pixel": {"x_train": _image(np.nan, float), "x_test": np.zeros((12, 4, 4))},
    "infinite pixel": {"x_train": _image(np.inf, np.float16), "x_test": np.zeros((12, 4, 4), np.float16)},
    "pixel out of range": {"x_train": _image(256, np.int32)},
    "negative pixel": {"x_train": _image(-1, ">i2")},
    "complex pixels": {"x_train": _image(1j, complex)},
    "texts": {"x_train": _image("a", "<U3")},
    "times": {"x_train": _image(3, "M8[s]")},
    "booleans": {"x_train": _image(True, bool)},
    "records": {"x_train": np.zeros((90, 4, 4), [("a", "u1"), ("b", "f4")])},
    "void": {"x_train": np.zeros((90, 4, 4), "V7")},
    "flat images": {"x_train": np.zeros((90, 16), np.uint8)},
    "coloured images": {"x_train": np.zeros((90, 4, 4, 3), np.uint8)},
    "one image": {"x_train": np.zeros((), np.uint8)},
    "no images": {"x_train": np.zeros((0, 4, 4), np.uint8), "y_train": np.zeros(0, int)},
    "images of no size": {"x_train": np.zeros((90, 0, 4), np.uint8)},
    "one image less": {"x_train": np.zeros((89, 4, 4), np.uint8)},
    "other test images": {"x_test": np.zeros((12, 5, 4), np.uint8)},
    "one class": {"y_train": _labels(90, 1)},
    "no class 1": {"y_train": _labels(90, 2) * 2},
    "labels from 1": {"y_train": _labels(90, 3) + 1},
    "labels below 0": {"y_train": _labels(90, 3) - 1},
    "labels out of range": {"y_train": np.where(np.arange(90) == 3, 2**62, _labels(90, 3))},
    "largest label": {"y_train": np.where(np.arange(90) == 3, 2**64 - 1, _labels(90, 3)).astype(np.uint64)},
    "real labels": {"y_train": _labels(90, 3).astype(float)},
    "labels in a column": {"y_train": _labels(90, 3).reshape(90, 1)},
    "an empty class in the test part": {"y_test": _labels(12, 2)},
    "a class in the test part alone": {"y_test": _labels(12, 4)},
    "a class of one row": {"y_train": np.where(np.arange(90) == 3, 3, _labels(90, 3)), "y_test": _labels(12, 4)},
    "as many classes as rows": {"y_train": np.arange(90)},
    "too few rows": {"x_train": np.zeros((3, 4, 4), np.uint8), "y_train": _labels(3, 3)},
    "objects": {"x_train": np.array([{}] * 90, object)},
    "object labels": {"y_train": np.array([0, 1, None] * 30, object)},
}  # fmt: skip


ACCEPTED_ARRAYS: dict[str, dict[str, Any]] = {
    "whole numbers": {"x_train": _image(255, np.int64), "y_train": _labels(90, 3).astype(">i8")},
    "real numbers": {"x_train": _image(0.5, ">f8"), "x_test": np.zeros((12, 4, 4), np.float16)},
    "in another order": {"x_train": np.asfortranarray(_image(7, np.uint16)), "y_test": _labels(24, 3)[::2] // 1},
    "one more array": {"extra": np.zeros(3)},
}


def _bomb(path: Path, generator: random.Random) -> str:
    """Write a small file that claims to hold much."""
    size = generator.choice((2**31, 10**10, 10**12, 2**62, 2**64, 10**30))
    shape = generator.choice((f"({size}, 4, 4)", f"({size},)", f"(1, {size}, {size})", "(-1, 4, 4)", f"{size}"))
    descr = generator.choice(("'|u1'", "'<f8'", f"'|V{size}'", f"'<U{size}'", "'|O'", "[('a', '<i4')] * 9"))
    header = f"{{'descr': {descr}, 'fortran_order': {generator.choice(('False', 'True', '1'))}, 'shape': {shape}, }}"
    if generator.random() < 0.2:
        header = generator.choice(("[" * 5000, "{" * 200, "9" * 9000, "__import__('os').getcwd()", "\x00" * 60))
    text = header.encode("latin1") + b" " * (-(len(header) + 11) % 64) + b"\n"
    member = b"\x93NUMPY\x01\x00" + (len(text) % 65536).to_bytes(2, "little") + text + bytes(90)
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # of a name that is there twice
        for name, array in arrays().items():
            buffer = io.BytesIO()
            np.save(buffer, array)
            archive.writestr(f"{name}.npy", member if name == generator.choice(list(arrays())) else buffer.getvalue())
        archive.writestr("x_train.npy" if generator.random() < 0.1 else "zeros.npy", bytes(10_000_000))
    content = path.read_bytes()
    if generator.random() < 0.5:  # the directory claims another size than the member has
        at = content.index(b"PK\x01\x02") + 24
        path.write_bytes(content[:at] + (2**32 - 2).to_bytes(4, "little") + content[at + 4 :])
    return f"claims {header[:200]}"


def data_files(world: World, generator: random.Random) -> tuple[str, Outcome, list[str]]:
    """An .npz file."""
    folder = world.fresh_case()
    path = folder / "fuzz.npz"
    allowed: tuple[int, ...] = (0, 2)
    match generator.randrange(7):
        case 6:
            what = generator.choice(list(ACCEPTED_ARRAYS))
            np.savez(path, **arrays(**ACCEPTED_ARRAYS[what]))
            allowed = (0,)
        case 0 | 1:
            what = generator.choice(list(REFUSED_ARRAYS))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                generator.choice((np.savez, np.savez_compressed))(path, **arrays(**REFUSED_ARRAYS[what]))
            allowed = (2,)
        case 2:
            what, kept = "an array is missing", arrays()
            name = generator.choice(list(kept))
            kept[name.upper() if generator.random() < 0.5 else f"{name}_"] = kept.pop(name)
            np.savez(path, **kept)
            allowed = (2,)
        case 3:
            what = _bomb(path, generator)
        case _:
            kinds = (np.savez, np.savez_compressed)
            generator.choice(kinds)(path, **arrays())
            content = mutated_bytes(path.read_bytes(), generator)
            path.write_bytes(content)
            what = "changed bytes"
    before = (folder / "regsearch.db").read_bytes()
    outcome = call(folder, ["run", "mine.toml", "--name", "new", "--data", "fuzz.npz", "--trials", "1"])
    return what, outcome, _checked(world, folder, before, outcome, allowed=allowed)


_TABLES = (
    *("studies", "study_directions", "study_user_attributes", "study_system_attributes", "trials", "trial_values"),
    *("trial_params", "trial_intermediate_values", "trial_user_attributes", "trial_system_attributes"),
    *("regsearch_studies", "regsearch_runs", "regsearch_trials", "regsearch_epochs", "regsearch_version"),
    *("alembic_version", "version_info"),
)
_VALUES = (
    *(None, "", "abc", "{}", "[]", "null", "1", "nan", "COMPLETF", "RUNNING", "WAITING", "COMPLETE", '{"name": "x"}'),
    *(0, -1, 2**62, 1.5, 1e308, float("inf"), b"\xff\xfe", "\x1b[31m", "a\nb", "9" * 5000, "[" * 2000, '"x"'),
    "2026-99-01 00:00:00",
    *('{"spec_version": "1"}', '{"spec_version": 99}', '{"spec_version": 1, "study": 3}', '{"a": NaN}', "2026-01-01"),
)  # fmt: skip


def _mutate_rows(path: Path, generator: random.Random) -> str:
    """Change a database by SQL, past every check."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("pragma foreign_keys=off")
    connection.execute("pragma ignore_check_constraints=on")
    done = []
    for _ in range(generator.choice((1, 1, 1, 2))):
        table = generator.choice(_TABLES)
        columns = [row[1] for row in connection.execute(f"pragma table_info({table})")] or ["x"]
        column = generator.choice(columns)
        value = generator.choice(_VALUES)
        where = generator.choice(("", f"where rowid = (select max(rowid) from {table})", "where rowid % 2"))
        statement, bound = generator.choice(
            [(f"update {table} set {column} = ? {where}", (value,))] * 8
            + [
                (f"delete from {table} {where}", ()),
                (f"drop table {table}", ()),
                (f"alter table {table} drop column {column}", ()),
                (f"alter table {table} rename column {column} to {column}_", ()),
                (f"alter table {table} add column extra text default 'x'", ()),
                (f"alter table {table} rename to {table}_", ()),
            ]
        )
        with suppress(sqlite3.Error):
            connection.execute(statement, bound)
            done.append(f"{statement} {bound!r}"[:300])
    connection.close()
    return "; ".join(done)


def databases(world: World, generator: random.Random) -> tuple[str, Outcome, list[str]]:
    """A database file, on which several commands are tried."""
    folder = world.fresh_case()
    path = folder / "regsearch.db"
    if generator.random() < 0.6:
        what = _mutate_rows(path, generator)
    else:
        content = path.read_bytes()
        what, changed = generator.choice(
            [
                ("bytes", mutated_bytes(content, generator)),
                ("bytes", mutated_bytes(content, generator)),
                ("cut", content[: 512 * generator.randrange(len(content) // 512)]),
                ("a page", _with_page(content, generator)),
                ("a page", _with_page(content, generator)),
                ("an enum's text", content.replace(b"COMPLETE", b"COMPLETF", 1)),
                ("an enum's text", content.replace(b"PRUNED", b"RUNNED")),
                ("an enum's text", content.replace(b"MINIMIZE", b"MINIMISE")),
                ("garbage", generator.randbytes(5000)),
                ("another header", b"SQLite format 3\0" + generator.randbytes(4000)),
            ]
        )
        path.write_bytes(changed)
    readers = (
        "list",
        "status mine",
        "best mine --json",
        "trials mine",
        "trials mine --csv",
        "trials mine --json",
        "doctor",
    )
    writers = ("resume mine", "run mine.toml --trials 5", "enqueue mine --param l2=1e-4", "delete mine", "stop mine",
               "run mine.toml --name new --trials 1")  # fmt: skip
    codes: Counter[int] = Counter()
    broken: list[str] = []
    for command in (*generator.sample(readers, 2), *generator.sample(writers, 2)):
        before = path.read_bytes()
        outcome = call(folder, command.split(" "))
        allowed = (0, 2, 3, 4, 143) if command.startswith(("best", "run", "resume")) else (0, 2, 3)
        found = broken_rules(outcome, allowed)
        found += _left_over(folder)
        if (command in readers or outcome.code == 2) and path.read_bytes() != before:
            found.append("the file was changed")
        codes[outcome.code] += 1
        broken += [f"{command}: {rule}" for rule in found]
    first = min(codes, key=lambda code: -codes[code])
    return what, Outcome(code=first, out="", err="", told=[], problems=[]), broken


def _with_page(content: bytes, generator: random.Random) -> bytes:
    page = 4096 * generator.randrange(len(content) // 4096)
    new = generator.choice((bytes(4096), b"\xff" * 4096, generator.randbytes(4096), content[:4096], content[-4096:]))
    return content[:page] + new + content[page + 4096 :]


def trial_files(world: World, generator: random.Random) -> tuple[str, Outcome, list[str]]:
    """A file of a trial under way; the study is resumed, and must end as if nothing had happened."""
    folder = world.fresh_case(generator.choice((world.ended, world.interrupted)))
    shutil.copy(world.root / "own.npz", folder)
    (trials,) = (folder / "regsearch.db.d").glob("study-mine-trials")
    path = generator.choice(sorted(trials.iterdir()))
    what, must_equal = path.name, True
    match generator.randrange(9):
        case 0:
            path.unlink()
            path.mkdir()
            what += " is a folder"
        case 1:
            begin = path.name.split(".")[0]
            ends = (
                ".x.checkpoint",
                "..checkpoint",
                ".1.2.checkpoint",
                ".-1.checkpoint",
                ".².checkpoint",
                ".999.checkpoint",
            )
            others = ("trial-x.1.checkpoint", "trial-02.ended", "x.weights.npz", "a.tmp")
            strange = generator.choice([*(f"{begin}{end}" for end in ends), *others])
            shutil.copy(path, trials / strange)
            what += f" copied to {strange}"
        case 2:
            other = generator.choice(sorted(trials.iterdir()))
            path.write_bytes(other.read_bytes())
            what += f" is {other.name}"
        case 3:
            shutil.rmtree(trials)
            what = "the folder is gone"
        case 5:
            shutil.rmtree(trials)
            trials.write_bytes(b"")
            must_equal = False  # no weights can be kept
            what = "a file in the folder's place"
        case 4:
            inner = mutated_bytes(path.read_bytes()[:-32], generator)
            path.write_bytes(sealed(inner))
            must_equal = False
            what += " changed and sealed again"
        case _:
            path.write_bytes(mutated_bytes(path.read_bytes(), generator))
            what += " changed"
    outcome = call(folder, ["resume", "mine"])
    broken = broken_rules(outcome, (0,))
    if must_equal and raw_study(folder / "regsearch.db", "mine") != world.whole:
        broken.append("the study ended otherwise than one that was not interrupted")
    if raw_study(folder / "regsearch.db", "kept") != world.kept:
        broken.append("a study that nobody named was changed")
    return what, outcome, broken + _left_over(folder)


KINDS: dict[str, Kind] = {
    kind.__name__: kind for kind in (study_files, options, urls, data_files, databases, trial_files)
}


# -------------------------------------------------------------------------------------------------------- running


def fuzz(world: World, kind: str, numbers: Sequence[int], seed: int) -> Figures:
    """Run the inputs of a kind that have these numbers; each follows from the seed, its kind and its number."""
    figures = Figures()
    with ExitStack() as stack:
        if kind in ("data_files", "databases", "trial_files"):  # samplers and pruners aren't what is tried out here
            stack.enter_context(mock.patch.object(samplers, "_try_out"))
            stack.enter_context(mock.patch.object(pruners, "_try_out"))
        for number in numbers:
            _fuzz_once(world, kind, number, seed, figures)
    return figures


def _fuzz_once(world: World, kind: str, number: int, seed: int, figures: Figures) -> None:
    figures.inputs += 1
    try:
        what, outcome, broken = KINDS[kind](world, random.Random(f"{seed} {kind} {number}"))
    except Escaped:
        figures.outside += 1
        return
    figures.codes[outcome.code] += 1
    if broken:
        figures.failures.append(f"{kind} {number} (seed {seed}): {'; '.join(broken)}\n  input: {_collapsed(what)}")


def _collapsed(text: str) -> str:
    """Return a text in which what repeats is written once, and how often."""
    return re.sub(r"(.{1,12}?)\1{20,}", lambda m: f"⟨{m[1]} × {len(m[0]) // len(m[1])}⟩", text)[:1500]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1000, help="in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--only", type=int, help="the number of one input")
    given = parser.parse_args()
    shares = {"study_files": 25, "options": 30, "urls": 15, "data_files": 12, "databases": 12, "trial_files": 6}
    if given.kind:
        shares = {given.kind: 100}
    faulthandler.enable()
    total: dict[str, Figures] = {}
    began = time.monotonic()
    with made_world() as world:
        for kind, share in shares.items():
            count = given.inputs * share // 100
            faulthandler.dump_traceback_later(600 + count * 10, exit=True)
            total[kind] = fuzz(world, kind, [given.only] if given.only is not None else range(count), given.seed)
    codes = sorted({code for figures in total.values() for code in figures.codes})
    for figures in total.values():
        for failure in figures.failures:
            print(failure)
    print(
        f"{'kind':14}{'inputs':>8}"
        + "".join(f"{f'exit {code}':>10}" for code in codes)
        + f"{'outside':>9}{'failures':>10}"
    )
    for kind, figures in total.items():
        counts = "".join(f"{figures.codes[code]:>10}" for code in codes)
        print(f"{kind:14}{figures.inputs:>8}{counts}{figures.outside:>9}{len(figures.failures):>10}")
    print(f"{time.monotonic() - began:.0f} s; of a database, the exit code of most of its four commands")
    sys.exit(any(figures.failures for figures in total.values()))


if __name__ == "__main__":
    main()
