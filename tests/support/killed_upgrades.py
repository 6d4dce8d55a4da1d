"""Kills upgrades of a database at one call after another, each in a process of its own, and checks what is left.

python tests/support/killed_upgrades.py FOLDER [all] prints how many upgrades were killed.
"""

import os
import sqlite3
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from databases.restore import contents, restore
from helpers import assert_whole

from regsearch.search import api
from regsearch.storage import schema
from regsearch.studies.errors import StorageError

_WATCHED = ("posix", "sqlite3", "_sqlite3", "fcntl", "_io", "io")


def upgrade_killed_at(path: Path, at: int) -> int:
    """Upgrade in a child that dies, without a word to SQLite, at a call into it or the system.

    Returns how many calls it made if it came to its end, else 0.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        calls = 0

        def count(_frame: FrameType, event: str, called: Any) -> None:
            nonlocal calls
            if event not in ("c_call", "c_return"):
                return
            owner = getattr(called, "__self__", None)
            if called.__module__ in _WATCHED or isinstance(owner, sqlite3.Connection | sqlite3.Cursor):
                calls += 1
                if calls == at:
                    os._exit(9)

        sys.setprofile(count)
        api.upgrade(storage=f"sqlite:///{path}")
        sys.setprofile(None)
        os.write(writing, str(calls).encode())
        os._exit(0)
    os.close(writing)
    with open(reading) as pipe:
        calls_made = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == (0 if calls_made else 9)
    return int(calls_made or 0)


def check(path: Path, before: dict[str, list[dict[str, object]]]) -> None:
    """Check that the database is the old one or the new one, and that it upgrades."""
    storage = f"sqlite:///{path}"
    refused = ""
    try:
        api.statuses(storage=storage)
    except StorageError as error:
        refused = str(error)
    if refused:
        assert "has regsearch's schema 0001" in refused
        assert contents(path) == before
    else:
        assert all("weights_sha256" in row for row in contents(path)["regsearch_trials"])
    assert_whole(storage)
    for backup in path.parent.glob("*.backup-*"):
        assert contents(backup) == before
    api.upgrade(storage=storage)
    with api.reading(storage) as database, database.read() as connection:
        schema.check(connection, path)
    after = contents(path)
    for table, rows in before.items():
        assert [{key: row[key] for key in old} for row, old in zip(after[table], rows, strict=True)] == rows


def main(folder: Path, *, every: bool) -> int:
    """Kill at every call, or at a few and each of the last fourteen, which write the database; how many were killed."""
    for name in ("imports", "whole"):
        (folder / name).mkdir()
        path = restore("0001", folder / name / "test.db")
        if name == "imports":  # once here, and not again in each child
            api.upgrade(storage=f"sqlite:///{path}")
    calls = upgrade_killed_at(path, 0)
    last = range(calls - 13, calls + 1)
    points = range(1, calls + 1) if every else [*range(7, calls - 13, calls // 4), *last]
    killed = 0
    for at in points:
        place = folder / str(at)
        place.mkdir()
        path = restore("0001", place / "test.db")
        before = contents(path)
        killed += upgrade_killed_at(path, at) == 0  # not each process makes the very same calls
        check(path, before)
    return killed


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), every=sys.argv[2:] == ["all"]))
