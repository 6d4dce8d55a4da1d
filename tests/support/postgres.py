"""PostgreSQL for tests: databases on a server that runs, servers of their own that can be killed, a line that breaks.

REGSEARCH_TEST_POSTGRES names the server: the URL of a database whose user may create others.
`python tests/support/postgres.py` prints the URL of one that answers on this machine, if there is one; CI sets the
variable to it.
"""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest import mock

import psycopg
import pytest
import sqlalchemy

SERVER = os.environ.get("REGSEARCH_TEST_POSTGRES")
needs_postgres = pytest.mark.skipif(SERVER is None, reason="REGSEARCH_TEST_POSTGRES names no PostgreSQL server here")
KINDS = ["sqlite", pytest.param("postgres", marks=needs_postgres)]
"""Of databases, for tests that take both."""

PASSWORD = "of-the-tests"

_ON_THIS_MACHINE = "postgresql+psycopg://postgres@127.0.0.1/postgres"
_PROGRAMS = ("/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin")


@contextmanager
def new_storage(kind: str, folder: Path, server: str | None = None) -> Iterator[str]:
    """Give the URL of a database that isn't there yet, or of one on a server that has no tables yet."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/test.db"
    else:
        with new_database(server) as url:
            yield url


@contextmanager
def folder_of_files() -> Iterator[Path]:
    """Give a folder that goes, in which files of a server's studies lie meanwhile."""
    with tempfile.TemporaryDirectory() as folder, files_in(Path(folder)):
        yield Path(folder)


@contextmanager
def files_in(folder: Path) -> Iterator[None]:
    """Let the files of a server's studies lie in a folder."""
    with mock.patch.dict(os.environ, REGSEARCH_FILES=str(folder)):
        yield


@contextmanager
def new_database(server: str | None = None) -> Iterator[str]:
    """Give the URL of a new database, which is dropped afterwards."""
    server = server or SERVER
    assert server is not None
    name = f"regsearch_test_{os.getpid()}_{uuid.uuid4().hex[:8]}"
    url = sqlalchemy.make_url(server).set(database=name).render_as_string(hide_password=False)
    with database_called(url, server):
        yield url


@contextmanager
def database_called(url: str, server: str | None = None) -> Iterator[None]:
    """Make the database that a URL names, which isn't there yet, and drop it afterwards."""
    parsed = sqlalchemy.make_url(url)
    server = server or parsed.set(database="postgres").render_as_string(hide_password=False)
    execute(server, f"create database {parsed.database}")
    try:
        yield
    finally:
        execute(server, f"drop database {parsed.database} with (force)")


def execute(url: str, statement: str, *bound: Any) -> list[Any]:
    """Run a statement, committed at once, and return its rows."""
    with connected(url) as connection:
        connection.autocommit = True
        cursor = connection.execute(statement, bound or None)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def connected(url: str) -> Iterator["psycopg.Connection[Any]"]:
    """Give a connection of psycopg's own."""
    parsed = sqlalchemy.make_url(url)
    bare = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(bare, connect_timeout=10) as connection:
        yield connection


def copy_of(url: str) -> sqlite3.Connection:
    """Return what a database holds at one moment, as SQLite keeps it, in memory: for those who read plain SQL."""
    copy = sqlite3.connect(":memory:", isolation_level=None)
    with connected(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        tables = "select table_name from information_schema.tables where table_schema = current_schema() order by 1"
        for (table,) in connection.execute(tables).fetchall():
            cursor = connection.execute(f'select * from "{table}"')
            assert cursor.description is not None
            names = [column.name for column in cursor.description]
            copy.execute(f'create table "{table}" ({", ".join(names)})')
            marks = ", ".join("?" * len(names))
            copy.executemany(f'insert into "{table}" values ({marks})', [tuple(map(_kept, row)) for row in cursor])
    return copy


def _kept(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    return value


class OwnServer:
    """A server of one's own; a context manager.

    Attributes:
        url: of its database `postgres`.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="regsearch-postgres-"))
        self._user = "postgres" if os.geteuid() == 0 else None  # the server refuses root
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        self._data, self._port = self._folder / "data", _free_port()
        self.url = f"postgresql+psycopg://postgres@127.0.0.1:{self._port}/postgres"

    def __enter__(self) -> "OwnServer":
        self._run("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C")
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        with suppress(subprocess.CalledProcessError):  # it may be killed
            self.kill()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        """Start, or start again, and wait until it answers."""
        options = f"-p {self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._folder}"
        self._run("pg_ctl", "--wait", "start", "-l", str(self._folder / "log"), "-o", options)

    def is_running(self) -> bool:
        """Return whether it runs."""
        with suppress(subprocess.CalledProcessError):
            self._run("pg_ctl", "status")
            return True
        return False

    def ask_for_passwords(self) -> None:
        """Let nobody in any more without a password, which of the user `postgres` is `PASSWORD`."""
        execute(self.url, f"alter role postgres password '{PASSWORD}'")
        (self._data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        execute(self.url, "select pg_reload_conf()")

    def kill(self) -> None:
        """End it as a crash does: no checkpoint, every connection cut."""
        self._run("pg_ctl", "--wait", "stop", "--mode", "immediate")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [_program(program), "--pgdata", str(self._data), *arguments],
            check=True,
            user=self._user,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def has_programs() -> bool:
    """Return whether a server of one's own can be made here."""
    return _found("initdb") is not None


def _program(name: str) -> str:
    found = _found(name)
    assert found is not None, f"PostgreSQL's {name} is not here: install the server's programs"
    return found


def _found(name: str) -> str | None:
    folders = [str(folder) for pattern in _PROGRAMS for folder in sorted(Path("/").glob(pattern[1:]))]
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *folders]))


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class Line:
    """A line to a server that can lose the answer to a commit, and be cut; a context manager.

    Args:
        url: of a database on the server.
        loses: told how many commits have passed, this one included; returns "request" or "answer" where that is
            lost and the connection cut, else None.

    Attributes:
        url: of the database, over this line.
        lost: which commits were lost, and what of them.
    """

    def __init__(self, url: str, loses: Callable[[int], str | None]) -> None:
        parsed = sqlalchemy.make_url(url)
        self._target = (parsed.host or "127.0.0.1", parsed.port or 5432)
        self._loses, self._commits, self._lock = loses, 0, threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0))
        port = self._listening.getsockname()[1]
        self.url = parsed.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
        self.lost: list[tuple[int, str]] = []
        self._open: list[socket.socket] = []

    def __enter__(self) -> "Line":
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.refuse()
        self.cut()

    def refuse(self) -> None:
        """Let nobody through who isn't yet."""
        with suppress(OSError):  # it is closed already
            self._listening.shutdown(socket.SHUT_RDWR)  # who waits in accept() would let one more through
        self._listening.close()

    def cut(self) -> None:
        """Cut every connection."""
        with self._lock:
            cut, self._open = self._open, []
        for one in cut:
            _close(one)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
                server = socket.create_connection(self._target)
            except OSError:
                return
            with self._lock:
                self._open += [client, server]
            threading.Thread(target=self._carry, args=(client, server), daemon=True).start()

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        answers = threading.Thread(target=_pump, args=(server, client), daemon=True)
        is_begun = False
        with suppress(OSError):
            while request := client.recv(65536):
                if b"COMMIT\0" in request:  # not one that begins READ COMMITTED
                    with self._lock:
                        self._commits += 1
                        lost = self._loses(self._commits)
                        if lost is not None:
                            self.lost.append((self._commits, lost))
                    if lost == "request":
                        break
                    if lost == "answer":
                        server.settimeout(10)
                        _close(client)  # whatever the server says now, nobody hears
                        server.sendall(request)
                        time.sleep(0.05)
                        break
                if not is_begun:
                    is_begun = True
                    answers.start()
                server.sendall(request)
        _close(client)
        _close(server)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while answer := source.recv(65536):
            target.sendall(answer)
    _close(source)
    _close(target)


def _close(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


def _answers(url: str) -> bool:
    try:
        execute(url, "select 1")
    except psycopg.Error:
        return False
    return True


if __name__ == "__main__":
    if _answers(_ON_THIS_MACHINE):
        sys.stdout.write(_ON_THIS_MACHINE)
