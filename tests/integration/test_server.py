"""A study on a PostgreSQL server is what it is in a file: the same rows, the same commands, the same messages."""

import gc
import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fakes
import invariants
import optuna
import postgres
import pytest
import sqlalchemy
from helpers import confirmation, plain, raw_study, rows
from optuna.storages import RDBStorage
from postgres import needs_postgres

from regsearch.search import api
from regsearch.search.cli import commands
from regsearch.search.result import RunResult
from regsearch.search.workers import engines
from regsearch.search.workers.inline import InlineEngine
from regsearch.storage.checks.integrity import check_integrity
from regsearch.storage.connect import open_for_reading, open_for_writing
from regsearch.storage.location import Server, as_option, command, files_folder, location_of
from regsearch.storage.postgres import exclusive_engine
from regsearch.studies.errors import InputError, StorageError, StorageUnavailableError

SECRET = "S3NT1NEL"

Search = Callable[..., RunResult]
Say = Callable[..., str]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server of our own, whose every user has to give a password."""
    with postgres.OwnServer() as own:
        postgres.execute(own.url, "create role rare login password 'S3NT1NEL'")
        own.ask_for_passwords()
        yield own.url


@pytest.fixture
def storage() -> Iterator[str]:
    with postgres.new_database() as url:
        yield url


@pytest.mark.slow
@needs_postgres
def test_a_study_on_a_server_has_the_rows_that_it_has_in_a_file(search: Search, storage: str, tmp_path: Path) -> None:
    """Trained for real, and the search by plain URL: SQLAlchemy reads postgresql:// as psycopg."""
    bare, other = storage.replace("+psycopg", ""), f"sqlite:///{tmp_path}/other.db"
    options: dict[str, Any] = {"engine": "processes", "workers": 1, "settings": ["confirm.seeds=3", "confirm.top=1"]}
    for one in (bare, other):
        search(storage=one, trials=4, **options)
    assert rows(storage) == rows(other)
    assert confirmation(storage) == confirmation(other)
    assert raw_study(location_of(storage), "smoke") == raw_study(location_of(other), "smoke")
    said = [
        str(api.load("smoke", storage=one)).replace(str(files_folder(location_of(one))), "") for one in (bare, other)
    ]
    assert said[0] == said[1]
    invariants.check(storage)
    assert [file.path.suffix for file in api.export("smoke", "model", storage=bare).files].count(".keras") == 1


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """The command in this process, with fake trials: all that it says, on stdout and stderr."""
    monkeypatch.setattr(engines, "make_engine", lambda name, **options: InlineEngine(fakes.FakeTrainer))

    def say(*arguments: str, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["regsearch", *arguments])
        with pytest.raises(SystemExit) as exited:
            commands.main()
        out, err = capsys.readouterr()
        assert exited.value.code == code, err
        return f"{out}{err}"

    return say


@pytest.mark.slow
@needs_postgres
def test_every_command_takes_a_server(storage: str, tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGSEARCH_STORAGE", storage)
    assert "is empty: `regsearch run` fills it" in say("doctor", "--data", "digits")
    say("run", "smoke", "--trials", "3", "--no-confirm", "--quiet")
    assert "trial 3 of smoke will try l2=1e-3" in say("enqueue", "smoke", "--param", "l2=1e-3")
    say("resume", "smoke", "--trials", "4", "--no-confirm", "--quiet")
    assert rows(storage)[3]["params"]["l2"] == 1e-3
    say("confirm", "smoke", "--seeds", "3", "--top", "1", "--quiet")
    assert json.loads(say("status", "smoke", "--json"))["coordinator"] is None
    assert "smoke" in say("list")
    assert len(say("trials", "smoke", "--csv").splitlines()) == 5
    assert "over 3 seeds (random starts" in " ".join(say("best", "smoke").split())
    say("report", "smoke", "--format", "html", "--output", "report.html")
    say("run", "smoke", "--name", "half", "--trials", "3", "--no-confirm", "--quiet", "--set", "data.train_size=500")
    assert "half" in say("compare", "smoke", "half")
    assert "smoke is not running" in say("stop", "smoke")
    assert "is undamaged, 2 studies" in say("doctor", "--data", "digits")
    assert "up to date" in say("upgrade")
    say("backup", "copy.db")
    say("delete", "half", "--yes")
    assert "half" not in say("list")
    copy = f"sqlite:///{tmp_path}/copy.db"
    assert rows(copy) == rows(storage)
    assert confirmation(copy) == confirmation(storage)
    assert not list(files_folder(location_of(storage)).glob("*half*"))


@needs_postgres
def test_a_copy_is_whole_and_overwrites_nothing(search: Search, storage: str, tmp_path: Path) -> None:
    search(trials=5, settings=["confirm.seeds=3"])
    api.backup(tmp_path / "copy.db", storage=storage)
    copy = f"sqlite:///{tmp_path}/copy.db"
    with plain(location_of(storage)) as there, plain(location_of(copy)) as here:
        tables = [name for (name,) in here.execute("select name from sqlite_master where type = 'table'")]
        ours = [name for name in tables if not name.startswith("sqlite_")]
        assert len(ours) > 15
        for table in set(ours) - {"version_info"}:
            content = [sorted(one.execute(f"select * from {table}"), key=repr) for one in (there, here)]
            assert content[0] == content[1], table
    with pytest.raises(InputError, match="exists already"):
        api.backup(tmp_path / "copy.db", storage=storage)
    search(storage=copy, trials=6)  # the copy is a database to go on with


@needs_postgres
def test_a_reader_sees_one_moment_and_writes_nothing(search: Search, storage: str) -> None:
    search(trials=3)
    count = sqlalchemy.text("select count(*) from trials")
    with open_for_reading(location_of(storage)) as database, database.read() as connection:
        before = connection.execute(count).scalar_one()
        api.enqueue("smoke", ["l2=1e-3"], storage=storage)
        assert connection.execute(count).scalar_one() == before == 3
        with pytest.raises(sqlalchemy.exc.DBAPIError, match="read-only"):
            connection.execute(sqlalchemy.text("delete from trials"))
    with open_for_writing(location_of(storage)) as database, database.read() as connection:
        before = connection.execute(count).scalar_one()
        api.enqueue("smoke", ["l2=1e-3"], storage=storage)
        assert connection.execute(count).scalar_one() == before == 4


@needs_postgres
def test_what_was_acknowledged_is_on_the_disk(storage: str) -> None:
    """Also where the server's owner lets others wait for no disk; whoever waits for replicas as well still does."""
    for usual, here in (("off", "on"), ("remote_apply", "remote_apply")):
        postgres.execute(
            storage, f"alter database {sqlalchemy.make_url(storage).database} set synchronous_commit = {usual}"
        )
        with open_for_writing(location_of(storage)) as database, database.transaction() as connection:
            assert connection.execute(sqlalchemy.text("show synchronous_commit")).scalar_one() == here


@pytest.mark.slow
@needs_postgres
def test_settings_enqueued_at_once_by_many_get_a_trial_each(search: Search, storage: str) -> None:
    """While the search itself asks: a number is taken by one."""
    search(trials=2)
    numbers: list[int] = []

    def enqueue() -> None:
        for _ in range(5):
            numbers.append(api.enqueue("smoke", ["l2=1e-3"], storage=storage)[0])

    threads = [threading.Thread(target=enqueue) for _ in range(4)]
    for thread in threads:
        thread.start()
    search(trials=12)
    for thread in threads:
        thread.join()
    search(trials=40)
    assert len(set(numbers)) == 20
    there = {row["number"]: row for row in rows(storage)}
    assert all(there[number]["params"]["l2"] == 1e-3 for number in numbers)
    invariants.check(storage, is_fake=True)


@pytest.mark.slow
@needs_postgres
def test_writers_of_a_study_come_one_after_the_other(search: Search, storage: str) -> None:
    search(trials=2)
    with api.reading(storage) as database:
        study_id = api.get_study(database, "smoke").study_id
    location, order = location_of(storage), []

    def write() -> None:
        with open_for_writing(location) as other, other.transaction() as connection:
            other.uuid_of(connection, study_id)
            order.append("the second")

    second = threading.Thread(target=write)
    with open_for_writing(location) as database:
        with database.transaction() as connection:
            assert database.uuid_of(connection, study_id) is not None
            second.start()
            second.join(timeout=2)
            order.append("the first")
        second.join()
    assert order == ["the first", "the second"]


@pytest.mark.slow
@needs_postgres
def test_many_that_open_a_new_database_at_once_make_its_tables_once(storage: str) -> None:
    opens = "import sys; from regsearch.storage.connect import *; from regsearch.storage.location import *; "
    command = [sys.executable, "-c", f"{opens} open_for_writing(location_of(sys.argv[1])).close()", storage]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(6)]
    assert [(process.communicate()[1], process.returncode) for process in processes] == [("", 0)] * 6
    assert postgres.execute(storage, "select count(*) from version_info") == [(1,)]


@pytest.mark.slow
@needs_postgres
@pytest.mark.slow
def test_who_opens_a_new_database_waits_for_those_before(storage: str) -> None:
    database = location_of(storage)
    assert isinstance(database, Server)
    opened: list[str] = []

    def open_it() -> None:
        with open_for_writing(database):
            opened.append("opened")

    waiting = threading.Thread(target=open_it)
    with exclusive_engine(database):
        waiting.start()
        time.sleep(12)  # longer than a step of a search waits for a lock
        assert opened == []
    waiting.join()
    assert opened == ["opened"]


@needs_postgres
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_who_was_killed_while_it_made_the_tables_does_no_harm(
    search: Search, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each of its statements in turn, on the same database: whoever comes next goes on."""

    class Killed(Exception):
        """What SQLAlchemy answers by closing the connection, as the kernel does."""

    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            raise Killed

    sqlalchemy.event.listen(sqlalchemy.Engine, "before_cursor_execute", count)
    try:
        at = 0
        while True:
            at, calls = at + 1, 0
            try:
                open_for_writing(location_of(storage)).close()
                break
            except Killed:
                continue
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "before_cursor_execute", count)
        gc.collect()  # connections that were killed before SQLAlchemy knew them, which no other test shall be told of
    assert at > 20
    search(trials=3)
    invariants.check(storage, is_fake=True)


@needs_postgres
def test_a_database_of_optunas_alone_gets_our_tables(search: Search, storage: str) -> None:
    theirs = RDBStorage(storage)
    optuna.create_study(storage=theirs, study_name="theirs")
    with pytest.raises(StorageError, match="has no study of regsearch"):
        api.statuses(storage=storage)
    search(trials=3)
    assert sorted(optuna.get_all_study_names(theirs)) == ["smoke", "theirs"]
    theirs.engine.dispose()


@needs_postgres
def test_a_schema_of_its_own_is_a_database_of_its_own(search: Search, storage: str) -> None:
    postgres.execute(storage, "create schema mine")
    mine = f"{storage}?options=-csearch_path%3Dmine"
    search(trials=2)
    search(storage=mine, trials=3)
    assert [len(rows(one)) for one in (storage, mine)] == [2, 3]
    assert files_folder(location_of(storage)) != files_folder(location_of(mine))


@needs_postgres
def test_what_regsearch_does_not_upgrade_on_a_server_is_said(search: Search, storage: str) -> None:
    with pytest.raises(StorageError, match="is empty, so there is nothing to upgrade"):
        api.upgrade(storage=storage)
    search(trials=1)
    postgres.execute(storage, "update alembic_version set version_num = 'v3.0.0.d'")
    for command_of in (api.statuses, api.upgrade):
        with pytest.raises(
            StorageError, match=r"has Optuna's schema v3.0.0.d.* with `optuna storage upgrade --storage URL`"
        ):
            command_of(storage=storage)


@needs_postgres
def test_an_earlier_schema_is_upgraded_unless_a_study_is_searched(search: Search, storage: str) -> None:
    search(trials=3)
    before = rows(storage)
    dropped = (
        "regsearch_confirmation_epochs",
        "regsearch_test_looks",
        "regsearch_confirmations",
        "regsearch_finalists",
        "regsearch_rounds",
    )
    for statement in (
        *(f"drop table {table}" for table in dropped),
        "alter table regsearch_trials drop column recipe",
        "update regsearch_version set version_num = '0002'",
    ):
        postgres.execute(storage, statement)
    how = rf"has regsearch's schema 0002.*Make a backup .* `regsearch upgrade --storage {re.escape(storage)}`"
    with pytest.raises(StorageError, match=how):
        api.statuses(storage=storage)
    postgres.execute(
        storage,
        "update regsearch_leases set owner = 'x', host = 'elsewhere', pid = 7, process = '', since = 'now', "
        "beat_at = clock_timestamp()",
    )
    with pytest.raises(
        InputError, match="can't be upgraded while the study smoke is searched by process 7 on elsewhere"
    ):
        api.upgrade(storage=storage)
    postgres.execute(storage, "update regsearch_leases set owner = null")
    done = api.upgrade(storage=storage)
    assert (done.steps, done.backup) == (("regsearch's schema 0002 → 0004",), None)
    assert rows(storage) == before
    assert api.upgrade(storage=storage).steps == ()


@needs_postgres
@pytest.mark.parametrize("where", ["environment", "URL"])
def test_texts_are_utf8_whatever_encoding_the_client_is_said_to_have(
    search: Search, storage: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if where == "environment":
        monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    url = storage if where == "environment" else f"{storage}?client_encoding=SQL_ASCII"
    search(storage=url, trials=1, settings=["study.question=a → b"])
    assert api.load("smoke", storage=url).answer.study.spec.study.question == "a → b"


@needs_postgres
def test_what_cannot_serve_is_one_line_that_says_what_to_do(storage: str, tmp_path: Path) -> None:
    def told(url: str) -> str:
        with pytest.raises((InputError, StorageError)) as raised:
            api.run("smoke", storage=url, engine=InlineEngine(fakes.FakeTrainer))
        assert SECRET not in str(raised.value)
        return f"{raised.value.exit_code}: {raised.value}"

    parsed = sqlalchemy.make_url(storage)

    def changed(**parts: Any) -> str:
        return str(parsed.set(**parts).render_as_string(hide_password=False))

    assert told(changed(drivername="postgres")).startswith("2: postgres:// is not a storage URL any more")
    assert told(changed(drivername="postgresql+psycopg2")).startswith(
        "2: the only supported driver of PostgreSQL is psycopg"
    )
    assert told(changed(database="")).startswith("2: the storage URL names no database")
    assert told(f"{storage}?colour={SECRET}") == "2: the storage URL has an option that libpq doesn't know. Correct it."
    wrong = 'invalid sslmode value: "perhaps"). Check the URL'
    assert told(f"{storage}?sslmode=perhaps").startswith("2: ")
    twice = "options=-ca&options=-cb"
    for option in ("connect_timeout=abc", "service=nosuch", "options=-cfoo%3Dbar", "port=abc", twice):
        assert told(f"{storage}?{option}").startswith("2: "), option
    assert wrong in told(f"{storage}?sslmode=perhaps")
    assert "there is no such database" in told(changed(database="no-such-database"))
    assert told(changed(port=1)).startswith("3: postgresql://postgres@127.0.0.1:1/")
    assert "can't be reached" in told(changed(port=1))
    assert "there is no such user" in told(changed(username="nobody"))
    assert "can't be reached" in told(changed(host="no-such-host.invalid"))
    name = parsed.database + "_latin"
    postgres.execute(storage, f"create database {name} encoding 'LATIN1' locale 'C' template template0")
    try:
        assert "has the encoding LATIN1, not UTF8. Create a database with `createdb --encoding UTF8`" in told(
            changed(database=name)
        )
    finally:
        postgres.execute(storage, f"drop database {name}")
    postgres.execute(storage, "create table alembic_version (version_num text)")
    postgres.execute(storage, "insert into alembic_version values ('somebody else''s')")
    assert "has Optuna's schema somebody else's" in told(storage)


@needs_postgres
def test_without_its_driver_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, storage: str) -> None:
    monkeypatch.delitem(sys.modules, "regsearch.storage.postgres", raising=False)
    monkeypatch.delattr(sys.modules["regsearch.storage"], "postgres", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(InputError, match=r"needs psycopg\. Install it: pip install 'regsearch\[postgres\]'"):
        api.statuses(storage=storage)


@needs_postgres
def test_who_may_not_write_is_told_so(search: Search, storage: str) -> None:
    search(trials=2)
    role = f"reader_{os.getpid()}"
    postgres.execute(storage, f"create role {role} login")
    try:
        as_reader = sqlalchemy.make_url(storage).set(username=role).render_as_string()
        with pytest.raises(StorageError, match=r"permission denied.*Ask the database's owner to grant it"):
            api.statuses(storage=as_reader)
        postgres.execute(storage, f"grant select on all tables in schema public to {role}")
        assert [one.answer.study.name for one in api.statuses(storage=as_reader)] == ["smoke"]
        with pytest.raises(StorageError, match="permission denied"):
            search(storage=as_reader, trials=3)
    finally:
        postgres.execute(storage, f"drop owned by {role}")
        postgres.execute(storage, f"drop role {role}")


@needs_postgres
def test_a_row_that_is_damaged_is_found(search: Search, storage: str) -> None:
    search(trials=3)
    postgres.execute(storage, "update trial_params set distribution_json = '{' where param_id = 1")
    with pytest.raises(StorageError, match="is damaged: the trials of smoke can't be read"):
        search(trials=4)
    with (
        pytest.raises(StorageError, match=r"is damaged: trial_params holds a value that can't be read"),
        open_for_reading(location_of(storage)) as database,
    ):
        check_integrity(database)


@needs_postgres
def test_a_reason_with_a_nul_is_kept(search: Search, storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def go_wrong(_trainer: Any, task: Any, _epoch: int) -> None:
        if task.number == 1:
            raise ValueError("nothing\0 good")

    monkeypatch.setattr(fakes.FakeTrainer, "go_wrong", go_wrong)
    search(trials=3)
    assert rows(storage)[1]["state"] == "failed"
    with api.trials("smoke", storage=storage) as (_, trials):
        assert "nothing\\x00 good" in (list(trials)[1].reason or "")


# passwords


@pytest.mark.slow
@needs_postgres
@pytest.mark.parametrize("way", ["url", "PGPASSWORD", "PGPASSFILE", "file", "variable of a file"])
def test_a_password_may_be_given_so_and_is_shown_nowhere(
    way: str, server: str, say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"with_{way.replace(' ', '_').lower()}"
    owner = sqlalchemy.make_url(server).set(password=postgres.PASSWORD).render_as_string(hide_password=False)
    postgres.execute(owner, f"create database {name} owner rare")
    parsed = sqlalchemy.make_url(server).set(username="rare", database=name)
    open_url = parsed.render_as_string()
    with_password = parsed.set(password=SECRET).render_as_string(hide_password=False)
    (secret := tmp_path / "secret").mkdir(mode=0o700)
    passfile, file = secret / "pgpass", secret / "url"
    passfile.write_text(f"*:*:*:rare:{SECRET}\n")
    file.write_text(f"{with_password}\n")
    for one in (passfile, file):
        one.chmod(0o600)
    storage, environment = {
        "url": (with_password, {}),
        "PGPASSWORD": (open_url, {"PGPASSWORD": SECRET}),
        "PGPASSFILE": (open_url, {"PGPASSFILE": str(passfile)}),
        "file": (f"@{file}", {}),
        "variable of a file": (None, {"REGSEARCH_STORAGE": f"@{file}"}),
    }[way]
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    options = [] if storage is None else ["--storage", storage]
    said = [
        say("run", "smoke", "--trials", "2", "--no-confirm", *options),
        say("status", "smoke", *options),
        say("doctor", "--data", "digits", *options),
        say("run", "smoke", "--trials", "3000", "--no-confirm", "--timeout", "1s", *options),
    ]
    monkeypatch.setenv("REGSEARCH_FILES", "/proc/nowhere")
    said.append(say("run", "smoke", "--trials", "9", *options, code=3))
    assert f"postgresql://rare@127.0.0.1:{parsed.port}/{name}" in "".join(said)
    assert SECRET not in "".join(said)
    assert "resume with: regsearch resume smoke" in said[3]
    left = [path for path in tmp_path.rglob("*") if path.is_file() and secret not in path.parents]
    assert left
    assert not [path for path in left if SECRET.encode() in path.read_bytes()]


@needs_postgres
def test_a_wrong_password_is_told_without_it(server: str) -> None:
    url = sqlalchemy.make_url(server).set(username="rare", password=f"wrong{SECRET}")
    with pytest.raises(
        StorageError, match=r"password authentication failed.*Check the URL, PGPASSFILE and PGPASSWORD"
    ) as told:
        api.statuses(storage=url.render_as_string(hide_password=False))
    assert SECRET not in str(told.value)
    assert not isinstance(told.value, StorageUnavailableError)


def test_the_file_with_a_url_is_looked_at_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "url"

    def told() -> str:
        with pytest.raises(InputError) as raised:
            location_of(f"@{file}")
        assert SECRET not in str(raised.value)
        return str(raised.value)

    assert "can't be read" in told()
    file.write_text(f"postgresql://me:{SECRET}@host/db\n")
    file.chmod(0o644)
    assert told() == f"other users can read the storage URL and its password in {file}. Run: chmod 600 {file}"
    file.chmod(0o600)
    found = location_of(f"@{file}")
    assert isinstance(found, Server)
    assert (str(found), SECRET in repr(found)) == ("postgresql://me@host/db", False)
    file.write_text("")
    assert "holds 0 words, not one storage URL" in told()
    file.write_bytes(b"\xff\xfe")
    assert "it is not text" in told()
    file.write_bytes(b"\xef\xbb\xbfsqlite:////marked.db")
    assert location_of(f"@{file}") == Path("/marked.db")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert location_of("@~/url") == Path("/marked.db")
    file.chmod(0o644)
    file.write_text(f"sqlite:///{tmp_path}/x.db")  # no secret in it
    assert location_of(f"@{file}") == tmp_path / "x.db"


def test_files_of_a_server_lie_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = location_of("postgresql://me:secret@host:7/db")
    assert files_folder(where).parent == tmp_path
    assert files_folder(where).name.startswith("host-7-db-")
    assert files_folder(where) == files_folder(location_of("postgresql+psycopg://other@host:7/db"))
    monkeypatch.delenv("REGSEARCH_FILES")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert files_folder(where).parent == tmp_path / "data" / "regsearch"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files_folder(where).parent == tmp_path / ".local" / "share" / "regsearch"


def test_a_hint_can_be_pasted_and_has_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REGSEARCH_STORAGE", raising=False)
    given = f"postgresql://me:{SECRET}@host/db?sslpassword={SECRET}&oauth_client_secret={SECRET}&sslmode=require"
    assert as_option(location_of(given)) == ("--storage", "'postgresql://me@host/db?sslmode=require'")
    (tmp_path / "my url").write_text(given)
    (tmp_path / "my url").chmod(0o600)
    assert as_option(location_of("@my url")) == ("--storage", "'@my url'")
    assert as_option(location_of("sqlite:///my.db")) == ("--storage", "sqlite:///my.db")
    assert as_option(location_of("sqlite:////else where/my.db")) == ("--storage", "'sqlite:////else where/my.db'")
    for odd in (tmp_path / "a:b@c {x} %20.db", tmp_path / os.fsdecode(b"caf\xe9.db")):
        (option,) = shlex.split(as_option(odd)[1])
        assert location_of(option) == odd
    assert as_option(location_of("sqlite:///regsearch.db")) == ()
    monkeypatch.setenv("REGSEARCH_STORAGE", given)
    assert as_option(location_of(given)) == ()
    assert command(location_of(given), "best", "my study") == "regsearch best 'my study'"
    there = command(location_of("sqlite:///regsearch.db"), "best", "smoke")
    assert there == "regsearch best smoke --storage sqlite:///regsearch.db"
    monkeypatch.setenv("REGSEARCH_STORAGE", "no URL")
    mine = location_of("sqlite:///my.db")
    assert as_option(mine) == ("--storage", "sqlite:///my.db")
    monkeypatch.delenv("REGSEARCH_STORAGE")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert as_option(mine) == ("--storage", f"sqlite:///{tmp_path}/my.db")
