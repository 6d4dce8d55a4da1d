"""Who lost a trial, a study or its coordinator does no harm any more, and what fails half way leaves nothing."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakes
import invariants
import psutil
import pytest
from helpers import rows

from regsearch.search.result import RunResult
from regsearch.search.workers.inline import InlineEngine
from regsearch.search.workers.protocol import EpochFinished, TrialFailed, TrialFinished, TrialNotice, WorkerLost
from regsearch.storage import study_proposals as asking_module
from regsearch.studies.trial import EpochMetrics, TrialOutcome, TrialTask

Search = Callable[..., RunResult]


class Revenant(InlineEngine):
    """Says that a worker was lost, and then that it was not: what the given up attempt has to say comes late."""

    def __init__(self) -> None:
        super().__init__(fakes.FakeTrainer)
        self.answers: list[bool] = []

    def wait(self, handler: Any, timeout_seconds: float) -> None:
        task = self._task
        if task is None or task.number != 1:
            super().wait(handler, timeout_seconds)
            return
        if task.attempt == 0:
            self._task = None
            handler(WorkerLost(number=1, attempt=0, reason="its worker was lost"))
            return
        figures = EpochMetrics(epoch=0, train_loss=9, stop_loss=9, stop_cross_entropy=9, stop_accuracy=0, seconds=0)
        outcome = TrialOutcome(
            best_epoch=0,
            epochs=1,
            select_cross_entropy=0,
            select_accuracy=1,
            train_cross_entropy=0,
            train_accuracy=1,
            near_zero_share=0,
            seconds=0,
        )
        for event in (
            EpochFinished(number=1, attempt=0, metrics=figures),
            TrialNotice(number=1, attempt=0, text="from the grave"),
            TrialFinished(number=1, attempt=0, outcome=outcome),
            TrialFailed(number=1, attempt=0, reason="from the grave"),
            WorkerLost(number=1, attempt=0, reason="from the grave"),
        ):
            self.answers.append(handler(event))
        super().wait(handler, timeout_seconds)


def test_what_an_attempt_that_was_given_up_still_says_is_not_heard(search: Search, storage: str, progress: Any) -> None:
    other = f"{storage}.whole"
    search(storage=other)
    engine = Revenant()
    search(engine=engine)
    assert engine.answers == [False] * 5
    assert rows(storage) == rows(other)
    assert not [message for message in progress.messages if "from the grave" in message]
    invariants.check(storage, is_fake=True)


@pytest.mark.parametrize("parameters", range(1, 5))
def test_an_ask_that_fails_half_way_leaves_nothing(
    search: Search, storage: str, parameters: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so many of its parameters; the search then goes on as if nothing had been asked."""
    other = f"{storage}.whole"
    search(storage=other)
    real = asking_module.suggest

    class HalfWay:
        def __init__(self, trial: Any) -> None:
            self.trial, self.left = trial, parameters

        def __getattr__(self, name: str) -> Any:
            if self.left == 0:
                raise ZeroDivisionError
            self.left -= 1
            return getattr(self.trial, name)

    def half(trial: Any, space: Any) -> Any:
        return real(HalfWay(trial) if trial.number == 2 else trial, space)

    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(asking_module, "suggest", half)
        search()
    assert [row["number"] for row in rows(storage)] == [0, 1]
    search()
    assert rows(storage) == rows(other)
    invariants.check(storage, is_fake=True)


def test_a_trial_that_loses_its_worker_three_times_is_given_up(search: Search, storage: str) -> None:
    class Deadly(InlineEngine):
        attempts: list[int] = []  # noqa: RUF012 - of this test

        def wait(self, handler: Any, timeout_seconds: float) -> None:
            task: TrialTask | None = self._task
            if task is None or task.number != 1:
                super().wait(handler, timeout_seconds)
                return
            self._task = None
            self.attempts.append(task.attempt)
            assert len(self.attempts) < 10
            handler(WorkerLost(number=1, attempt=task.attempt, reason="its worker was lost"))

    search(engine=Deadly(fakes.FakeTrainer))
    assert Deadly.attempts == [0, 1, 2]
    assert [row["state"] for row in rows(storage)][1] == "failed"
    invariants.check(storage, is_fake=True)


def test_a_worker_ends_when_its_coordinator_is_gone(tmp_path: Path) -> None:
    """Whatever it does: here it trains for ten minutes an epoch."""
    script = (
        "import sys, time\n"
        "from regsearch.search.workers.processes import ProcessEngine\n"
        "from regsearch.search.training.setup import TrainerSetup\n"
        "from regsearch.studies.study_file import read_study\n"
        "from regsearch.studies.trial import TrialTask\n"
        "from pathlib import Path\n"
        f"engine = ProcessEngine([sys.executable, {str(Path(fakes.__file__))!r}])\n"
        "engine.start(TrainerSetup(spec=read_study('smoke'), source='digits', sha256='0' * 64), 1, Path('worker-'))\n"
        "engine.submit(TrialTask(number=0, attempt=0, params={}))\n"
        "engine.wait(print, 60)  # until it is ready\n"
        "print(engine.processes()[0], flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "FAKE_FAULTS": '{"0": "hang"}'},
        stdout=subprocess.PIPE,
        text=True,
    ) as coordinator:
        assert coordinator.stdout is not None
        worker = psutil.Process(int(coordinator.stdout.readline()))
        coordinator.kill()
        coordinator.wait()
    try:
        worker.wait(30)
    except psutil.TimeoutExpired:
        worker.kill()
        raise
