"""The gateway, `python -m regsearch.search.workers.ray.gateway`: a process between the coordinator and Ray.

If the cluster's head is gone, Ray ends the process that uses Ray. Ray also takes over signals and writes to the
terminal. None of this harms the coordinator, which does not use Ray itself. The coordinator only notices that the
gateway has ended. The gateway runs as many workers as the cluster has room for, each in its own actor. It writes the
files of the workers' trials into the coordinator's directory.
"""

import os
import queue
import shutil
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from math import ceil
from multiprocessing.connection import Connection
from typing import Any

from ....studies.errors import InputError, RegsearchError, StorageUnavailableError, one_line
from ...data.arrays import KEYS
from ...training.setup import load_data
from .worker_pool import Capacity, GatewayConfig, WorkerPool

_TICK_SECONDS = 1.0
_END_SECONDS = 10.0  # after the coordinator has died, the gateway exits within this time in any case
_CONNECT_SECONDS = 5.0
_OBJECT_STORE_BYTES = 100_000_000  # for a Ray that the gateway starts; checkpoints of trials pass through it


def capacity(nodes: list[Mapping[str, Any]], cpus: float, gpus: float) -> int:
    """Return how many workers the nodes have room for, if no other programs run there.

    Args:
        nodes: the nodes, as `ray.nodes()` returns them.
        cpus, gpus: the number of CPUs and GPUs for each worker.

    Example:
        >>> capacity([{"Alive": True, "Resources": {"CPU": 4.0}}], cpus=2, gpus=0)
        2
    """
    needs = {"CPU": cpus, "GPU": gpus}
    return sum(
        min(int(node["Resources"].get(name, 0.0) / count + 1e-9) for name, count in needs.items() if count)
        for node in nodes
        if node["Alive"]
    )


def main() -> None:
    """Serve the coordinator through a connection, whose file descriptor is the only command-line argument."""
    connection = Connection(int(sys.argv[1]))
    config: GatewayConfig = connection.recv()
    calls: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()

    def listen() -> None:
        with suppress(EOFError, OSError):
            while True:
                calls.put(connection.recv())
        calls.put(("stop",))
        time.sleep(_END_SECONDS)
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    try:
        with suppress(BrokenPipeError):
            _serve(config, connection, calls)
    except Exception:  # noqa: BLE001 - the coordinator quotes the last line of this process's log
        traceback.print_exc()
    finally:
        _end_ray(owns_ray=config.address is None)
        shutil.rmtree(config.folder, ignore_errors=True)
        sys.stderr.flush()
        os._exit(0)  # Ray's exit handlers would wait for a head that is gone


def _serve(config: GatewayConfig, connection: Connection, calls: "queue.SimpleQueue[tuple[Any, ...]]") -> None:
    """Connect to Ray, then run the method calls in the queue, until the coordinator sends `stop`."""
    import ray

    workers = WorkerPool(config, connection.send, lambda *call: calls.put(call))
    reported: Capacity | None = None
    try:
        with _connection_timeout(config, connection):
            _connect(config)
        if config.address is not None:
            dataset = load_data(config.node.setup)
            workers.set_data([ray.put({key: getattr(dataset, key) for key in KEYS})])
        workers.set_room(capacity(ray.nodes(), config.cpus, config.gpus))
        threading.Thread(target=_watch_nodes, args=(config, calls), daemon=True).start()
        while True:
            current = Capacity(count=workers.count(), waiting=workers.waiting())
            if current != reported:
                connection.send(current)
                reported = current
            method, *arguments = calls.get()
            if method == "stop":
                return
            getattr(workers, method)(*arguments)
    except RegsearchError as error:
        connection.send(error)
    finally:
        workers.close()


@contextmanager
def _connection_timeout(config: GatewayConfig, connection: Connection) -> Iterator[None]:
    """If the cluster doesn't answer in time, send an error to the coordinator and exit."""

    def end() -> None:
        try:
            connection.send(
                StorageUnavailableError(
                    f"{config.address} accepted the connection, but no Ray cluster answered within "
                    f"{config.answer_seconds:g} s. Check that it is the address of a Ray head, and that the cluster is "
                    "healthy."
                )
            )
        finally:
            shutil.rmtree(config.folder, ignore_errors=True)
            os._exit(1)

    timer = threading.Timer(config.answer_seconds, end)
    if config.address is not None:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end_ray(*, owns_ray: bool) -> None:
    """Leave the cluster. If the gateway started Ray, kill Ray instead, because its orderly end would take 1.5 s."""
    import ray

    if not owns_ray or not _processes_of_session():
        ray.shutdown()
        return
    for _ in range(2):  # a process may have started another one just before it was killed
        for pid in _processes_of_session():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _processes_of_session() -> list[int]:
    """Return the ids of all other processes in this session; an empty list if the system has no /proc."""
    pids = []
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        with suppress(ValueError, OSError):  # no process, a process that has ended, or one without permission
            if os.getsid(int(name)) == os.getsid(0) and int(name) != os.getpid():
                pids.append(int(name))
    return pids


def _token_hint(config: GatewayConfig) -> str:
    """Return a hint for an error message if the cluster may need Ray's token, otherwise "".

    Without RAY_AUTH_MODE, `ray.init` doesn't read the file with the token.
    """
    may_ask = config.address is not None and "RAY_AUTH_MODE" not in os.environ
    has_token = os.path.exists(os.path.expanduser("~/.ray/auth_token"))
    return "; if the cluster asks for Ray's token, set RAY_AUTH_MODE=token" if may_ask and has_token else ""


def _watch_nodes(config: GatewayConfig, calls: "queue.SimpleQueue[tuple[Any, ...]]") -> None:
    """Check once a second how many workers the cluster has room for.

    If the head is gone, Ray ends this process after a while.
    """
    import ray

    while True:
        time.sleep(_TICK_SECONDS)
        with suppress(Exception):
            calls.put(("set_room", capacity(ray.nodes(), config.cpus, config.gpus)))


def _connect(config: GatewayConfig) -> None:
    """Connect to the cluster, or start a Ray here.

    Raises InputError if this machine has too few GPUs, and StorageUnavailableError if Ray doesn't answer or start.
    """
    import ray

    warnings.simplefilter("ignore")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error", "configure_logging": False}
    try:
        if config.address is not None:
            host, _, port = config.address.rpartition(":")
            if port.isdecimal():  # `ray.init` would try for 15 seconds
                socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
            ray.init(address=config.address, **quiet)
            return
        ray.init(
            address="local",
            num_cpus=max(ceil(config.workers * config.cpus), 1),
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            _node_ip_address="127.0.0.1",
            _temp_dir=config.folder,
            **quiet,
        )
    except Exception as error:
        failure = f"no Ray cluster answers at {config.address}"
        if config.address is None:
            failure = "Ray can't be started here"
        raise StorageUnavailableError(f"{failure} ({one_line(str(error))}){_token_hint(config)}") from error
    if capacity(ray.nodes(), config.cpus, config.gpus) < config.workers:
        gpus = int(ray.cluster_resources().get("GPU", 0))
        raise InputError(
            f"--gpus-per-worker {config.gpus:g}: this machine's GPUs ({gpus}) are not enough for {config.workers} "
            "workers. Lower --workers or --gpus-per-worker."
        )


if __name__ == "__main__":
    main()
