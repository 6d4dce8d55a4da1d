"""The interface of an engine: how the coordinator trains on workers."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ...studies.trial import TrialTask
from ..training.setup import TrainerSetup
from .protocol import Event, Reply

Handler = Callable[[Event], Reply]
"""Gets each event; its reply counts for an `EpochFinished` and a `SuggestRequest`."""


class Engine(Protocol):
    """Runs tasks on workers and passes on what they report."""

    def planned_workers(self, asked: int | None) -> int:
        """Return how many trials may run at once; nothing is started yet.

        Raises InputError if so many can't run.

        Args:
            asked: how many the user asked for; None: as many as suit the machines.
        """
        ...

    def start(self, setup: TrainerSetup, workers: int, log_prefix: Path) -> None:
        """Start the workers; return before they are ready.

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
        """Return the numbers of the tasks that wait because their workers still start."""
        ...

    def is_busy(self) -> bool:
        """Return whether a submitted task has not ended yet."""
        ...

    def submit(self, task: TrialTask) -> None:
        """Give a task to a free worker."""
        ...

    def wait(self, handler: Handler, timeout_seconds: float) -> None:
        """Pass on what workers report, until there was a report or the time is over.

        What the handler raises passes through. Raises NoResultError if workers can't start, and
        StorageUnavailableError if the machines that they are on can't be reached any more.
        """
        ...

    def kill_worker_of(self, task: TrialTask, reason: str) -> None:
        """End the worker that has this task; a later `wait` reports it as lost, with this reason.

        Does nothing if the worker can't be ended, or has another task by now.
        """
        ...

    def stop(self) -> None:
        """End all workers, whatever they do, within five seconds. A second call does nothing."""
        ...
