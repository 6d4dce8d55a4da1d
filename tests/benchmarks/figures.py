"""The figures of the backbone: start-up, memory of a worker, coordinator overhead, commits.

    python tests/benchmarks/figures.py startup|memory|overhead|commits|all

`overhead` trains real MNIST ($REGSEARCH_MNIST) for some minutes; the others need no data.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `python tests/benchmarks/figures.py`
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import optuna
import postgres
import psutil
import sqlalchemy
from sqlalchemy import insert, update

from regsearch.search import api
from regsearch.search.data import load_dataset
from regsearch.search.machine import core_count, versions
from regsearch.search.samplers import make_pruner, sampler_factory
from regsearch.search.training.setup import TrainerSetup
from regsearch.search.workers.base import Handler
from regsearch.search.workers.processes import ProcessEngine
from regsearch.search.workers.protocol import EpochFinished, Event
from regsearch.storage.connect import open_for_writing
from regsearch.storage.location import location_of
from regsearch.storage.queries import get_study
from regsearch.storage.study_store import StudyStore
from regsearch.storage.tables import EpochRow, TrialRow
from regsearch.studies.records import DatasetInfo
from regsearch.studies.search_space import suggest
from regsearch.studies.spec import StudySpec
from regsearch.studies.study_file import read_study
from regsearch.studies.trial import EpochMetrics, TrialOutcome, TrialTask

EPOCHS = 12
METRICS = {"train_loss": 0.1, "stop_loss": 0.1, "stop_cross_entropy": 0.1, "stop_accuracy": 0.9, "seconds": 1.0}
OUTCOME = TrialOutcome(
    best_epoch=1,
    epochs=EPOCHS,
    select_cross_entropy=0.1,
    select_accuracy=0.9,
    train_cross_entropy=0.1,
    train_accuracy=0.9,
    near_zero_share=0.1,
    seconds=1.0,
)


def startup() -> None:
    """Medians of 10 of whole commands."""
    with tempfile.TemporaryDirectory() as folder:
        storage = f"sqlite:///{folder}/test.db"
        _fill(Path(folder) / "test.db", 30)
        for arguments in (
            ["--help"],
            ["best", "smoke", "--storage", storage],
            ["status", "smoke", "--storage", storage],
        ):
            command = [sys.executable, "-m", "regsearch", *arguments]
            seconds = []
            for _ in range(11):
                started = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True)
                seconds.append(time.perf_counter() - started)
            print(f"regsearch {arguments[0]:8} median of 10: {statistics.median(seconds[1:]):.2f} s")


def memory(trials: int = 500) -> None:
    """USS of one worker after each trial of the course's network, with both trainers."""
    for trainer, count in (("compiled", trials), ("keras", trials // 5)):
        _memory(trainer, count)


def _memory(trainer: str, trials: int) -> None:
    spec = StudySpec().changed(training={"max_epochs": 2, "trainer": trainer}, data={"source": "digits"})
    engine = ProcessEngine()
    setup = TrainerSetup(spec=spec, source="digits", sha256=load_dataset("digits").sha256)
    proposals = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    used = []
    with tempfile.TemporaryDirectory() as folder:
        engine.start(setup, 1, Path(folder) / "worker-")
        for number in range(trials):
            params = suggest(proposals.ask(), spec.space)
            engine.submit(TrialTask(number=number, attempt=0, params=params))
            ended: list[Event] = []

            def hear(event: Event, ended: list[Event] = ended) -> bool:
                if isinstance(event, EpochFinished):
                    return True
                ended.append(event)
                return False

            while not ended:
                engine.wait(hear, 1)
            used.append(psutil.Process(engine.processes()[0]).memory_full_info().uss / 2**20)
        engine.stop()
    shown = ", ".join(f"{n}: {used[n - 1]:.0f}" for n in (1, 10, 25, 26, 50, 100, 200, 300, 400, 500) if n <= trials)
    print(f"{trainer}: USS of a worker in MiB after trial {shown}; largest {max(used):.0f}")


class _WatchedEngine(ProcessEngine):
    """Adds up how long workers train, from the first epoch on; else they wait for the coordinator."""

    def start(self, setup: TrainerSetup, workers: int, log_prefix: Path) -> None:
        super().start(setup, workers, log_prefix)
        self.workers = workers
        self.began = time.perf_counter()
        self.training: set[int] = set()
        self.trained = 0.0  # worker-seconds
        self.first = self.since = 0.0

    def _change(self, number: int, trains: bool) -> None:
        now = time.perf_counter()
        self.trained += len(self.training) * (now - self.since)
        self.since = now
        (self.training.add if trains else self.training.discard)(number)

    def submit(self, task: TrialTask) -> None:
        super().submit(task)
        if self.first:
            self._change(task.number, True)

    def wait(self, handler: Handler, timeout_seconds: float) -> None:
        def watched(event: Event) -> bool:
            if not self.first and isinstance(event, EpochFinished):  # TensorFlow has started
                self.first = self.since = time.perf_counter()
                self.training = {worker.task.number for worker in self._workers if worker.task is not None}
                self.cpu_seconds = time.process_time()
                psutil.cpu_percent()  # the next call tells about the time since this one
            self._change(event.number, False)
            go_on = handler(event)
            if go_on:
                self._change(event.number, True)
            return go_on

        super().wait(watched, timeout_seconds)

    def stop(self) -> None:
        if self._workers:
            self._change(-1, False)
            self.cpu_seconds = time.process_time() - self.cpu_seconds
            self.busy_percent = psutil.cpu_percent()
        super().stop()


def overhead(trials: int = 50) -> None:
    """What a `mnist` study's workers wait for, and what the coordinator uses."""
    if not os.environ.get("REGSEARCH_MNIST"):
        print("overhead: skipped, set REGSEARCH_MNIST to an mnist.npz")
        return
    engine = _WatchedEngine()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        result = api.run("mnist", storage=f"sqlite:///{folder}/test.db", engine=engine, trials=trials, confirm=False)
        wall = time.perf_counter() - started
    searched = engine.since - engine.first
    print(
        f"mnist, {trials} trials, {result.answer.counts.pruned} pruned: {wall:.0f} s, of which "
        f"{engine.first - engine.began:.1f} s up to the end of the first epoch; from then on workers train for "
        f"{engine.trained / searched / engine.workers:.1%} of their time, the coordinator takes "
        f"{engine.cpu_seconds / searched / core_count():.1%} of the cores, and these are busy for "
        f"{engine.busy_percent:.1f}%"
    )


def commits(trials: int = 30) -> None:
    """Commits and milliseconds a trial: Optuna's own way, and one transaction round each ask, epoch and tell.

    In a file, and on the server that REGSEARCH_TEST_POSTGRES names, if it is set.
    """
    for kind in ("sqlite", "postgres") if postgres.SERVER else ("sqlite",):
        for name, work in (("Optuna's own way", _plain_trial), ("joined", _joined_trial)):
            with postgres.folder_of_files() as folder, postgres.new_storage(kind, folder) as storage:
                seconds, count = _seconds_and_commits(storage, work, trials)
            print(
                f"{kind:8} {name:17} {count / trials:5.1f} commits and {1000 * statistics.median(seconds):6.1f} ms "
                f"a trial of {EPOCHS} epochs"
            )


def _seconds_and_commits(storage: str, work: Callable[..., None], trials: int) -> tuple[list[float], int]:
    with open_for_writing(location_of(storage)) as database, database.study_lock("smoke"):
        store = _store(database)
        with _counted(database.engine) as count:
            seconds = []
            for number in range(trials):
                started = time.perf_counter()
                work(database, store, number)
                seconds.append(time.perf_counter() - started)
            return seconds, len(count)


@contextmanager
def _counted(engine: sqlalchemy.Engine) -> Iterator[list[int]]:
    commits: list[int] = []
    sqlalchemy.event.listen(engine, "commit", lambda _connection: commits.append(1))
    yield commits


SPEC = read_study("smoke", ["search.sampler=random", "search.sampler_options={}", "budget.trials=1000"])
SAMPLER, PRUNER = sampler_factory(SPEC), make_pruner(SPEC.changed(search={"pruner": "none", "pruner_options": {}}))


def _store(database: Any) -> StudyStore:
    info = DatasetInfo(name="digits", source="digits", sha256="0" * 64, n_train=1, n_test=1)
    store = StudyStore.create(database, SPEC, info, versions())
    store.begin_run(
        SPEC, sampler_for=SAMPLER, pruner=PRUNER, needs_all_trials=True, engine="none", workers=1, versions=versions()
    )
    return store


def _plain_trial(database: Any, store: StudyStore, number: int) -> None:
    """The same calls of Optuna and the same rows, each its own commit."""
    study = optuna.load_study(study_name="smoke", storage=database.storage, sampler=SAMPLER(number), pruner=PRUNER)
    trial = study.ask()
    suggest(trial, SPEC.space)
    with database.engine.begin() as connection:
        connection.execute(insert(TrialRow).values(study_uuid=store.study_uuid, number=number, attempt=0))
    for epoch in range(EPOCHS):
        trial.report(0.1, epoch)
        with database.engine.begin() as connection:
            connection.execute(
                insert(EpochRow).values(study_uuid=store.study_uuid, number=number, epoch=epoch, **METRICS)
            )
        trial.should_prune()
    for key in ("regularization", "select accuracy", "select cross-entropy", "generalization gap", "best epoch"):
        trial.set_user_attr(key, 0.1)
    with database.engine.begin() as connection:
        row = update(TrialRow).where(TrialRow.study_uuid == store.study_uuid, TrialRow.number == number)
        connection.execute(row.values(**OUTCOME.columns()))
    study.tell(trial, 0.1)


def _joined_trial(database: Any, store: StudyStore, number: int) -> None:
    task = store.ask()
    assert isinstance(task, TrialTask)
    for epoch in range(EPOCHS):
        store.record_epoch(task, EpochMetrics(epoch=epoch, **METRICS))
    store.finish(task, OUTCOME)


def _fill(path: Path, trials: int) -> None:
    with open_for_writing(path) as database:
        store = _store(database)
        for number in range(trials):
            _joined_trial(database, store, number)
        get_study(database, "smoke")


FIGURES: dict[str, Callable[[], None]] = {
    "startup": startup,
    "commits": commits,
    "memory": memory,
    "overhead": overhead,
}

if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    wanted = sys.argv[1:] or ["all"]
    for name, figure in FIGURES.items():
        if name in wanted or "all" in wanted:
            figure()
