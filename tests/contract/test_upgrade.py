"""Databases of earlier versions: refused with the command that upgrades them, then upgraded, and all is still there."""

import fcntl
import os
import shlex
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import fakes
import optuna
import pytest
from alembic import command
from conftest import Command
from databases.restore import FOLDER, contents, restore, schemas
from helpers import assert_whole, finished

from regsearch.search import api
from regsearch.search.workers.inline import InlineEngine
from regsearch.storage import connect, schema
from regsearch.storage import upgrade as upgrading
from regsearch.storage.location import files_folder
from regsearch.storage.study_lock import StudyLock
from regsearch.studies.errors import InputError, StorageError

OLD = "0001"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.db"


def resume(storage: str, trials: int) -> int:
    """Go on with the study `smoke` on fake trials; how many are finished then."""
    result = api.resume("smoke", storage=storage, trials=trials, engine=InlineEngine(fakes.FakeTrainer))
    return result.answer.counts.finished


def downgrade_optuna(path: Path, revision: str) -> None:
    """Bring Optuna's tables to an earlier schema, by Optuna's own migrations."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create index trials_study_id_key on trials (study_id)")  # as Optuna's migration calls it
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    command.downgrade(storage._version_manager._create_alembic_config(), revision)
    storage.engine.dispose()


def test_every_schema_has_a_dump() -> None:
    known = sorted(file.name.split("_")[0] for file in (schema.MIGRATIONS / "versions").glob("[0-9]*.py"))
    assert known[-1] == schema.SCHEMA
    assert schemas() == known, (
        "a new schema needs its dump: PYTHONPATH=tests:tests/support python tests/databases/dump.py"
    )


@pytest.mark.parametrize("dump", schemas())
def test_a_dump_has_trials_of_every_state_and_no_trace_of_a_machine(dump: str, path: Path) -> None:
    text = (FOLDER / f"schema-{dump}.sql").read_text(encoding="utf-8")
    assert not [trace for trace in ("/tmp", "/home", "/root", "/work", socket.gethostname() + "'") if trace in text]
    states = {row["state"] for row in contents(restore(dump, path))["trials"]}
    assert states == {"COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING"}


@pytest.mark.parametrize("dump", schemas())
def test_every_earlier_database_upgrades_with_all_its_rows_and_goes_on(dump: str, path: Path, storage: str) -> None:
    before = contents(restore(dump, path))
    content = path.read_bytes()
    if dump == schema.SCHEMA:
        assert api.upgrade(storage=storage).steps == ()
        assert list(path.parent.iterdir()) == [path]
    else:
        for open_it in (connect.open_for_writing, connect.open_for_reading):
            with pytest.raises(StorageError, match=f"has regsearch's schema {dump}, .* `regsearch upgrade --storage "):
                open_it(path)
        assert path.read_bytes() == content
        done = api.upgrade(storage=storage)
        assert done.backup is not None
        assert done.steps == (f"regsearch's schema {dump} → {schema.SCHEMA}",)
        assert contents(done.backup) == before
        assert done.backup.stat().st_mode & 0o777 == 0o600
    for table, rows in contents(path).items():  # a table that is new has no rows yet
        there = before.get(table, [])
        assert [{key: row[key] for key in old} for row, old in zip(rows, there, strict=True)] == there
    assert_whole(storage)
    results = finished(storage)
    assert resume(storage, 12) == 12
    assert {number: row for number, row in finished(storage).items() if number in results} == results
    assert len(results) == 7


@pytest.mark.parametrize("name", ["a blank and %20.db", "a:b@c {x} 'ü'.db"])
def test_the_command_that_is_named_upgrades_this_very_file(name: str, tmp_path: Path) -> None:
    path = restore(OLD, tmp_path / name)
    downgrade = tmp_path / "plain.db"
    downgrade_optuna(restore(OLD, downgrade), "v3.0.0.d")
    downgrade.rename(path)
    with pytest.raises(StorageError) as error:
        connect.open_for_reading(path)
    named = shlex.split(str(error.value).split("`")[1])
    assert named[:3] == ["regsearch", "upgrade", "--storage"]
    assert len(api.upgrade(storage=named[3]).steps) == 2
    connect.open_for_reading(path).close()


@pytest.mark.parametrize(("dump", "revision"), [(OLD, "v3.0.0.c"), (schema.SCHEMA, "v3.0.0.d")])
def test_optunas_tables_are_upgraded_too(dump: str, revision: str, path: Path, storage: str) -> None:
    restore(dump, path)
    downgrade_optuna(path, revision)
    before = contents(path)
    with pytest.raises(StorageError, match=f"has Optuna's schema {revision}, .* `regsearch upgrade"):
        connect.open_for_reading(path)
    done = api.upgrade(storage=storage)
    assert done.backup is not None
    assert done.steps[0] == f"Optuna's schema {revision} → {schema.OPTUNA_SCHEMA}"
    assert contents(done.backup) == before
    connect.open_for_writing(path).close()
    assert contents(path).keys() >= before.keys()


def test_an_optuna_database_stays_one(path: Path, storage: str) -> None:
    optuna.create_study(storage=storage, study_name="theirs")
    assert api.upgrade(storage=storage).steps == ()
    downgrade_optuna(path, "v3.0.0.d")
    assert api.upgrade(storage=storage).steps
    assert optuna.load_study(storage=storage, study_name="theirs").trials == []
    assert not [table for table in contents(path) if table.startswith("regsearch")]


@pytest.mark.parametrize("table", ["alembic_version", schema.VERSION_TABLE])
def test_a_later_schema_is_refused_and_left_alone(path: Path, storage: str, table: str) -> None:
    restore(OLD, path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"update {table} set version_num = 'v9'")
    content = path.read_bytes()
    with pytest.raises(StorageError, match="schema v9, but this version works with"):
        api.upgrade(storage=storage)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_nothing_is_upgraded_while_a_study_is_searched(path: Path, storage: str) -> None:
    restore(OLD, path)
    files_folder(path).mkdir()
    content = path.read_bytes()
    with (
        StudyLock(path, "renamed-since"),
        pytest.raises(InputError, match=f"while the study renamed-since is searched by process {os.getpid()} "),
    ):
        api.upgrade(storage=storage)
    assert path.read_bytes() == content
    assert not list(path.parent.glob("*backup*"))
    assert api.upgrade(storage=storage).steps


@pytest.fixture
def during_the_upgrade(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[[], Any]]]:
    """What is called when the copy is upgraded, and the database is not yet."""
    actions: list[Callable[[], Any]] = []
    real = upgrading._migrate

    def migrate(new: Path) -> None:
        real(new)
        for action in actions:
            action()

    monkeypatch.setattr(upgrading, "_migrate", migrate)
    yield actions
    assert actions


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_nobody_gets_in_between_copy_and_upgrade(
    mode: str, path: Path, storage: str, during_the_upgrade: list[Callable[[], Any]]
) -> None:
    names, rename = "select study_name from studies", "update studies set study_name = 'lost'"

    def execute(statement: str) -> list[Any]:
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
            return other.execute(statement).fetchall()

    def intrude() -> None:
        for statement in (names, rename):
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                execute(statement)
        with (files_folder(path) / "open.lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    restore(OLD, path)
    assert execute(f"pragma journal_mode={mode}") == [(mode,)]
    during_the_upgrade.append(intrude)
    assert api.upgrade(storage=storage).steps
    assert execute(names) == [("smoke",)]
    assert execute("pragma journal_mode") == [(mode,)]
    connect.open_for_writing(path).close()


def test_of_two_upgrades_at_once_one_finds_nothing_to_do(
    path: Path, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore(OLD, path)
    real = upgrading.opening_lock
    quicker = []

    def overtaken(database: Path) -> AbstractContextManager[None]:
        monkeypatch.setattr(upgrading, "opening_lock", real)
        quicker.append(api.upgrade(storage=storage))
        return real(database)

    monkeypatch.setattr(upgrading, "opening_lock", overtaken)
    assert api.upgrade(storage=storage).steps == ()
    assert [done.backup for done in quicker] == [path.with_name("test.db.backup-1")]
    assert not path.with_name("test.db.backup-2").exists()


def test_an_upgrade_that_fails_leaves_the_old_database(
    path: Path, storage: str, during_the_upgrade: list[Callable[[], Any]]
) -> None:
    restore(OLD, path)
    content = path.read_bytes()

    def fail() -> None:
        raise OSError(28, "No space left on device", "a file")

    during_the_upgrade.append(fail)
    with pytest.raises(StorageError, match="No space left on device"):
        api.upgrade(storage=storage)
    assert path.read_bytes() == content
    assert [file.name for file in files_folder(path).iterdir()] == ["open.lock"]
    during_the_upgrade[:] = [lambda: None]
    done = api.upgrade(storage=storage)
    assert done.backup is not None
    assert done.backup.name == "test.db.backup-2"  # the first one stays as it is


def test_what_a_killed_upgrade_left_does_no_harm(path: Path, storage: str) -> None:
    before = contents(restore(OLD, path))
    files_folder(path).mkdir()
    left = restore(OLD, files_folder(path) / "upgrade.db")
    journal = left.with_name("upgrade.db-journal")
    with closing(sqlite3.connect(left, isolation_level=None)) as other:
        other.execute("update trials set state = 'FAIL'")
        other.execute("pragma cache_size=1")
        other.execute("begin")
        other.execute("update trials set number = -number")
        other.executemany("insert into studies (study_name) values (?)", [(f"{n}" * 500,) for n in range(500)])
        hot = journal.read_bytes()
    journal.write_bytes(hot)
    assert api.upgrade(storage=storage).steps
    assert contents(path)["trials"] == before["trials"]
    assert_whole(storage)


@pytest.mark.slow
def test_an_upgrade_says_one_line(path: Path, regsearch: Command) -> None:
    """Optuna's migrations would set up logging in a process that has none."""
    downgrade_optuna(restore(OLD, path), "v3.0.0.c")
    done = regsearch("upgrade", "--storage", "sqlite:///test.db")
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 1), done


def test_the_copy_is_checked_before_it_becomes_the_database(
    path: Path, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore(OLD, path)
    content = path.read_bytes()
    monkeypatch.setattr(schema, "migrate", lambda engine: None)
    with pytest.raises(StorageError, match="schema 0001"):
        api.upgrade(storage=storage)
    assert path.read_bytes() == content


def test_a_damaged_database_is_not_upgraded(path: Path, storage: str) -> None:
    content = bytearray(restore(OLD, path).read_bytes())
    content[-8192:-4096] = b"\xa5" * 4096
    path.write_bytes(content)
    with pytest.raises(StorageError, match="damaged"):
        api.upgrade(storage=storage)
    assert path.read_bytes() == content
    assert not list(path.parent.glob("*backup*"))
