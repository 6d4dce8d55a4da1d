"""The part of a long study that samplers and pruners see: its best trials, and others at even distances.

The sampler TPE compares the 25 best trials with all others. A thousand of these others show the density as well as a
hundred thousand would. Pruners need the median of all curves. The median of a thousand curves is close to it: it is at
most 3 % of the ranks away.
"""

from sqlalchemy import Connection, text

MOST = 1000  # the largest number of trials that are seen before the latest block
BLOCK = 500  # trials
_BEST = 100

_DIRECTION = text("select direction from study_directions where study_id = :study_id order by objective limit 1")
_SMALLEST, _LARGEST = (
    text(
        "select number from trials join trial_values using (trial_id) where study_id = :study_id and number < :begin "
        f"and state = 'COMPLETE' and value is not null order by value {order}, number limit :limit"
    )
    for order in ("asc", "desc")
)


def lookback_start(number: int) -> int:
    """Return the `begin` of a trial: its sampler and pruner see all trials from there on, and a part of the others.

    `begin` is 0 up to trial 1,499, and then it grows in steps of 500. So a search that was stopped and resumed sees the
    same part as a search that ran through.
    """
    block = number // BLOCK * BLOCK
    return block if block > MOST else 0


def lookback_condition(connection: Connection, study_id: int, begin: int) -> str:
    """Return an SQL condition that selects, from Optuna's table of trials, those that samplers and pruners see.

    They see all trials from the number `begin` on, and all unfinished trials. Of the finished trials before `begin`,
    they see the best ones, some at even distances, and the last one. Optuna's cache needs this last trial, since it
    continues after the last trial that it has read.
    """
    maximizes = connection.execute(_DIRECTION, {"study_id": study_id}).scalar() == "MAXIMIZE"
    bound = {"study_id": study_id, "begin": begin, "limit": _BEST}
    best = connection.execute(_LARGEST if maximizes else _SMALLEST, bound).scalars()
    # in 64 bits, and without the sign %, which a driver may take for a parameter
    spread = f"cast(number as bigint) * {MOST - _BEST}"
    sequence = f"{spread} - {spread} / {begin} * {begin} < {MOST - _BEST}"
    listed = ",".join(map(str, best)) or "-1"  # PostgreSQL allows no empty list
    return f"(number >= {begin - 1} or state in ('RUNNING', 'WAITING') or {sequence} or number in ({listed}))"
