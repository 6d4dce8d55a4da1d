"""One task's connection to its coordinator: what its training reports and asks for, and its result on disk."""

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
    """Carries what the coordinator's side raised past every `except Exception` of a trainer.

    Args:
        raised: by the handler.
    """

    def __init__(self, raised: BaseException) -> None:
        super().__init__(raised)
        self.raised = raised


class TaskStopped(BaseException):
    """The coordinator ended the task; passes every `except Exception` of a trainer."""


class TaskConnection:
    """The coordinator as one task sees it, on the worker's side.

    Args:
        setup: of the worker.
        task: to be trained.
        handler: passes an event on to the coordinator and returns its reply.
        log: of the worker.
    """

    def __init__(self, setup: TrainerSetup, task: TrialTask, handler: Callable[[Event], Reply], log: TextIO) -> None:
        self.task, self.log = task, log
        self.is_refused = False  # whether the coordinator had no value for a parameter
        self._setup, self._handler = setup, handler
        self._files = None if setup.files is None else TrialFiles.of(Path(setup.files), task.purpose)
        self._params = dict(task.params)  # a HyperModel's grow with each suggestion
        self._file_checkpoints: FileCheckpoints | None = None

    @property
    def has_files(self) -> bool:
        """Whether the task keeps its checkpoints and its result on disk."""
        return self._files is not None

    @property
    def identity(self) -> str:
        """The hash of this trial of this study on these data: files with another one belong to another trial."""
        setup, task = self._setup, self.task
        facts: list[Any] = [setup.study_uuid, setup.spec.fingerprint(), setup.sha256, task.number, self._params]
        if task.purpose != Purpose.SEARCH:
            facts += [task.purpose, task.seed]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    @contextmanager
    def checkpoints(self) -> Iterator[Checkpoints]:
        """Yield the task's checkpoints; the last one is on disk when the context ends."""
        if self._files is None:
            yield NO_CHECKPOINTS
            return
        with FileCheckpoints(self._files, self.task.number, self.identity, self.notice) as checkpoints:
            self._file_checkpoints = checkpoints
            yield checkpoints

    def report_epoch(self, metrics: EpochMetrics) -> bool:
        """Report one epoch; return whether to continue."""
        return bool(self._ask(EpochFinished(number=self.task.number, attempt=self.task.attempt, metrics=metrics)))

    def suggest(self, name: str, distribution: str, default: Value) -> Value:
        """Return the coordinator's value for a parameter of a HyperModel.

        Raises ValueError if there is none, TaskStopped if the coordinator ended the task.
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
        """Tell the user something in one line; it goes to the log too."""
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
            self.notice(f"its result could not be saved ({error.strerror}) before the database has it")

    def _ask(self, event: Event) -> Reply:
        try:
            return self._handler(event)
        except BaseException as error:
            raise HandlerError(error) from error


def read_result(path: Path, identity: str, notice: Callable[[str], None]) -> TaskResult | None:
    """Return the result in a task's file, None if there is no file of this identity.

    A damaged file, or one of another version, is reported by `notice` and ignored.
    """
    try:
        written, line = strip_checksum(path.read_bytes()).decode().split("\n", 1)
        result = from_line(line) if written == identity else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, DamagedError) as error:
        notice(f"{path.name} is damaged ({error}); the trial's end is trained again")
        return None
    assert result is None or isinstance(result, TrialFinished | LookFinished | TrialFailed)
    return result
