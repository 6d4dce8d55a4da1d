"""The process in which Ray's client lives, between coordinator and cluster.

It is `python -m regsearch.search.workers.ray.gateway`.

Ray ends its client's process when a cluster's head is gone, takes over signals and writes to the terminal: none of
that reaches the coordinator, which sees this process end. It keeps the workers, one actor each, as many as the
cluster has room for, and writes what comes back of trials into the coordinator's files.
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

from regsearch.search.data.arrays import KEYS
from regsearch.search.training.setup import load_data
from regsearch.search.workers.ray.worker_pool import Capacity, GatewayConfig, RayWorkers
from regsearch.studies.errors import InputError, RegsearchError, StorageUnavailableError, one_line

_TICK_SECONDS = 1.0
_END_SECONDS = 10.0  # after which a process whose coordinator is gone ends whatever it does
_CONNECT_SECONDS = 5.0
_OBJECT_STORE_BYTES = 100_000_000  # of a Ray of our own; states of trials pass through it


def capacity(nodes: list[Mapping[str, Any]], cpus: float, gpus: float) -> int:
    """Return how many workers the nodes have room for, whatever else runs there."""
    asked = {"CPU": cpus, "GPU": gpus}
    return sum(
        min(int(node["Resources"].get(name, 0.0) / count + 1e-9) for name, count in asked.items() if count)
        for node in nodes
        if node["Alive"]
    )


def main() -> None:
    """Serve the coordinator at the other end of the descriptor that is given."""
    connection = Connection(int(sys.argv[1]))
    begin: GatewayConfig = connection.recv()
    happened: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()

    def listen() -> None:
        with suppress(EOFError, OSError):
            while True:
                happened.put(connection.recv())
        happened.put(("stop",))
        time.sleep(_END_SECONDS)
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    try:
        with suppress(BrokenPipeError):
            _serve(begin, connection, happened)
    except Exception:  # noqa: BLE001 - the coordinator quotes the last line of this one's log
        traceback.print_exc()
    finally:
        _end_ray(is_ours=begin.address is None)
        shutil.rmtree(begin.folder, ignore_errors=True)
        sys.stderr.flush()
        os._exit(0)  # Ray's own handlers of the end would wait for what is gone


def _serve(begin: GatewayConfig, connection: Connection, happened: "queue.SimpleQueue[tuple[Any, ...]]") -> None:
    import ray

    workers = RayWorkers(begin, connection.send, lambda *what: happened.put(what))
    said: Capacity | None = None
    try:
        with _no_longer_than(begin, connection):
            _connect(begin)
        data = []
        if begin.address is not None:
            dataset = load_data(begin.node.setup)
            data = [ray.put({key: getattr(dataset, key) for key in KEYS})]
        workers.begin(data)
        workers.tick(capacity(ray.nodes(), begin.cpus, begin.gpus))
        threading.Thread(target=_look_round, args=(begin, happened), daemon=True).start()
        while True:
            places = Capacity(count=workers.count(), waiting=workers.waiting())
            if places != said:
                connection.send(places)
                said = places
            what, *arguments = happened.get()
            if what == "stop":
                return
            getattr(workers, what)(*arguments)
    except RegsearchError as error:
        connection.send(error)
    finally:
        workers.close()


@contextmanager
def _no_longer_than(begin: GatewayConfig, connection: Connection) -> Iterator[None]:
    """End this process, with a word to the coordinator, where a cluster doesn't let it in for so long."""

    def end() -> None:
        try:
            connection.send(
                StorageUnavailableError(
                    f"what is at {begin.address} took a connection, but let nobody in for {begin.answer_seconds:g} s: "
                    "see that it is the address of a Ray head, and that the cluster is well"
                )
            )
        finally:
            shutil.rmtree(begin.folder, ignore_errors=True)
            os._exit(1)

    timer = threading.Timer(begin.answer_seconds, end)
    if begin.address is not None:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _end_ray(*, is_ours: bool) -> None:
    """Leave the cluster; a Ray of our own, whose orderly end takes a second and a half, is killed where that can be."""
    import ray

    if not is_ours or not _of_our_session():
        ray.shutdown()
        return
    for _ in range(2):  # what was being started by whoever was killed
        for pid in _of_our_session():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _of_our_session() -> list[int]:
    """Return the processes that began in this one's session, but itself; none where the system doesn't list them."""
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        with suppress(ValueError, OSError):  # no process, gone, or one that we may not ask about
            if os.getsid(int(name)) == os.getsid(0) and int(name) != os.getpid():
                found.append(int(name))
    return found


def _of_token(begin: GatewayConfig) -> str:
    """Return what to do where a cluster may ask for a token: `ray start` lets it where there is one, `ray.init` not."""
    may_ask = begin.address is not None and "RAY_AUTH_MODE" not in os.environ
    has_token = os.path.exists(os.path.expanduser("~/.ray/auth_token"))
    return "; a cluster that asks for Ray's token needs RAY_AUTH_MODE=token here" if may_ask and has_token else ""


def _look_round(begin: GatewayConfig, happened: "queue.SimpleQueue[tuple[Any, ...]]") -> None:
    """Look once a second which nodes there are; where the head is gone, that call ends the process after a while."""
    import ray

    while True:
        time.sleep(_TICK_SECONDS)
        with suppress(Exception):
            happened.put(("tick", capacity(ray.nodes(), begin.cpus, begin.gpus)))


def _connect(begin: GatewayConfig) -> None:
    """Raises InputError where this machine hasn't what is asked, UnavailableError where no cluster answers."""
    import ray

    warnings.simplefilter("ignore")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error", "configure_logging": False}
    try:
        if begin.address is not None:
            host, _, port = begin.address.rpartition(":")
            if port.isdecimal():  # Ray itself would try for a quarter of a minute
                socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
            ray.init(address=begin.address, **quiet)
            return
        ray.init(
            address="local",
            num_cpus=max(ceil(begin.workers * begin.cpus), 1),
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            _node_ip_address="127.0.0.1",
            _temp_dir=begin.folder,
            **quiet,
        )
    except Exception as error:
        where = "Ray can't be started here" if begin.address is None else f"no Ray cluster answers at {begin.address}"
        raise StorageUnavailableError(f"{where} ({one_line(str(error))}){_of_token(begin)}") from error
    if capacity(ray.nodes(), begin.cpus, begin.gpus) < begin.workers:
        gpus = int(ray.cluster_resources().get("GPU", 0))
        raise InputError(
            f"--gpus-per-worker {begin.gpus:g}: this machine's GPUs ({gpus}) are not enough for {begin.workers} "
            "workers; give fewer --workers, or a smaller part of a GPU"
        )


if __name__ == "__main__":
    main()
