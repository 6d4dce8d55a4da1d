"""What the coordinator asks of every engine."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from regsearch.search.training.setup import TrainerSetup
from regsearch.search.workers.protocol import Event, Reply
from regsearch.studies.trial import TrialTask

Handler = Callable[[Event], Reply]
"""Told each event; its answer counts for an EpochFinished and for a Suggest."""


class Engine(Protocol):
    """Runs tasks on workers and hands on what they say."""

    def planned_workers(self, asked: int | None) -> int:
        """Return how many trials may run at once, if not asked as many as suit; nothing is started yet.

        Raises InputError where so many can't run.
        """
        ...

    def start(self, setup: TrainerSetup, workers: int, log_prefix: Path) -> None:
        """Begin to start the workers; returns at once.

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
        """Return the numbers of the tasks whose workers still start: they have not begun with them."""
        ...

    def is_busy(self) -> bool:
        """Return whether a submitted task has not come to its end."""
        ...

    def submit(self, task: TrialTask) -> None:
        """Give a task to a free worker."""
        ...

    def wait(self, handler: Handler, timeout_seconds: float) -> None:
        """Hand on what workers say, until something was said or the time is over.

        What the handler raises passes through. Raises NoResultError where workers can't start, UnavailableError
        where the machines that they are on can't be reached any more.
        """
        ...

    def kill_worker_of(self, task: TrialTask, reason: str) -> None:
        """End the worker that has this task; a later `wait` says that it was lost, and for what reason.

        Does nothing where it can't be ended, or has no such task any more.
        """
        ...

    def stop(self) -> None:
        """End all workers, whatever they do; takes less than five seconds; may be called twice."""
        ...
