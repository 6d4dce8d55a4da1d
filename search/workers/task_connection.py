"""Connects one task to the coordinator: reports epochs, asks for parameters, and stores the result on disk."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from ...studies.files import DamagedError, append_checksum, strip_checksum, write_durably
from ...studies.trial import EpochMetrics, Purpose, TrialTask, Value
from ...studies.trial_files import TrialFiles
from ..training.checkpoints import NO_CHECKPOINTS, Checkpoints, FileCheckpoints
from ..training.setup import TrainerSetup
from .protocol import (
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
    from_line,
    to_line,
)


class HandlerError(BaseException):
    """Wraps an exception of the handler in a BaseException, which a trainer's `except Exception` does not catch.

    Args:
        raised: the handler's exception.
    """

    def __init__(self, raised: BaseException) -> None:
        super().__init__(raised)
        self.raised = raised


class TaskStopped(BaseException):
    """Raised when the coordinator ended the task; a trainer's `except Exception` does not catch it."""


class TaskConnection:
    """A worker's connection to the coordinator while it trains one task.

    Args:
        setup: the worker's setup.
        task: the task to train.
        handler: passes an event to the coordinator and returns the reply.
        log: the worker's log.
    """

    def __init__(self, setup: TrainerSetup, task: TrialTask, handler: Callable[[Event], Reply], log: TextIO) -> None:
        self.task, self.log = task, log
        self.is_refused = False  # whether the coordinator gave no value for a parameter
        self._setup, self._handler = setup, handler
        self._files = None if setup.files is None else TrialFiles.of(Path(setup.files), task.purpose)
        self._params = dict(task.params)  # with a HyperModel, each suggestion adds a parameter
        self._file_checkpoints: FileCheckpoints | None = None

    @property
    def has_files(self) -> bool:
        """Whether the task keeps its checkpoints and its result on disk."""
        return self._files is not None

    @property
    def identity(self) -> str:
        """The hash of the study, its data and this trial; files with another hash belong to another trial."""
        setup, task = self._setup, self.task
        facts: list[Any] = [setup.study_uuid, setup.spec.fingerprint(), setup.sha256, task.number, self._params]
        if task.purpose != Purpose.SEARCH:
            facts += [task.purpose, task.seed]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    @contextmanager
    def checkpoints(self) -> Iterator[Checkpoints]:
        """Yield the task's checkpoints. When the block ends, the last checkpoint is on disk."""
        if self._files is None:
            yield NO_CHECKPOINTS
            return
        with FileCheckpoints(self._files, self.task.number, self.identity, self.notice) as checkpoints:
            self._file_checkpoints = checkpoints
            yield checkpoints

    def report_epoch(self, metrics: EpochMetrics) -> bool:
        """Report one epoch; return whether the trial continues."""
        return bool(self._ask(EpochFinished(number=self.task.number, attempt=self.task.attempt, metrics=metrics)))

    def suggest(self, name: str, distribution: str, default: Value) -> Value:
        """Return the coordinator's value for a parameter of a HyperModel.

        Raises ValueError if the coordinator gives no value, and TaskStopped if it ended the task.
        """
        number, attempt = self.task.number, self.task.attempt
        reply = self._ask(
            SuggestRequest(number=number, attempt=attempt, name=name, distribution=distribution, default=default)
        )
        if not isinstance(reply, SuggestReply):
            raise TaskStopped
        self._params[name] = reply.value
        if self._file_checkpoints is not None:
            self._file_checkpoints.identity = self.identity
        if reply.value is None:
            self.is_refused = True
            raise ValueError(reply.refusal)
        return reply.value

    def notice(self, text: str) -> None:
        """Send one line to the user, and write it to the log."""
        print(f"{self.task}, attempt {self.task.attempt}: {text}", file=self.log, flush=True)
        self._handler(TrialNotice(number=self.task.number, attempt=self.task.attempt, text=text))

    def earlier_result(self) -> TaskResult | None:
        """Return the result if an earlier process trained this task to its end, else None."""
        if self._files is None:
            return None
        result = read_result(self._files.ended(self.task.number), self.identity, self.notice)
        return None if result is None else dataclasses.replace(result, attempt=self.task.attempt)

    def finish(self, result: TaskResult) -> None:
        """Write the result to disk, so that it survives a crash of the coordinator."""
        if self._files is None:
            return
        try:
            line = f"{self.identity}\n{to_line(result)}"
            write_durably(self._files.ended(self.task.number), append_checksum(line.encode()))
        except OSError as error:
            self.notice(
                f"its result could not be saved ({error.strerror}); if the search stops now, the trial trains again"
            )

    def _ask(self, event: Event) -> Reply:
        try:
            return self._handler(event)
        except BaseException as error:
            raise HandlerError(error) from error


def read_result(path: Path, identity: str, notice: Callable[[str], None]) -> TaskResult | None:
    """Return the result in a task's file; None if the file is missing or has another identity.

    The result is also None if the file is damaged or has another version; then `notice` gets a message.
    """
    try:
        file_identity, line = strip_checksum(path.read_bytes()).decode().split("\n", 1)
        result = from_line(line) if file_identity == identity else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, DamagedError) as error:
        notice(f"{path.name} is damaged or has another version ({error}); the trial resumes from its last checkpoint")
        return None
    assert result is None or isinstance(result, TrialFinished | LookFinished | TrialFailed)
    return result
