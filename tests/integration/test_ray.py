"""Trials on a Ray cluster: the same bits as here, whatever happens to its nodes, and nothing of it stays."""

import dataclasses
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fakes
import hypermodels
import invariants
import numpy as np
import pytest
from conftest import Command, RecordingProgress
from helpers import confirmation, rows
from postgres import OwnServer, execute, needs_postgres, new_database
from ray_cluster import RayCluster, a_cluster, needs_ray, of_session

from regsearch.search import api
from regsearch.search.data import load_dataset
from regsearch.search.training.setup import TrainerSetup
from regsearch.search.workers.inline import InlineEngine
from regsearch.search.workers.processes import ProcessEngine
from regsearch.search.workers.protocol import EpochFinished, Event, TrialFinished, WorkerLost
from regsearch.search.workers.ray.engine import RayEngine
from regsearch.studies.errors import InputError, StorageUnavailableError
from regsearch.studies.spec import StudySpec
from regsearch.studies.trial import TrialTask

pytestmark = needs_ray

FAKE_WORKER = [sys.executable, str(Path(fakes.__file__))]
SPEC = StudySpec().changed(training={"max_epochs": 6})
TASK = TrialTask(number=0, attempt=0, params={"regularizer": "none"})


@pytest.fixture(scope="module")
def running_cluster() -> Iterator[RayCluster]:
    with a_cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(running_cluster: RayCluster, monkeypatch: pytest.MonkeyPatch) -> RayCluster:
    for name, value in running_cluster.environment.items():
        monkeypatch.setenv(name, value)
    return running_cluster


def fake_engine(cluster: RayCluster) -> RayEngine:
    return RayEngine(cluster.address, command=FAKE_WORKER, environment=fakes.environment())


def heard(
    engine: Any, setup: TrainerSetup, tasks: list[TrialTask], folder: Path, answer: Callable[[Event], bool]
) -> list[Event]:
    """What an engine says until these tasks have ended."""
    events: list[Event] = []

    def handle(event: Event) -> bool:
        events.append(event)
        return isinstance(event, EpochFinished) and answer(event)

    engine.start(setup, 2, folder / "worker-")
    try:
        waiting = list(tasks)
        for _ in range(600):
            while waiting and engine.free_workers():
                engine.submit(waiting.pop(0))
            engine.wait(handle, 0.2)
            if not waiting and not engine.is_busy():
                return events
        raise AssertionError(events)
    finally:
        engine.stop()


@pytest.mark.slow
def test_real_trials_give_the_same_bits_though_the_data_are_on_no_node(cluster: RayCluster, tmp_path: Path) -> None:
    digits = load_dataset("digits")
    source = tmp_path / "own.npz"
    np.savez(source, **{key: getattr(digits, key)[:300] for key in ("x_train", "y_train", "x_test", "y_test")})
    spec = StudySpec().changed(training={"max_epochs": 3}, model={"hidden": [16]}, data={"source": str(source)})
    setup = TrainerSetup(spec=spec, source=str(source), sha256=load_dataset(str(source)).sha256)
    tasks = [
        TrialTask(number=number, attempt=0, params={"regularizer": "l2", "l2": 10.0**-number, "dropout": 0.3})
        for number in range(1, 4)
    ]
    ends = [heard(ProcessEngine(), setup, tasks, tmp_path, lambda _: True)]
    ray, forgets = RayEngine(cluster.address), iter([source.unlink])

    def forget(_: Event) -> bool:  # a worker that starts later reads what the store has
        for unlink in forgets:
            unlink()
        return True

    ends.append(heard(ray, setup, tasks, tmp_path, forget))
    said = [
        {
            (event.number, event.metrics.epoch): event.metrics.stop_loss
            for event in events
            if isinstance(event, EpochFinished)
        }
        for events in ends
    ]
    assert said[0] == said[1]
    values = [
        {event.number: event.outcome.select_cross_entropy for event in events if isinstance(event, TrialFinished)}
        for events in ends
    ]
    assert values[0] == values[1]
    assert len(values[0]) == 3


@pytest.mark.slow
def test_with_one_worker_the_study_is_the_one_of_the_default_engine(cluster: RayCluster, tmp_path: Path) -> None:
    found = []
    for engine in (RayEngine(cluster.address), ProcessEngine()):
        storage = f"sqlite:///{tmp_path}/{type(engine).__name__}.db"
        result = api.run("smoke", storage=storage, engine=engine, workers=1, progress=RecordingProgress())
        assert result.answer.counts.finished == 6
        found.append(rows(storage))
    assert len(found[0]) == 6
    assert found[0] == found[1]


@pytest.mark.slow
def test_a_hypermodel_is_searched_and_confirmed_on_two_nodes_as_here(cluster: RayCluster, tmp_path: Path) -> None:
    hypermodel = f"model.hypermodel={hypermodels.write(tmp_path, hypermodels.GUIDE)}:build_model"
    settings = [hypermodel, "search.pruner=none", "search.pruner_options={}", "confirm.seeds=3", "confirm.top=2"]
    alone = "search.sampler_options={ n_startup_trials = 100 }"  # what is proposed depends on no other trial
    found = []
    for engine in (RayEngine(cluster.address), ProcessEngine()):
        storage, progress = f"sqlite:///{tmp_path}/{type(engine).__name__}.db", RecordingProgress()
        options: dict[str, Any] = {"settings": [*settings, alone], "trials": 3, "workers": 2, "trust_code": True}
        result = api.run("smoke", storage=storage, engine=engine, progress=progress, **options)
        assert result.confirmation is not None
        assert not progress.messages
        found.append((rows(storage), confirmation(storage)))
    assert (len(found[0][0]), len(found[0][1]["confirmations"])) == (3, 6)
    assert found[0] == found[1]


class WhenBothTrain(RecordingProgress):
    """Does something once, while both nodes have a trial that goes on for more than an epoch."""

    def __init__(self, *what: Callable[[], None]) -> None:
        super().__init__()
        self._left = list(what)
        self._newest: dict[int, int] = {}

    def epoch_finished(self, task: Any, metrics: Any) -> None:
        self._newest[task.number] = metrics.epoch
        if self._left and len(self._newest) == 2 and max(self._newest.values()) <= EPOCHS - 3:
            self._left.pop(0)()
            self._newest.clear()

    def trial_finished(self, trial: Any, best: float | None) -> None:
        super().trial_finished(trial, best)
        self._newest.pop(trial.task.number, None)


EPOCHS = 8
ALL_EPOCHS = [f"training.max_epochs={EPOCHS}", "space.patience='off'", "search.pruner=none", "search.pruner_options={}"]
GONE_ON = "resumes from its last epoch on another worker"


@pytest.mark.slow
def test_a_lost_node_costs_no_attempt_and_one_epoch_and_a_new_one_is_used(
    cluster: RayCluster, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_EPOCH_SECONDS", "0.2")
    monkeypatch.setenv("FAKE_TRAINED", str(tmp_path / "trained"))

    def exchange() -> None:
        cluster.do("lose")
        cluster.do("add")

    progress = WhenBothTrain(exchange)
    alone = "search.sampler_options={ n_startup_trials = 100 }"
    options: dict[str, Any] = {"trials": 10, "workers": 2, "settings": [*ALL_EPOCHS, alone]}
    result = api.run("smoke", storage=storage, engine=fake_engine(cluster), progress=progress, **options)
    assert result.answer.counts.finished == 10
    assert len([text for text in progress.messages if GONE_ON in text]) == 1
    trained = (tmp_path / "trained").read_text().splitlines()
    assert 10 * EPOCHS <= len(trained) <= 10 * EPOCHS + 1
    monkeypatch.setenv("FAKE_EPOCH_SECONDS", "0")
    undisturbed = f"sqlite:///{tmp_path}/undisturbed.db"
    api.run("smoke", storage=undisturbed, engine=InlineEngine(fakes.FakeTrainer), progress=progress, **options)
    assert rows(storage) == rows(undisturbed)
    assert not [text for text in progress.messages if "It is tried again" in text]


@pytest.mark.slow
@needs_postgres
def test_a_study_on_a_server_survives_a_lost_node_and_the_servers_crash(
    cluster: RayCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_EPOCH_SECONDS", "0.2")

    def exchange() -> None:
        cluster.do("lose")
        cluster.do("add")

    def crash() -> None:
        server.kill()
        restarts.start()

    with OwnServer() as server, new_database(server.url) as storage:
        restarts = threading.Timer(1, server.start)
        progress, options = WhenBothTrain(exchange, crash), {"trials": 8, "workers": 2, "confirm": False}
        engine = fake_engine(cluster)
        api.run("smoke", storage=storage, engine=engine, progress=progress, settings=ALL_EPOCHS, **options)
        restarts.join()
        assert [text for text in progress.messages if GONE_ON in text]
        assert [text for text in progress.messages if "can't be used now" in text or "can't be reached" in text]
        invariants.check(storage, is_fake=True)
        assert execute(storage, "select sum(attempt) from regsearch_trials") == [(0,)]


@pytest.mark.slow
@pytest.mark.parametrize("first_is_ray", [True, False])
def test_a_trial_goes_on_elsewhere_from_its_last_epoch(
    cluster: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first_is_ray: bool
) -> None:
    monkeypatch.setenv("FAKE_FAULTS", '{"0": "die once"}')  # whoever trains epoch 1, on attempt 0
    monkeypatch.setenv("FAKE_EPOCH_SECONDS", "0.2")
    files = tmp_path / "trials"
    files.mkdir()
    setup = TrainerSetup(spec=SPEC, source="digits", sha256="0" * 64, files=str(files))
    engines = [lambda: fake_engine(cluster), lambda: ProcessEngine(FAKE_WORKER)]
    begun, gone_on = engines if first_is_ray else engines[::-1]
    setup = dataclasses.replace(setup, sha256=load_dataset("digits").sha256)
    later = dataclasses.replace(TASK, attempt=1)
    stopped = heard(begun(), setup, [later], tmp_path, lambda event: event.metrics.epoch < 3)  # type: ignore[union-attr]
    assert len(stopped) == 4
    assert list(files.glob("*.checkpoint"))
    *epochs, end = heard(gone_on(), setup, [TASK], tmp_path, lambda _: True)
    assert isinstance(end, TrialFinished), "it trained epoch 1 again"
    assert len(epochs) == 6


@pytest.mark.slow
def test_a_worker_that_dies_is_reported_and_one_that_hangs_is_killed(
    cluster: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAULTS", '{"0": "die", "1": "hang"}')
    setup = TrainerSetup(spec=SPEC, source="digits", sha256=load_dataset("digits").sha256)
    engine, lost = fake_engine(cluster), []
    engine.start(setup, 2, tmp_path / "worker-")
    try:
        for _ in range(300):
            engine.wait(lambda event: bool(lost.append(event)), 0.1)
            if engine.free_workers() and not engine.is_busy() and not lost:
                engine.submit(TASK)
            if len(lost) == 1 and not engine.is_busy():
                hanging = dataclasses.replace(TASK, number=1)
                engine.submit(hanging)
            if len(lost) == 1 and 1 not in engine.tasks_waiting_for_startup():
                engine.kill_worker_of(hanging, "it was stuck")
            if len(lost) == 2:
                break
    finally:
        engine.stop()
    assert [type(event) for event in lost] == [WorkerLost, WorkerLost]
    assert "exited with code 7" in lost[0].reason
    assert str(tmp_path / "worker-") in lost[0].reason
    assert "it was stuck" in lost[1].reason


@pytest.mark.slow
def test_where_no_cluster_answers_one_line_says_so(regsearch: Command, cluster: RayCluster) -> None:
    done = regsearch("run", "smoke", "--engine", "ray", "--address", "127.0.0.1:9", "--quiet")
    assert (done.returncode, done.stdout) == (3, "")
    assert len(done.stderr.splitlines()) == 1
    assert "127.0.0.1:9" in done.stderr
    assert "RAY_AUTH_MODE" not in done.stderr


@pytest.mark.slow
def test_a_cluster_that_is_not_reached_may_need_the_token_that_is_set(
    regsearch: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("0" * 64)
    monkeypatch.setenv("HOME", str(tmp_path))
    done = regsearch("run", "smoke", "--engine", "ray", "--address", "127.0.0.1:9", "--quiet")
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1)
    assert "if the cluster asks for Ray's token, set RAY_AUTH_MODE=token" in done.stderr


@pytest.mark.parametrize("address", ["", "local", "ray://head:10001", "127.0.0.1", "head:99999", "me:secret@head:1"])
def test_an_address_that_is_none_is_bad_input_and_not_repeated(address: str) -> None:
    with pytest.raises(
        InputError, match=r"--address must be the address of the cluster's head, such as 10.0.0.5:6379\. .* may be auto"
    ) as told:
        RayEngine(address)
    assert "secret" not in str(told.value)


@pytest.mark.slow
def test_what_is_no_ray_and_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regsearch.search.workers.ray.engine._ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        engine = RayEngine(address)
        engine.start(TrainerSetup(spec=SPEC, source="digits", sha256="0" * 64), 1, tmp_path / "w-")
        try:
            says = f"{address} accepted the connection, but no Ray cluster answered within 0.5 s"
            with pytest.raises(StorageUnavailableError, match=says):
                for _ in range(300):
                    engine.wait(lambda event: False, 0.1)
        finally:
            engine.stop()


def test_without_enough_gpus_a_local_ray_is_refused_at_once() -> None:
    with pytest.raises(InputError, match="--gpus-per-worker 1: this machine's GPUs"):
        RayEngine(gpus_per_worker=1).planned_workers(1)


@pytest.mark.slow
def test_what_ends_the_process_that_speaks_with_ray_is_said(cluster: RayCluster, tmp_path: Path) -> None:
    engine = RayEngine(cluster.address)
    engine._cpus = "many"  # type: ignore[assignment]  # a bug
    engine.start(TrainerSetup(spec=SPEC, source="digits", sha256=load_dataset("digits").sha256), 1, tmp_path / "w-")
    try:
        with pytest.raises(StorageUnavailableError, match=r"is gone \(TypeError: .*; its log is .*w-ray.log"):
            for _ in range(300):
                engine.wait(lambda event: False, 0.1)
    finally:
        engine.stop()


@pytest.mark.slow
def test_an_own_ray_comes_and_goes_with_the_run(regsearch: Command, cluster: RayCluster) -> None:
    with regsearch.start("run", "smoke", "--engine", "ray", "--workers", "1", "--trials", "50", "--quiet") as process:
        for _ in range(600):
            if list(regsearch.folder.rglob("study-smoke-worker-0.log")):
                break
            time.sleep(0.1)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        (gateway,) = [int(pid) for pid in children if b"ray.gateway" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        assert len(of_session(gateway)) > 4
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "regsearch resume smoke" in err
    assert of_session(gateway) == []


@pytest.mark.slow
def test_a_head_that_is_gone_is_one_message_and_the_study_goes_on_here(
    storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_EPOCH_SECONDS", "0.3")

    class Beheading(RecordingProgress):
        is_done = False

        def epoch_finished(self, task: Any, metrics: Any) -> None:
            if not self.is_done:
                self.is_done = True
                alone.do("lose head")

    gone = r"the Ray at .* is gone .*regsearch resume smoke"
    with a_cluster(nodes=1) as alone, monkeypatch.context() as patch:  # of its own: no other test can use it any more
        for name, value in alone.environment.items():
            patch.setenv(name, value)
        with pytest.raises(StorageUnavailableError, match=gone) as told:
            api.run("smoke", storage=storage, engine=fake_engine(alone), trials=40, progress=Beheading())
    assert told.value.exit_code == 3
    options: dict[str, Any] = {"engine": InlineEngine(fakes.FakeTrainer), "progress": RecordingProgress()}
    assert api.resume("smoke", storage=storage, trials=8, **options).answer.counts.finished == 8
