"""What we lean on in Optuna, SQLAlchemy, Alembic and SQLite, pinned."""

import json
import multiprocessing
import resource
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from regsearch.storage import schema, sqlite
from regsearch.storage.connect import open_for_reading, open_for_writing
from regsearch.storage.database import Database
from regsearch.storage.location import location_of
from regsearch.storage.queries import _decode
from regsearch.storage.sqlite import journal_mode
from regsearch.storage.tables import PREFIX, Base
from regsearch.studies.errors import InputError, StorageError, StorageUnavailableError
from regsearch.studies.records import DatasetInfo
from regsearch.studies.study_file import read_study


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.db"


def count(database: Database, table: str) -> int:
    with database.read() as connection:
        return int(connection.exec_driver_sql(f"select count(*) from {table}").scalar_one())


def test_a_transaction_holds_optunas_writes_and_ours_together(path: Path) -> None:
    with open_for_writing(path) as db:
        study = optuna.create_study(storage=db.storage, study_name="s")
        commits = []
        sqlalchemy.event.listen(db.engine, "commit", lambda _: commits.append(1))
        with db.transaction() as connection:
            trial = study.ask()
            for name in "abcde":
                trial.suggest_float(name, 0, 1)
            connection.exec_driver_sql("create table extra (x)")
        assert len(commits) == 1
        assert count(db, "trial_params") == 5


def test_a_rolled_back_ask_leaves_no_trial_no_gap_and_no_cached_ghost(path: Path) -> None:
    with open_for_writing(path) as db:
        optuna.create_study(storage=db.storage, study_name="s")

        def study() -> optuna.Study:
            return optuna.load_study(storage=db.storage, study_name="s")

        with db.transaction():
            study().tell(study().ask(), 1.0)
        with pytest.raises(ZeroDivisionError), db.transaction():
            trial = study().ask()
            trial.suggest_float("x", 0, 1)
            study().tell(trial, 2.0)
            assert len(study().get_trials(deepcopy=False)) == 2
            _ = 1 / 0
        assert [trial.number for trial in study().get_trials()] == [0]
        with db.transaction():
            assert study().ask().number == 1
        assert [trial.state.name for trial in study().get_trials()] == ["COMPLETE", "RUNNING"]


def test_what_was_undone_within_a_transaction_leaves_no_cached_ghost(path: Path) -> None:
    with open_for_writing(path) as db:
        optuna.create_study(storage=db.storage, study_name="s")
        with db.transaction() as connection:
            with db.savepoint(connection) as savepoint:
                study = optuna.load_study(storage=db.storage, study_name="s")
                study.tell(study.ask(), 1.0)
                assert len(study.get_trials(deepcopy=False)) == 1
                savepoint.rollback()
            study = optuna.load_study(storage=db.storage, study_name="s")
            assert study.get_trials() == []
            with db.savepoint(connection):
                assert study.ask().suggest_float("x", 0, 1) <= 1
        assert [trial.number for trial in study.get_trials()] == [0]
        with pytest.raises(ZeroDivisionError), db.transaction() as connection, db.savepoint(connection):
            optuna.load_study(storage=db.storage, study_name="s").ask()
            _ = 1 / 0
        assert [trial.number for trial in optuna.load_study(storage=db.storage, study_name="s").get_trials()] == [0]


@contextmanager
def disk_full_until_optuna_tries_again() -> Iterator[None]:
    """No file can be written, until Optuna, which tries some things five times, pauses before its second try."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.sleep", lambda _: resource.setrlimit(resource.RLIMIT_FSIZE, limits))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_transaction_that_sqlite_gave_up_is_not_gone_on_with(path: Path) -> None:
    """Else Optuna's second try would be committed at once, alone, and what came before it be lost."""
    with open_for_writing(path) as db:
        study = optuna.create_study(storage=db.storage, study_name="s")
        with disk_full_until_optuna_tries_again():
            with pytest.raises(StorageError, match="Free space"), db.transaction():
                study.ask()
            assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 0, "Optuna doesn't try again any more"
        assert optuna.load_study(storage=db.storage, study_name="s").trials == []
        with db.transaction():
            assert study.ask().number == 0


@pytest.mark.parametrize("call", ["set_user_attr", "ask"])
def test_a_full_disk_is_called_so_whatever_is_written(path: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_for_writing(path) as db:
        study = optuna.create_study(storage=db.storage, study_name="s")
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        try:
            with pytest.raises(StorageError, match="Free space on its disk"), db.transaction():
                study.ask() if call == "ask" else study.set_user_attr("a", 1)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_writers_take_the_lock_before_they_read(path: Path) -> None:
    with open_for_writing(path) as db, db.transaction() as connection:
        connection.exec_driver_sql("select 1")
        other = sqlite3.connect(path, timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.close()


def test_durable_settings(path: Path) -> None:
    with open_for_writing(path) as db, db.read() as connection:

        def pragma(name: str) -> object:
            return connection.exec_driver_sql(f"pragma {name}").scalar()

        mode, _ = journal_mode()
        assert pragma("journal_mode") == mode
        assert pragma("synchronous") == {"wal": 2, "delete": 3}[mode]
        assert pragma("foreign_keys") == 1
        assert pragma("busy_timeout") == 60_000
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("version", "mode"),
    [
        ((3, 40, 1), "delete"),
        ((3, 44, 5), "delete"),
        ((3, 44, 6), "wal"),
        ((3, 45, 0), "delete"),
        ((3, 50, 6), "delete"),
        ((3, 50, 7), "wal"),
        ((3, 51, 2), "delete"),
        ((3, 51, 3), "wal"),
        ((3, 53, 0), "wal"),
    ],
)
def test_wal_only_where_sqlite_has_the_fix(
    version: tuple[int, int, int], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    assert journal_mode()[0] == mode


def test_a_database_in_wal_mode_works_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "journal_mode", lambda: ("wal", "a test"))
    with open_for_writing(path) as db:
        study = optuna.create_study(storage=db.storage, study_name="s")
        with db.transaction():
            study.tell(study.ask(), 1.0)
        with open_for_reading(path) as reader:
            assert count(reader, "trials") == 1


def test_a_reader_cannot_write_and_creates_nothing(path: Path) -> None:
    with pytest.raises(InputError, match="there is no database"):
        open_for_reading(path)
    assert list(path.parent.iterdir()) == []
    open_for_writing(path).close()
    with (
        open_for_reading(path) as reader,
        pytest.raises(StorageError, match="read-only"),
        reader.transaction() as connection,
    ):
        connection.exec_driver_sql("delete from studies")


def test_a_database_that_is_moved_while_it_is_open_is_said_to_be(path: Path) -> None:
    with open_for_writing(path) as db:
        path.rename(path.with_name("elsewhere.db"))
        with pytest.raises(StorageError, match="was removed, moved or replaced while it was open"), db.transaction():
            optuna.create_study(storage=db.storage, study_name="s")


def test_a_reader_reads_after_a_kill_in_mid_write(path: Path, tmp_path: Path) -> None:
    with open_for_writing(path) as db:
        optuna.create_study(storage=db.storage, study_name="s")
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("pragma cache_size=1")
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("update studies set study_name = 'half'")
    writer.executemany("insert into studies (study_name) values (?)", [(f"{n}" * 500,) for n in range(500)])
    copy = tmp_path / "copy.db"  # what a kill would leave: the file and its hot journal
    copy.write_bytes(path.read_bytes())
    journal = path.with_name("test.db-journal")
    copy.with_name("copy.db-journal").write_bytes(journal.read_bytes())
    writer.rollback()
    writer.close()
    with open_for_reading(copy) as reader, reader.read() as connection:
        assert connection.exec_driver_sql("select study_name from studies").scalars().all() == ["s"]


def test_who_opens_a_new_database_waits_for_whoever_creates_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that created its tables at once would each find those of the other in the way."""
    creating, may_go_on, at_once = threading.Event(), threading.Event(), []
    create = sqlite._create

    def slow(new: Path) -> None:
        at_once.append(new)
        creating.set()
        may_go_on.wait(60)
        create(new)

    monkeypatch.setattr(sqlite, "_create", slow)
    first = threading.Thread(target=lambda: open_for_writing(path).close())
    first.start()
    assert creating.wait(60)
    second = threading.Thread(target=lambda: open_for_writing(path).close())
    second.start()
    second.join(0.5)  # it would have begun to create the tables as well
    may_go_on.set()
    first.join()
    second.join()
    assert len(at_once) == 1


def test_a_new_database_appears_as_a_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate = schema.migrate

    def looked_at(engine: sqlalchemy.Engine) -> None:
        assert not path.exists()
        migrate(engine)
        assert not path.exists()

    monkeypatch.setattr(schema, "migrate", looked_at)
    open_for_writing(path).close()
    assert path.exists()


def _open_and_create(path: Path, name: str, barrier: "multiprocessing.synchronize.Barrier") -> None:
    barrier.wait()
    with open_for_writing(path) as db, db.transaction():
        optuna.create_study(storage=db.storage, study_name=name)


@pytest.mark.slow
def test_eight_processes_that_open_a_new_database_at_once_all_succeed(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(8)
    processes = [context.Process(target=_open_and_create, args=(path, f"s{n}", barrier)) for n in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 8
    with open_for_reading(path) as db:
        assert count(db, "studies") == 8


@pytest.mark.parametrize(
    "name", ["with space.db", "per%20cent.db", "brace{x}.db", "hash#.db", "ünï.db", "quote'.db", "semi;colon.db"]
)
def test_any_file_name_works(name: str, tmp_path: Path) -> None:
    with open_for_writing(tmp_path / name) as db:
        optuna.create_study(storage=db.storage, study_name="s")
    with open_for_reading(tmp_path / name) as db:
        assert count(db, "studies") == 1
    assert {path.name for path in tmp_path.iterdir()} == {name, f"{name}.d"}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "can't be parsed"),
        ("", "can't be parsed"),
        ("mysql+pymysql://user:S3NT1NEL@host/db", "is not supported"),
        ("oracle+nothing://host/db", "is not supported"),
        ("sqlite+aiosqlite:///x.db", "driver of sqlite.aiosqlite is missing"),
        ("sqlite://", "a SQLite URL takes no options"),
        ("sqlite:///:memory:", "a SQLite URL takes no options"),
        ("sqlite:///x.db?mode=ro", "a SQLite URL takes no options"),
        ("sqlite://host/x.db", "can't be parsed|a SQLite URL takes no options"),
    ],
)
def test_a_url_that_cannot_serve_is_refused(url: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        location_of(url)
    assert "S3NT1NEL" not in str(error.value)


def test_our_migrations_make_our_tables_and_leave_optunas_alone(path: Path) -> None:
    with open_for_writing(path) as db, db.read() as connection:

        def ours(name: str | None, kind: str, _parents: object) -> bool:
            return kind != "table" or ((name or "").startswith(PREFIX) and name != schema.VERSION_TABLE)

        context = MigrationContext.configure(
            connection, opts={"version_table": schema.VERSION_TABLE, "include_name": ours}
        )
        assert compare_metadata(context, Base.metadata) == []
        config = Config()
        config.set_main_option("script_location", str(schema.MIGRATIONS))
        assert ScriptDirectory.from_config(config).get_current_head() == schema.SCHEMA
        tables = set(sqlalchemy.inspect(connection).get_table_names())
    assert {table.name for table in Base.metadata.sorted_tables} <= tables


def test_optunas_schema_is_the_one_we_know(path: Path) -> None:
    with open_for_writing(path):
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
        assert storage.get_current_version() == storage.get_head_version() == schema.OPTUNA_SCHEMA
        storage.engine.dispose()


@pytest.mark.parametrize("table", ["alembic_version", schema.VERSION_TABLE])
def test_another_schema_is_refused_and_left_alone(path: Path, table: str) -> None:
    open_for_writing(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"update {table} set version_num = 'v9'")
    connection.close()
    before = path.read_bytes()
    for opening in (open_for_writing, open_for_reading):
        with pytest.raises(StorageError, match="schema v9, but this version works with"):
            opening(path)
    assert path.read_bytes() == before


def test_a_missing_table_of_ours_is_noticed(path: Path) -> None:
    open_for_writing(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("drop table regsearch_epochs")
    connection.close()
    with pytest.raises(StorageError, match="the table regsearch_epochs is missing"):
        open_for_reading(path)


def test_an_optuna_database_gets_our_tables_and_keeps_its_studies(path: Path) -> None:
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    optuna.create_study(storage=storage, study_name="theirs")
    storage.engine.dispose()
    with pytest.raises(schema.NoStudiesError, match="has no study of regsearch"):
        open_for_reading(path)
    with open_for_writing(path) as db:
        assert count(db, "studies") == 1
        assert count(db, "regsearch_studies") == 0


def test_a_database_of_something_else_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("create table mine (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match="a database of another program"):
        open_for_writing(path)
    assert path.read_bytes() == before


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "garbage":
        path.write_bytes(b"no database at all" * 100)
    elif how == "cut":
        path.write_bytes(content[: len(content) // 3])
    elif how == "pages":
        path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
    elif how == "folder":
        path.unlink()
        path.mkdir()


@pytest.mark.parametrize("how", ["garbage", "cut", "pages", "folder"])
def test_a_damaged_database_is_one_storage_error(path: Path, how: str) -> None:
    open_for_writing(path).close()
    damage(path, how)
    for opening in (open_for_writing, open_for_reading):
        with pytest.raises(StorageError) as error:
            opening(path)
        assert "\n" not in str(error.value)


def test_random_damage_is_found_or_harmless(path: Path) -> None:
    """Whatever bytes are overwritten: an answer or one storage error, never anything else."""
    import random

    from regsearch.storage.queries import get_study, list_trials, read_answer
    from regsearch.storage.study_store import StudyStore
    from regsearch.studies.trial import TrialTask

    with open_for_writing(path) as db:
        info = DatasetInfo(name="digits", source="digits", sha256="0" * 64, n_train=1, n_test=1)
        store = StudyStore.create(db, read_study("smoke"), info, {})
        for _ in range(6):
            task = store.ask()
            assert isinstance(task, TrialTask)
            store.fail(task, "a test")
    whole, generator, refused = path.read_bytes(), random.Random(0), 0
    for _ in range(80):
        content = bytearray(whole)
        for _ in range(generator.choice((1, 200, 3000))):
            content[generator.randrange(len(content))] = generator.randrange(256)
        path.write_bytes(content)
        try:
            with open_for_reading(path) as db:
                study = get_study(db, "smoke")
                read_answer(db, study)
                list(list_trials(db, study))
        except (StorageError, InputError):
            refused += 1
    assert refused > 25


def test_a_missing_folder_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="there is no directory"):
        open_for_writing(tmp_path / "absent" / "test.db")


@pytest.mark.parametrize(
    ("distribution", "values"),
    [
        (optuna.distributions.FloatDistribution(1e-7, 1e-2, log=True), [1e-7, 0.1 / 3e2, 1e-2]),
        (optuna.distributions.IntDistribution(1, 8), [1, 5, 8]),
        (optuna.distributions.CategoricalDistribution([False, True]), [False, True]),
        (optuna.distributions.CategoricalDistribution(["none", "l1", "l2"]), ["none", "l2"]),
    ],
)
def test_parameters_are_decoded_as_optuna_does(
    distribution: optuna.distributions.BaseDistribution, values: list[object]
) -> None:
    text = optuna.distributions.distribution_to_json(distribution)
    assert json.loads(text)["name"] == type(distribution).__name__
    for value in values:
        decoded = _decode(distribution.to_internal_repr(value), text)
        assert decoded == value
        assert type(decoded) is type(value)


def test_what_a_block_changes_of_waiting_ends_with_it(path: Path) -> None:
    open_for_writing(path).close()
    with open_for_writing(path) as database, open_for_writing(path) as other:
        asked: list[str] = []

        def give_up() -> bool:
            asked.append("whether to give up")
            return True

        def take() -> None:
            with database.transaction():
                pass

        with other.transaction():
            with database.waiting(should_give_up=give_up), pytest.raises(StorageUnavailableError):
                take()
            with database.waiting(lock_seconds=0), pytest.raises(StorageUnavailableError):
                take()
        assert len(asked) == 1
        take()
