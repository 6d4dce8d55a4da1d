"""Optuna's own contract of a storage holds for ours: its shipped test case, on what `Database` gives."""

import pickle
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
