"""The engine `processes`: each worker is a subprocess on this machine, connected to the coordinator by pipes.

When a worker dies, its pipe closes, and the coordinator notices that at once. Workers run in their own sessions, so
Ctrl-C in the terminal reaches only the coordinator. They end by themselves when the coordinator is gone.
"""

import dataclasses
import os
import selectors
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...studies.errors import NoResultError
from ...studies.trial import TrialTask
from ..machine import core_count
from ..training.setup import TrainerSetup
from .base import Handler
from .gpus import check_share, gpus_of
from .protocol import (
    READY_LINE,
    EpochFinished,
    SuggestRequest,
    TrialFailed,
    TrialNotice,
    WorkerLost,
    from_line,
    reply_to_line,
    task_to_line,
)
from .worker_process import (
    BAD_MESSAGE,
    DEATH_POLL_SECONDS,
    GRACE_SECONDS,
    KERAS_TRIALS_PER_PROCESS,
    START_TRIES,
    WORKER_COMMAND,
    WorkerProcess,
    is_worn_out,
    last_line,
)


class ProcessEngine:
    """The engine `processes`, which trains in subprocesses on this machine.

    Args:
        command: the command that starts a worker.
        keras_trials_per_process: the number of trials with Keras after which a worker is replaced.
        gpus_per_worker: the number of GPUs for each worker, such as 2 or 0.5; None: all workers share all GPUs.

    Raises InputError if `gpus_per_worker` isn't allowed.

    Example:
        >>> ProcessEngine().planned_workers(3)
        3
    """

    def __init__(
        self,
        command: Sequence[str] = WORKER_COMMAND,
        keras_trials_per_process: int = KERAS_TRIALS_PER_PROCESS,
        gpus_per_worker: float | None = None,
    ) -> None:
        self._command = command
        self._keras_trials_per_process = keras_trials_per_process
        self.options = {} if gpus_per_worker is None else {"gpus_per_worker": gpus_per_worker}
        self._gpus_per_worker = None
        if gpus_per_worker is not None:
            self._gpus_per_worker = check_share("--gpus-per-worker", gpus_per_worker, "at least 0")
        self._setup: TrainerSetup | None = None
        self._workers: list[WorkerProcess] = []
        self._selector = selectors.DefaultSelector()

    def planned_workers(self, asked: int | None) -> int:
        """Return the number of workers, by default one per core; raise InputError if there are too few GPUs."""
        workers = core_count() if asked is None else asked
        if self._gpus_per_worker is not None:
            gpus_of(workers, self._gpus_per_worker)
        return workers

    def start(self, setup: TrainerSetup, workers: int, log_prefix: Path) -> None:
        """Start the processes; each loads TensorFlow and the data while the coordinator prepares the first trials."""
        self._setup = setup
        environments = [dict(os.environ) for _ in range(workers)]
        if self._gpus_per_worker is not None:
            for environment, gpus in zip(environments, gpus_of(workers, self._gpus_per_worker), strict=True):
                environment["CUDA_VISIBLE_DEVICES"] = gpus
        try:
            for slot, environment in enumerate(environments):
                self._workers.append(self._new_worker(Path(f"{log_prefix}{slot}.log"), environment))
        except OSError as error:
            if error.filename is not None:  # the log can't be opened, often because another user owns the directory
                raise NoResultError(f"workers can't be started: {error.filename}: {error.strerror}") from error
            raise NoResultError(
                f"{workers} workers can't be started: {error.strerror}. Try fewer --workers."
            ) from error

    def free_workers(self) -> int:
        """Return how many workers have no task. Workers that are starting count too: they read their tasks later."""
        return sum(worker.task is None for worker in self._workers)

    def tasks_waiting_for_startup(self) -> list[int]:
        """Return the numbers of the tasks that wait until their workers have started."""
        return [worker.task.number for worker in self._workers if worker.task is not None and not worker.is_ready]

    def is_busy(self) -> bool:
        """Return whether a worker has a task."""
        return any(worker.task is not None for worker in self._workers)

    def submit(self, task: TrialTask) -> None:
        """Send the task to a worker that has none."""
        assert self._setup is not None
        slot = next(slot for slot, worker in enumerate(self._workers) if worker.task is None)
        if is_worn_out(self._workers[slot].trials, self._setup.spec, self._keras_trials_per_process):
            self._retire(slot)
        worker = self._workers[slot]
        worker.task = task
        worker.trials += 1
        worker.send(task_to_line(task))

    def wait(self, handler: Handler, timeout_seconds: float) -> None:
        """Pass the events of the workers to the handler; replace a worker that died, and report its task as lost."""
        ready = {key.fileobj for key, _ in self._selector.select(min(timeout_seconds, DEATH_POLL_SECONDS))}
        for worker in list(self._workers):
            if worker not in self._workers:  # it was replaced while an event of another worker was handled
                continue
            if worker not in ready and not worker.has_exited():
                continue
            lines = worker.read_lines()
            if lines is None:
                self._replace_dead(worker, handler)
                continue
            for line in lines:
                if worker.kill_reason is None:
                    self._take(worker, line, handler)

    def kill_worker_of(self, task: TrialTask, reason: str) -> None:
        """Kill the worker that trains this task: a hung worker might not react to anything else."""
        for worker in self._workers:
            if worker.task == task:
                worker.kill_reason = reason
                worker.kill()

    def stop(self) -> None:
        """Terminate all workers, then wait until they have ended."""
        for worker in self._workers:
            worker.process.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        while self._workers:
            worker = self._workers.pop()
            self._selector.unregister(worker)
            worker.end(deadline)

    def processes(self) -> list[int]:
        """Return the process ids of the workers."""
        return [worker.process.pid for worker in self._workers]

    def _new_worker(self, log: Path, environment: Mapping[str, str]) -> WorkerProcess:
        assert self._setup is not None
        worker = WorkerProcess(self._command, self._setup, log, environment)
        self._selector.register(worker, selectors.EVENT_READ)
        return worker

    def _retire(self, slot: int) -> None:
        """Replace a worker that has no task by a new process."""
        worker = self._workers[slot]
        self._selector.unregister(worker)
        worker.process.terminate()
        worker.end(time.monotonic() + GRACE_SECONDS)
        self._workers[slot] = self._new_worker(worker.log, worker.environment)

    def _take(self, worker: WorkerProcess, line: str, handler: Handler) -> None:
        if line + "\n" == READY_LINE:
            worker.is_ready, worker.failed_starts = True, 0
            return
        try:
            event = from_line(line)
            if not isinstance(event, TrialNotice):  # a notice may come late, after its trial was stopped
                worker.check_sender(event)
        except ValueError as error:
            worker.kill_reason = f"{BAD_MESSAGE}: {error}"
            worker.kill()
            return
        if isinstance(event, TrialNotice):
            handler(event)
            return
        if isinstance(event, EpochFinished | SuggestRequest):
            reply = handler(event)
            if not reply:
                worker.task = None
            worker.send(reply_to_line(reply))
            return
        worker.task = None
        if isinstance(event, TrialFailed):
            event = dataclasses.replace(event, log=str(worker.log))
        handler(event)

    def _replace_dead(self, worker: WorkerProcess, handler: Handler) -> None:
        """Replace a dead worker, and report that its task was lost."""
        self._selector.unregister(worker)
        self._workers.remove(worker)
        ending = worker.end(time.monotonic() + GRACE_SECONDS)
        ending = worker.kill_reason or ending
        failed_starts = 0 if worker.is_ready else worker.failed_starts + 1
        if failed_starts < START_TRIES:
            successor = self._new_worker(worker.log, worker.environment)
            successor.failed_starts = failed_starts
            self._workers.append(successor)
        elif not self._workers:
            raise NoResultError(f"workers can't start ({ending}): {last_line(worker.log)}; their log is {worker.log}")
        if worker.task is None:
            return
        if not worker.is_ready and failed_starts < START_TRIES:  # it died before it could start the task
            self.submit(worker.task)
        else:
            reason = f"its worker was lost ({ending}); its log is {worker.log}"
            handler(WorkerLost(number=worker.task.number, attempt=worker.task.attempt, reason=reason))


ENGINE = ProcessEngine
