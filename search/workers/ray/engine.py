"""The engine `ray`: workers on a Ray cluster, or on a temporary Ray of this machine if no address is given.

Another process, the gateway, talks to Ray (see `gateway.py`), so that Ray's errors can't harm the coordinator.
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

from ....studies.errors import InputError, RegsearchError, StorageUnavailableError
from ....studies.files import open_own_file
from ....studies.trial import TrialTask
from ...machine import core_count
from ...training.hypermodel.code import read_code
from ...training.setup import TrainerSetup
from ..base import Handler
from ..gpus import check_share, gpus_of
from ..protocol import (
    EngineNotice,
    LookFinished,
    TrialFailed,
    TrialFinished,
    TrialNotice,
    WorkerLost,
)
from ..worker_process import last_line
from .node import DECIDING, NodeSetup, this_machine
from .worker_pool import Capacity, GatewayConfig, PendingReply

_COMMAND = (sys.executable, "-P", "-m", "regsearch.search.workers.ray.gateway")
_MOST_WORKERS = 1024
_STOP_SECONDS = 4.0
_ANSWER_SECONDS = 60.0  # a server that isn't Ray may accept a connection and never answer
_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}


class RayEngine:
    """The engine `ray`, which trains on a Ray cluster.

    Args:
        address: the address of the cluster's head, such as "10.0.0.5:6379", or "auto"; None: start a Ray on this
            machine for this run only.
        cpus_per_worker: the number of CPUs for each worker, such as 2 or 0.5; default 1.
        gpus_per_worker: the number of GPUs for each worker, such as 2 or 0.5; default 0.
        command: the command that starts a worker on a node; None: use the regsearch that is installed there.
        environment: more environment variables for the workers. Variables that may change a result are always copied
            (see `DECIDING`).

    Raises InputError if Ray isn't installed, or if an argument isn't allowed.

    Example:
        >>> result = regsearch.run("mnist", engine=RayEngine("auto", gpus_per_worker=0.5))  # doctest: +SKIP
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
            raise InputError("the engine `ray` needs Ray, which is not installed: pip install 'regsearch[ray]'")
        if (
            address is not None and address != "auto" and not _is_head(address)
        ):  # the message omits it: it may hold a password
            raise InputError(
                "--address must be the address of the cluster's head, such as 10.0.0.5:6379. On a machine of the "
                "cluster it may be auto. Ray's client (ray://) can't be used."
            )
        self._address = address
        self._cpus = check_share("--cpus-per-worker", cpus_per_worker, "more than 0")
        self._gpus = check_share("--gpus-per-worker", gpus_per_worker, "at least 0")
        self._command, self._environment = command, environment or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._tasks: dict[int, TrialTask] = {}
        self._capacity = Capacity(count=0, waiting=())
        options = {"address": address, "cpus_per_worker": cpus_per_worker, "gpus_per_worker": gpus_per_worker}
        self.options = {name: value for name, value in options.items() if value is not None}

    def planned_workers(self, asked: int | None) -> int:
        """Return how many trials may run at once. On a cluster the default is high, because nodes may join later.

        Raises InputError if no cluster is used and this machine has too few GPUs.
        """
        if self._address is None and self._gpus:
            gpus_of(asked or 1, self._gpus)
        if asked is not None:
            return asked
        return max(int(core_count() / self._cpus), 1) if self._address is None else _MOST_WORKERS

    def start(self, setup: TrainerSetup, workers: int, log_prefix: Path) -> None:
        """Start the gateway, which starts the workers."""
        reference = setup.spec.model.hypermodel
        is_file = reference is not None and reference.rpartition(":")[0].endswith(".py")
        copied_variables = {name: value for name, value in os.environ.items() if name.startswith(DECIDING)}
        self._folder = tempfile.mkdtemp(prefix="regsearch-ray-", dir="/tmp")  # paths of sockets must be short
        self._log = Path(f"{log_prefix}ray.log")
        self._workers = workers
        own_end, gateway_end = Pipe()
        with gateway_end, open(self._log, "ab", opener=open_own_file) as log:
            self._process = subprocess.Popen(
                [*_COMMAND, str(gateway_end.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **_ENVIRONMENT},
                pass_fds=[gateway_end.fileno()],
                start_new_session=True,
            )
        self._connection = own_end
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
                    environment={**copied_variables, **self._environment},
                    code=read_code(reference) if is_file and reference is not None else None,
                    is_here=self._address is None,
                ),
            )
        )
        self._capacity = Capacity(count=0 if self._address is not None else workers, waiting=())

    def free_workers(self) -> int:
        """Return how many more tasks can be submitted. Workers that are still starting count as free."""
        return max(self._capacity.count - len(self._tasks), 0)

    def tasks_waiting_for_startup(self) -> list[int]:
        """Return the numbers of the tasks that wait for a worker."""
        return list(self._capacity.waiting)

    def is_busy(self) -> bool:
        """Return whether any submitted task has not ended yet."""
        return bool(self._tasks)

    def submit(self, task: TrialTask) -> None:
        """Send a task to the gateway; the next free worker gets it."""
        self._tasks[task.number] = task
        self._send(("submit", task))

    def wait(self, handler: Handler, timeout_seconds: float) -> None:
        """Pass the workers' events to the handler. If a node is lost, its trials usually resume on other nodes."""
        assert self._connection is not None
        if not self._connection.poll(timeout_seconds):
            return
        while True:
            try:
                message = self._connection.recv()
            except (EOFError, OSError) as error:
                raise self._unavailable() from error
            self._take(message, handler)
            if self._connection is None or not self._connection.poll(0):
                return

    def kill_worker_of(self, task: TrialTask, reason: str) -> None:
        """End the worker that trains this task. A task that still waits for a worker is not affected."""
        self._send(("kill_worker_of", task.number, task.attempt, reason))

    def stop(self) -> None:
        """End all workers, and the Ray that this engine started."""
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

    def _take(self, message: object, handler: Handler) -> None:
        match message:
            case RegsearchError():
                raise message
            case Capacity():
                self._capacity = message
            case PendingReply(event=event, number=number):
                reply = handler(event)
                if not reply:
                    self._tasks.pop(event.number, None)
                self._send(("reply", event.number, number, reply))
            case EngineNotice() | TrialNotice():
                handler(message)
            case TrialFinished() | LookFinished() | TrialFailed() | WorkerLost():
                self._tasks.pop(message.number, None)
                handler(message)

    def _send(self, message: object) -> None:
        """Send a message to the gateway. If the gateway is gone, do nothing: `wait` reports that."""
        assert self._connection is not None
        with suppress(BrokenPipeError, ConnectionResetError):
            self._connection.send(message)

    def _unavailable(self) -> StorageUnavailableError:
        where = "of this machine" if self._address is None else f"at {self._address}"
        return StorageUnavailableError(
            f"the Ray {where} is gone ({last_line(self._log)[:300]}; its log is {self._log})"
        )


def _is_head(address: str) -> bool:
    """Return whether an address has the form HOST:PORT."""
    host, _, port = address.rpartition(":")
    is_host = re.fullmatch(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]", host) is not None
    return is_host and port.isdecimal() and 0 < int(port) < 1 << 16


ENGINE = RayEngine
