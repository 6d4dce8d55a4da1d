"""Turn what a database raises into one line for the user; nothing else does."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import sqlalchemy

from ..studies.errors import InputError, RegsearchError, StorageError, StorageUnavailableError
from .location import Location, Server

RESTORE = "Move it away, or put a backup in its place, and try again."

_MISSING_COLUMN, _MISSING_TABLE, _FORBIDDEN = "42703", "42P01", "42501"
_ANOTHER_PROGRAMS = (
    StorageError,
    "it is damaged, or another program's",
    "Name another with --storage.",
)
POSTGRES_ERRORS: dict[str, tuple[type[RegsearchError], str, str]] = {
    "3F": (StorageError, "it lacks the schema that the URL names", "Create the schema first."),
    _MISSING_COLUMN: _ANOTHER_PROGRAMS,
    _MISSING_TABLE: _ANOTHER_PROGRAMS,
    _FORBIDDEN: (StorageError, "this user lacks a permission", "Ask its owner to grant it."),
    "08": (StorageUnavailableError, "the connection broke", ""),
    "57P": (StorageUnavailableError, "the server is ending or starting", ""),
    "53": (StorageUnavailableError, "the server lacks room or connections", ""),
    "40": (StorageUnavailableError, "another transaction stood in the way", ""),
    "55P03": (StorageUnavailableError, "another process holds a lock", ""),
    "25P": (StorageUnavailableError, "the server ended a transaction that took too long", ""),
    "25006": (StorageUnavailableError, "the server allows no writing now", ""),
}
"""What an error of PostgreSQL means: the beginning of its SQLSTATE, then the class to raise, meaning and remedy."""

_CONNECTION_ERRORS: tuple[tuple[str, type[RegsearchError], str, str], ...] = (
    ("role.*does not exist", StorageError, "there is no such user", "Give another, or ask the server's owner for it."),
    (
        "does not exist",
        StorageError,
        "there is no such database",
        "Create it with `createdb`, or name another.",
    ),
    (
        # libpq says the first three without asking a server, a server the others
        "^(invalid |bad value for |definition of service )"
        "|unrecognized configuration parameter|invalid value for parameter",
        InputError,
        "a connection option is wrong",
        "Check the URL and the PG* environment variables.",
    ),
    (
        "password authentication failed|no password supplied|authentication method|pg_hba.conf|certificate"
        "|does not support SSL",
        StorageError,
        "the login failed",
        "Check the URL, PGPASSFILE and PGPASSWORD.",
    ),
)
"""What libpq says, which has no SQLSTATE: a pattern for its text, then the class to raise, meaning and remedy."""

_FILE_ERRORS: tuple[tuple[str, type[StorageError], str, str], ...] = (
    ("locked", StorageUnavailableError, "is locked by another process", "End that process and try again."),
    ("full|disk I/O", StorageUnavailableError, "can't be written ({text})", "Free space on its disk and try again."),
    (
        "readonly",
        StorageError,
        "can't be written: it is read-only",
        "Make the file, its directory and its disk writable.",
    ),
    ("malformed|not a database|no such|has no column", StorageError, "is damaged or not a database ({text})", RESTORE),
)
_OF_PSYCOPG = "connection is bad: "  # before what libpq says


@contextmanager
def translate_errors(location: Location) -> Iterator[None]:
    """Turn what a database raises into StorageError, or StorageUnavailableError if waiting may help."""
    try:
        yield
    except (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError) as error:
        if isinstance(location, Path) or _is_our_bug(_state(error)):
            raise  # a bug of regsearch
        raise _of_server(location, error) from error
    except (sqlalchemy.exc.SQLAlchemyError, sqlite3.Error, optuna.exceptions.StorageInternalError) as error:
        raise _explained(location, error) from error
    except OSError as error:
        where = "" if error.filename is None else f" ({error.filename})"
        raise StorageError(f"{location} can't be used: {error.strerror}{where}") from error
    except UnicodeDecodeError as error:
        raise StorageError(f"{location} is damaged ({first_line(error)}). {RESTORE}") from error
    except LookupError as error:
        if "is not among the defined enum values" not in str(error):
            raise
        raise StorageError(f"{location} is damaged ({error}). {RESTORE}") from error


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _explained(location: Location, error: BaseException) -> RegsearchError:
    return _of_server(location, error) if isinstance(location, Server) else _of_file(location, error)


def _of_server(server: Server, error: BaseException) -> RegsearchError:
    text, state = _text(_first_error(error)), _state(error)
    for prefix, (kind, meaning, remedy) in POSTGRES_ERRORS.items():
        if state.startswith(prefix):
            now = " now" if kind is StorageUnavailableError else ""
            return kind(_sentences(f"{server} can't be used{now}: {meaning} ({text})", remedy))
    if _broke(error):
        return StorageUnavailableError(f"{server} can't be used now: the connection broke")
    if isinstance(error, sqlalchemy.exc.TimeoutError):
        return StorageUnavailableError(f"{server} can't be used now: {text}")
    if state or not isinstance(error, sqlalchemy.exc.DBAPIError):
        return StorageError(f"{server} can't be used: {text}")
    for pattern, kind, meaning, remedy in _CONNECTION_ERRORS:
        if re.search(pattern, text):
            return kind(_sentences(f"{server} can't be reached: {meaning} ({text})", remedy))
    return StorageUnavailableError(f"{server} can't be reached: {text}. Check its name, and that the server runs")


def _sentences(failure: str, remedy: str) -> str:
    """Return both; without a remedy no stop is behind the failure, since those who wait add what they do."""
    return f"{failure}. {remedy}" if remedy else failure


def _broke(error: BaseException) -> bool:
    """Return whether the connection broke; Optuna tries once more what fails so, on a transaction that is gone."""
    return any(
        isinstance(cause, sqlalchemy.exc.PendingRollbackError)
        or (isinstance(cause, sqlalchemy.exc.DBAPIError) and cause.connection_invalidated)
        for cause in _causes(error)
    )


def _state(error: BaseException) -> str:
    """Return the state of five signs that PostgreSQL gives an error; empty where it gave none."""
    states = (getattr(cause, "sqlstate", None) for cause in _causes(error))
    return next((str(state) for state in states if state is not None), "")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Give an error, and what it came from."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = getattr(cause, "orig", None) or cause.__cause__ or cause.__context__


def _text(error: BaseException) -> str:
    """Return what a driver says without its headings; of several attempts each failure once."""
    lines = [line.strip(" -\t") for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.endswith(":")]
    return "; ".join(dict.fromkeys(said[:3])).removeprefix(_OF_PSYCOPG) or type(error).__name__


def _is_our_bug(state: str) -> bool:
    """Return whether the SQLSTATE of a statement's error means a bug of regsearch, not of the database."""
    return state.startswith(("23", "42")) and state not in (_MISSING_COLUMN, _MISSING_TABLE, _FORBIDDEN)


def _of_file(path: Path, error: BaseException) -> StorageError:
    text = first_line(_first_error(error))
    for pattern, kind, failure, remedy in _FILE_ERRORS:
        if re.search(pattern, text):
            return kind(f"{path} {failure.format(text=text)}. {remedy}")
    return StorageError(f"{path} can't be used: {text}")


def _first_error(error: BaseException) -> BaseException:
    """Return what went wrong first: the driver's error, not one of rolling back what was rolled back already."""
    first = error
    for cause in _causes(error):
        if _is_drivers(cause) or not _is_drivers(first):
            first = cause
    return first


def _is_drivers(error: BaseException) -> bool:
    return isinstance(error, sqlite3.Error) or type(error).__module__.startswith("psycopg")
