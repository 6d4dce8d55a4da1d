"""The part of a long study that samplers and pruners see: the best trials and an even part of all others.

TPE compares its 25 best trials with all others. A thousand of the others show their density as well as a hundred
thousand. And the median of a thousand curves differs from that of all by at most 3 % of their ranks.
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
    """Return the number from which a trial's sampler and pruner see all trials; of those before, they see a part.

    It is 0 up to trial 1,499. It moves by 500 trials at once. So a search that was stopped continues with the same part
    as one that ran through.
    """
    block = number // BLOCK * BLOCK
    return block if block > MOST else 0


def lookback_condition(connection: Connection, study_id: int, begin: int) -> str:
    """Return the SQL condition, on Optuna's table of trials, for the trials that are seen.

    These are the trials from the number `begin` on, and all unfinished ones. Of the others, they are the best, an even
    part, and the last one: Optuna's cache continues from the last one that it has read.
    """
    maximizes = connection.execute(_DIRECTION, {"study_id": study_id}).scalar() == "MAXIMIZE"
    bound = {"study_id": study_id, "begin": begin, "limit": _BEST}
    best = connection.execute(_LARGEST if maximizes else _SMALLEST, bound).scalars()
    # in 64 bits, and without the sign %, which a driver may take for a parameter
    spread = f"cast(number as bigint) * {MOST - _BEST}"
    sequence = f"{spread} - {spread} / {begin} * {begin} < {MOST - _BEST}"
    listed = ",".join(map(str, best)) or "-1"  # PostgreSQL allows no empty list
    return f"(number >= {begin - 1} or state in ('RUNNING', 'WAITING') or {sequence} or number in ({listed}))"
