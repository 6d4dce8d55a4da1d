"""The engine `inline`: it trains in this process, for debugging or for systems that allow no other process."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

from ...studies.errors import NoResultError
from ...studies.files import open_own_file
from ...studies.trial import TrialTask
from ..machine import core_count
from ..training.setup import ThreadsError, TrainerSetup, make_trainer
from ..training.trainer import Trainer
from .base import Handler
from .protocol import TrialFailed
from .worker import run_task


class InlineEngine:
    """Trains one trial at a time in this process; the option `workers` has no effect."""

    def __init__(self, make: Callable[[TrainerSetup], Trainer] = make_trainer) -> None:
        self._make = make
        self._setup: TrainerSetup | None = None
        self._log_path = Path(os.devnull)
        self._trainer: Trainer | None = None
        self._task: TrialTask | None = None

    def planned_workers(self, asked: int | None) -> int:
        """Return the number that the user asked for, by default one per core. This engine ignores the number."""
        return core_count() if asked is None else asked

    def start(self, setup: TrainerSetup, workers: int, log_prefix: Path) -> None:
        """Store the setup; TensorFlow starts when the first trial starts."""
        self._setup = setup
        self._log_path = Path(f"{log_prefix}0.log")

    def free_workers(self) -> int:
        """Return 1 if no task is submitted, else 0."""
        return int(self._task is None)

    def tasks_waiting_for_startup(self) -> list[int]:
        """Return an empty list: this engine has no workers that must start first."""
        return []

    def is_busy(self) -> bool:
        """Return whether a submitted task waits for training."""
        return self._task is not None

    def submit(self, task: TrialTask) -> None:
        """Store a task; the next `wait` trains it."""
        assert self._task is None
        self._task = task

    def wait(self, handler: Handler, timeout_seconds: float) -> None:
        """Train the submitted task to its end; pass each of its events to the handler."""
        if self._task is None:
            return
        task, self._task = self._task, None
        assert self._setup is not None
        with open(self._log_path, "a", encoding="utf-8", errors="backslashreplace", opener=open_own_file) as log:
            ended = run_task(self._started_trainer(), self._setup, task, handler, log)
        if isinstance(ended, TrialFailed):
            ended = dataclasses.replace(ended, log=str(self._log_path))
        if ended is not None:
            handler(ended)

    def kill_worker_of(self, task: TrialTask, reason: str) -> None:
        """Do nothing: this process trains the task itself, so there is no worker to kill."""

    def stop(self) -> None:
        """Discard the submitted task."""
        self._task = None

    def _started_trainer(self) -> Trainer:
        if self._trainer is None:
            assert self._setup is not None
            try:
                self._trainer = self._make(self._setup)
            except ThreadsError as error:
                raise NoResultError(
                    "the inline engine can't start: TensorFlow already runs in this process, and the number of "
                    "its threads can't change any more. Restart the process, or use the engine `processes`."
                ) from error
        return self._trainer


ENGINE = InlineEngine
