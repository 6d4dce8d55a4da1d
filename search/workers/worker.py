"""A worker process, `python -m regsearch.search.workers.worker`: it trains one task at a time and reports each epoch.

It reads lines of JSON from stdin: a setup, then tasks and replies. It writes events to its original stdout, and sends
all other output of libraries to its log. When stdin ends, the coordinator is gone, and the worker ends too.
"""

import gc
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from ...studies.errors import ModelError
from ...studies.trial import Outcome, Purpose, TestEvaluation, TrialTask
from ..training.checkpoints import Arrays, Checkpoints, NoCheckpoints, TrainingCheckpoint
from ..training.setup import TrainerSetup, make_trainer
from ..training.snapshots import Snapshots
from ..training.trainer import DivergedError, Trainer
from .protocol import (
    READY_LINE,
    EngineNotice,
    EpochFinished,
    Event,
    LookFinished,
    Reply,
    SuggestRequest,
    TaskResult,
    TrialFailed,
    TrialFinished,
    WorkerLost,
    reply_from_line,
    setup_from_line,
    task_from_line,
    to_line,
)
from .task_connection import HandlerError, TaskConnection, TaskStopped

_LONGEST_REASON = 300  # characters
# after an exception with one of these names, the settings are the cause: the network can't be built or is too large,
# or KerasTuner lets only this trial fail (FailedTrialError)
_BY_SETTINGS = {
    "ValueError",
    "MemoryError",
    "_ArrayMemoryError",  # NumPy's
    "InvalidArgumentError",
    "ResourceExhaustedError",
    "FailedTrialError",
}


def run_task(
    trainer: Trainer, setup: TrainerSetup, task: TrialTask, handler: Callable[[Event], Reply], log: TextIO
) -> TaskResult | None:
    """Train one task from its last checkpoint to its end; return the result, or None if the handler ended the task.

    The function writes the result to disk before it returns, so it survives a crash of the coordinator. An exception
    of the trainer becomes a `TrialFailed`, and its traceback goes to the log. An exception of the handler is raised.
    """
    connection = TaskConnection(setup, task, handler, log)
    earlier = connection.earlier_result()
    if earlier is not None:
        return earlier
    with connection.checkpoints() as checkpoints:
        result = _train(trainer, connection, _with_snapshots(checkpoints, trainer, setup, connection))
    if result is not None:
        connection.finish(result)
    return result


def _with_snapshots(
    checkpoints: Checkpoints, trainer: Trainer, setup: TrainerSetup, connection: TaskConnection
) -> Checkpoints:
    """Return the checkpoints, in a wrapper that also saves snapshots if the study asks for snapshots."""
    task = connection.task
    if setup.snapshots is None or not connection.has_files or task.purpose != Purpose.SEARCH:
        return checkpoints

    def save_model(state: TrainingCheckpoint, path: Path) -> None:
        trainer.save_model(task.params, state, path)

    return Snapshots(checkpoints, Path(setup.snapshots), task.number, save_model, connection.notice)


def _train(trainer: Trainer, connection: TaskConnection, checkpoints: Checkpoints) -> TaskResult | None:
    number, attempt = connection.task.number, connection.task.attempt
    try:
        outcome = _outcome(trainer, connection, checkpoints)
    except HandlerError as error:
        raise error.raised from None
    except TaskStopped:
        return None
    except DivergedError as error:
        return TrialFailed(number=number, attempt=attempt, reason=str(error), by_settings=True)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - see `run_task`
        print(f"{connection.task}, attempt {attempt}:", file=connection.log)
        traceback.print_exc(file=connection.log)
        connection.log.flush()
        by_model = isinstance(error, ModelError)
        by_settings = (by_model or type(error).__name__ in _BY_SETTINGS) and not connection.is_refused
        return TrialFailed(
            number=number, attempt=attempt, reason=_one_line(error), by_settings=by_settings, by_model=by_model
        )
    if outcome is None:
        return None
    if isinstance(outcome, TestEvaluation):
        return LookFinished(number=number, attempt=attempt, outcome=outcome)
    return TrialFinished(number=number, attempt=attempt, outcome=outcome)


def _outcome(trainer: Trainer, connection: TaskConnection, checkpoints: Checkpoints) -> Outcome | None:
    """Train the task, or evaluate it on the test set; return the outcome, or None if the coordinator ended the task."""
    task = connection.task
    if task.purpose == Purpose.TEST:
        return _evaluate_on_test_set(trainer, connection, checkpoints)
    if task.purpose == Purpose.SEARCH:
        return trainer.train(task, connection.report_epoch, checkpoints, connection.suggest)
    return trainer.train(task, connection.report_epoch, checkpoints)


def _evaluate_on_test_set(
    trainer: Trainer, connection: TaskConnection, checkpoints: Checkpoints
) -> TestEvaluation | None:
    """Evaluate a finalist on the test set. If the file with its weights is gone, train the finalist again first."""
    task = connection.task
    weights = checkpoints.weights(task.weights_sha256)
    if weights is None:
        weights_keeper = _WeightsKeeper(checkpoints)
        if trainer.train(task, connection.report_epoch, weights_keeper) is None:
            return None
        weights = weights_keeper.last
        assert weights is not None
    scores = trainer.look_at_test(task, weights).to_text()
    return TestEvaluation(rows=scores, objective=trainer.test_objective(task, weights))


class _WeightsKeeper(NoCheckpoints):
    """Has no checkpoint, so a trial starts from its first epoch. Keeps the final weights on disk and in memory."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints
        self.last: Arrays | None = None

    def save_weights(self, weights: Arrays) -> str | None:
        self.last = weights
        return self._checkpoints.save_weights(weights)


def _one_line(error: BaseException) -> str:
    """Return an exception as one short line of valid UTF-8, which any database can store."""
    name = "" if isinstance(error, ModelError) else f"{type(error).__name__}: "
    text = " ".join(f"{name}{error}".split())[:_LONGEST_REASON]
    return text.encode("utf-8", "replace").decode()


class _Pipe:
    """The worker's end of the pipe to its coordinator.

    Args:
        commands: a queue of the lines that the coordinator wrote.
        events: the stream from which the coordinator reads.
    """

    def __init__(self, commands: "queue.SimpleQueue[str]", events: TextIO) -> None:
        self._commands, self._events = commands, events

    def read(self) -> str:
        """Wait for the next line of the coordinator, and return it."""
        return self._commands.get()

    def write(self, line: str) -> None:
        """Send a line to the coordinator at once."""
        self._events.write(line)
        self._events.flush()

    def handle(self, event: Event) -> Reply:
        """Send an event; return the coordinator's reply, or False if this kind of event gets no reply."""
        assert not isinstance(event, WorkerLost | EngineNotice)
        self.write(to_line(event))
        return isinstance(event, EpochFinished | SuggestRequest) and reply_from_line(self.read())


def serve(commands: "queue.SimpleQueue[str]", events: TextIO, make: Callable[[TrainerSetup], Trainer]) -> None:
    """Create the trainer, then train one task after the other; never return."""
    pipe = _Pipe(commands, events)
    setup = setup_from_line(pipe.read())
    gc.disable()  # imported modules are no garbage, and checking them would take a fifth of the start
    trainer = make(setup)
    gc.freeze()
    gc.enable()
    pipe.write(READY_LINE)
    while True:
        result = run_task(trainer, setup, task_from_line(pipe.read()), pipe.handle, sys.stderr)
        if result is not None:
            pipe.write(to_line(result))


def _end() -> None:
    """End this process at once, and all processes that a user's code started in its process group."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def main(make: Callable[[TrainerSetup], Trainer] = make_trainer) -> None:
    """Serve the coordinator at the other end of stdin and stdout."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    incoming = os.fdopen(os.dup(0), encoding="utf-8")
    with open(os.devnull, "rb") as nothing:  # a HyperModel that calls input() must not read the coordinator's lines
        os.dup2(nothing.fileno(), 0)
    commands: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        for line in incoming:
            commands.put(line)
        _end()  # the coordinator is gone, so the result of this trial has no reader

    threading.Thread(target=listen, daemon=True).start()
    serve(commands, events, make)


if __name__ == "__main__":
    main()
