"""Check quickly that no trial in an SQLite file is damaged. SQLite itself accepts any value in any column."""

from typing import Any

import sqlalchemy
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution, json_to_distribution

UNREADABLE = (
    ValueError,
    TypeError,
    LookupError,
    OverflowError,
    AttributeError,
    AssertionError,
    RecursionError,
)
"""The errors that Optuna raises while it reads rows with damaged values or JSON."""

_MOST_DISTRIBUTIONS = 50
_NO_LIMITS = (1.0, 0.0, True)
_TRIALS = "trials left join trial_values using (trial_id)"
_OF_STUDY = "trial_id in (select trial_id from trials where study_id = :study_id)"
_IS_TIME = (
    "({0} glob '????-??-?? ??:??:??.[0-9][0-9][0-9][0-9][0-9][0-9]' and substr({0}, 1, 4) between '1971' and '2900' "
    "and strftime('%Y-%m-%d %H:%M:%S', substr({0}, 1, 19), '+0 seconds') = substr({0}, 1, 19))"
)
_STARTED = _IS_TIME.format("datetime_start")
_ENDED = f"{_STARTED} and {_IS_TIME.format('datetime_complete')}"
_HAS_VALUE = "value_type = 'FINITE' and typeof(value) = 'real' and objective = 0"
_HAS_NONE = "objective is null"
_IS_TRIAL = (
    "typeof(number) = 'integer' and case state "
    f"when 'COMPLETE' then {_ENDED} and {_HAS_VALUE} "
    f"when 'PRUNED' then {_ENDED} and ({_HAS_NONE} or {_HAS_VALUE}) "
    f"when 'FAIL' then {_ENDED} and {_HAS_NONE} "
    f"when 'RUNNING' then {_STARTED} and datetime_complete is null and {_HAS_NONE} "
    f"when 'WAITING' then datetime_start is null and datetime_complete is null and {_HAS_NONE} end"
)
_IS_POINT = "intermediate_value_type = 'FINITE' and typeof(intermediate_value) = 'real' and typeof(step) = 'integer'"
_IS_ATTRIBUTE = (  # printable ASCII only: other text could contain invalid UTF-8
    "typeof(key) = 'text' and typeof(value_json) = 'text' and json_valid(value_json) "
    "and key || value_json not glob '*[^ -~]*' and length(cast(value_json as blob)) = length(value_json) "
    "and length(value_json) < 2000"
)


def is_ordinary(connection: sqlalchemy.Connection, study_id: int) -> bool:
    """Return True if no row of a study's trials can be damaged, False if a slower check must decide."""
    study = {"study_id": study_id}
    numbers = "select count(*), count(distinct number), min(number), max(number) from trials where study_id = :study_id"
    count, distinct, least, largest = connection.exec_driver_sql(numbers, study).one()
    if count == 0:
        return True
    if (distinct, least, largest) != (count, 0, count - 1):
        return False
    return (
        not _first_exception(_TRIALS, _IS_TRIAL, connection, study)
        and not _first_exception("trial_intermediate_values", _IS_POINT, connection, study)
        and not _first_exception("trial_user_attributes", _IS_ATTRIBUTE, connection, study)
        and not _first_exception("trial_system_attributes", _IS_ATTRIBUTE, connection, study)
        and _params_are_ordinary(connection, study)
    )


def _first_exception(table: str, condition: str, connection: sqlalchemy.Connection, bound: dict[str, Any]) -> Any:
    """Return a row of the study that doesn't meet a condition; None if all rows meet it."""
    which = "study_id = :study_id" if table == _TRIALS else _OF_STUDY
    query = f"select * from {table} where {which} and not coalesce({condition}, 0) limit 1"
    return connection.exec_driver_sql(query, bound).first()


def _params_are_ordinary(connection: sqlalchemy.Connection, study: dict[str, Any]) -> bool:
    """Return whether each parameter is inside its distribution. Each different distribution is parsed only once."""
    bound, branches = dict(study), ""
    for number in range(_MOST_DISTRIBUTIONS):
        condition = f"case distribution_json {branches} end" if branches else "0"
        row = _first_exception("trial_params", condition, connection, bound)
        if row is None:
            return True
        if row.distribution_json in bound.values():
            return False
        low, high, is_whole = _limits(row.distribution_json)
        whole = " and param_value = cast(param_value as integer)" if is_whole else ""
        branches += (
            f" when :text{number} then typeof(param_value) = 'real' "
            f"and param_value between :low{number} and :high{number}{whole}"
        )
        bound |= {f"text{number}": row.distribution_json, f"low{number}": low, f"high{number}": high}
    return False


def _limits(distribution_json: str) -> tuple[float, float, bool]:
    """Return the smallest and largest number in a distribution, as Optuna stores it, and whether all are whole.

    If the distribution can't be read or has steps, the smallest is above the largest, so that no number fits.
    """
    try:
        distribution = json_to_distribution(distribution_json)
    except UNREADABLE:
        return _NO_LIMITS
    match distribution:
        case CategoricalDistribution(choices=choices):
            return 0.0, len(choices) - 1.0, True
        case FloatDistribution(low=low, high=high, step=None):
            return low, high, False
        case IntDistribution(low=low, high=high, step=1):
            return float(low), float(high), True
    return _NO_LIMITS
