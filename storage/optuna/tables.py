"""SQL statements that read and write Optuna's tables. Review them if Optuna's schema changes.

They are faster than Optuna's mapped objects and read no trials into memory. `README.md` beside this file lists the
tests that check them. A search runs more statements at each step, on Optuna's and regsearch's tables together: these
are in `storage/study_sql.py` and `storage/tried_configurations.py`.
"""

import sqlalchemy
from optuna.storages._rdb.models import BaseModel
from sqlalchemy import DateTime, bindparam, column, text

from ..tables import METRICS

OPTUNA_TABLES: tuple[sqlalchemy.Table, ...] = tuple(BaseModel.metadata.sorted_tables)
"""All tables of Optuna, each after the tables that it refers to."""

VERSION_TABLE = "alembic_version"
"""The table with the revision of Optuna's schema; a database without it has no tables of Optuna."""

# with named columns, SQLAlchemy doesn't have to examine the columns of each result
IS_STUDY = text("select 1 from studies where study_id = :study_id").columns(column("is_there"))
STUDY_ID = text("select study_id from studies where study_name = :name").columns(column("study_id"))
STUDY_NAMES = text(
    "select study_name from studies join study_user_attributes using (study_id) where key = :key order by study_name"
)
STUDY_ATTR = text("select value_json from study_user_attributes where study_id = :id and key = :key")
STUDIES_WITH_ATTR = text("select count(*) from study_user_attributes where key = :key and value_json = :uuid")

# only for PostgreSQL; Optuna locks the same row when it adds a trial
LOCKED_STUDY_ATTR = text(
    "select a.value_json from studies s join study_user_attributes a using (study_id) "
    "where study_id = :study_id and key = :key for update of s"
).columns(column("value_json"))

TRIALS_BY_STATE = text("select state, count(*) from trials where study_id = :id group by state")
LAST_NUMBER = text("select coalesce(max(number), -1) from trials where study_id = :id")
SMALLEST_VALUE, LARGEST_VALUE = (
    text(
        "select number from trials join trial_values using (trial_id) "
        "where study_id = :id and state = 'COMPLETE' and value is not null "
        f"order by value {order}, number limit 1"
    )
    for order in ("asc", "desc")
)
FINISHED_BETWEEN = (
    text(
        "select count(*) as trials, max(datetime_complete) as last from trials "
        "where study_id = :id and datetime_complete >= :begin "
        "and datetime_complete <= coalesce(:end, datetime_complete)"
    )
    .bindparams(bindparam("begin", type_=DateTime), bindparam("end", type_=DateTime))
    .columns(last=DateTime)
)
TRIALS = text(  # the trials from :first to :last; if regsearch has no row, its columns are NULL
    "select t.number, t.state, v.value, t.datetime_start, t.datetime_complete, "
    "r.recipe, r.reason, r.weights_sha256, "
    + ", ".join(f"r.{metric}" for metric in METRICS)
    + " from trials t left join trial_values v on v.trial_id = t.trial_id and t.state = 'COMPLETE' "
    "left join regsearch_trials r on r.study_uuid = :uuid and r.number = t.number "
    "where t.study_id = :id and t.number between :first and :last order by t.number"
).columns(datetime_start=DateTime, datetime_complete=DateTime)
PARAMS = text(
    "select t.number, p.param_name, p.param_value, p.distribution_json "
    "from trials t join trial_params p using (trial_id) "
    "where t.study_id = :id and t.number between :first and :last order by p.param_id"
)
LATEST_DISTRIBUTIONS = text(  # of each parameter, the distribution that the latest trial with it used
    "select p.param_name, p.distribution_json from trial_params p join ("
    "select param_name, max(trial_id) as trial_id from trial_params join trials using (trial_id) "
    "where study_id = :id group by param_name"
    ") latest on latest.trial_id = p.trial_id and latest.param_name = p.param_name order by p.param_name"
)
TRIAL = text(
    "select trial_id, number, state, datetime_start, datetime_complete, study_id from trials where trial_id = :trial_id"
).columns(
    column("trial_id"),
    column("number"),
    column("state"),
    column("datetime_start", DateTime),
    column("datetime_complete", DateTime),
    column("study_id"),
)

SET_VALUE = text(
    "insert into trial_values (trial_id, objective, value, value_type) values (:trial_id, :objective, :value, "
    ":value_type) on conflict (trial_id, objective) do update set value = excluded.value, "
    "value_type = excluded.value_type"
)
SET_PARAM = text(
    "insert into trial_params (trial_id, param_name, param_value, distribution_json) select trial_id, :name, "
    "cast(:value as double precision), :value_json from trials where trial_id = :trial_id "
    "and state in ('RUNNING', 'WAITING')"
)
