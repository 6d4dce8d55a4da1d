"""A Ray cluster of several nodes on this machine, each with one CPU: `python tests/support/ray_cluster.py`.

Prints its address, then does what each line of stdin says: "add" a node, "lose" the one that was added first, "lose
head". It ends with its stdin.
"""

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_NODE = {"num_cpus": 1, "object_store_memory": 100_000_000}

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed here: pip install 'regsearch[ray]'"
)


class RayCluster:
    """A cluster, in a process of its own."""

    def __init__(self, home: str, nodes: int) -> None:
        self.environment: Mapping[str, str] = {
            "HOME": home,
            "RAY_TMPDIR": home,
            "TMPDIR": home,
            "RAY_AUTH_MODE": "token",  # it listens to the network
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_gcs_rpc_server_reconnect_timeout_s": "3",
        }
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **self.environment},
            start_new_session=True,
            text=True,
        )
        try:
            self.address = self._read()
            for _ in range(nodes - 1):
                self.do("add")
        except BaseException:
            self.end()
            raise

    def do(self, what: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        assert self._read() == "done"

    def end(self) -> None:
        with suppress(BrokenPipeError), suppress(subprocess.TimeoutExpired):
            self._process.communicate(timeout=15)
        for pid in of_session(self._process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def _read(self) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("> "):
                return line[2:].strip()
        raise AssertionError("the cluster ended")


def of_session(leader: int) -> list[int]:
    """The processes that run in the session that this one began."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            _, state, _, _, session, *_ = ("_ " + stat.read_text().rpartition(") ")[2]).split()
            if int(session) == leader and state != "Z":
                found.append(int(stat.parent.name))
    return found


@contextmanager
def a_cluster(nodes: int = 2) -> Iterator[RayCluster]:
    home = tempfile.mkdtemp(prefix="regsearch-tests-", dir="/tmp")  # paths of sockets must be short
    try:
        cluster = RayCluster(home, nodes)
        try:
            yield cluster
        finally:
            cluster.end()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _main() -> None:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={**_NODE, "include_dashboard": False})
    print(f"> {cluster.address}", flush=True)
    added = []
    for line in sys.stdin:
        if line == "add\n":
            added.append(cluster.add_node(**_NODE))
        elif line == "lose\n":
            cluster.remove_node(added.pop(0), allow_graceful=False)
        else:
            cluster.head_node.kill_all_processes(check_alive=False, allow_graceful=False)
        print("> done", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    _main()
