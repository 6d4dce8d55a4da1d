"""Optuna's own contract of a storage holds for ours: its shipped test case, on what `Database` gives."""

import pickle
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from optuna.storages import BaseStorage
from optuna.testing.pytest_storages import StorageTestCase

from regsearch.storage.connect import open_for_writing
from regsearch.storage.database import Database


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database with tables only; to make them takes longer than most of these tests."""
    path = tmp_path_factory.mktemp("fresh") / "test.db"
    open_for_writing(path).close()
    return path.read_bytes()


@pytest.fixture
def database(fresh: bytes, tmp_path: Path) -> Iterator[Database]:
    (tmp_path / "test.db").write_bytes(fresh)
    with open_for_writing(tmp_path / "test.db") as database:
        sqlalchemy.event.listen(database.engine, "checkout", _do_not_wait_for_the_disk)
        yield database


def _do_not_wait_for_the_disk(connection: sqlite3.Connection, *_: object) -> None:
    connection.execute("pragma synchronous=off")  # what a power cut leaves is not what is tested here


class _StorageOfOneProcess(StorageTestCase):
    def test_pickle_storage(self, storage: BaseStorage) -> None:
        """Not so ours: it is one process's own, since no other but the coordinator writes, and so can't be sent."""
        with pytest.raises((AttributeError, pickle.PicklingError), match=r"[Cc]an't pickle"):
            pickle.dumps(storage)


class TestStorage(_StorageOfOneProcess):
    """The storage that a search uses, which keeps finished trials in memory."""

    @pytest.fixture
    def storage(self, database: Database) -> BaseStorage:
        return database.storage


class TestPlainStorage(_StorageOfOneProcess):
    """The same without that memory."""

    @pytest.fixture
    def storage(self, database: Database) -> BaseStorage:
        return database._rdb


ROOT = Path(__file__).parents[2]
PAGE = ROOT / "storage" / "optuna" / "README.md"
INTERNALS = {  # how to find the users of what a row of the page lists
    r"(?:from|join|into|update) (?:trials|studies|trial_[a-z_]+|study_[a-z_]+)\b": "the tables and columns",
    r"\bfrom optuna[a-z_.]*\._[a-z]+": "`optuna.storages._rdb.models`",
    r"\bdef _set_trial_param\b": "`RDBStorage._get_trials`",
    r"\bscoped_session\b": "`RDBStorage.scoped_session`",
    r"\bget_storage\b": "with `get_storage`",
    r"\._storage\b|\._trial_id\b": "`Study._storage`",
    r"\"fixed_params\"": "`fixed_params`",
    r"\._validate\(": "`FrozenTrial._validate`",
    r"\b_find_sample_id\b": "`QMCSampler._find_sample_id`",
}


def test_every_file_and_test_on_the_page_of_internals_exists() -> None:
    quoted = re.findall(r"`((?:storage|search|tests)/[^`]*)`", PAGE.read_text())
    assert len(quoted) > 30
    for path, _, name in (text.partition("::") for text in quoted):
        assert (ROOT / path).is_file(), path
        assert not name or re.search(rf"^(?:def|class) {name}\b", (ROOT / path).read_text(), re.MULTILINE), name


@pytest.mark.parametrize("pattern", INTERNALS, ids=INTERNALS.get)
def test_the_page_of_internals_names_each_file_that_uses_one(pattern: str) -> None:
    (row,) = [line for line in PAGE.read_text().splitlines() if INTERNALS[pattern] in line]
    files = [path for package in ("storage", "search") for path in (ROOT / package).rglob("*.py")]
    users = [str(path.relative_to(ROOT)) for path in files if re.search(pattern, path.read_text())]
    assert users
    assert [user for user in users if f"`{user}`" not in row] == []
