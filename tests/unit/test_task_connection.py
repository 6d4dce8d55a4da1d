"""What a worker's trainer reports, asks for and leaves on disk, without a process between the two sides."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakes
import pytest

from regsearch.search.training.checkpoints import NO_CHECKPOINTS, Checkpoints
from regsearch.search.training.setup import TrainerSetup
from regsearch.search.training.trainer import OnEpoch, Suggest
from regsearch.search.workers.protocol import (
    EpochFinished,
    Event,
    Reply,
    SuggestReply,
    SuggestRequest,
    TrialFailed,
    TrialNotice,
)
from regsearch.search.workers.task_connection import TaskConnection, TaskStopped
from regsearch.search.workers.worker import run_task
from regsearch.studies.spec import StudySpec
from regsearch.studies.trial import TrialOutcome, TrialTask

TASK = TrialTask(number=7, attempt=0, params={"regularizer": "none"})


def setup(folder: Path | None) -> TrainerSetup:
    spec = StudySpec().changed(training={"max_epochs": 3})
    return TrainerSetup(spec=spec, source="digits", sha256="0", files=None if folder is None else str(folder))


def connected(folder: Path | None, handler: Callable[[Event], Reply], task: TrialTask = TASK) -> TaskConnection:
    return TaskConnection(setup(folder), task, handler, io.StringIO())


class Swallowing(fakes.FakeTrainer):
    """Asks for one value, and catches every Exception, as a HyperModel's `fit` may."""

    caught: Exception | None = None

    def train(
        self,
        task: TrialTask,
        on_epoch: OnEpoch,
        checkpoints: Checkpoints = NO_CHECKPOINTS,
        suggest: Suggest | None = None,
    ) -> TrialOutcome | None:
        assert suggest is not None
        try:
            suggest("l2", "{}", 0.1)
        except Exception as error:
            self.caught = error
            raise
        return super().train(task, on_epoch, checkpoints)


def test_what_the_handler_raises_passes_the_trainer() -> None:
    def handler(event: Event) -> Reply:
        raise OSError("the database is gone")

    trainer = Swallowing(setup(None))
    with pytest.raises(OSError, match="the database is gone"):
        run_task(trainer, setup(None), TASK, handler, io.StringIO())
    assert trainer.caught is None


def test_a_task_stopped_at_a_suggestion_has_no_result(tmp_path: Path) -> None:
    trainer = Swallowing(setup(tmp_path))
    assert run_task(trainer, setup(tmp_path), TASK, lambda event: False, io.StringIO()) is None
    assert trainer.caught is None
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(TaskStopped):
        connected(None, lambda event: False).suggest("l2", "{}", 0.1)


def test_a_refused_value_fails_the_trial_but_not_its_settings() -> None:
    def handler(event: Event) -> Reply:
        return SuggestReply(refusal="the search space changed") if isinstance(event, SuggestRequest) else True

    result = run_task(Swallowing(setup(None)), setup(None), TASK, handler, io.StringIO())
    assert result == TrialFailed(number=7, attempt=0, reason="ValueError: the search space changed")


def test_a_suggested_value_becomes_part_of_the_identity(tmp_path: Path) -> None:
    connection = connected(tmp_path, lambda event: SuggestReply(value=0.5))
    before = connection.identity
    with connection.checkpoints() as checkpoints:
        assert connection.suggest("l2", "{}", 0.1) == 0.5
    whole = TrialTask(number=7, attempt=0, params={**TASK.params, "l2": 0.5})
    assert before != connection.identity == connected(None, lambda event: True, whole).identity
    assert getattr(checkpoints, "identity", None) == connection.identity


def test_a_result_on_disk_is_adopted_by_a_later_attempt(tmp_path: Path) -> None:
    events: list[Event] = []

    def handler(event: Event) -> Reply:
        events.append(event)
        return True

    result = run_task(fakes.FakeTrainer(setup(tmp_path)), setup(tmp_path), TASK, handler, io.StringIO())
    assert [type(event) for event in events] == [EpochFinished] * 3
    again = TrialTask(number=7, attempt=1, params=TASK.params)
    adopted = run_task(fakes.FakeTrainer(setup(tmp_path)), setup(tmp_path), again, handler, io.StringIO())
    assert len(events) == 3, "it was trained again"
    assert result is not None
    assert adopted is not None
    assert {**vars(adopted), "attempt": 0} == vars(result)


def test_a_result_that_cant_be_saved_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    notices: list[Event] = []
    monkeypatch.setattr("regsearch.search.workers.task_connection.write_durably", full)
    connection = connected(tmp_path, lambda event: bool(notices.append(event)))
    connection.finish(TrialFailed(number=7, attempt=0, reason="why"))
    assert [event.text for event in notices if isinstance(event, TrialNotice)] == [
        "its result could not be saved (No space left on device); if the search stops now, the trial trains again"
    ]
    assert "trial 7, attempt 0: its result" in connection.log.getvalue()  # type: ignore[attr-defined]
