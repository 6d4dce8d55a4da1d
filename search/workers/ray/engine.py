"""Workers on a Ray cluster, one actor each; without an address, on a Ray of this machine that comes and goes with them.

Ray itself runs in a process of its own, see `search.workers.ray.gateway`: what goes wrong there can't harm this one.
"""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from regsearch.search.machine import core_count
from regsearch.search.training.hypermodel.code import read_code
from regsearch.search.training.setup import TrainerSetup
from regsearch.search.workers.base import Handler
from regsearch.search.workers.gpus import check_share, gpus_of
from regsearch.search.workers.protocol import (
    EngineNotice,
    LookFinished,
    TrialFailed,
    TrialFinished,
    TrialNotice,
    WorkerLost,
)
from regsearch.search.workers.ray.node import DECIDING, NodeSetup, this_machine
from regsearch.search.workers.ray.worker_pool import Capacity, GatewayConfig, PendingReply
from regsearch.search.workers.worker_process import last_line
from regsearch.studies.errors import InputError, RegsearchError, StorageUnavailableError
from regsearch.studies.trial import TrialTask

_COMMAND = (sys.executable, "-P", "-m", "regsearch.search.workers.ray.gateway")
_MOST_WORKERS = 1024
_STOP_SECONDS = 4.0
_ANSWER_SECONDS = 60.0  # what is no Ray may take a connection, and say nothing for minutes
_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}


class RayEngine:
    """The engine `ray`.

    Args:
        address: of a cluster's head, such as "10.0.0.5:6379", or "auto"; None: a Ray of this machine, for this run.
        cpus_per_worker: how many CPUs a worker is given, or which part of one.
        gpus_per_worker: how many GPUs, or which part of one.
        command: starts a worker on a node; None: that node's own regsearch.
        environment: of the workers, besides what decides on figures here.

    Raises InputError where Ray isn't installed, and for what isn't allowed.
    """

    def __init__(
        self,
        address: str | None = None,
        cpus_per_worker: float = 1,
        gpus_per_worker: float = 0,
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        if importlib.util.find_spec("ray") is None:
            raise InputError("the engine `ray` needs Ray, which is not installed here: pip install 'regsearch[ray]'")
        if address is not None and address != "auto" and not _is_head(address):  # not repeated: it may hold a password
            raise InputError(
                "--address: give the address of the head, such as 10.0.0.5:6379, or auto, on a machine of the "
                "cluster; Ray's client can't be used"
            )
        self._address = address
        self._cpus = check_share("--cpus-per-worker", cpus_per_worker, "a part of 1")
        self._gpus = check_share("--gpus-per-worker", gpus_per_worker, "0")
        self._command, self._extra = command, environment or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._tasks: dict[int, TrialTask] = {}
        self._places = Capacity(count=0, waiting=())
        given = {"address": address, "cpus_per_worker": cpus_per_worker, "gpus_per_worker": gpus_per_worker}
        self.options = {name: value for name, value in given.items() if value is not None}

    def planned_workers(self, asked: int | None) -> int:
        """Return how many trials may run at once; on a cluster, as many as it will have room for.

        Raises InputError where this machine has too few GPUs for a Ray of its own.
        """
        if self._address is None and self._gpus:
            gpus_of(asked or 1, self._gpus)
        if asked is not None:
            return asked
        return max(int(core_count() / self._cpus), 1) if self._address is None else _MOST_WORKERS

    def start(self, setup: TrainerSetup, workers: int, log_prefix: Path) -> None:
        """Start the process that speaks with Ray; it starts the workers."""
        reference = setup.spec.model.hypermodel
        is_file = reference is not None and reference.rpartition(":")[0].endswith(".py")
        deciding = {name: value for name, value in os.environ.items() if name.startswith(DECIDING)}
        self._folder = tempfile.mkdtemp(prefix="regsearch-ray-", dir="/tmp")  # paths of sockets must be short
        self._log = Path(f"{log_prefix}ray.log")
        self._workers = workers
        ours, theirs = Pipe()
        with theirs, self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_COMMAND, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **_ENVIRONMENT},
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._connection = ours
        self._send(
            GatewayConfig(
                address=self._address,
                folder=self._folder,
                workers=workers,
                log_prefix=str(log_prefix),
                cpus=self._cpus,
                gpus=self._gpus,
                answer_seconds=_ANSWER_SECONDS,
                node=NodeSetup(
                    setup=setup,
                    machine=this_machine(),
                    command=self._command,
                    environment={**deciding, **self._extra},
                    code=read_code(reference) if is_file and reference is not None else None,
                    is_here=self._address is None,
                ),
            )
        )
        self._places = Capacity(count=0 if self._address is not None else workers, waiting=())

    def free_workers(self) -> int:
        """Return how many more tasks there are workers for; those that still start count."""
        return max(self._places.count - len(self._tasks), 0)

    def tasks_waiting_for_startup(self) -> list[int]:
        """Return the numbers of the tasks that wait for a worker."""
        return list(self._places.waiting)

    def is_busy(self) -> bool:
        """Return whether a submitted task has not come to its end."""
        return bool(self._tasks)

    def submit(self, task: TrialTask) -> None:
        """Hand a task over; the next free worker has it."""
        self._tasks[task.number] = task
        self._send(("submit", task))

    def wait(self, handler: Handler, timeout_seconds: float) -> None:
        """Hand on what comes; a worker whose node is lost is none of it, since its trial goes on elsewhere."""
        assert self._connection is not None
        if not self._connection.poll(timeout_seconds):
            return
        while True:
            try:
                said = self._connection.recv()
            except (EOFError, OSError) as error:
                raise self._unavailable() from error
            self._hear(said, handler)
            if self._connection is None or not self._connection.poll(0):
                return

    def kill_worker_of(self, task: TrialTask, reason: str) -> None:
        """End the worker that has this task; one that waits for a worker goes on waiting."""
        self._send(("kill_worker_of", task.number, task.attempt, reason))

    def stop(self) -> None:
        """End all workers, and the Ray of our own."""
        if self._process is None or self._connection is None:
            return
        self._send(("stop",))
        self._connection.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._process = self._connection = None
        self._tasks.clear()

    def _hear(self, said: object, handler: Handler) -> None:
        match said:
            case RegsearchError():
                raise said
            case Capacity():
                self._places = said
            case PendingReply(event=event, number=question):
                answer = handler(event)
                if not answer:
                    self._tasks.pop(event.number, None)
                self._send(("answer", event.number, question, answer))
            case EngineNotice() | TrialNotice():
                handler(said)
            case TrialFinished() | LookFinished() | TrialFailed() | WorkerLost():
                self._tasks.pop(said.number, None)
                handler(said)

    def _send(self, message: object) -> None:
        """Tell the process that speaks with Ray; that it is gone is noticed where it is listened to."""
        assert self._connection is not None
        with suppress(BrokenPipeError, ConnectionResetError):
            self._connection.send(message)

    def _unavailable(self) -> StorageUnavailableError:
        where = "of this machine" if self._address is None else f"at {self._address}"
        return StorageUnavailableError(
            f"the Ray {where} is gone ({last_line(self._log)[:300]}; its log is {self._log})"
        )


def _is_head(address: str) -> bool:
    """Return whether it is written HOST:PORT."""
    host, _, port = address.rpartition(":")
    is_host = re.fullmatch(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]", host) is not None
    return is_host and port.isdecimal() and 0 < int(port) < 1 << 16


ENGINE = RayEngine
