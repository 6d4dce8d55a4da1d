"""Translate what a database raises into errors with one line for the user. No other module does this."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import sqlalchemy

from ..studies.errors import InputError, RegsearchError, StorageError, StorageUnavailableError, reason_of
from .location import Location, Server

RESTORE = "Move it away, or put a backup in its place, and try again."

_MISSING_COLUMN, _MISSING_TABLE, _FORBIDDEN = "42703", "42P01", "42501"
_FOREIGN_TABLES = (
    StorageError,
    "it is damaged, or belongs to another program",
    "Name another database with --storage.",
)
POSTGRES_ERRORS: dict[str, tuple[type[RegsearchError], str, str]] = {
    "3F": (StorageError, "it lacks the schema that the URL names", "Create the schema first."),
    _MISSING_COLUMN: _FOREIGN_TABLES,
    _MISSING_TABLE: _FOREIGN_TABLES,
    _FORBIDDEN: (StorageError, "this user lacks a permission", "Ask the database's owner to grant it."),
    "08": (StorageUnavailableError, "the connection broke", ""),
    "57P": (StorageUnavailableError, "the server is stopping or starting", ""),
    "53": (StorageUnavailableError, "the server has no disk space, memory or connections left", ""),
    "40": (StorageUnavailableError, "two transactions were in conflict", ""),
    "55P03": (StorageUnavailableError, "another process holds a lock", ""),
    "25P": (StorageUnavailableError, "the server ended a transaction that took too long", ""),
    "25006": (StorageUnavailableError, "the server is read-only now", ""),
}
"""For each error of PostgreSQL, by the first characters of its SQLSTATE: the class to raise, meaning and remedy."""

_CONNECTION_ERRORS: tuple[tuple[str, type[RegsearchError], str, str], ...] = (
    (
        "role.*does not exist",
        StorageError,
        "there is no such user",
        "Name another user, or ask the server's owner to create this one.",
    ),
    (
        "does not exist",
        StorageError,
        "there is no such database",
        "Create it with `createdb`, or name another database.",
    ),
    (
        # the first three texts come from libpq itself, the others from a server
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
"""For each error of libpq (these have no SQLSTATE): a pattern of its text, the class to raise, meaning and remedy."""

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
_PSYCOPG_PREFIX = "connection is bad: "  # psycopg puts this before libpq's text


@contextmanager
def translate_errors(location: Location) -> Iterator[None]:
    """Turn an error of the database into StorageError, or into StorageUnavailableError if waiting may help."""
    try:
        yield
    except sqlalchemy.exc.IntegrityError as error:
        text = _text(_first_error(error))
        raise StorageError(
            f"{location} refused what regsearch wrote: {text}. If another program has added a trigger or a constraint "
            "to this database, remove it. Otherwise report this as a bug."
        ) from error
    except sqlalchemy.exc.ProgrammingError as error:
        if isinstance(location, Path) or _is_our_bug(_state(error)):
            raise  # a bug of regsearch
        raise _server_error(location, error) from error
    except (sqlalchemy.exc.SQLAlchemyError, sqlite3.Error, optuna.exceptions.StorageInternalError) as error:
        raise _translated(location, error) from error
    except OSError as error:
        where = "" if error.filename is None else f" ({error.filename})"
        raise StorageError(f"{location} can't be used: {reason_of(error)}{where}") from error
    except UnicodeDecodeError as error:
        raise StorageError(f"{location} is damaged ({first_line(error)}). {RESTORE}") from error
    except LookupError as error:
        if "is not among the defined enum values" not in str(error):
            raise
        raise StorageError(f"{location} is damaged ({error}). {RESTORE}") from error


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or the name of its class if it has no text."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _translated(location: Location, error: BaseException) -> RegsearchError:
    return _server_error(location, error) if isinstance(location, Server) else _file_error(location, error)


def _server_error(server: Server, error: BaseException) -> RegsearchError:
    text, state = _text(_first_error(error)), _state(error)
    for prefix, (kind, meaning, remedy) in POSTGRES_ERRORS.items():
        if state.startswith(prefix):
            now = " now" if kind is StorageUnavailableError else ""
            return kind(_sentences(f"{server} can't be used{now}: {meaning} ({text})", remedy))
    if _is_connection_lost(error):
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
    """Return failure and remedy as two sentences.

    Without a remedy the text has no full stop: a caller that waits adds more words to the sentence.
    """
    return f"{failure}. {remedy}" if remedy else failure


def _is_connection_lost(error: BaseException) -> bool:
    """Return whether an error means that the connection broke.

    PendingRollbackError means this too: after the connection broke, Optuna repeats the call, which raises it.
    """
    return any(
        isinstance(cause, sqlalchemy.exc.PendingRollbackError)
        or (isinstance(cause, sqlalchemy.exc.DBAPIError) and cause.connection_invalidated)
        for cause in _causes(error)
    )


def _state(error: BaseException) -> str:
    """Return the SQLSTATE, five characters, of an error of PostgreSQL; an empty text if the error has none."""
    states = (getattr(cause, "sqlstate", None) for cause in _causes(error))
    return next((str(state) for state in states if state is not None), "")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, then the error that caused it, and so on."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = getattr(cause, "orig", None) or cause.__cause__ or cause.__context__


def _text(error: BaseException) -> str:
    """Return a driver's message without headings and repeated lines."""
    lines = [line.strip(" -\t") for line in str(error).splitlines()]
    messages = [line for line in lines if line and not line.endswith(":")]
    return "; ".join(dict.fromkeys(messages[:3])).removeprefix(_PSYCOPG_PREFIX) or type(error).__name__


def _is_our_bug(state: str) -> bool:
    """Return whether an SQLSTATE means a bug of regsearch, rather than a fault of the database."""
    return state.startswith("42") and state not in (_MISSING_COLUMN, _MISSING_TABLE, _FORBIDDEN)


def _file_error(path: Path, error: BaseException) -> StorageError:
    text = first_line(_first_error(error))
    if getattr(_first_error(error), "sqlite_errorname", None) == "SQLITE_READONLY_DBMOVED":
        return StorageError(
            f"{path} was removed, moved or replaced while it was open. Put it back and resume, or start again."
        )
    for pattern, kind, failure, remedy in _FILE_ERRORS:
        if re.search(pattern, text):
            return kind(f"{path} {failure.format(text=text)}. {remedy}")
    return StorageError(f"{path} can't be used: {text}")


def _first_error(error: BaseException) -> BaseException:
    """Return the first error of the driver; later ones may come from a rollback that failed too."""
    first = error
    for cause in _causes(error):
        if _is_driver_error(cause) or not _is_driver_error(first):
            first = cause
    return first


def _is_driver_error(error: BaseException) -> bool:
    return isinstance(error, sqlite3.Error) or type(error).__module__.startswith("psycopg")
