"""Our plain SQL gives on PostgreSQL what it gives on SQLite."""

import ast
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage, RDBStorage
from postgres import folder_of_files, needs_postgres, new_database
from sqlalchemy import Connection, TextClause
from sqlalchemy.sql.selectable import TextualSelect

import regsearch.storage
from regsearch.search.result import RunResult
from regsearch.storage import study_sql
from regsearch.storage.connect import open_for_reading, open_for_writing
from regsearch.storage.database import Database
from regsearch.storage.enqueue import _recorded_space
from regsearch.storage.export_source import find_export_source
from regsearch.storage.location import location_of
from regsearch.storage.optuna import lookback
from regsearch.storage.optuna.storage import FastRDBStorage
from regsearch.storage.queries import UUID_ATTR, get_study, study_names
from regsearch.storage.report_data import read_report_data, read_status
from regsearch.storage.sqlite import make_engine
from regsearch.storage.study_comparison import read_comparison
from regsearch.storage.tables import EpochRow, RunRow, StudyRow, TrialRow
from regsearch.storage.tried_configurations import BY_SETTINGS
from regsearch.studies.trial import EPOCH_COLUMNS

OF_SQLITE_ALONE = {"row_check.py", "integrity.py", "schema.py", "sqlite.py"}  # pragmas, and types of single values
OF_POSTGRESQL_ALONE = {"lease", "postgres", "optuna.tables.LOCKED_STUDY_ATTR"}
WITHOUT_PARAMETERS = {"storage.py"}  # lists of ids, of any length

UUID = "6e4d8f4e-0000-4000-8000-000000000001"
TIME = datetime(2026, 1, 2, 3, 4, 5)
BOUND: dict[str, Any] = {
    "id": 1,
    "study_id": 1,
    "trial_id": 8,
    "uuid": UUID,
    "name": "mine",
    "key": UUID_ATTR,
    "value_json": "1",
    "objective": 0,
    "value_type": "FINITE",
    "number": 7,  # it runs
    "first": 0,
    "last": 9,
    "step": 7,
    "by_settings": BY_SETTINGS,
    "value": 0.5,
    "limit": 5,
    "begin": 24,
    "end": TIME,
    "recipe": "none",
}


def plain_statements() -> dict[str, Any]:
    """Return every statement of plain SQL that a module has, by the module and its name there."""
    found: dict[str, Any] = {}
    for module in pkgutil.walk_packages(regsearch.storage.__path__, "regsearch.storage."):
        if not module.name.startswith("regsearch.storage.migrations"):
            there = vars(importlib.import_module(module.name))
            statements = {name: value for name, value in there.items() if isinstance(value, TextClause | TextualSelect)}
            for name, statement in statements.items():
                if all(statement is not other for other in found.values()):  # some are imported
                    found[f"{module.name.removeprefix('regsearch.storage.')}.{name}"] = statement
    return {name: value for name, value in found.items() if not OF_POSTGRESQL_ALONE & {name, name.rpartition(".")[0]}}


STATEMENTS = plain_statements()


def bound_of(statement: Any) -> dict[str, Any]:
    binds = statement.compile().binds
    times = {name for name, bind in binds.items() if isinstance(bind.type, sqlalchemy.DateTime)}
    return {name: TIME if name in times else BOUND[name] for name in binds}


def fill(optunas: BaseStorage, engine: sqlalchemy.Engine) -> None:
    """Enter a study of ours: 40 trials of which one runs, and one that waits."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(storage=optunas, study_name="mine", sampler=RandomSampler(0))
    study.set_user_attr(UUID_ATTR, UUID)
    for number in range(40):
        trial = study.ask()
        trial.suggest_float("x", 0, 1)
        trial.suggest_categorical("Y", ["a", "b"])
        trial.report(number, 0)
        if number != 7:
            study.tell(trial, abs(number - 13.1) if number % 3 else 100 + number)
    study.enqueue_trial({"x": 0.5})
    with engine.begin() as connection:
        texts = ("spec", "spec_fingerprint", "source", "dataset", "dataset_sha256", "versions")
        ours = {"study_uuid": UUID, "created_at": TIME, "n_train": 1, "n_test": 1, **dict.fromkeys(texts, "{}")}
        connection.execute(sqlalchemy.insert(StudyRow), ours)
        texts = ("host", "engine", "search", "sampler", "pruner", "versions")
        run = {"study_uuid": UUID, "pid": 1, "workers": 1, "started_at": TIME, **dict.fromkeys(texts, "x")}
        connection.execute(sqlalchemy.insert(RunRow), run)
        trials = [{"study_uuid": UUID, "number": number, "attempt": 0, "recipe": None} for number in range(50)]
        trials[0]["recipe"] = "none"
        connection.execute(sqlalchemy.insert(TrialRow), trials)
        figures = dict.fromkeys(EPOCH_COLUMNS, 0.25)
        connection.execute(sqlalchemy.insert(EpochRow), {"study_uuid": UUID, "number": 7, **figures, "epoch": 7})


@pytest.fixture(scope="module")
def sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "test.db"
    with open_for_writing(path) as database:
        fill(database.storage, database.engine)
    return path


@pytest.fixture
def sqlite(sqlite_file: Path) -> Iterator[sqlalchemy.Engine]:
    engine = make_engine(sqlite_file, writing=True)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def postgres_url() -> Iterator[str]:
    with folder_of_files(), new_database() as url:
        open_for_writing(location_of(url)).close()
        with closing_storage(RDBStorage(url)) as optunas:
            fill(optunas, optunas.engine)
        yield url


@contextmanager
def closing_storage(optunas: RDBStorage) -> Iterator[RDBStorage]:
    try:
        yield optunas
    finally:
        optunas.scoped_session.remove()
        optunas.engine.dispose()


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[sqlalchemy.Engine]:
    engine = sqlalchemy.create_engine(postgres_url)
    yield engine
    engine.dispose()


def rows_of(connection: Connection, statement: Any) -> Any:
    """Return what a statement gives, in plain types, or of one that writes, how many rows it wrote; all is undone."""
    begun = connection.begin()
    with closing(connection.execute(statement, bound_of(statement))) as result:
        found = [tuple(row) for row in result] if result.returns_rows else result.rowcount
    begun.rollback()
    return sorted(found, key=repr) if "order by" not in str(statement) and isinstance(found, list) else found


def without_times(found: Any) -> Any:
    if not isinstance(found, list):
        return found
    return [tuple(None if isinstance(cell, datetime) else cell for cell in row) for row in found]


def test_all_plain_sql_is_among_the_statements() -> None:
    assert len(STATEMENTS) >= 25
    for path in Path(str(regsearch.storage.__file__)).parent.rglob("*.py"):
        tree = ast.parse(path.read_text())
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "sqlalchemy"]
        if any(alias.name == "text" for node in imports for alias in node.names):
            within = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
            calls = [node for function in within for node in ast.walk(function) if isinstance(node, ast.Call)]
            assert not [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "text"], path
        if path.name not in OF_SQLITE_ALONE | WITHOUT_PARAMETERS:
            assert "exec_driver_sql" not in path.read_text(), path


def test_every_statement_finds_or_writes_rows_of_the_study_here(sqlite: sqlalchemy.Engine) -> None:
    """So that what both databases give alike isn't alike because it is nothing."""
    with sqlite.connect() as connection:
        for name, statement in STATEMENTS.items():
            assert rows_of(connection, statement), name


@needs_postgres
@pytest.mark.parametrize("name", STATEMENTS)
def test_a_statement_gives_the_same_on_both(name: str, sqlite: sqlalchemy.Engine, postgres: sqlalchemy.Engine) -> None:
    with sqlite.connect() as there, postgres.connect() as here:
        assert without_times(rows_of(here, STATEMENTS[name])) == without_times(rows_of(there, STATEMENTS[name]))


@needs_postgres
@pytest.mark.parametrize("best", [0, 5])
def test_a_part_of_the_trials_is_the_same_on_both(
    best: int, sqlite: sqlalchemy.Engine, postgres: sqlalchemy.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("MOST", 12), ("BLOCK", 4), ("_BEST", best)):
        monkeypatch.setattr(lookback, name, value)
    with sqlite.connect() as there, postgres.connect() as here:
        conditions = [lookback.lookback_condition(connection, 1, 24) for connection in (here, there)]
        assert conditions[0] == conditions[1]
        query = sqlalchemy.text(f"select number from trials where {conditions[0]} order by number")
        assert here.execute(query).all() == there.execute(query).all()


@needs_postgres
def test_trials_are_read_from_postgresql_as_optuna_reads_them(postgres_url: str) -> None:
    with closing_storage(RDBStorage(postgres_url)) as optunas, closing_storage(FastRDBStorage(postgres_url)) as ours:
        every = optunas.get_all_trials(1)
        assert ours.get_all_trials(1) == every
        assert ours._get_trials(1, None, set(), 30) == [trial for trial in every if trial._trial_id > 30]
        ours.look_back(6000)
        assert [trial.number for trial in ours.get_all_trials(1)] == [trial.number for trial in every]


@needs_postgres
def test_what_a_coordinator_writes_goes_into_postgresql(postgres: sqlalchemy.Engine) -> None:
    with postgres.connect() as connection:
        for value in (0.25, 0.75):
            study_sql.report(connection, 8, 1, value)
        for text in ("a", "é"):
            study_sql.set_user_attrs(connection, 8, {"one": text, "two": 2})
        counts = study_sql.count(connection, UUID, 1)
        assert (counts.all, counts.finished, counts.running, counts.first_waiting) == (41, 39, 1, 40)
        assert study_sql.running_trials(connection, UUID, 1) == [(8, 0)]
        assert study_sql.best_trials(connection, 1, largest=False, limit=3) == [13, 14, 11]
        assert study_sql.recipes_tried(connection, UUID) == {"none"}
        connection.rollback()


def answers(database: Database) -> Any:
    """Return all that is read of the studies, without times."""
    found: list[Any] = []
    for name in study_names(database):
        study = get_study(database, name)
        content = read_report_data(database, study)
        assert content.conclusion is not None
        assert content.confirmation_cost is not None
        found += [(t.number, t.state, t.value, t.params, t.reason, t.recipe, t.metrics) for t in content.trials]
        found += [(result.finalist, result.select_cross_entropy) for result in content.conclusion.results]
        found += [content.answer.counts, [(run.outcome, run.finished_trials) for run in content.runs]]
        found += [content.confirmation_cost.trainings, content.confirmation_cost.epochs, list(content.curves)]
        found += [read_status(database, study).confirmation, find_export_source(database, study, None).origin]
        found += [find_export_source(database, study, 0).params, _recorded_space(database, study)]
    return found, read_comparison(database, study_names(database)).differences


@pytest.mark.slow
@needs_postgres
def test_a_whole_study_is_the_same_on_both(search: Callable[..., RunResult], storage: str) -> None:
    def two_studies(storage: str) -> Any:
        for name, trials in (("one", 15), ("two", 17)):
            settings = ["confirm.seeds=3", "confirm.top=2"]
            search(settings=settings, name=name, workers=1, trials=trials, storage=storage)
        with open_for_reading(location_of(storage)) as database:
            return answers(database)

    with new_database() as server:
        assert two_studies(server) == two_studies(storage)
