"""What tests share: specs, data, databases, and coordinators with a trainer of milliseconds."""

import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fakes
import pytest

from regsearch.search import api
from regsearch.search.result import RunResult
from regsearch.search.run.progress import FinishedTrial, Progress
from regsearch.search.workers.inline import InlineEngine
from regsearch.search.workers.processes import ProcessEngine
from regsearch.studies.spec import StudySpec
from regsearch.studies.study_file import read_study

ROOT = Path(__file__).parent.parent
_MEMORY, _LEAST_MEMORY = Path("/dev/shm"), 4e9  # bytes


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let tests write into memory, where there is enough: a database waits for its disk at each transaction."""
    is_worker, is_chosen = hasattr(config, "workerinput"), config.option.basetemp is not None
    if is_worker or is_chosen or not os.access(_MEMORY, os.W_OK) or shutil.disk_usage(_MEMORY).free < _LEAST_MEMORY:
        return
    config.option.basetemp = tempfile.mkdtemp(prefix="regsearch-tests-", dir=_MEMORY)
    config.add_cleanup(lambda: shutil.rmtree(config.option.basetemp, ignore_errors=True))


def pytest_collection_finish() -> None:
    """Let this process, where test modules imported TensorFlow, be like a worker: one thread, no garbage in what stays.

    With more threads there would be no trainer in this process, once another test used TensorFlow.
    """
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None:
        tensorflow.config.threading.set_intra_op_parallelism_threads(1)
        tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    gc.freeze()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the user's settings, data or databases."""
    fakes_settings = (
        "FAKE_FAULTS",
        "FAKE_EPOCH_SECONDS",
        "FAKE_WORKER",
        "FAKE_PATIENCE_SECONDS",
        "FAKE_LEASE_SECONDS",
        "FAKE_GO",
    )
    for name in ("REGSEARCH_STORAGE", *fakes_settings):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    monkeypatch.setenv("REGSEARCH_FILES", str(tmp_path))  # of a database on a server
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def same_process() -> Iterator[None]:
    """A command that a test runs in this process leaves signals and the collector as they were."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def storage(tmp_path: Path) -> str:
    """The URL of a database that isn't there yet."""
    return f"sqlite:///{tmp_path}/test.db"


@pytest.fixture
def smoke() -> StudySpec:
    """The small study for tests."""
    return read_study("smoke")


class RecordingProgress(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.notes: list[str] = []
        self.finished: list[FinishedTrial] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def trial_finished(self, trial: FinishedTrial, best: float | None) -> None:
        self.finished.append(trial)


@pytest.fixture
def progress() -> RecordingProgress:
    return RecordingProgress()


@pytest.fixture
def inline_engine() -> InlineEngine:
    """Fake trials in this process."""
    return InlineEngine(fakes.FakeTrainer)


@pytest.fixture
def process_engine() -> Iterator[ProcessEngine]:
    """Fake trials in processes of their own."""
    engine = ProcessEngine([sys.executable, str(ROOT / "tests" / "support" / "fakes.py")])
    yield engine
    engine.stop()


@pytest.fixture
def search(storage: str, inline_engine: InlineEngine, progress: RecordingProgress) -> Callable[..., RunResult]:
    """Run `smoke` with fake trials; options are those of `api.run`."""

    def run(study: str = "smoke", **options: Any) -> RunResult:
        return api.run(study, **{"storage": storage, "engine": inline_engine, "progress": progress, **options})

    return run


class Command:
    """The command `regsearch` as a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        with self.start(*arguments, **environment) as process:
            out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "regsearch", *arguments],
            cwd=self.folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def regsearch(tmp_path: Path) -> Command:
    return Command(tmp_path)


@pytest.fixture
def mnist_file() -> Path:
    """Real MNIST; a test that needs it says why it is skipped, and in CI it must not be."""
    named = os.environ.get("REGSEARCH_MNIST")
    if not named:
        reason = "real MNIST is not here: set REGSEARCH_MNIST to an mnist.npz"
        pytest.skip(reason)
    return Path(named)
