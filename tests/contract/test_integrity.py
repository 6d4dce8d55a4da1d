"""What `doctor` finds: a database that isn't whole, or that lies where it shouldn't."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from databases.restore import restore

from regsearch.search import doctor
from regsearch.search.doctor import Check
from regsearch.storage import schema
from regsearch.storage.checks import filesystem, integrity
from regsearch.storage.connect import open_for_reading
from regsearch.storage.tables import Base


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return restore(schema.SCHEMA, tmp_path / "test.db")


@pytest.fixture(autouse=True)
def no_mnist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("REGSEARCH_MNIST", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))


def examined(path: Path) -> dict[str, Check]:
    return {check.subject: check for check in doctor.examine(f"sqlite:///{path}")}


def execute(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def test_a_whole_database_is_well(path: Path) -> None:
    found = examined(path)
    assert all(check.is_well for check in found.values()), found
    assert "is undamaged, 2 studies" in found["database"].finding
    assert "journal mode delete" in found["database"].finding
    assert "place" not in found


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("update trials set state = 'COMPLETF' where number = 3", "COMPLETF"),
        ("update study_directions set direction = 'MINIMIZF'", "MINIMIZF"),
        ("update trial_intermediate_values set intermediate_value_type = 'FINITF'", "FINITF"),
        ("update trial_user_attributes set value_json = '{' where trial_id = 3", "holds a value that can't be read"),
        ("update trial_user_attributes set value_json = x'ff' where trial_id = 3", "holds a value that can't be read"),
        ("update study_system_attributes set value_json = null", "holds a value that can't be read"),
        ("update trials set datetime_start = 'yesterday' where number = 3", "holds a value that can't be read"),
        ("update trials set datetime_start = 7 where number = 3", "holds a value that can't be read"),
        ("update regsearch_runs set search = 'none'", "holds a value that can't be read"),
        ("update regsearch_studies set spec = '{}x'", "holds a value that can't be read"),
        ("update regsearch_studies set spec = '{}'", "can't be read by this version"),
        (
            "insert into regsearch_trials (study_uuid, number, attempt) values ('nobody', 0, 0)",
            "refers to a missing row",
        ),
        ("delete from studies", "refers to a missing row"),
        ("drop table trial_values", "no such table: trial_values"),
        ("alter table trials drop column datetime_complete", "no such column"),
    ],
)
def test_what_sqlites_own_check_does_not_see_is_found(statement: str, message: str, path: Path) -> None:
    execute(path, statement)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
    found = examined(path)["database"]
    assert (found.mark, found.exit_code) == ("BAD ", 3), found
    assert message in found.finding
    assert len(found.finding.splitlines()) == 1


def test_a_row_beyond_the_first_page_is_read_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "_PAGE", 2)
    assert examined(path)["database"].is_well
    execute(path, "update trials set state = 'COMPLETF' where number = 6")
    assert not examined(path)["database"].is_well


def test_a_broken_page_is_found(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-8192:-4096] = b"\xa5" * 4096
    path.write_bytes(content)
    assert examined(path)["database"].exit_code == 3


def test_what_optuna_deletes_leaves_a_whole_database(path: Path) -> None:
    optuna.delete_study(study_name="smoke", storage=f"sqlite:///{path}")
    assert examined(path)["database"].is_well


def test_the_tables_that_are_read_are_those_that_are_there(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        there = {row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")}
    known = {table.name for table in (*integrity.OPTUNA_TABLES, *Base.metadata.sorted_tables)}
    assert there - known == {"alembic_version", schema.VERSION_TABLE}
    assert known <= there


def test_a_database_of_optunas_alone_is_whole(tmp_path: Path) -> None:
    optuna.create_study(storage=f"sqlite:///{tmp_path}/theirs.db")
    with open_for_reading(tmp_path / "theirs.db", needs_studies=False) as database:
        integrity.check_integrity(database)
        assert database.described().endswith("journal mode delete")
    assert "has no study of regsearch" in examined(tmp_path / "theirs.db")["database"].finding


def test_the_journal_mode_that_does_not_suit_is_named(path: Path) -> None:
    execute(path, "pragma journal_mode=wal")
    wanted = doctor.journal_mode()[0]
    said = "journal mode wal" if wanted == "wal" else "journal mode wal (the next search sets delete)"
    assert examined(path)["database"].finding.endswith(said)


def test_nothing_there_is_well_and_a_missing_folder_is_not(tmp_path: Path) -> None:
    assert "is not there yet" in examined(tmp_path / "absent.db")["database"].finding
    found = examined(tmp_path / "absent" / "absent.db")["database"]
    assert (found.exit_code, "there is no directory" in found.finding) == (3, True)


MOUNTS = """\
/dev/root / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
server:/with\\040blank /mnt/with\\040blank cifs rw 0 0
/dev/sdb /home/local ext4 rw 0 0
//server/x /home/local/share smb3 rw 0 0
tmpfs /home/local/share tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("database", "kind"),
    [
        ("/elsewhere/x.db", "ext4"),
        ("/home/me/x.db", "nfs4"),
        ("/homely/x.db", "ext4"),
        ("/mnt/with blank/x.db", "cifs"),
        ("/home/local/x.db", "ext4"),
        ("/home/local/share/x.db", "tmpfs"),
    ],
)
def test_the_file_system_of_a_path_is_that_of_the_innermost_mount(
    database: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mounts").write_text(MOUNTS)
    monkeypatch.setattr(filesystem, "_MOUNTS", tmp_path / "mounts")
    assert filesystem._file_system(Path(database)) == kind


def test_a_network_is_warned_of(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mounts").write_text(f"server:/x {tmp_path.resolve()} nfs4 rw 0 0\n")
    monkeypatch.setattr(filesystem, "_MOUNTS", tmp_path / "mounts")
    warned = examined(path)["place"]
    assert (warned.mark, warned.exit_code) == ("WARN", 0)
    assert "is on a network file system (nfs4)" in warned.finding
    assert "search on a local disk" in warned.finding


def test_where_mounts_cannot_be_read_nothing_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystem, "_MOUNTS", path.parent / "absent")
    assert filesystem.filesystem_warnings(path) == []


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_cannot_be_written_is_warned_of(path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = path if what == "file" else path.parent
    access = os.access
    monkeypatch.setattr(os, "access", lambda name, *a, **b: name != locked and access(name, *a, **b))
    warned = examined(path)["place"]
    assert (warned.mark, warned.exit_code) == ("WARN", 0)
    assert f"you may not write to {locked}" in warned.finding
    assert "change the permissions" in warned.finding


def test_a_file_without_permission_to_write_is_warned_of(path: Path) -> None:
    path.chmod(0o400)
    if os.access(path, os.W_OK):
        reason = "root may write everything"
        pytest.skip(reason)
    assert "you may not write to" in examined(path)["place"].finding


def test_little_room_is_warned_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.disk_usage(path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: real._replace(free=42_000_000))
    warned = examined(path)["place"]
    assert (warned.mark, warned.exit_code) == ("WARN", 0)
    assert "only 42 MB are free" in warned.finding
    assert "free some space" in warned.finding


def test_doctor_changes_nothing(path: Path) -> None:
    before = path.read_bytes()
    examined(path)
    assert path.read_bytes() == before
    assert not list(path.parent.glob("test.db?*"))
