"""A worker that runs as a subprocess, `python -m regsearch.search.workers.worker`, connected by two pipes."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...studies.files import open_own_file
from ...studies.spec import StudySpec
from ...studies.trial import TrialTask
from ..quiet_tensorflow import QUIET_TENSORFLOW
from ..training.setup import TrainerSetup
from .protocol import WorkerMessage, setup_to_line

WORKER_COMMAND = (
    sys.executable,
    "-P",
    "-m",
    "regsearch.search.workers.worker",
)  # -P: Python must not import a `regsearch` from the current directory
START_TRIES = 5
GRACE_SECONDS = 2.0
DEATH_POLL_SECONDS = 1.0  # a worker's death is noticed at least this soon, even if a child of it holds its pipe open
_END_POLL_SECONDS = 0.01
BAD_MESSAGE = "code that is not regsearch's wrote into the pipe to the coordinator"
KERAS_TRIALS_PER_PROCESS = 25  # TensorFlow never frees some megabytes of each network that Keras compiles

# level 2, not 3: a worker's log also contains the errors of TensorFlow
_ENVIRONMENT = {**QUIET_TENSORFLOW, "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONUNBUFFERED": "1"}


class WorkerProcess:
    """The subprocess of a worker, and the task that the worker has now.

    Args:
        command: the command that starts the subprocess.
        setup: what the worker must know before its first trial.
        log: the file for the worker's log; the output of libraries goes there too.
        environment: the environment variables of the subprocess.
    """

    def __init__(
        self, command: Sequence[str], setup: TrainerSetup, log: Path, environment: Mapping[str, str] = os.environ
    ) -> None:
        self.log = log
        self.environment = environment
        self.task: TrialTask | None = None
        self.is_ready = False
        self.trials = 0
        self.failed_starts = 0  # how many processes in a row have failed to start in the place of this one
        self.kill_reason: str | None = None  # why the coordinator killed it
        self._unread = b""
        with open(log, "ab", opener=open_own_file) as log_file:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log_file,
                env={**environment, **_ENVIRONMENT},
                start_new_session=True,
            )
        os.set_blocking(self.fileno(), False)
        self.send(setup_to_line(setup))

    def send(self, line: str) -> None:
        """Write a line to the worker. If the worker has died, do nothing: `read_lines` then returns None."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(line.encode())
            self.process.stdin.flush()

    def fileno(self) -> int:
        """Return the file descriptor from which the events of the worker are read."""
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def read_lines(self) -> list[str] | None:
        """Return the lines that have arrived; None if the worker is gone and nothing is left to read."""
        has_exited = self.has_exited()
        try:
            content = os.read(self.fileno(), 65536)
        except BlockingIOError:  # nothing has arrived; a child that a dead worker left may hold the pipe open
            return None if has_exited else []
        if not content:
            return None
        *lines, self._unread = (self._unread + content).split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def has_exited(self) -> bool:
        """Return whether the process has ended; its process id stays reserved until `end` is called."""
        if self.process.returncode is None and hasattr(os, "waitid"):
            return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        return self.process.poll() is not None

    def check_sender(self, event: WorkerMessage) -> None:
        """Raise ValueError unless a message is about the task that this worker has now."""
        if self.task is None or (event.number, event.attempt) != (self.task.number, self.task.attempt):
            raise ValueError(f"{event.event} about task {event.number}, attempt {event.attempt}")

    def kill(self) -> None:
        """Kill the process and all processes that it started, except those that left its process group."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # a group of zombies, on macOS
                os.killpg(self.process.pid, signal.SIGKILL)

    def end(self, deadline: float) -> str:
        """Wait for the process to end, and kill its process group. Return how it ended, such as "exited with code 1".

        Args:
            deadline: when to stop waiting and kill the process, in seconds of `time.monotonic`.
        """
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):  # the pipe may hold a reply that can no longer be sent
                pipe.close()
        while not self.has_exited() and time.monotonic() < deadline:
            time.sleep(_END_POLL_SECONDS)
        self.kill()
        code = self.process.wait()
        return f"ended by signal {-code}" if code < 0 else f"exited with code {code}"


def is_worn_out(trials: int, spec: StudySpec, keras_trials_per_process: int = KERAS_TRIALS_PER_PROCESS) -> bool:
    """Return whether a process must be replaced, because it has trained too many trials with Keras."""
    return (
        spec.training.trainer == "keras" or spec.model.hypermodel is not None
    ) and trials >= keras_trials_per_process


def last_line(log: Path) -> str:
    """Return the last line in a log that contains any text."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "its log is empty")
