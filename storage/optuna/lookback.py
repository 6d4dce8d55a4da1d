"""What samplers and pruners look back on in a long study: the best trials and an even part of all others.

Optuna's TPE weighs its 25 best trials against all others, whose density a thousand show as well as a hundred
thousand, and the median of a thousand curves is that of all within three hundredths of their ranks.
"""

from sqlalchemy import Connection, text

MOST = 1000  # trials, of those before the latest block
BLOCK = 500
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
    """Return the number from which on a trial's sampler and pruner see all trials, of those before only a part.

    It is 0 up to trial 1,499. It moves by 500 trials at once, so that a search that was stopped goes on with
    the same part as one that ran through.
    """
    block = number // BLOCK * BLOCK
    return block if block > MOST else 0


def lookback_condition(connection: Connection, study_id: int, begin: int) -> str:
    """Return the SQL condition on Optuna's table of trials that holds of those that are seen.

    They are those from a number on, those that are not finished, and of the others the best, each one of an even
    sequence of numbers, and the last: Optuna's cache reads on from the last one that it was given.
    """
    maximizes = connection.execute(_DIRECTION, {"study_id": study_id}).scalar() == "MAXIMIZE"
    bound = {"study_id": study_id, "begin": begin, "limit": _BEST}
    best = connection.execute(_LARGEST if maximizes else _SMALLEST, bound).scalars()
    # without a % sign, which a driver may take for a parameter, and in 64 bits
    spread = f"cast(number as bigint) * {MOST - _BEST}"
    sequence = f"{spread} - {spread} / {begin} * {begin} < {MOST - _BEST}"
    listed = ",".join(map(str, best)) or "-1"  # no list is empty in PostgreSQL
    return f"(number >= {begin - 1} or state in ('RUNNING', 'WAITING') or {sequence} or number in ({listed}))"
