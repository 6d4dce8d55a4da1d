"""`python -m search.worker`: trains one trial at a time and says what happened after each epoch.

It reads lines of JSON on stdin (a setup, then tasks and answers) and writes events on what was its
stdout; whatever libraries print goes to its log file. When stdin ends, its coordinator is gone.
"""

import dataclasses
import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from typing import TextIO

from search.events import EpochFinished, TrialFailed, TrialFinished, to_line
from search.training.setup import TrainerSetup, make_trainer
from search.training.trainer import DivergedError, Trainer
from studies.spec import StudySpec
from studies.trial import EpochMetrics, TrialTask

_LONGEST_REASON = 300  # characters
READY_LINE = '{"event": "Ready"}\n'


def setup_to_line(setup: TrainerSetup) -> str:
    """Return a setup as one line of JSON."""
    return json.dumps({**vars(setup), "spec": setup.spec.to_json()}) + "\n"


def setup_from_line(line: str) -> TrainerSetup:
    """Read back what setup_to_line wrote."""
    document = json.loads(line)
    return TrainerSetup(**{**document, "spec": StudySpec.from_json(document["spec"])})


def task_to_line(task: TrialTask) -> str:
    """Return a task as one line of JSON."""
    return json.dumps(dataclasses.asdict(task)) + "\n"


def answer_to_line(go_on: bool) -> str:
    """Return the answer to an EpochFinished as one line of JSON."""
    return json.dumps(go_on) + "\n"


class _AnswerError(BaseException):
    """Carries what the answering side raised past whatever a trainer might catch."""

    def __init__(self, raised: BaseException) -> None:
        super().__init__(raised)
        self.raised = raised


def train_and_say(
    trainer: Trainer, task: TrialTask, on_epoch: Callable[[EpochFinished], bool], log: TextIO
) -> TrialFinished | TrialFailed | None:
    """Train one trial and return how it ended; None where `on_epoch` ended it.

    Whatever the trainer raises is that trial's failure, its traceback goes to the log; what `on_epoch`
    raises passes through.
    """

    def tell(metrics: EpochMetrics) -> bool:
        try:
            return on_epoch(EpochFinished(number=task.number, attempt=task.attempt, metrics=metrics))
        except BaseException as error:
            raise _AnswerError(error) from error

    try:
        outcome = trainer.train(task, tell)
    except _AnswerError as error:
        raise error.raised from None
    except DivergedError as error:
        return TrialFailed(number=task.number, attempt=task.attempt, reason=str(error))
    except Exception as error:  # noqa: BLE001 - see the docstring
        print(f"trial {task.number}, attempt {task.attempt}:", file=log)
        traceback.print_exc(file=log)
        log.flush()
        return TrialFailed(number=task.number, attempt=task.attempt, reason=_one_line(error))
    if outcome is None:
        return None
    return TrialFinished(number=task.number, attempt=task.attempt, outcome=outcome)


def _one_line(error: Exception) -> str:
    """Return what was raised as one short line that any database takes."""
    text = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST_REASON]
    return text.encode("utf-8", "replace").decode()


def serve(commands: "queue.SimpleQueue[str]", events: TextIO, make: Callable[[TrainerSetup], Trainer]) -> None:
    """Make the trainer, then train one task after the other; never returns."""

    def say(line: str) -> None:
        events.write(line)
        events.flush()

    def ask(event: EpochFinished) -> bool:
        say(to_line(event))
        return bool(json.loads(commands.get()))

    trainer = make(setup_from_line(commands.get()))
    say(READY_LINE)
    while True:
        task = TrialTask(**json.loads(commands.get()))
        ended = train_and_say(trainer, task, ask, sys.stderr)
        if ended is not None:
            say(to_line(ended))


def main(make: Callable[[TrainerSetup], Trainer] = make_trainer) -> None:
    """Serve the coordinator at the other end of stdin and stdout."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    commands: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            commands.put(line)
        os._exit(0)  # the coordinator is gone: nobody would hear what this trial gives

    threading.Thread(target=listen, daemon=True).start()
    serve(commands, events, make)


if __name__ == "__main__":
    main()
