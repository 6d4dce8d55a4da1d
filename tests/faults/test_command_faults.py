"""Every command on every kind of unusable database: one line, the right exit code, and nothing is changed."""

import os
import random
import re
import resource
import socketserver
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fakes
import pytest
import sklearn.datasets  # noqa: F401 - it writes to shared memory when it is imported, which a test here forbids
from databases.restore import restore, schemas

import regsearch.search.workers.engines
from regsearch.search.cli import commands
from regsearch.search.workers.inline import InlineEngine
from regsearch.storage import schema, sqlite
from regsearch.storage.location import files_folder
from regsearch.storage.tables import Base

READING = {
    "list": ["list"],
    "status": ["status", "smoke"],
    "trials": ["trials", "smoke"],
    "best": ["best", "smoke"],
    "stop": ["stop", "smoke"],
    "doctor": ["doctor"],
    "dashboard": ["dashboard", "--port", "0"],
    "backup": ["backup", "copy.db"],
}
WRITING = {
    "enqueue": ["enqueue", "smoke", "--param", "l2=1e-4"],
    "run": ["run", "smoke", "--trials", "12", "--quiet"],
    "resume": ["resume", "smoke", "--trials", "12", "--quiet"],
    "delete": ["delete", "smoke", "--yes"],
    "upgrade": ["upgrade"],
}
COMMANDS = READING | WRITING
PAGE = 4096


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database of the present schema with trials of every state."""
    return restore(schema.SCHEMA, tmp_path_factory.mktemp("whole") / "test.db").read_bytes()


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The same of the first schema."""
    return restore(schemas()[0], tmp_path_factory.mktemp("old") / "test.db").read_bytes()


@dataclass
class Answer:
    code: int
    out: str
    err: str

    def line(self) -> str:
        """What is wrong, in one line: on stderr, of `doctor` on stdout."""
        assert "Traceback" not in self.out + self.err, self.err
        if self.out.startswith("ok   versions"):
            bad = [line for line in self.out.splitlines() if line.startswith("BAD ")]
            assert (len(bad), self.err) == (1, ""), (self.out, self.err)
            return bad[0]
        assert self.out == ""
        assert len(self.err.splitlines()) == 1, self.err
        return self.err


Command = Callable[..., Answer]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """The command line in this process, on the database `test.db`, with fake trials and a dashboard that ends."""
    monkeypatch.delenv("REGSEARCH_MNIST", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(regsearch.search.workers.engines, "make_engine", lambda _: InlineEngine(fakes.FakeTrainer))
    monkeypatch.setattr(socketserver.BaseServer, "serve_forever", lambda _, **__: None)
    monkeypatch.setattr("time.sleep", lambda _: None)  # Optuna pauses before it tries again

    def call(name: str, storage: str = "sqlite:///test.db") -> Answer:
        monkeypatch.setattr(sys, "argv", ["regsearch", *COMMANDS[name], "--storage", storage])
        with pytest.raises(SystemExit) as exited:
            commands.main()
        out, err = capsys.readouterr()
        assert isinstance(exited.value.code, int)
        return Answer(exited.value.code, out, err)

    return call


def everything(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Each file: inode, time and content; an empty folder of locks is no change to a database."""
    files = {file: file.stat() for file in folder.rglob("*") if file.is_file() and file.name != "open.lock"}
    return {str(file): (stat.st_ino, stat.st_mtime_ns, file.read_bytes()) for file, stat in files.items()}


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def drop_table(path: Path, table: str) -> None:
    execute(path, f"drop table {table}")


def drop_column(path: Path, table: str, column: str) -> None:
    execute(path, f"alter table {table} drop column {column}")


def replace(path: Path, make: Callable[[Path], Any]) -> None:
    path.unlink()
    make(path)


OF_OURS = sorted(Base.metadata.tables)
NEWER, OLDER = "schema v9, but this version works with", r"`regsearch upgrade --storage sqlite:///test\.db`"
FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "garbage": (lambda path: path.write_bytes(b"no database" * 1000), "is damaged or not a database"),
    "half a header": (lambda path: path.write_bytes(path.read_bytes()[:50]), "is damaged or not a database"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[: 5 * PAGE]), "is damaged or not a database"),
    "a folder": (lambda path: replace(path, Path.mkdir), "is not a file"),
    "a pipe": (lambda path: replace(path, os.mkfifo), "is not a file"),
    "of something else": (
        lambda path: (path.unlink(), execute(path, "create table mine (x)")),
        "is a database of another program",
    ),
    "ours is newer": (lambda path: execute(path, "update regsearch_version set version_num = 'v9'"), NEWER),
    "Optuna's is newer": (lambda path: execute(path, "update alembic_version set version_num = 'v9'"), NEWER),
    **{
        f"no {table}": (lambda path, table=table: drop_table(path, table), f"the table {table} is missing")
        for table in OF_OURS
    },
    "no column": (
        lambda path: drop_column(path, "regsearch_trials", "weights_sha256"),
        "the column weights_sha256 of the table regsearch_trials is missing",
    ),
    "no alembic_version": (lambda path: drop_table(path, "alembic_version"), "is a database of another program"),
}  # fmt: skip


FOR_ALL = ("garbage", "cut", "a folder", "a pipe", "ours is newer", "no regsearch_epochs")  # the others fail alike
FEW = ("trials", "run", "doctor", "upgrade")


@pytest.mark.parametrize(
    ("fault", "name"), [(fault, name) for fault in FAULTS for name in COMMANDS if fault in FOR_ALL or name in FEW]
)
def test_an_unusable_database_is_one_line_and_exit_3(
    fault: str, name: str, command: Command, whole: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "test.db"
    path.write_bytes(whole)
    make, message = FAULTS[fault]
    make(path)
    before = everything(tmp_path)
    answer = command(name)
    assert answer.code == 3, answer
    assert re.search(message, answer.line()), answer
    assert str(path) in answer.line()
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    ("whose", "name"),
    [(whose, name) for whose in ("ours", "Optuna's", "both") for name in COMMANDS if whose == "ours" or name in FEW],
)
def test_an_older_schema_is_refused_with_the_command_that_upgrades_it(
    whose: str, name: str, command: Command, whole: bytes, old: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "test.db"
    path.write_bytes(whole if whose == "Optuna's" else old)
    if whose != "ours":
        execute(path, "drop index ix_trials_study_id", "update alembic_version set version_num = 'v3.0.0.d'")
    before = everything(tmp_path)
    answer = command(name)
    if name == "upgrade":
        assert (answer.code, answer.err) == (0, "")
        assert f"{path}.backup-1" in answer.out
        return
    assert answer.code == 3, answer
    assert re.search(OLDER, answer.line()), answer
    assert everything(tmp_path) == before


@pytest.mark.parametrize("name", COMMANDS)
def test_an_empty_file_is_a_database_to_be(name: str, command: Command, tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    path.touch()
    answer = command(name)
    if name in ("run", "doctor"):
        assert answer.code == 0, answer
    else:
        assert answer.code == 3, answer
        assert "is empty. Start a study" in answer.line()
        assert path.stat().st_size == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_no_file_and_no_folder(name: str, command: Command, tmp_path: Path) -> None:
    for storage in ("sqlite:///absent/test.db", "sqlite:///absent.db"):
        if name in ("run", "doctor") and "absent.db" in storage:
            continue
        answer = command(name, storage)
        code, message = (3, "there is no directory") if name in ("run", "doctor") else (2, "there is no database")
        assert answer.code == code, answer
        assert message in answer.line()
        assert not list(tmp_path.iterdir())


READ_A_STATE = ("trials", "status", "list", "best", "doctor", "run", "resume", "delete")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_state_that_is_none_is_found_by_whoever_reads_it(
    name: str, command: Command, whole: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "test.db"
    path.write_bytes(whole)
    execute(path, "update trials set state = 'COMPLETF' where number = 1")
    before = everything(tmp_path)
    answer = command(name)
    if name in READ_A_STATE:
        assert answer.code == 3, answer
        assert "COMPLETF" in answer.line()
    else:
        assert answer.code == 0, answer
        assert answer.err.count("\n") <= 1
    if name in READING:
        assert {file: then for file, then in everything(tmp_path).items() if "copy.db" not in file} == before


@pytest.mark.parametrize("name", COMMANDS)
def test_a_locked_database_is_one_line_and_exit_3(
    name: str, command: Command, whole: bytes, old: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "test.db"
    path.write_bytes(old if name == "upgrade" else whole)
    before = everything(tmp_path)
    monkeypatch.setattr(sqlite, "LOCK_SECONDS", 0)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin exclusive")
        answer = command(name)
    assert answer.code == 3, answer
    assert "locked by another process. End that process" in answer.line()
    assert everything(tmp_path) == before


@pytest.mark.parametrize("name", COMMANDS)
def test_a_database_that_is_being_written_is_read_and_not_written(
    name: str, command: Command, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "test.db"
    path.write_bytes(whole)
    monkeypatch.setattr(sqlite, "LOCK_SECONDS", 0)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin immediate")
        answer = command(name)
    assert answer.code == (0 if name in READING or name == "upgrade" else 3), answer


@contextmanager
def read_only() -> Iterator[None]:
    """SQLite opens every file for reading only, as it does on a read-only disk, whoever one is."""
    real = sqlite3.connect
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sqlite3, "connect", lambda name, *a, **b: real(str(name).replace("?mode=rw", "?mode=ro"), *a, **b)
        )
        yield


@contextmanager
def full() -> Iterator[None]:
    """No file can be written, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


DISKS = {
    "full": (
        full,
        r"can't be (written|used).*(Free space|Free disk space|File too large)|can't be used: File too large",
    ),
    "read-only": (read_only, "it is read-only. Make the file, its directory and its disk writable"),
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("disk", DISKS)
def test_a_disk_that_takes_nothing_can_be_read(
    disk: str, name: str, command: Command, whole: bytes, old: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "test.db"
    path.write_bytes(old if name == "upgrade" else whole)
    files_folder(path).mkdir()
    command("list")  # Python writes what it compiles
    before = everything(tmp_path)
    make, message = DISKS[disk]
    with make():
        answer = command(name)
    if name in WRITING or (name, disk) == ("backup", "full"):
        assert answer.code == 3, answer
        assert re.search(message, answer.line()), answer
    else:
        assert (answer.code, answer.err.count("\n")) in ((0, 0), (0, 1)), answer
    after = everything(tmp_path)
    assert {file: state[2] for file, state in after.items() if file in before} == {
        file: state[2] for file, state in before.items()
    }
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_that_may_not_be_read(name: str, command: Command, whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    path.write_bytes(whole)
    path.chmod(0)
    if os.access(path, os.R_OK):
        reason = "root may read everything"
        pytest.skip(reason)
    answer = command(name)
    path.chmod(0o600)
    assert answer.code == 3, answer
    assert "can't be used: unable to open" in answer.line()


def survives(command: Command, name: str, path: Path, content: bytes) -> int:
    """Run a command on damaged content: an answer or one line, and what only reads changes nothing; its code."""
    for left in path.parent.iterdir():
        if left.is_file():
            left.unlink()
    path.write_bytes(content)
    answer = command(name)
    assert answer.code in (0, 2, 3, 4), answer
    if answer.code:
        answer.line()
    if name in READING:
        assert path.read_bytes() == content, name
    return answer.code


def all_damage(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """Every way of cutting at 512 bytes, and of overwriting a page."""
    for size in range(512, len(whole), 512):
        yield f"cut at {size}", whole[:size]
    for page in range(0, len(whole), PAGE):
        for what, junk in (
            ("zeros", bytes(PAGE)),
            ("junk", b"\xa5" * PAGE),
            ("noise", random.Random(page).randbytes(PAGE)),
        ):
            yield f"{what} at {page}", whole[:page] + junk + whole[page + PAGE :]


@pytest.mark.slow
def test_damage_anywhere_is_found_by_doctor_and_survived_by_every_command(
    command: Command, whole: bytes, tmp_path: Path
) -> None:
    cases = list(all_damage(whole))
    if not os.environ.get("ALL_DAMAGE"):
        cases = cases[3::7]
    for number, (damage, content) in enumerate(cases):
        names = list(COMMANDS) if os.environ.get("ALL_DAMAGE") else ["doctor", list(COMMANDS)[number % len(COMMANDS)]]
        for name in names:
            code = survives(command, name, tmp_path / "test.db", content)
            assert code == 3 or name != "doctor", damage
            if len(content) <= len(whole) - PAGE:  # SQLite reads half a page as one that ends with zeros
                assert code == 3, (damage, name)
