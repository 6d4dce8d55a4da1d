"""The one place that turns what a database raises into one line for the user."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import sqlalchemy

from regsearch.storage.location import Location, Server
from regsearch.studies.errors import InputError, RegsearchError, StorageError, StorageUnavailableError

RESTORE = "move it away, or put a copy in its place, and try again"

_DAMAGED_FILE = ("malformed", "not a database", "no such", "has no column")
_PASSES = {  # beginnings of PostgreSQL's states that pass: what they mean
    "08": "the connection broke",
    "57P": "the server is ending or starting",
    "53": "the server lacks room or connections",
    "40": "another transaction stood in the way",
    "55P03": "another process holds what is wanted",
    "25P": "the server ended a transaction that took too long",
    "25006": "the server lets nobody write now",
}
_OF_PSYCOPG = "connection is bad: "  # before what libpq says
_NO_SCHEMA = "3F"
_MISSING = ("42703", "42P01")  # a column, a table
_FORBIDDEN = "42501"
_WRONG_OPTION = ("invalid ", "bad value for ", "definition of service ")  # libpq, without asking a server
_WRONG_SETTING = ("unrecognized configuration parameter", "invalid value for parameter")  # what a server says
_REFUSED = (  # what libpq says where it will say so again
    "password authentication failed",
    "no password supplied",
    "authentication method",
    "pg_hba.conf",
    "certificate",
    "does not support SSL",
)


@contextmanager
def translate_errors(location: Location) -> Iterator[None]:
    """Turn what a database raises into StorageError; into UnavailableError, where waiting may help."""
    try:
        yield
    except (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError) as error:
        if isinstance(location, Path) or _is_our_bug(_state(error)):
            raise  # a bug of ours
        raise _of_server(location, error) from error
    except (sqlalchemy.exc.SQLAlchemyError, sqlite3.Error, optuna.exceptions.StorageInternalError) as error:
        raise _explained(location, error) from error
    except OSError as error:
        where = "" if error.filename is None else f" ({error.filename})"
        raise StorageError(f"{location} can't be used: {error.strerror}{where}") from error
    except UnicodeDecodeError as error:
        raise StorageError(f"{location} is damaged ({first_line(error)}): {RESTORE}") from error
    except LookupError as error:
        if "is not among the defined enum values" not in str(error):
            raise
        raise StorageError(f"{location} is damaged ({error}): {RESTORE}") from error


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _explained(location: Location, error: BaseException) -> RegsearchError:
    return _of_server(location, error) if isinstance(location, Server) else _of_file(location, error)


def _of_server(server: Server, error: BaseException) -> RegsearchError:
    text, state = _text(_first_error(error)), _state(error)
    if state.startswith(_NO_SCHEMA):
        return StorageError(f"{server} lacks the schema of its own that the URL names ({text}): create it first")
    if state.startswith(_MISSING):
        return StorageError(f"{server} is damaged or another program's ({text}): name another with --storage")
    if state == _FORBIDDEN:
        return StorageError(f"{server} can't be used as this user ({text}): ask its owner to grant it")
    for beginning, meaning in _PASSES.items():
        if state.startswith(beginning):
            return StorageUnavailableError(f"{server} can't be used now: {meaning} ({text})")
    if _broke(error):
        return StorageUnavailableError(f"{server} can't be used now: the connection broke")
    if isinstance(error, sqlalchemy.exc.TimeoutError):
        return StorageUnavailableError(f"{server} can't be used now: {text}")
    if state or not isinstance(error, sqlalchemy.exc.DBAPIError):
        return StorageError(f"{server} can't be used: {text}")
    if "role" in text and "does not exist" in text:
        return StorageError(f"{server} knows no such user ({text}): give another, or let its owner make one")
    if "does not exist" in text:
        return StorageError(f"{server} is not there ({text}): make it, such as with `createdb`, or name another")
    if text.startswith(_WRONG_OPTION) or any(words in text for words in _WRONG_SETTING):
        return InputError(f"{server} can't be asked for so ({text}): see the URL's options and variables PG...")
    if any(word in text for word in _REFUSED):
        return StorageError(f"{server} lets nobody in so ({text}): see the URL, PGPASSFILE and PGPASSWORD")
    return StorageUnavailableError(
        f"{server} can't be reached ({text}): see that the server runs and its name is right"
    )


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
    """Return whether a state of a statement's error means a bug of ours, not of the database."""
    return state.startswith(("23", "42")) and not state.startswith((*_MISSING, _FORBIDDEN))


def _of_file(path: Path, error: BaseException) -> StorageError:
    text = first_line(_first_error(error))
    if "locked" in text:
        return StorageUnavailableError(f"{path} is locked by another process: end that process and try again")
    if "full" in text or "disk I/O" in text:
        return StorageUnavailableError(f"{path} can't be written ({text}): make room on its disk and try again")
    if "readonly" in text:
        return StorageError(f"{path} can't be written: the file, its folder or its disk is read-only")
    if any(word in text for word in _DAMAGED_FILE):
        return StorageError(f"{path} is damaged or no database ({text}): {RESTORE}")
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
