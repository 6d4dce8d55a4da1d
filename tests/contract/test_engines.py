"""What every engine does, run over each engine that is there."""

import errno
import json
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fakes
import pytest
from ray_cluster import RayCluster, a_cluster, needs_ray

from regsearch.search.training.setup import TrainerSetup
from regsearch.search.workers import worker_process
from regsearch.search.workers.base import Engine
from regsearch.search.workers.engines import engine_names, make_engine
from regsearch.search.workers.inline import InlineEngine
from regsearch.search.workers.processes import ProcessEngine
from regsearch.search.workers.protocol import (
    EpochFinished,
    Event,
    TrialFailed,
    TrialFinished,
    TrialNotice,
    WorkerLost,
    to_line,
)
from regsearch.search.workers.ray.engine import RayEngine
from regsearch.studies.errors import InputError, NoResultError
from regsearch.studies.spec import StudySpec
from regsearch.studies.trial import TrialTask

FAKE_WORKER = [sys.executable, str(Path(__file__).parents[1] / "support" / "fakes.py")]
FAKES: dict[str, Callable[[str], Engine]] = {  # what a new engine must be given to run without training
    "inline": lambda _: InlineEngine(fakes.FakeTrainer),
    "processes": lambda _: ProcessEngine(FAKE_WORKER),
    "ray": lambda address: RayEngine(address, command=FAKE_WORKER, environment=fakes.environment()),
}
SPEC = StudySpec().changed(training={"max_epochs": 4, "trainer": "keras"})
SETUP = TrainerSetup(spec=SPEC, source="digits", sha256="0" * 64)


def task(number: int = 0, attempt: int = 0) -> TrialTask:
    return TrialTask(number=number, attempt=attempt, params={"regularizer": "none", "number": number})


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with a_cluster() as cluster:
        yield cluster


Make = Callable[[], Engine]


@pytest.fixture(params=[pytest.param(name, marks=needs_ray if name == "ray" else ()) for name in engine_names()])
def make(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Make:
    assert request.param in FAKES, "a new engine needs a fake trainer here"
    address = ""
    if request.param == "ray":
        cluster: RayCluster = request.getfixturevalue("cluster")
        address = cluster.address
        for name, value in cluster.environment.items():
            monkeypatch.setenv(name, value)
    return lambda: FAKES[request.param](address)


@pytest.fixture
def engine(make: Make, tmp_path: Path) -> Iterator[Engine]:
    engine = make()
    engine.start(SETUP, 2, tmp_path / "worker-")
    try:
        Listener().listen(engine, lambda: engine.free_workers() > 0)
        yield engine
    finally:
        engine.stop()


class Listener:
    """Keeps events, and answers each epoch."""

    def __init__(self, go_on: Callable[[EpochFinished], bool] = lambda event: True) -> None:
        self.go_on = go_on
        self.events: list[Event] = []

    def __call__(self, event: Event) -> bool:
        self.events.append(event)
        return isinstance(event, EpochFinished) and self.go_on(event)

    def listen(self, engine: Engine, until: Callable[[], bool]) -> None:
        for _ in range(600):
            if until():
                return
            engine.wait(self, 0.1)
        raise AssertionError(f"not heard; events were {self.events}")

    def ended(self) -> list[Event]:
        return [event for event in self.events if not isinstance(event, EpochFinished)]


@pytest.mark.slow
def test_a_trial_says_each_epoch_and_how_it_ended(engine: Engine) -> None:
    listener = Listener()
    engine.submit(task())
    listener.listen(engine, lambda: bool(listener.ended()))
    epochs = [event.metrics.epoch for event in listener.events if isinstance(event, EpochFinished)]
    assert epochs == [0, 1, 2, 3]
    assert isinstance(listener.events[-1], TrialFinished)


def test_every_engine_gives_the_same_figures(engine: Engine, tmp_path: Path) -> None:
    reference = Listener()
    inline = InlineEngine(fakes.FakeTrainer)
    inline.start(SETUP, 1, tmp_path / "reference-")
    inline.submit(task())
    inline.wait(reference, 0)
    listener = Listener()
    engine.submit(task())
    listener.listen(engine, lambda: bool(listener.ended()))
    assert listener.events == reference.events


@pytest.mark.slow
def test_a_stopped_trial_says_no_more_and_its_worker_is_free(engine: Engine) -> None:
    listener = Listener(lambda event: event.number != 0 or event.metrics.epoch < 1)
    free = engine.free_workers()
    engine.submit(task(0))
    listener.listen(engine, lambda: len(listener.events) == 2)
    assert engine.free_workers() == free
    engine.submit(task(1))
    listener.listen(engine, lambda: bool(listener.ended()))
    assert [event.number for event in listener.events] == [0, 0, 1, 1, 1, 1, 1]


@pytest.mark.slow
def test_what_a_trial_raises_is_its_failure_and_its_traceback_is_logged(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAULTS", json.dumps({"0": "raise", "1": "diverge", "2": "exit"}))
    engine = make()
    engine.start(SETUP, 1, tmp_path / "worker-")
    reasons = ["ValueError: a fault was asked for", "diverged at epoch 0", "SystemExit: it was asked for"]
    by_settings = [True, True, False]  # what Keras raises for a network that can't be, and what diverged
    for number, reason in enumerate(reasons):
        listener = Listener()
        engine.submit(task(number))
        listener.listen(engine, lambda listener=listener: bool(listener.ended()))
        log = str(tmp_path / "worker-0.log")
        failed = TrialFailed(number=number, attempt=0, reason=reason, log=log, by_settings=by_settings[number])
        assert listener.ended() == [failed]
    engine.stop()
    assert "Traceback" in (tmp_path / "worker-0.log").read_text()


@pytest.mark.slow
def test_what_the_handler_raises_passes_through(engine: Engine) -> None:
    class HandlerError(Exception):
        pass

    def fail(event: Event) -> bool:
        raise HandlerError

    engine.submit(task())
    with pytest.raises(HandlerError):
        for _ in range(600):
            engine.wait(fail, 0.1)


def test_an_unknown_engine_is_refused_with_the_names() -> None:
    with pytest.raises(InputError, match=r"unknown engine 'rays'\. Use inline, processes, ray\."):
        make_engine("rays")
    assert isinstance(make_engine("processes"), ProcessEngine)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[ProcessEngine]:
    engine = ProcessEngine(FAKE_WORKER, keras_trials_per_process=2)
    yield engine
    engine.stop()


def test_a_worker_that_dies_is_noticed_and_replaced(
    processes: ProcessEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAULTS", '{"0": "die once"}')
    processes.start(SETUP, 1, tmp_path / "worker-")
    (first,) = processes.processes()
    listener = Listener()
    processes.submit(task())
    listener.listen(processes, lambda: bool(listener.ended()))
    (lost,) = listener.ended()
    assert isinstance(lost, WorkerLost)
    assert "exited with code 7" in lost.reason
    assert str(tmp_path / "worker-0.log") in lost.reason
    assert processes.processes() != [first]
    assert not is_alive(first)
    processes.submit(task(attempt=1))
    listener.listen(processes, lambda: len(listener.ended()) == 2)
    assert isinstance(listener.ended()[-1], TrialFinished)


def is_running(pid: int) -> bool:
    """Return whether a process that may be no child of ours runs; one that only waits to be collected doesn't."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_dead_worker_is_noticed_while_its_child_holds_the_pipe(
    processes: ProcessEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAULTS", '{"0": "fork and die"}')
    monkeypatch.setenv("FAKE_CHILD", str(tmp_path / "child"))
    processes.start(SETUP, 1, tmp_path / "worker-")
    listener = Listener()
    processes.submit(task())
    listener.listen(processes, lambda: bool(listener.ended()))
    (lost,) = listener.ended()
    assert isinstance(lost, WorkerLost)
    assert "ended by signal 9" in lost.reason
    child = int((tmp_path / "child").read_text())
    listener.listen(processes, lambda: not is_running(child))


@pytest.mark.parametrize("fault", ["garbage", "forge"])
def test_what_is_no_message_of_the_trial_costs_the_worker(
    fault: str, processes: ProcessEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAULTS", json.dumps({"0": fault}))
    processes.start(SETUP, 1, tmp_path / "worker-")
    listener = Listener()
    processes.submit(task())
    listener.listen(processes, lambda: bool(listener.ended()))
    (lost,) = listener.ended()
    assert isinstance(lost, WorkerLost)
    assert (lost.number, lost.attempt) == (0, 0)
    assert "wrote into the pipe to the coordinator" in lost.reason
    processes.submit(task(1))
    listener.listen(processes, lambda: len(listener.ended()) == 2)
    assert isinstance(listener.ended()[-1], TrialFinished)


def test_a_late_notice_of_a_stopped_trial_costs_no_worker(processes: ProcessEngine, tmp_path: Path) -> None:
    processes.start(SETUP, 1, tmp_path / "worker-")
    (worker,) = processes._workers
    listener = Listener()
    processes._take(worker, to_line(TrialNotice(number=7, attempt=0, text="its state is not saved")), listener)
    processes.submit(task(1))
    processes._take(worker, to_line(TrialNotice(number=7, attempt=0, text="its state is not saved")), listener)
    assert worker.kill_reason is None
    listener.listen(processes, lambda: len(listener.ended()) == 3)
    assert isinstance(listener.ended()[-1], TrialFinished)


def test_stopping_ends_what_workers_started(tmp_path: Path) -> None:
    command = (
        "import subprocess, time, pathlib; sleeper = subprocess.Popen(['sleep', '600']);"
        f"pathlib.Path({str(tmp_path / 'child')!r}).write_text(str(sleeper.pid));"
        "print('x', flush=True); time.sleep(60)"
    )
    engine = ProcessEngine([sys.executable, "-c", command])
    engine.start(SETUP, 1, tmp_path / "worker-")
    (worker,) = engine._workers
    select.select([worker], [], [], 30)
    child = int((tmp_path / "child").read_text())
    assert is_running(child)
    engine.stop()
    for _ in range(100):  # a signal takes a moment
        if not is_running(child):
            return
        time.sleep(0.05)
    raise AssertionError("the child runs on")


def test_a_worker_killed_before_it_began_gets_its_task_again(processes: ProcessEngine, tmp_path: Path) -> None:
    processes.start(SETUP, 1, tmp_path / "worker-")
    processes.submit(task())
    os.kill(processes.processes()[0], 9)
    listener = Listener()
    listener.listen(processes, lambda: bool(listener.ended()))
    assert isinstance(listener.ended()[0], TrialFinished)


def test_workers_that_cannot_start_end_the_search_with_their_last_words(tmp_path: Path) -> None:
    engine = ProcessEngine([sys.executable, "-c", "raise SystemExit('no TensorFlow here')"])
    engine.start(SETUP, 2, tmp_path / "worker-")
    with pytest.raises(NoResultError, match=r"workers can't start .*no TensorFlow here.*worker-\d\.log"):
        for _ in range(600):
            engine.wait(Listener(), 0.1)
    engine.stop()


@pytest.mark.parametrize(("trainer", "workers"), [("keras", 3), ("compiled", 1)])
def test_a_worker_is_renewed_after_some_trials_of_keras_and_else_lives_on(
    processes: ProcessEngine, tmp_path: Path, trainer: str, workers: int
) -> None:
    processes.start(replace(SETUP, spec=SPEC.changed(training={"trainer": trainer})), 1, tmp_path / "worker-")
    seen = set()
    listener = Listener()
    for number in range(5):
        processes.submit(task(number))
        seen |= set(processes.processes())
        listener.listen(processes, lambda number=number: len(listener.ended()) == number + 1)
    assert len(seen) == workers
    assert [pid for pid in seen if is_alive(pid)] == processes.processes()


def test_stop_ends_workers_whatever_they_do(
    processes: ProcessEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAULTS", '{"0": "hang"}')
    processes.start(SETUP, 2, tmp_path / "worker-")
    processes.submit(task())
    pids = processes.processes()
    processes.wait(Listener(), 0.5)
    processes.stop()
    processes.stop()
    assert not any(is_alive(pid) for pid in pids)


@pytest.mark.slow
def test_workers_that_ignore_a_polite_end_are_killed_together(tmp_path: Path) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    engine = ProcessEngine([sys.executable, "-c", deaf])
    engine.start(SETUP, 4, tmp_path / "worker-")
    for worker in engine._workers:
        select.select([worker], [], [], 30)
        assert os.read(worker.fileno(), 5)[:4] == b"deaf"
    pids, started = engine.processes(), time.monotonic()
    engine.stop()
    assert not any(is_alive(pid) for pid in pids)
    assert time.monotonic() - started < 5  # a promise, not a benchmark: one grace for all of them


@pytest.mark.slow
def test_a_slot_that_cannot_start_leaves_the_others_at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tmp_path / "first"
    script = f"import os, runpy, sys\ntry: os.close(os.open({str(first)!r}, os.O_CREAT | os.O_EXCL))\n"
    script += "except FileExistsError: sys.exit('no room')\n"
    engine = ProcessEngine([sys.executable, "-c", f"{script}runpy.run_path({FAKE_WORKER[1]!r}, run_name='__main__')"])
    monkeypatch.setenv("FAKE_EPOCH_SECONDS", "0.5")
    engine.start(SETUP, 2, tmp_path / "worker-")
    listener = Listener()
    try:
        engine.submit(task(0))
        engine.submit(task(1))
        listener.listen(engine, lambda: len(listener.ended()) == 2)
        assert {type(event) for event in listener.ended()} == {TrialFinished, WorkerLost}
        assert len(engine.processes()) == 1
    finally:
        engine.stop()


def test_any_exception_text_becomes_one_line_that_a_database_takes(tmp_path: Path) -> None:
    class Raising(fakes.FakeTrainer):
        def train(self, *_: object) -> None:  # type: ignore[override]
            raise ValueError("bad \udcff name\nsecond line" + "x" * 5000)

    engine = InlineEngine(Raising)
    engine.start(SETUP, 1, tmp_path / "worker-")
    engine.submit(task())
    listener = Listener()
    engine.wait(listener, 0)
    (failed,) = listener.ended()
    assert isinstance(failed, TrialFailed)
    assert failed.reason.startswith("ValueError: bad ? name second line")
    assert len(failed.reason) <= 300


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/a/log"), "workers can't be started: /a/log: Permission"),
        (BlockingIOError(errno.EAGAIN, "no more"), "900 workers can't be started: no more. Try fewer --workers"),
    ],
)
def test_what_keeps_processes_from_starting_is_said(
    raised: OSError, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise raised

    monkeypatch.setattr(worker_process.subprocess, "Popen", fail)
    with pytest.raises(NoResultError, match=message):
        ProcessEngine().start(SETUP, 900, tmp_path / "worker-")
