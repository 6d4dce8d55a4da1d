"""What a database raises becomes one line, with the class that says whether waiting may help."""

from pathlib import Path

import psycopg
import pytest
import sqlalchemy

from regsearch.storage.errors import POSTGRES_ERRORS, translate_errors
from regsearch.storage.location import Server
from regsearch.studies.errors import InputError, RegsearchError, StorageError, StorageUnavailableError

SERVER = Server(sqlalchemy.make_url("postgresql+psycopg://me@host/db"), "postgresql+psycopg://me@host/db")


def translated(error: Exception, kind: type[sqlalchemy.exc.DBAPIError] = sqlalchemy.exc.OperationalError) -> str:
    with pytest.raises(RegsearchError) as raised, translate_errors(SERVER):
        raise kind("select 1", {}, error)
    return f"{type(raised.value).__name__}: {raised.value}"


def with_state(state: str) -> Exception:
    error = psycopg.OperationalError("what the server says")
    error.sqlstate = state
    return error


def test_no_state_has_two_meanings() -> None:
    for prefix in POSTGRES_ERRORS:
        assert [other for other in POSTGRES_ERRORS if other.startswith(prefix)] == [prefix]


@pytest.mark.parametrize("prefix", POSTGRES_ERRORS)
def test_a_state_of_the_table_is_one_line_with_cause_and_remedy(prefix: str) -> None:
    kind, meaning, remedy = POSTGRES_ERRORS[prefix]
    line = translated(with_state(prefix.ljust(5, "0")))
    assert line.startswith(f"{kind.__name__}: postgresql://me@host/db can't be used")
    assert f": {meaning} (what the server says)" in line
    assert line.endswith(remedy)


@pytest.mark.parametrize(
    ("said", "kind", "remedy"),
    [
        (
            'FATAL: role "me" does not exist',
            StorageError,
            "Name another user, or ask the server's owner to create this one.",
        ),
        ('FATAL: database "db" does not exist', StorageError, "Create it with `createdb`, or name another database."),
        ('invalid sslmode value: "x"', InputError, "Check the URL and the PG* environment variables."),
        ('FATAL: unrecognized configuration parameter "x"', InputError, "Check the URL and the PG* environment"),
        ('FATAL: password authentication failed for user "me"', StorageError, "Check the URL, PGPASSFILE and PGPASS"),
        ("connection refused", StorageUnavailableError, "Check its name, and that the server runs"),
    ],
)
def test_what_libpq_says_without_a_state_is_told_apart(said: str, kind: type[RegsearchError], remedy: str) -> None:
    line = translated(psycopg.OperationalError(said))
    assert line.startswith(f"{kind.__name__}: postgresql://me@host/db can't be reached: ")
    assert said in line
    assert remedy in line


def test_a_mistake_in_a_statement_is_no_fault_of_the_database() -> None:
    mistake = sqlalchemy.exc.ProgrammingError("select", {}, with_state("42601"))
    for location in (SERVER, Path("test.db")):
        with pytest.raises(sqlalchemy.exc.ProgrammingError), translate_errors(location):
            raise mistake
    line = translated(with_state("42P01"), sqlalchemy.exc.ProgrammingError)
    assert "it is damaged, or belongs to another program" in line
