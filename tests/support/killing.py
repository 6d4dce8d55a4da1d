"""Stands for kill -9 in this process: an exception that nothing handles, at a counted call and at every later one."""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import sqlalchemy

from regsearch.search.training.checkpoints import FileCheckpoints, TrainingCheckpoint
from regsearch.storage import sqlite

_FILE_CALLS = ("fsync", "replace", "rename", "unlink", "mkdir", "rmdir")


class Killed(BaseException):
    """Stands for kill -9: nothing that handles errors handles this."""


class KillSwitch:
    """Counts calls (statements, commits, the moment after each commit, changes of files), and kills at one."""

    def __init__(self, at: int | None) -> None:
        self.calls, self.at = 0, at

    def count(self, *_: Any) -> None:
        self.calls += 1
        if self.is_dead:  # a killed process makes no later call either
            raise Killed

    @property
    def is_dead(self) -> bool:
        return self.at is not None and self.calls >= self.at


@contextmanager
def kill_at(at: int | None) -> Iterator[KillSwitch]:
    """Kill what runs in the block at its so-manieth call; None: only count."""
    switch = KillSwitch(at)
    opened: list[sqlite3.Connection] = []
    connector = sqlite.connector
    begin, save, excepthook = sqlite._begin_immediately, FileCheckpoints.save, threading.excepthook

    def instrumented(engine: sqlalchemy.Engine, writing: bool, *waiting: Any) -> None:
        begin(engine, writing, *waiting)
        if writing:
            for event in ("before_cursor_execute", "commit", "checkin"):
                sqlalchemy.event.listen(engine, event, switch.count)

    def remembered(path: Path, writing: bool) -> Callable[[], sqlite3.Connection]:
        connect = connector(path, writing)

        def connected() -> sqlite3.Connection:
            opened.append(connect())
            return opened[-1]

        return connected

    def save_at_once(checkpoints: FileCheckpoints, state: TrainingCheckpoint) -> None:
        """Wait for the thread that writes, so that a number always means the same call."""
        save(checkpoints, state)
        writer = checkpoints._writer
        if writer is not None:
            writer.join()

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*arguments: Any, **options: Any) -> Any:
            switch.count()
            return call(*arguments, **options)

        return counting

    def hook(raised: Any) -> None:
        if raised.exc_type is not Killed:
            excepthook(raised)

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(sqlite, "_begin_immediately", instrumented))
        stack.enter_context(mock.patch.object(sqlite, "connector", remembered))
        stack.enter_context(mock.patch.object(FileCheckpoints, "save", save_at_once))
        stack.enter_context(mock.patch.object(threading, "excepthook", hook))
        for name in _FILE_CALLS:
            stack.enter_context(mock.patch.object(os, name, counted(getattr(os, name))))
        try:
            yield switch
        finally:
            for connection in opened if switch.is_dead else ():  # as the kernel does
                connection.close()
