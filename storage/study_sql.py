"""The SQL statements of a study's coordinator, within its transactions, on the tables of Optuna and regsearch."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, column, text

from .queries import UUID_ATTR

# with named columns, SQLAlchemy doesn't have to examine the columns of each result
_UUID_OF = text("select value_json from study_user_attributes where study_id = :study_id and key = :key").columns(
    column("value_json")
)
_NEWEST_RUN = text(
    "select run_id, pid, host from regsearch_runs where study_uuid = :uuid order by run_id desc limit 1"
).columns(column("run_id"), column("pid"), column("host"))
_COUNT = text(
    'select count(*) as "all", '
    "coalesce(sum(case when t.state not in ('RUNNING', 'WAITING') then 1 else 0 end), 0) as finished, "
    "coalesce(sum(case when t.state = 'RUNNING' and r.number is not null then 1 else 0 end), 0) as running, "
    "min(case when t.state = 'WAITING' then t.number end) as first_waiting "
    "from trials t left join regsearch_trials r on r.study_uuid = :uuid and r.number = t.number "
    "where t.study_id = :study_id"
).columns(column("all"), column("finished"), column("running"), column("first_waiting"))
_RUNNING_TRIAL_ID = text(
    "select trial_id from trials where study_id = :study_id and number = :number and state = 'RUNNING'"
).columns(column("trial_id"))
_RECIPES_TRIED = text("select recipe from regsearch_trials where study_uuid = :uuid and recipe is not null").columns(
    column("recipe")
)
_RECIPE_OF = text("select recipe from regsearch_trials where study_uuid = :uuid and number = :number").columns(
    column("recipe")
)
_RECIPES_TRIAL_ID = text(
    "select t.trial_id from trials t join regsearch_trials r on r.study_uuid = :uuid and r.number = t.number "
    "where t.study_id = :study_id and r.recipe = :recipe and t.state in ('COMPLETE', 'PRUNED', 'FAIL')"
).columns(column("trial_id"))
_EPOCH = text(
    "select train_loss, stop_loss, stop_cross_entropy, stop_accuracy from regsearch_epochs "
    "where study_uuid = :uuid and number = :number and epoch = :step"
).columns(column("train_loss"), column("stop_loss"), column("stop_cross_entropy"), column("stop_accuracy"))
_REPORT = text(
    "insert into trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type) "
    "values (:trial_id, :step, :value, 'FINITE') on conflict (trial_id, step) do update set "
    "intermediate_value = excluded.intermediate_value, intermediate_value_type = 'FINITE'"
)
_SET_USER_ATTR = text(
    "insert into trial_user_attributes (trial_id, key, value_json) values (:trial_id, :key, :value_json) "
    "on conflict (trial_id, key) do update set value_json = excluded.value_json"
)
# NULL is the smallest value, as in SQLite; by default, PostgreSQL sorts it as the largest
_SMALLEST_TRIALS, _LARGEST_TRIALS = (
    text(
        "select number from trials join trial_values using (trial_id) "
        f"where study_id = :study_id and state = 'COMPLETE' order by value {order}, number limit :limit"
    ).columns(column("number"))
    for order in ("asc nulls first", "desc nulls last")
)
_RUNNING_TRIALS = text(
    "select t.trial_id, r.attempt from trials t join regsearch_trials r on r.study_uuid = :uuid "
    "and r.number = t.number where t.study_id = :study_id and t.state = 'RUNNING' order by t.number"
).columns(column("trial_id"), column("attempt"))
_LAST_FINISHED_TRIAL = text(
    "select trial_id from trials where study_id = :study_id and state in ('COMPLETE', 'PRUNED', 'FAIL') "
    "order by number desc limit 1"
).columns(column("trial_id"))
_FORGET_TRIALS = text(
    "delete from regsearch_trials where study_uuid = :uuid "
    "and number not in (select number from trials where study_id = :study_id)"
)


def uuid_of(connection: Connection, study_id: int) -> str | None:
    """Return regsearch's UUID of a study in Optuna's tables, or None if regsearch did not create the study."""
    value = connection.execute(_UUID_OF, {"study_id": study_id, "key": UUID_ATTR}).scalar()
    uuid: str | None = None if value is None else json.loads(value)
    return uuid


def newest_run(connection: Connection, uuid: str) -> Any:
    """Return the row (run_id, pid, host) of the study's newest run."""
    return connection.execute(_NEWEST_RUN, {"uuid": uuid}).one()


def count(connection: Connection, uuid: str, study_id: int) -> Any:
    """Return a row (all, finished, running, first_waiting) of trials; `running` counts those that regsearch started."""
    return connection.execute(_COUNT, {"uuid": uuid, "study_id": study_id}).one()


def running_trial_id(connection: Connection, study_id: int, number: int) -> int | None:
    """Return Optuna's id of a trial if it is running, else None."""
    trial_id: int | None = connection.execute(_RUNNING_TRIAL_ID, {"study_id": study_id, "number": number}).scalar()
    return trial_id


def recipes_tried(connection: Connection, uuid: str) -> set[str]:
    """Return the names of the recipes that trials of the study have tried or are trying."""
    return set(connection.execute(_RECIPES_TRIED, {"uuid": uuid}).scalars())


def recipe_of(connection: Connection, uuid: str, number: int) -> str | None:
    """Return the name of the recipe whose settings a trial has; None if no recipe has them."""
    name: str | None = connection.execute(_RECIPE_OF, {"uuid": uuid, "number": number}).scalar()
    return name


def is_recipe(connection: Connection, uuid: str, number: int) -> bool:
    """Return whether a trial has the settings of a recipe."""
    return recipe_of(connection, uuid, number) is not None


def recipes_trial_id(connection: Connection, uuid: str, study_id: int, recipe: str) -> int | None:
    """Return Optuna's id of the finished trial that tried a recipe; None if there is none."""
    bound = {"uuid": uuid, "study_id": study_id, "recipe": recipe}
    trial_id: int | None = connection.execute(_RECIPES_TRIAL_ID, bound).scalar()
    return trial_id


def epoch(connection: Connection, uuid: str, number: int, step: int) -> Any:
    """Return an epoch's row (train_loss, stop_loss, stop_cross_entropy, stop_accuracy); None if there is none."""
    return connection.execute(_EPOCH, {"uuid": uuid, "number": number, "step": step}).one_or_none()


def report(connection: Connection, trial_id: int, step: int, value: float) -> None:
    """Store an intermediate value as Optuna does, but with one statement instead of six."""
    connection.execute(_REPORT, {"trial_id": trial_id, "step": step, "value": value})


def set_user_attrs(connection: Connection, trial_id: int, attrs: Mapping[str, Any]) -> None:
    """Set a trial's user attributes as Optuna does, but all at once."""
    bound = [{"trial_id": trial_id, "key": key, "value_json": json.dumps(value)} for key, value in attrs.items()]
    connection.execute(_SET_USER_ATTR, bound)


def best_trials(connection: Connection, study_id: int, *, largest: bool, limit: int) -> list[int]:
    """Return the numbers of the complete trials with the best values, the best first."""
    statement = _LARGEST_TRIALS if largest else _SMALLEST_TRIALS
    return list(connection.execute(statement, {"study_id": study_id, "limit": limit}).scalars())


def running_trials(connection: Connection, uuid: str, study_id: int) -> list[Any]:
    """Return rows (trial_id, attempt) of the running trials that regsearch started, ordered by number."""
    return list(connection.execute(_RUNNING_TRIALS, {"uuid": uuid, "study_id": study_id}))


def last_finished_trial(connection: Connection, study_id: int) -> int | None:
    """Return Optuna's id of the finished trial with the largest number; None if no trial is finished."""
    trial_id: int | None = connection.execute(_LAST_FINISHED_TRIAL, {"study_id": study_id}).scalar()
    return trial_id


def forget_trials_that_are_not_there(connection: Connection, uuid: str, study_id: int) -> None:
    """Delete regsearch's rows for trials that the study does not have.

    Such rows are from a copy of the study: until the copy was deleted, both studies wrote the same rows of regsearch.
    """
    connection.execute(_FORGET_TRIALS, {"uuid": uuid, "study_id": study_id})
