"""`python -m regsearch.search.workers.worker`: trains one trial at a time and says what happened after each epoch.

It reads lines of JSON on stdin (a setup, then tasks and answers) and writes events on what was its
stdout; whatever libraries print goes to its log file. When stdin ends, its coordinator is gone.
"""

import dataclasses
import gc
import hashlib
import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from regsearch.search.training.checkpoints import (
    NO_CHECKPOINTS,
    Arrays,
    Checkpoints,
    FileCheckpoints,
    NoCheckpoints,
    TrainingCheckpoint,
)
from regsearch.search.training.setup import TrainerSetup, make_trainer
from regsearch.search.training.snapshots import Snapshots
from regsearch.search.training.trainer import DivergedError, Trainer
from regsearch.search.workers.protocol import (
    EngineNotice,
    EpochFinished,
    Event,
    LookFinished,
    Reply,
    SuggestReply,
    SuggestRequest,
    TaskResult,
    TrialFailed,
    TrialFinished,
    TrialNotice,
    WorkerLost,
    answer_from_line,
    from_line,
    to_line,
)
from regsearch.studies.files import DamagedError, append_checksum, strip_checksum, write_durably
from regsearch.studies.spec import StudySpec
from regsearch.studies.trial import EpochMetrics, Purpose, TestEvaluation, TrialTask, Value
from regsearch.studies.trial_files import TrialFiles

_LONGEST_REASON = 300  # characters
# what Keras and TensorFlow raise for a network that can't be built or is too large, and KerasTuner for a trial alone
_BY_SETTINGS = {
    "ValueError",
    "MemoryError",
    "_ArrayMemoryError",  # NumPy's
    "InvalidArgumentError",
    "ResourceExhaustedError",
    "FailedTrialError",
}
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


class _AnswerError(BaseException):
    """Carries what the answering side raised past whatever a trainer might catch."""

    def __init__(self, raised: BaseException) -> None:
        super().__init__(raised)
        self.raised = raised


class _StoppedError(BaseException):
    """Ends a trial that was told to stop, past whatever a trainer might catch."""


def run_task(
    trainer: Trainer, setup: TrainerSetup, task: TrialTask, handler: Callable[[Event], Reply], log: TextIO
) -> TaskResult | None:
    """Train one trial, from where it was interrupted on, and return how it ended; None where the handler ended it.

    How it ended is on disk when this returns, so that it outlives whoever is told. Whatever the trainer raises is
    that trial's failure, its traceback goes to the log; what the handler raises passes through.
    """

    def remark(text: str) -> None:
        print(f"{task}, attempt {task.attempt}: {text}", file=log, flush=True)
        handler(TrialNotice(number=task.number, attempt=task.attempt, text=text))

    if setup.files is None:
        return _train(trainer, task, handler, NO_CHECKPOINTS, log)
    files = TrialFiles.of(Path(setup.files), task.purpose)
    ended = _read_ended(files.ended(task.number), _identity(setup, task), remark)
    if ended is not None:
        return dataclasses.replace(ended, attempt=task.attempt)
    params = dict(task.params)
    with FileCheckpoints(files, task.number, _identity(setup, task), remark) as checkpoints:

        def heard(event: Event) -> Reply:
            answer = handler(event)
            if isinstance(event, SuggestRequest) and isinstance(answer, SuggestReply):
                params[event.name] = answer.value
                checkpoints.identity = _identity(setup, dataclasses.replace(task, params=params))
            return answer

        ended = _train(trainer, task, heard, _with_snapshots(checkpoints, trainer, setup, task, remark), log)
    if ended is not None:
        try:
            line = f"{checkpoints.identity}\n{to_line(ended)}"
            write_durably(files.ended(task.number), append_checksum(line.encode()))
        except OSError as error:
            remark(f"its result could not be saved ({error.strerror}) before the database has it")
    return ended


def _with_snapshots(
    checkpoints: Checkpoints, trainer: Trainer, setup: TrainerSetup, task: TrialTask, remark: Callable[[str], None]
) -> Checkpoints:
    """Return the checkpoints, which also leave snapshots where they are asked for."""
    if setup.snapshots is None or task.purpose != Purpose.SEARCH:
        return checkpoints

    def save_model(state: TrainingCheckpoint, path: Path) -> None:
        trainer.save_model(task.params, state, path)

    return Snapshots(checkpoints, Path(setup.snapshots), task.number, save_model, remark)


def _train(
    trainer: Trainer, task: TrialTask, handler: Callable[[Event], Reply], checkpoints: Checkpoints, log: TextIO
) -> TaskResult | None:
    def ask(event: Event) -> Reply:
        try:
            return handler(event)
        except BaseException as error:
            raise _AnswerError(error) from error

    def tell(metrics: EpochMetrics) -> bool:
        return bool(ask(EpochFinished(number=task.number, attempt=task.attempt, metrics=metrics)))

    is_refused = False

    def suggest(name: str, distribution: str, default: Value) -> Value:
        nonlocal is_refused
        question = SuggestRequest(
            number=task.number, attempt=task.attempt, name=name, distribution=distribution, default=default
        )
        answer = ask(question)
        if not isinstance(answer, SuggestReply):
            raise _StoppedError
        if answer.value is None:
            is_refused = True
            raise ValueError(answer.refusal)
        return answer.value

    try:
        if task.purpose == Purpose.TEST:
            looked = _look_at_test(trainer, task, tell, checkpoints)
            if looked is None:
                return None
            return LookFinished(number=task.number, attempt=task.attempt, outcome=looked)
        if task.purpose == Purpose.SEARCH:
            outcome = trainer.train(task, tell, checkpoints, suggest)
        else:
            outcome = trainer.train(task, tell, checkpoints)
    except _AnswerError as error:
        raise error.raised from None
    except _StoppedError:
        return None
    except DivergedError as error:
        return TrialFailed(number=task.number, attempt=task.attempt, reason=str(error), by_settings=True)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - see `run_task`
        print(f"{task}, attempt {task.attempt}:", file=log)
        traceback.print_exc(file=log)
        log.flush()
        by_settings = type(error).__name__ in _BY_SETTINGS and not is_refused
        return TrialFailed(number=task.number, attempt=task.attempt, reason=_one_line(error), by_settings=by_settings)
    if outcome is None:
        return None
    return TrialFinished(number=task.number, attempt=task.attempt, outcome=outcome)


def _look_at_test(
    trainer: Trainer, task: TrialTask, tell: Callable[[EpochMetrics], bool], checkpoints: Checkpoints
) -> TestEvaluation | None:
    """Evaluate on the test rows what training gave; where its weights are gone it trains again, to the same bits."""
    weights = checkpoints.weights(task.weights_sha256)
    if weights is None:
        kept = _RetainWeights(checkpoints)
        if trainer.train(task, tell, kept) is None:
            return None
        weights = kept.last
        assert weights is not None
    rows = trainer.look_at_test(task, weights).to_text()
    return TestEvaluation(rows=rows, objective=trainer.test_objective(task, weights))


class _RetainWeights(NoCheckpoints):
    """Keeps the weights at hand besides; trains from the beginning."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints
        self.last: Arrays | None = None

    def save_weights(self, weights: Arrays) -> str | None:
        self.last = weights
        return self._checkpoints.save_weights(weights)


def _identity(setup: TrainerSetup, task: TrialTask) -> str:
    """Return what a trial's files must be of: this trial of this study on these data."""
    facts: list[Any] = [setup.study_uuid, setup.spec.fingerprint(), setup.sha256, task.number, dict(task.params)]
    if task.purpose != Purpose.SEARCH:
        facts += [task.purpose, task.seed]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _read_ended(path: Path, identity: str, remark: Callable[[str], None]) -> TaskResult | None:
    """Return how a trial ended, if an earlier process wrote it; what is damaged is said, and passed over."""
    try:
        written, line = strip_checksum(path.read_bytes()).decode().split("\n", 1)
        ended = from_line(line) if written == identity else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, DamagedError) as error:  # another version's may read otherwise
        remark(f"{path.name} is damaged ({error}); the trial's end is trained again")
        return None
    assert ended is None or isinstance(ended, TaskResult)
    return ended


def _one_line(error: BaseException) -> str:
    """Return what was raised as one short line that any database takes."""
    text = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST_REASON]
    return text.encode("utf-8", "replace").decode()


def serve(commands: "queue.SimpleQueue[str]", events: TextIO, make: Callable[[TrainerSetup], Trainer]) -> None:
    """Make the trainer, then train one task after the other; never returns."""

    def say(line: str) -> None:
        events.write(line)
        events.flush()

    def ask(event: Event) -> Reply:
        assert not isinstance(event, WorkerLost | EngineNotice)
        say(to_line(event))
        return isinstance(event, EpochFinished | SuggestRequest) and answer_from_line(commands.get())

    setup = setup_from_line(commands.get())
    gc.disable()  # all that is imported stays: looking for garbage among it takes a fifth of the start
    trainer = make(setup)
    gc.freeze()
    gc.enable()
    say(READY_LINE)
    while True:
        task = TrialTask(**json.loads(commands.get()))
        ended = run_task(trainer, setup, task, ask, sys.stderr)
        if ended is not None:
            say(to_line(ended))


def main(make: Callable[[TrainerSetup], Trainer] = make_trainer) -> None:
    """Serve the coordinator at the other end of stdin and stdout."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    heard = os.fdopen(os.dup(0), encoding="utf-8")
    with open(os.devnull, "rb") as nothing:  # a HyperModel that asks its user must not take what is meant for us
        os.dup2(nothing.fileno(), 0)
    commands: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        for line in heard:
            commands.put(line)
        os._exit(0)  # the coordinator is gone: nobody would hear what this trial gives

    threading.Thread(target=listen, daemon=True).start()
    serve(commands, events, make)


if __name__ == "__main__":
    main()
