"""Workers as subprocesses of this machine, `python -m search.worker`, spoken to through pipes.

A worker's death is known at once from the end of its pipe. Workers have a session of their own, so a
Ctrl-C in the terminal reaches the coordinator alone; they end by themselves when it is gone.
"""

import contextlib
import dataclasses
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from search.engines.base import Handler
from search.events import (
    EpochFinished,
    Suggest,
    TrialFailed,
    TrialRemark,
    WorkerLost,
    answer_to_line,
    from_line,
)
from search.training.setup import TrainerSetup
from search.worker import READY_LINE, setup_to_line, task_to_line
from studies.errors import NoResultError
from studies.trial import TrialTask

WORKER_COMMAND = (sys.executable, "-P", "-m", "search.worker")  # -P: a folder `search` nearby is not ours

_KERAS_TRIALS_PER_PROCESS = 25  # TensorFlow keeps some megabytes of each network that Keras compiled
_START_TRIES = 5
_GRACE_SECONDS = 2.0
_ENVIRONMENT = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONUNBUFFERED": "1"}


class _Worker:
    """One subprocess, and the task that it has."""

    def __init__(self, command: Sequence[str], setup: TrainerSetup, log: Path) -> None:
        self.log = log
        self.task: TrialTask | None = None
        self.is_ready = False
        self.trials = 0
        self.failed_starts = 0  # of this slot, in a row
        self.given_up: str | None = None  # why it was killed
        self._unread = b""
        with log.open("ab") as log_file:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log_file,
                env={**os.environ, **_ENVIRONMENT},
                start_new_session=True,
            )
        self.send(setup_to_line(setup))

    def send(self, line: str) -> None:
        """Write a line; a worker that has died is noticed where its events are read."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(line.encode())
            self.process.stdin.flush()

    def fileno(self) -> int:
        """Return the descriptor that its events are read from."""
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def read_lines(self) -> list[str] | None:
        """Return the lines that came; None where the worker is gone."""
        content = os.read(self.fileno(), 65536)
        if not content:
            return None
        *lines, self._unread = (self._unread + content).split(b"\n")
        return [line.decode() for line in lines]

    def end(self, deadline: float) -> str:
        """Make sure that the process is over, killed if it isn't by the deadline; return how it ended."""
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):  # an answer that could not be sent any more
                pipe.close()
        try:
            code = self.process.wait(max(deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        return f"ended by signal {-code}" if code < 0 else f"exited with code {code}"


class ProcessEngine:
    """The engine `processes`."""

    def __init__(
        self, command: Sequence[str] = WORKER_COMMAND, keras_trials_per_process: int = _KERAS_TRIALS_PER_PROCESS
    ) -> None:
        self._command = command
        self._keras_trials_per_process = keras_trials_per_process
        self._setup: TrainerSetup | None = None
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()

    def start(self, setup: TrainerSetup, workers: int, log_prefix: Path) -> None:
        """Start the processes; each loads TensorFlow and the data while the first trials are asked for."""
        self._setup = setup
        try:
            for slot in range(workers):
                self._workers.append(self._new_worker(Path(f"{log_prefix}{slot}.log")))
        except OSError as error:
            raise NoResultError(
                f"{workers} workers can't be started ({error.strerror}): try fewer --workers"
            ) from error

    def free_workers(self) -> int:
        """Return how many workers have no task; one that still starts will find its task waiting."""
        return sum(worker.task is None for worker in self._workers)

    def starting(self) -> list[int]:
        """Return the numbers of the tasks whose workers have not said yet that they are ready."""
        return [worker.task.number for worker in self._workers if worker.task is not None and not worker.is_ready]

    def submit(self, task: TrialTask) -> None:
        """Send the task to a worker that has none."""
        slot = next(slot for slot, worker in enumerate(self._workers) if worker.task is None)
        if self._is_worn_out(self._workers[slot]):
            self._retire(slot)
        worker = self._workers[slot]
        worker.task = task
        worker.trials += 1
        worker.send(task_to_line(task))

    def wait(self, handler: Handler, timeout_seconds: float) -> None:
        """Hand on what workers say, and the loss of one that died; a new one takes its place."""
        for key, _ in self._selector.select(timeout_seconds):
            worker = next((worker for worker in self._workers if worker is key.fileobj), None)
            if worker is None:  # it was replaced while an earlier one of these was heard
                continue
            lines = worker.read_lines()
            if lines is None:
                self._replace_dead(worker, handler)
            else:
                for line in lines:
                    self._hear(worker, line, handler)

    def give_up(self, task: TrialTask, reason: str) -> None:
        """Kill the worker that has this task; one that hangs hears nothing else."""
        for worker in self._workers:
            if worker.task == task:
                worker.given_up = reason
                worker.process.kill()

    def stop(self) -> None:
        """Terminate all workers, then wait for them."""
        for worker in self._workers:
            worker.process.terminate()
        deadline = time.monotonic() + _GRACE_SECONDS
        while self._workers:
            worker = self._workers.pop()
            self._selector.unregister(worker)
            worker.end(deadline)

    def processes(self) -> list[int]:
        """Return the workers' process ids."""
        return [worker.process.pid for worker in self._workers]

    def _new_worker(self, log: Path) -> _Worker:
        assert self._setup is not None
        worker = _Worker(self._command, self._setup, log)
        self._selector.register(worker, selectors.EVENT_READ)
        return worker

    def _is_worn_out(self, worker: _Worker) -> bool:
        assert self._setup is not None
        spec = self._setup.spec
        is_keras = spec.training.trainer == "keras" or spec.model.hypermodel is not None
        return is_keras and worker.trials >= self._keras_trials_per_process

    def _retire(self, slot: int) -> None:
        """Replace a worker that has no task."""
        worker = self._workers[slot]
        self._selector.unregister(worker)
        worker.process.terminate()
        worker.end(time.monotonic() + _GRACE_SECONDS)
        self._workers[slot] = self._new_worker(worker.log)

    def _hear(self, worker: _Worker, line: str, handler: Handler) -> None:
        if line + "\n" == READY_LINE:
            worker.is_ready, worker.failed_starts = True, 0
            return
        event = from_line(line)
        if isinstance(event, TrialRemark):
            handler(event)
            return
        if isinstance(event, EpochFinished | Suggest):
            answer = handler(event)
            if not answer:
                worker.task = None
            worker.send(answer_to_line(answer))
            return
        worker.task = None
        if isinstance(event, TrialFailed):
            event = dataclasses.replace(event, log=str(worker.log))
        handler(event)

    def _replace_dead(self, worker: _Worker, handler: Handler) -> None:
        """Put a new worker in a dead one's place, and say that its trial was lost."""
        self._selector.unregister(worker)
        self._workers.remove(worker)
        ending = worker.end(time.monotonic() + _GRACE_SECONDS)
        ending = worker.given_up or ending
        failed_starts = 0 if worker.is_ready else worker.failed_starts + 1
        if failed_starts < _START_TRIES:
            successor = self._new_worker(worker.log)
            successor.failed_starts = failed_starts
            self._workers.append(successor)
        elif not self._workers:
            raise NoResultError(f"workers can't start ({ending}): {_last_line(worker.log)}; their log is {worker.log}")
        if worker.task is None:
            return
        if not worker.is_ready and failed_starts < _START_TRIES:  # it never began with its task
            self.submit(worker.task)
        else:
            reason = f"its worker was lost ({ending}); its log is {worker.log}"
            handler(WorkerLost(number=worker.task.number, attempt=worker.task.attempt, reason=reason))


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "its log is empty")


ENGINE = ProcessEngine
