"""Damage in a confirmation's tables: one line with code 3 that names the row, wherever it matters, and in `doctor`."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import asking
import fakes
import pytest

from regsearch.search import api, doctor
from regsearch.search.workers.inline import InlineEngine
from regsearch.studies.errors import StorageError

READERS: dict[str, Callable[[str], Any]] = {
    "best": lambda storage: api.load("smoke", storage=storage).confirmation,
    "report": lambda storage: api.report("smoke", storage=storage),
    "export": lambda storage: api.export("smoke", "model", storage=storage),
    "confirm": lambda storage: api.confirm("smoke", storage=storage, engine=InlineEngine(pytest.fail)),
    "resume": lambda storage: api.resume("smoke", storage=storage, engine=InlineEngine(pytest.fail)),
}


@pytest.fixture(scope="module")
def confirmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a study that three fresh seeds confirmed."""
    path = tmp_path_factory.mktemp("confirmed") / "test.db"
    settings = ["confirm.seeds=3", "confirm.top=2", "search.pruner=none", "search.pruner_options={}"]
    api.run("smoke", storage=f"sqlite:///{path}", settings=settings, engine=InlineEngine(fakes.FakeTrainer))
    return path


@pytest.fixture
def path(confirmed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(confirmed, tmp_path / "test.db"))


def test_a_whole_confirmation_is_well(path: Path) -> None:
    assert finding(path) == (True, 0)
    assert api.load("smoke", storage=f"sqlite:///{path}").confirmation is not None


def finding(path: Path) -> tuple[bool, int]:
    (check,) = [check for check in doctor.examine(f"sqlite:///{path}") if check.subject == "database"]
    return check.is_well, check.exit_code


@pytest.mark.parametrize(
    "damage",
    [
        "finalists set params = '{x'",
        "finalists set params = '[]'",
        """finalists set params = '{"regularizer":"l2","l2":"a"}'""",
        """finalists set roles = '{"a":1}'""",
        "finalists set roles = '[1]'",
        "finalists set look = 0",
        "finalists set trial = 'x'",
        "confirmations set state = 'banana'",
        "confirmations set look = 0",
        "confirmations set attempt = 'x'",
        "confirmations set best_epoch = 'x'",
        "confirmations set select_accuracy = null",
        "confirmations set select_cross_entropy = 9e999",
        "confirmations set select_rows = null",
        "confirmations set select_rows = x'0102'",
        "confirmations set select_rows = x'010000000000000080'",
        "test_looks set test_rows = x'0102'",
        "test_looks set test_rows = null",
        "test_looks set test_rows = x'010000000000000080'",
        "test_looks set accuracy = 'x'",
    ],
)
def test_each_damage_is_told_with_its_row(damage: str, path: Path, tmp_path: Path) -> None:
    where = "finalist = 3" if damage.startswith("finalists") else "finalist = 3 and seed = 1"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("pragma foreign_keys = off")
        connection.execute(f"update regsearch_{damage} where {where}")
    row = where.replace(" = ", " ").replace(" and", ",")
    (check,) = [check for check in doctor.examine(f"sqlite:///{path}") if check.subject == "database"]
    assert (check.exit_code, row in check.finding) == (3, True), check
    for name, read in READERS.items():
        with pytest.raises(StorageError) as error:
            read(f"sqlite:///{path}")
        assert f"smoke, {row}" in str(error.value), name
        assert "can't be read" in str(error.value), name
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("params", ['{"units": [32]}', '{"units": {"a": 1}}', "[]"])
def test_damage_of_a_hypermodels_settings_is_told_and_whole_ones_are_well(tmp_path: Path, params: str) -> None:
    path = tmp_path / "own.db"
    settings = [asking.write_code(tmp_path), "confirm.seeds=3", "confirm.top=2", "search.pruner=none"]
    options: dict[str, Any] = {"trust_code": True, "trials": 5, "engine": InlineEngine(asking.AskingTrainer)}
    storage = f"sqlite:///{path}"
    api.run("smoke", storage=storage, settings=[*settings, "search.pruner_options={}"], **options)
    assert finding(path) == (True, 0)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("update regsearch_finalists set params = ? where finalist = 1", (params,))
    assert finding(path) == (False, 3)
    with pytest.raises(StorageError, match="smoke, finalist 1: its params are"):
        api.load("smoke", storage=storage)


def test_finalists_are_counted_without_a_gap(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("pragma foreign_keys = on")
        connection.execute("delete from regsearch_finalists where finalist = 1")
    with pytest.raises(StorageError, match="smoke, finalist 2: the number of this finalist should be 1"):
        api.load("smoke", storage=f"sqlite:///{path}")


def test_a_training_of_nobody_and_a_look_at_none_are_told(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("delete from regsearch_confirmations where finalist = 2 and seed = 2")
    with pytest.raises(StorageError, match="smoke, finalist 2, seed 2: it has a test evaluation but no training"):
        api.load("smoke", storage=f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("update regsearch_confirmations set finalist = 99 where finalist = 2 and seed = 1")
    with pytest.raises(StorageError, match="smoke, finalist 99, seed 1: there is no such finalist"):
        api.load("smoke", storage=f"sqlite:///{path}")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("seed = -1", "smoke, finalist 2, seed -1: there is no such seed"),
        ("look = 0", "smoke, finalist 2, seed 1: its test analysis has the impossible number 0"),
    ],
)
def test_an_impossible_number_is_named(path: Path, damage: str, message: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"update regsearch_confirmations set {damage} where finalist = 2 and seed = 1")
    with pytest.raises(StorageError, match=message):
        api.load("smoke", storage=f"sqlite:///{path}")


def test_an_unknown_state_is_told_by_status_too(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("update regsearch_confirmations set state = 'banana'")
    with pytest.raises(StorageError, match="smoke has a training in the unknown state 'banana'"):
        api.status("smoke", storage=f"sqlite:///{path}")
