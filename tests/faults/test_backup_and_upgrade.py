"""Backups beside a search that works, and upgrades that are killed."""

import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import fakes
import pytest
from conftest import ROOT
from databases.restore import contents, restore, schemas
from faults.test_kills import count_finished, start, wait_for
from helpers import assert_whole, finished

from regsearch.search import api
from regsearch.search.workers.inline import InlineEngine
from regsearch.storage import backup, schema, sqlite
from regsearch.studies.errors import InputError, StorageError


@pytest.mark.slow
def test_an_upgrade_killed_anywhere_leaves_the_old_database_or_the_new(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "support" / "killed_upgrades.py", tmp_path],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{ROOT / 'tests' / 'support'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 14


def test_a_backup_beside_a_search_holds_all_that_was_acknowledged(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/regsearch.db"
    with start(tmp_path, "run", "smoke", "--trials", "500", "--workers", "2", FAKE_EPOCH_SECONDS="0") as process:
        try:
            for number in range(3):
                wait_for(lambda number=number: count_finished(storage) > 3 * number)
                acknowledged = finished(storage)
                copy = api.backup(f"{number}.db", storage=storage)
                assert_whole(f"sqlite:///{copy}")
                copied = finished(f"sqlite:///{copy}")
                for trial, row in acknowledged.items():  # its curve was read a moment before its end
                    curve = copied[trial]["curve"][: len(row["curve"])]
                    assert {**copied[trial], "curve": curve} == row
            assert process.poll() is None  # it was still searching
        finally:
            process.kill()
            process.communicate()
    total = len(copied) + 4
    result = api.resume("smoke", storage=f"sqlite:///{copy}", trials=total, engine=InlineEngine(fakes.FakeTrainer))
    assert result.answer.counts.finished == total
    after = finished(f"sqlite:///{copy}")
    assert {trial: after[trial] for trial in copied} == copied
    assert not list(tmp_path.glob(".regsearch-backup-*"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return restore(schema.SCHEMA, tmp_path / "test.db")


def back_up(path: Path, target: Path) -> None:
    """Back up, and whatever happens leave nothing but the target, or nothing."""
    before = {file.name: file.lstat().st_mtime_ns for file in path.parent.iterdir()}
    try:
        backup.back_up(path, target)
    finally:
        after = {file.name: file.lstat().st_mtime_ns for file in path.parent.iterdir() if file != target}
        assert {name: time for name, time in before.items() if name != target.name} == after


def test_a_backup_is_a_file_of_its_own_that_only_its_owner_reads(path: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma journal_mode=wal")
        back_up_file = tmp_path / "copy.db"
        backup.back_up(path, back_up_file)
    assert back_up_file.stat().st_mode & 0o777 == 0o600
    assert contents(back_up_file) == contents(path)
    with closing(sqlite3.connect(back_up_file)) as connection:
        assert connection.execute("pragma journal_mode").fetchone() == ("delete",)
    assert not [file.name for file in tmp_path.iterdir() if file.name.startswith(("copy.db-", "."))]


@pytest.mark.parametrize("there", ["file", "folder", "dangling link", "the database"])
def test_a_backup_overwrites_nothing(there: str, path: Path, tmp_path: Path) -> None:
    target = path if there == "the database" else tmp_path / "there"
    if there == "file":
        target.write_text("mine")
    elif there == "folder":
        target.mkdir()
    elif there == "dangling link":
        target.symlink_to(tmp_path / "nowhere")
    before = path.read_bytes()
    with pytest.raises(InputError, match="exists already"):
        back_up(path, target)
    assert path.read_bytes() == before
    assert there != "file" or target.read_text() == "mine"


def test_a_file_that_appears_while_the_backup_is_made_is_not_overwritten(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "copy.db"
    fsync = os.fsync

    def appear(handle: int) -> None:
        fsync(handle)
        target.write_text("mine")

    monkeypatch.setattr(os, "fsync", appear)
    with pytest.raises(InputError, match="was just created by another process"):
        back_up(path, target)
    assert target.read_text() == "mine"


def test_a_file_system_without_hard_links_serves_as_well(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    back_up(path, tmp_path / "copy.db")
    assert contents(tmp_path / "copy.db") == contents(path)


def test_a_backup_is_on_the_disk_before_it_has_its_name(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened = []
    for name in ("fsync", "link"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, real=real: (happened.append(name), real(*a)))
    back_up(path, tmp_path / "copy.db")
    assert happened == ["fsync", "link", "fsync"]  # the copy, its name, the folder


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """Every write beyond `size` bytes fails, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("size", [0, 4096, 100_000])
def test_no_room_is_one_line_and_leaves_nothing(size: int, path: Path, tmp_path: Path) -> None:
    with files_no_longer_than(size), pytest.raises(StorageError, match=r"copy\.db can't be written: .*Free disk space"):
        back_up(path, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


@pytest.mark.parametrize("size", [0, 4096, 100_000, 164_000])
def test_no_room_for_an_upgrade_leaves_the_old_database(size: int, tmp_path: Path) -> None:
    path = restore(schemas()[0], tmp_path / "test.db")
    before = path.read_bytes()
    api.upgrade(storage=f"sqlite:///{restore(schemas()[0], tmp_path / 'warm.db')}")  # Python writes what it compiled
    with files_no_longer_than(size), pytest.raises(StorageError, match=r"can't be (written|used)"):
        api.upgrade(storage=f"sqlite:///{path}")
    assert path.read_bytes() == before
    assert not list(tmp_path.glob(".regsearch-backup-*"))


def test_a_read_only_place_is_one_line(path: Path) -> None:
    if not Path("/sys").is_dir():
        reason = "no /sys here, where not even root can make a file"
        pytest.skip(reason)
    with pytest.raises(StorageError, match=r"/sys/copy\.db can't be written"):
        back_up(path, Path("/sys/copy.db"))


def test_a_missing_folder_is_a_mistake(path: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"there is no directory {tmp_path}/absent"):
        back_up(path, tmp_path / "absent" / "copy.db")


def test_a_name_that_is_too_long_is_one_line(path: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="File name too long"):
        back_up(path, tmp_path / ("a" * 300))


@pytest.mark.parametrize("damage", ["a page", "what only a check sees"])
def test_a_damaged_database_is_not_copied(damage: str, path: Path, tmp_path: Path) -> None:
    if damage == "a page":
        content = bytearray(path.read_bytes())
        content[-8192:-4096] = b"\xa5" * 4096
        path.write_bytes(content)
    else:  # a null where there may be none
        for sql in (
            "replace(sql, 'attempt INTEGER NOT', 'attempt INTEGER')",
            "replace(sql, 'INTEGER NULL', 'INTEGER')",
        ):
            with closing(sqlite3.connect(path)) as connection, connection:
                connection.execute("pragma writable_schema=on")
                connection.execute(f"update sqlite_master set sql = {sql} where name = 'regsearch_trials'")
            with closing(sqlite3.connect(path)) as connection, connection:
                connection.execute("update regsearch_trials set attempt = null where number = 0")
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("pragma writable_schema=on")
            restored = "replace(sql, 'attempt INTEGER', 'attempt INTEGER NOT NULL')"
            connection.execute(f"update sqlite_master set sql = {restored} where name = 'regsearch_trials'")
    with pytest.raises(StorageError, match="is damaged"):
        back_up(path, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


def test_a_locked_database_is_not_waited_for_for_ever(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "LOCK_SECONDS", 0)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin exclusive")
        with pytest.raises(StorageError, match="locked by another process"):
            backup.back_up(path, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()
