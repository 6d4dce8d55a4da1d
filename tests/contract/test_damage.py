"""What SQL finds ordinary, Optuna's own reading finds sound; and of a sound study no trial is read for the check."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy
from databases.restore import restore

from regsearch.search.result import RunResult
from regsearch.storage import schema
from regsearch.storage.checks import trials
from regsearch.storage.connect import open_for_writing
from regsearch.storage.database import Database
from regsearch.storage.location import location_of
from regsearch.storage.optuna.row_check import is_ordinary
from regsearch.studies.errors import StorageError

Search = Callable[..., RunResult]

ODD = [
    "null",
    "''",
    "'abc'",
    "'WAITING'",
    "'COMPLETE'",
    "'RUNNING'",
    "'FINITE'",
    "'INF_POS'",
    "-1",
    "0",
    "0.5",
    "77",
    "1e999",
    "x'ff'",
    "cast(x'22ff22' as text)",
    "cast(x'310032' as text)",
    "'2026-99-01 00:00:00.000000'",
    "'2026-02-30 00:00:00.000000'",
    "'0001-01-01 00:00:00.000000'",
    "'2026-01-01 00:00:00'",
    "'{'",
    "'{}'",
    "'1e5000'",
    "'[' || substr(replace(hex(zeroblob(3000)), '00', '['), 1, 3000)",
    "printf('%05000d', 1)",
    """'{"name": "FloatDistribution", "attributes": {"step": null, "low": 2.0, "high": 1.0, "log": false}}'""",
    """'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e9, "high": 2e9, "log": false}}'""",
    """'{"name": "IntDistribution", "attributes": {"log": false, "step": 3, "low": 1, "high": 7}}'""",
    """'{"name": "CategoricalDistribution", "attributes": {"choices": []}}'""",
]
COLUMNS = [
    "trials.number",
    "trials.state",
    "trials.datetime_start",
    "trials.datetime_complete",
    "trial_params.param_value",
    "trial_params.distribution_json",
    "trial_values.value",
    "trial_values.value_type",
    "trial_intermediate_values.step",
    "trial_intermediate_values.intermediate_value",
    "trial_intermediate_values.intermediate_value_type",
    "trial_user_attributes.value_json",
    "trial_user_attributes.key",
]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with trials of every state."""
    with open_for_writing(restore(schema.SCHEMA, tmp_path_factory.mktemp("sound") / "test.db")) as database:
        yield database


def ids(connection: sqlalchemy.Connection) -> tuple[int, str]:
    return tuple(connection.exec_driver_sql("select study_id, study_name from studies").first())  # type: ignore[arg-type]


class _RolledBack(Exception):
    pass


def test_of_a_sound_study_no_trial_is_read(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(trials, "_read_trials")
    with database.transaction() as connection:
        study_id, name = ids(connection)
        states = connection.exec_driver_sql("select distinct state from trials").scalars()
        assert {"COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING"} <= set(states)
        trials.check_trials(database, connection, study_id, name)


@pytest.mark.parametrize("column", COLUMNS)
def test_what_optuna_cannot_read_is_never_ordinary(database: Database, column: str) -> None:
    table, _, name = column.partition(".")
    found = []
    for odd in ODD:
        for which in ("min", "max"):
            with pytest.raises(_RolledBack), database.transaction() as connection:
                found.append(_is_noticed(database, connection, table, f"{name} = {odd}", which))
                raise _RolledBack
    assert found.count(True) > 1  # else nothing was shown


def _is_noticed(database: Database, connection: Any, table: str, change: str, which: str) -> bool:
    """Harm a row; return whether that is damage, which must then be noticed."""
    study_id, study = ids(connection)
    of_study = f"trial_id in (select trial_id from trials where study_id = {study_id})"
    one = f"select {which}(rowid) from {table} where {of_study}"
    try:
        connection.exec_driver_sql(f"update {table} set {change} where rowid = ({one})")
    except sqlalchemy.exc.IntegrityError:
        return False
    try:
        trials._read_trials(database, study_id, study)
    except (StorageError, sqlalchemy.exc.OperationalError):  # the latter: bytes that are no UTF-8
        with suppress(sqlalchemy.exc.OperationalError):
            assert not is_ordinary(connection, study_id), change
        return True
    return False


@pytest.mark.parametrize(
    "harm",
    [
        "delete from trials where number = 0",
        "delete from trial_values",
        "update trials set number = number + 1",
        "update trial_params set param_value = 77",
        "update trial_system_attributes set value_json = '{'",
    ],
)
def test_a_damaged_study_is_told(search: Search, storage: str, harm: str) -> None:
    search(trials=4)
    with sqlite3.connect(location_of(storage)) as connection:
        connection.execute("insert into trial_system_attributes (trial_id, key, value_json) values (1, 'a', '1')")
        connection.execute(harm)
    connection.close()
    with pytest.raises(StorageError, match="damaged"):
        search(trials=6)


def test_infinite_values_are_no_damage_but_read_one_by_one(
    search: Search, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(trials=4)
    with sqlite3.connect(location_of(storage)) as connection:
        infinite = "intermediate_value = null, intermediate_value_type = 'INF_POS'"
        connection.execute(f"update trial_intermediate_values set {infinite}")
    connection.close()
    read, really = [], trials._read_trials
    monkeypatch.setattr(trials, "_read_trials", lambda *study: (read.append(study[-1]), really(*study)))
    search(trials=5, settings=["search.pruner=none", "search.pruner_options={}"])
    assert read == ["smoke"]
