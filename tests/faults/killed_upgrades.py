"""Kills upgrades of a database at one call after another, each in a process of its own, and checks what is left.

python tests/faults/killed_upgrades.py FOLDER 1 1 prints how many upgrades were killed.
"""

import os
import sqlite3
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from databases.restore import contents, restore
from helpers import assert_whole

from search import api
from storage import schema
from studies.errors import StorageError

_WATCHED = ("posix", "sqlite3", "_sqlite3", "fcntl", "shutil")


def upgrade_killed_at(path: Path, at: int) -> bool:
    """Upgrade in a child that dies, without a word to SQLite, at a call into it or the system; whether it did."""
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
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9), code
    return code == 9


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


def main(folder: Path, first: int, step: int) -> int:
    """Kill at every `step`th call, until an upgrade comes to its end; how many were killed."""
    killed = 0
    while True:
        place = folder / str(killed)
        place.mkdir()
        path = restore("0001", place / "test.db")
        before = contents(path)
        if not upgrade_killed_at(path, first + step * killed):
            return killed
        check(path, before)
        killed += 1


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), first=int(sys.argv[2]), step=int(sys.argv[3])))  # noqa: T201 - it is a program
