"""The interface of an engine, which starts workers and gives them trials to train."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ...studies.trial import TrialTask
from ..training.setup import TrainerSetup
from .protocol import Event, Reply

Handler = Callable[[Event], Reply]
"""Receives each event of the workers. Only the replies to `EpochFinished` and `SuggestRequest` are used."""


class Engine(Protocol):
    """Runs tasks on workers and passes the events of the workers to the coordinator."""

    def planned_workers(self, asked: int | None) -> int:
        """Return how many trials may run at once. Start nothing.

        Raises InputError if that many trials can't run at once.

        Args:
            asked: the number of workers that the user asked for; None: the engine decides.
        """
        ...

    def start(self, setup: TrainerSetup, workers: int, log_prefix: Path) -> None:
        """Start the workers, and return without waiting until they are ready.

        Args:
            setup: what each worker must know before its first trial.
            workers: how many trials may run at once, at least 1.
            log_prefix: worker n writes its log to `{log_prefix}{n}.log`.
        """
        ...

    def free_workers(self) -> int:
        """Return how many tasks can be submitted now."""
        ...

    def tasks_waiting_for_startup(self) -> list[int]:
        """Return the numbers of the tasks that wait until their workers have started."""
        ...

    def is_busy(self) -> bool:
        """Return whether any submitted task has not ended yet."""
        ...

    def submit(self, task: TrialTask) -> None:
        """Give a task to a free worker."""
        ...

    def wait(self, handler: Handler, timeout_seconds: float) -> None:
        """Wait for events of the workers, at most until the timeout, and pass them to the handler.

        Exceptions of the handler are not caught. Raises NoResultError if workers can't start, and
        StorageUnavailableError if the Ray cluster can't be reached any more.
        """
        ...

    def kill_worker_of(self, task: TrialTask, reason: str) -> None:
        """End the worker that trains this task; a later `wait` reports the task as lost, for this reason.

        Does nothing if this engine can't end the worker, or if the worker has another task now.
        """
        ...

    def stop(self) -> None:
        """End all workers within five seconds, even if they are busy. A second call does nothing."""
        ...
