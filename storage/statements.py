"""What a study's coordinator reads and writes by plain SQL within its transactions, in Optuna's tables and ours."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from storage.queries import UUID_ATTR


def uuid_of(connection: Connection, study_id: int) -> str | None:
    """Return which of our studies an Optuna study is now; None where it is none."""
    value = connection.exec_driver_sql(
        "select value_json from study_user_attributes where study_id = ? and key = ?", (study_id, UUID_ATTR)
    ).scalar()
    uuid: str | None = None if value is None else json.loads(value)
    return uuid


def newest_run(connection: Connection, uuid: str) -> Any:
    """Return a row (run_id, pid, host) of the study's newest run."""
    return connection.exec_driver_sql(
        "select run_id, pid, host from regsearch_runs where study_uuid = ? order by run_id desc limit 1", (uuid,)
    ).one()


def count(connection: Connection, uuid: str, study_id: int) -> Any:
    """Return a row (all, finished, running, first_waiting) of trials; running are those that we began."""
    return connection.exec_driver_sql(
        "select count(*) as 'all', coalesce(sum(t.state not in ('RUNNING', 'WAITING')), 0) as finished, "
        "coalesce(sum(t.state = 'RUNNING' and r.number is not null), 0) as running, "
        "min(case when t.state = 'WAITING' then t.number end) as first_waiting "
        "from trials t left join regsearch_trials r on r.study_uuid = ? and r.number = t.number "
        "where t.study_id = ?",
        (uuid, study_id),
    ).one()


def running_trial_id(connection: Connection, study_id: int, number: int) -> int | None:
    """Return Optuna's id of a trial that runs; None where it doesn't."""
    trial_id: int | None = connection.exec_driver_sql(
        "select trial_id from trials where study_id = ? and number = ? and state = 'RUNNING'", (study_id, number)
    ).scalar()
    return trial_id


def recipes_tried(connection: Connection, uuid: str) -> set[str]:
    """Return the names of the recipes that trials of the study were, or are."""
    tried = connection.exec_driver_sql(
        "select recipe from regsearch_trials where study_uuid = ? and recipe is not null", (uuid,)
    )
    return set(tried.scalars())


def recipe_of(connection: Connection, uuid: str, number: int) -> str | None:
    """Return which recipe's settings a trial has; None where it has none's."""
    recipe: str | None = connection.exec_driver_sql(
        "select recipe from regsearch_trials where study_uuid = ? and number = ?", (uuid, number)
    ).scalar()
    return recipe


def recipes_trial_id(connection: Connection, uuid: str, study_id: int, recipe: str) -> int | None:
    """Return Optuna's id of the finished trial that was a recipe; None where there is none."""
    trial_id: int | None = connection.exec_driver_sql(
        "select t.trial_id from trials t join regsearch_trials r on r.study_uuid = ? and r.number = t.number "
        "where t.study_id = ? and r.recipe = ? and t.state in ('COMPLETE', 'PRUNED', 'FAIL')",
        (uuid, study_id, recipe),
    ).scalar()
    return trial_id


def report(connection: Connection, trial_id: int, step: int, value: float) -> None:
    """Enter an intermediate value as Optuna does, which takes six statements for it."""
    connection.exec_driver_sql(
        "insert into trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type) "
        "values (?, ?, ?, 'FINITE') on conflict (trial_id, step) do update set "
        "intermediate_value = excluded.intermediate_value, intermediate_value_type = 'FINITE'",
        (trial_id, step, value),
    )


def set_user_attrs(connection: Connection, trial_id: int, attrs: Mapping[str, Any]) -> None:
    """Enter user attributes as Optuna does, all at once."""
    connection.exec_driver_sql(
        "insert into trial_user_attributes (trial_id, key, value_json) values (?, ?, ?) "
        "on conflict (trial_id, key) do update set value_json = excluded.value_json",
        [(trial_id, key, json.dumps(value)) for key, value in attrs.items()],
    )


def best_trials(connection: Connection, study_id: int, *, largest: bool, limit: int) -> list[int]:
    """Return the numbers of the complete trials with the best values, the best first."""
    order = "desc" if largest else "asc"
    found = connection.exec_driver_sql(
        "select number from trials join trial_values using (trial_id) "
        f"where study_id = ? and state = 'COMPLETE' order by value {order}, number limit ?",
        (study_id, limit),
    )
    return list(found.scalars())


def running_trials(connection: Connection, uuid: str, study_id: int) -> list[Any]:
    """Return rows (trial_id, attempt) of the trials that run, of those that we began, by number."""
    return list(
        connection.exec_driver_sql(
            "select t.trial_id, r.attempt from trials t join regsearch_trials r on r.study_uuid = ? "
            "and r.number = t.number where t.study_id = ? and t.state = 'RUNNING' order by t.number",
            (uuid, study_id),
        )
    )


def last_finished_trial(connection: Connection, study_id: int) -> int | None:
    """Return Optuna's id of the finished trial with the largest number; None where none is finished."""
    trial_id: int | None = connection.exec_driver_sql(
        "select trial_id from trials where study_id = ? and state in ('COMPLETE', 'PRUNED', 'FAIL') "
        "order by number desc limit 1",
        (study_id,),
    ).scalar()
    return trial_id


def forget_trials_that_are_not_there(connection: Connection, uuid: str, study_id: int) -> None:
    """Drop rows of ours that a copy of the study wrote beyond this one's trials, before it was deleted."""
    connection.exec_driver_sql(
        "delete from regsearch_trials where study_uuid = ? "
        "and number not in (select number from trials where study_id = ?)",
        (uuid, study_id),
    )
