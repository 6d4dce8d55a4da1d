"""What a search does when something goes wrong and comes right again: nothing is lost, and nothing trained twice."""

import functools
import hashlib
import json
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakes
import invariants
import pytest
from helpers import finished, rows, wait_for_each_checkpoint

from regsearch.search import api
from regsearch.search.result import RunResult
from regsearch.search.run import study_run
from regsearch.search.run.coordinator import Coordinator, StopReason
from regsearch.search.run.progress import Progress
from regsearch.search.training.trainer import OnEpoch
from regsearch.search.workers.inline import InlineEngine
from regsearch.search.workers.processes import ProcessEngine
from regsearch.storage import paths
from regsearch.storage.confirmation_store import ConfirmationStore
from regsearch.storage.location import location_of
from regsearch.storage.study_store import StudyStore
from regsearch.studies.errors import StorageError, StorageUnavailableError
from regsearch.studies.reports.answer import as_text
from regsearch.studies.trial import Purpose, TrialOutcome, TrialTask
from regsearch.studies.trial_files import TrialFiles

Search = Callable[..., RunResult]


class Killed(BaseException):
    """Stands for kill -9: nothing that handles errors handles this."""


@pytest.fixture
def whole(search: Search, tmp_path: Path) -> list[dict[str, Any]]:
    """The rows of a search that ran through."""
    other = f"sqlite:///{tmp_path}/whole.db"
    search(storage=other)
    return rows(other)


def files(storage: str) -> set[str]:
    """The names of what the study's trials have on disk."""
    return {path.name for path in paths.trials_folder(location_of(storage), "smoke").iterdir()}


class CountingTrainer(fakes.FakeTrainer):
    """Knows which epochs it trained itself."""

    trained: list[tuple[int, int]]

    def train(
        self, task: TrialTask, on_epoch: OnEpoch, checkpoints: Any = None, suggest: Any = None
    ) -> TrialOutcome | None:
        state = checkpoints.latest()
        begun = 0 if state is None else len(state.curve)

        def heard(metrics: Any) -> bool:
            if metrics.epoch >= begun:
                self.trained.append((task.number, metrics.epoch))
            return on_epoch(metrics)

        return super().train(task, heard, checkpoints)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The epochs, (trial, epoch), that CountingTrainers trained."""
    epochs: list[tuple[int, int]] = []
    monkeypatch.setattr(CountingTrainer, "trained", epochs, raising=False)
    return epochs


def test_a_result_outlives_the_coordinator_and_is_adopted(
    search: Search, storage: str, whole: Any, trained: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = next(row["number"] for row in whole if row["state"] == "complete")

    def die(self: StudyStore, task: TrialTask, outcome: TrialOutcome) -> bool:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(StudyStore, "finish", die)
        search(engine=InlineEngine(CountingTrainer))
    assert f"trial-{first}.ended" in files(storage)
    search(engine=InlineEngine(CountingTrainer))
    assert len(trained) == len(set(trained))
    assert rows(storage) == whole
    invariants.check(storage, is_fake=True)


def test_a_result_of_another_study_of_that_name_is_not_adopted(
    search: Search, storage: str, whole: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(self: StudyStore, task: TrialTask, outcome: TrialOutcome) -> bool:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(StudyStore, "finish", die)
        search(settings=["search.seed=5", "training.max_epochs=2"])
    folder = paths.trials_folder(location_of(storage), "smoke")
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert any(name.endswith(".ended") for name in kept)
    api.delete("smoke", storage=storage)
    assert not folder.exists()
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(StudyStore, "finish", die)
        search()  # its trials of these numbers are under way now
    shutil.rmtree(folder)
    folder.mkdir()
    for name, content in kept.items():
        (folder / name).write_bytes(content)
    search()
    assert rows(storage) == whole
    invariants.check(storage, is_fake=True)


def test_a_damaged_result_is_said_and_its_end_trained_again(
    search: Search, storage: str, whole: Any, progress: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(self: StudyStore, task: TrialTask, outcome: TrialOutcome) -> bool:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(StudyStore, "finish", die)
        search()
    (path,) = paths.trials_folder(location_of(storage), "smoke").glob("*.ended")
    path.write_bytes(path.read_bytes()[:-1])
    search()
    assert any(f"{path.name} is damaged" in message for message in progress.messages)
    assert rows(storage) == whole
    invariants.check(storage, is_fake=True)


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_a_trial_goes_on_from_its_last_epoch(
    search: Search,
    storage: str,
    whole: Any,
    trained: list[tuple[int, int]],
    epoch: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record = StudyStore.record_epoch

    def die(self: StudyStore, task: TrialTask, metrics: Any) -> Any:
        if metrics.epoch == epoch:
            raise Killed
        return record(self, task, metrics)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(StudyStore, "record_epoch", die)
        search(engine=InlineEngine(CountingTrainer))
    search(engine=InlineEngine(CountingTrainer))
    assert len(trained) == len(set(trained))
    assert rows(storage) == whole
    invariants.check(storage, is_fake=True)


def test_after_a_search_only_the_weights_of_the_best_are_left(search: Search, storage: str) -> None:
    search(trials=20, settings=["search.pruner=none", "search.pruner_options={}"])
    complete = sorted((row["value"], row["number"]) for row in rows(storage) if row["state"] == "complete")
    assert len(complete) == 20
    best = [number for _, number in complete[:5]]
    assert files(storage) == {f"trial-{number}.weights.npz" for number in best}
    with sqlite3.connect(location_of(storage)) as connection:
        known = dict(connection.execute("select number, weights_sha256 from regsearch_trials"))
    connection.close()
    for number in best:
        path = paths.trials_folder(location_of(storage), "smoke") / f"trial-{number}.weights.npz"
        assert hashlib.sha256(path.read_bytes()).hexdigest() == known[number]
    weights = api.load("smoke", storage=storage).answer.weights
    assert weights == paths.trials_folder(location_of(storage), "smoke") / f"trial-{best[0]}.weights.npz"
    assert f"its weights: {weights}" in as_text(api.load("smoke", storage=storage).answer)
    weights.write_bytes(b"something else")
    assert api.load("smoke", storage=storage).answer.weights is None


def test_the_files_of_a_finished_trial_go_while_the_search_goes_on(
    search: Search, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for a state that a pruned trial is still writing when its verdict comes, which goes with the search's end."""
    wait_for_each_checkpoint(monkeypatch.setattr)
    found: list[set[str]] = []

    class Looking(InlineEngine):
        def submit(self, task: TrialTask) -> None:
            found.append({name for name in files(storage) if not name.endswith(".weights.npz")})
            super().submit(task)

    search(engine=Looking(fakes.FakeTrainer))
    assert found == [set()] * 6


@pytest.mark.slow
def test_a_state_still_being_written_by_a_pruned_trial_is_removed(
    search: Search, storage: str, tmp_path: Path, process_engine: ProcessEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    alike = f"sqlite:///{tmp_path}/alike.db"
    search(storage=alike, trials=12)
    *_, last = (row["number"] for row in rows(alike) if row["state"] == "pruned")
    monkeypatch.setenv("FAKE_SAVE_SECONDS", "0.2")
    end = StudyStore.end_run
    monkeypatch.setattr(StudyStore, "end_run", lambda store, outcome: (time.sleep(0.5), end(store, outcome)))
    search(engine=process_engine, workers=1, trials=last + 1)
    invariants.check(storage, is_fake=True)


def test_a_stop_before_a_confirmation_goes_on_keeps_its_finalists_states(
    search: Search, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dying(Progress):
        def epoch_finished(self, task: TrialTask, metrics: Any) -> None:
            if task.purpose == Purpose.CONFIRM and metrics.epoch == 1:
                raise Killed

    settings = ["confirm.seeds=3", "training.max_epochs=5"]
    with pytest.raises(Killed):
        search(settings=settings, progress=Dying())
    states = {name for name in files(storage) if name.startswith("finalist-") and name.endswith(".checkpoint")}
    assert states
    run, plan, running = study_run.StudyRun.run, ConfirmationStore.plan, []

    def stopped_after_planning(store: ConfirmationStore, *arguments: Any) -> int:
        running[-1].stop()
        return plan(store, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(study_run.StudyRun, "run", lambda this: (running.append(this), run(this))[1])
        patch.setattr(ConfirmationStore, "plan", stopped_after_planning)
        assert search(settings=settings).reason is StopReason.STOPPED
    assert states <= files(storage)
    search(settings=settings)
    invariants.check(storage, is_fake=True)


@pytest.mark.parametrize("method", ["forget", "keep_weights"])
@pytest.mark.parametrize("more", [0, 1])
def test_what_a_kill_after_the_last_commit_left_goes_with_the_next_run(
    search: Search, storage: str, method: str, more: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether there is something left to search or not."""
    settings = ["search.pruner=none", "search.pruner_options={}"]
    real = getattr(TrialFiles, method)

    def die_after_the_last(self: TrialFiles, *arguments: Any) -> None:
        if len(finished(storage)) == 8:
            raise Killed
        real(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(TrialFiles, method, die_after_the_last)
        search(trials=8, settings=settings)
    search(trials=8 + more, settings=settings)
    invariants.check(storage, is_fake=True)


class Clock:
    """A clock that only sleeping moves, and where something happens in time."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The coordinator's clock."""
    clock = Clock()
    monkeypatch.setattr(study_run, "Coordinator", functools.partial(Coordinator, clock=clock, sleep=clock.sleep))
    return clock


METHODS = ["progress", "ask", "record_epoch", "finish"]


def fail_until(monkeypatch: pytest.MonkeyPatch, method: str, is_well: Callable[[], bool]) -> list[int]:
    """Let a method of the store fail, as where the disk is full, until something is so; return its failures."""
    real, failures = getattr(StudyStore, method), []

    def failing(self: StudyStore, *arguments: Any) -> Any:
        if not is_well():
            failures.append(1)
            raise StorageUnavailableError("test.db can't be written (database or disk is full)")
        return real(self, *arguments)

    monkeypatch.setattr(StudyStore, method, failing)
    return failures


@pytest.mark.parametrize("method", METHODS)
def test_a_database_that_is_away_for_two_minutes_is_waited_for(
    search: Search, storage: str, progress: Any, clock: Clock, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAULTS", '{"4": "raise"}')
    other = f"{storage}.whole"
    search(storage=other)
    failures = fail_until(monkeypatch, method, lambda: clock.now > 120)
    search()
    assert len(failures) > 100
    waiting = [message for message in progress.messages if "The run waits up to" in message]
    assert waiting == [
        "test.db can't be written (database or disk is full). The run waits up to 3 minutes.",
    ]
    assert rows(storage) == rows(other)
    invariants.check(storage, is_fake=True)


@pytest.mark.parametrize("method", METHODS)
def test_a_database_that_stays_away_pauses_the_search_and_nothing_is_lost(
    search: Search, storage: str, clock: Clock, trained: Any, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAULTS", '{"4": "raise"}')
    other = f"{storage}.whole"
    search(storage=other)
    with monkeypatch.context() as patch:
        fail_until(patch, method, lambda: False)
        with pytest.raises(
            StorageUnavailableError, match=r"Nothing that was trained is lost\. Resume with `regsearch resume"
        ):
            search(engine=InlineEngine(CountingTrainer))
    assert 180 <= clock.now < 200
    search(engine=InlineEngine(CountingTrainer))
    assert rows(storage) == rows(other)
    invariants.check(storage, is_fake=True)
    assert len(trained) == len(set(trained))


@pytest.mark.parametrize("is_stopped", [False, True])
def test_who_was_overtaken_writes_and_removes_nothing_more(
    search: Search, storage: str, monkeypatch: pytest.MonkeyPatch, is_stopped: bool
) -> None:
    """The lock's file is gone, and another coordinator has taken over; a signal comes before the next step or not."""
    runs, run = [], study_run.StudyRun.run
    monkeypatch.setattr(study_run.StudyRun, "run", lambda this: (runs.append(this), run(this))[1])
    its_file = TrialFiles(paths.trials_folder(location_of(storage), "smoke")).checkpoint(5, 1)

    class Overtaken(InlineEngine):
        def submit(self, task: TrialTask) -> None:
            if task.number == 2:
                (path,) = location_of(storage).parent.glob("test.db.d/study-smoke.lock")
                path.unlink()
                search()
                its_file.touch()  # as if the other one were not done yet
                if is_stopped:
                    runs[0].stop()
            super().submit(task)

        def wait(self, handler: Any, timeout_seconds: float) -> None:
            if not runs[0].is_stopping:
                super().wait(handler, timeout_seconds)

    with pytest.raises(StorageError, match=r"process \d+ on .* has taken over the study smoke, so this run stops"):
        search(engine=Overtaken(fakes.FakeTrainer), progress=Progress())
    assert its_file.exists()
    assert list(finished(storage)) == list(range(6))
    search()  # takes away what both have left
    invariants.check(storage, is_fake=True)


def test_a_stuck_worker_is_replaced_and_its_trial_goes_on(
    search: Search,
    process_engine: ProcessEngine,
    storage: str,
    whole: Any,
    progress: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FAKE_FAULTS", '{"1": "hang once"}')
    search(engine=process_engine, workers=1, settings=["budget.epoch_timeout=1s"])
    assert [message for message in progress.messages if "It is tried again" in message and "trial 1: " in message]
    assert any("its worker was stuck: no epoch in 1 s" in message for message in progress.messages)
    assert rows(storage) == whole
    invariants.check(storage, is_fake=True)


@pytest.mark.slow
def test_a_trial_that_is_stuck_three_times_fails_with_the_reason(
    search: Search, process_engine: ProcessEngine, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAULTS", json.dumps({"1": "hang"}))
    search(engine=process_engine, workers=2, settings=["budget.epoch_timeout=1s"])
    states = [row["state"] for row in rows(storage)]
    assert len(states) == 6
    assert states[1] == "failed"
    invariants.check(storage, is_fake=True)
    with api.trials("smoke", storage=storage) as (_, trials):
        assert "its worker was stuck: no epoch in 1 s" in (list(trials)[1].reason or "")
