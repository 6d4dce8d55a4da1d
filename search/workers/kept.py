"""An engine whose idle workers live on from one coordinator of a run to the next: TensorFlow starts once."""

from pathlib import Path

from regsearch.search.training.setup import TrainerSetup
from regsearch.search.workers.base import Engine, Handler
from regsearch.studies.trial import TrialTask


class KeptEngine:
    """Another engine, whose `stop` ends its workers only while one of them is busy; `close` always does."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._started: tuple[TrainerSetup, int] | None = None

    def planned_workers(self, asked: int | None) -> int:
        """Return how many trials may run at once."""
        return self._engine.planned_workers(asked)

    def start(self, setup: TrainerSetup, workers: int, log_prefix: Path) -> None:
        """Start the workers, unless at least as many are there."""
        if self._started is not None and self._started[0] == setup and self._started[1] >= workers:
            return
        self.close()
        self._started = (setup, workers)
        self._engine.start(setup, workers, log_prefix)

    def free_workers(self) -> int:
        """Return how many tasks can be submitted now."""
        return self._engine.free_workers()

    def tasks_waiting_for_startup(self) -> list[int]:
        """Return the numbers of the tasks whose workers still start."""
        return self._engine.tasks_waiting_for_startup()

    def is_busy(self) -> bool:
        """Return whether a submitted task has not come to its end."""
        return self._engine.is_busy()

    def submit(self, task: TrialTask) -> None:
        """Give a task to a free worker."""
        self._engine.submit(task)

    def wait(self, handler: Handler, timeout_seconds: float) -> None:
        """Hand on what workers say."""
        self._engine.wait(handler, timeout_seconds)

    def kill_worker_of(self, task: TrialTask, reason: str) -> None:
        """End the worker that has this task."""
        self._engine.kill_worker_of(task, reason)

    def stop(self) -> None:
        """End all workers if one of them is busy; what is idle waits for the next coordinator."""
        if self._engine.is_busy():
            self.close()

    def close(self) -> None:
        """End all workers, whatever they do."""
        self._started = None
        self._engine.stop()
