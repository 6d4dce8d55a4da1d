"""A database's password is shown nowhere: not in answers, messages, logs, tracebacks or files."""

import logging
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Command
from databases.restore import restore

from regsearch.search import api
from regsearch.search.cli import commands
from regsearch.storage import schema
from regsearch.storage.location import location_of
from regsearch.studies.errors import InputError

SECRET = "S3NT1NEL"
URLS = [
    f"postgresql+psycopg2://user:{SECRET}@host/db",
    f"sqlite://user:{SECRET}@host/db",
    f"sqlite:///user:{SECRET}@host/db",
    f"sqlite:////user:{SECRET}@host/db",
    f"sqlite://:{SECRET}@/x.db",
    f"sqlite:///x.db?password={SECRET}",
    f"sqlite+pysqlcipher://:{SECRET}@/x.db",
    f"postgresql+psycopg://user:{SECRET}@host:port/db",
    f"postgresql://user:x@host:{SECRET}/db",
    f"postgresql//user:{SECRET}@host/db",
    f"postgresql:/user:{SECRET}@host/db",
    f"postgresql://user:{SECRET}@[::1/db",
    f"mysql://user:{SECRET}@{SECRET}@host/db",
    f"mysql://:{SECRET}@host/db",
    f" postgresql://user:{SECRET}@host/db",
    f"user:{SECRET}@host/db",
    f"{SECRET}",
]
AWAY = f"postgresql://user:{SECRET}@127.0.0.1:1/db?password={SECRET}"  # it may be so, but nobody answers
COMMANDS = [
    ["run", "smoke"],
    ["resume", "smoke"],
    ["confirm", "smoke"],
    ["compare", "smoke", "other"],
    ["report", "smoke"],
    ["export", "smoke", "--output", "model"],
    ["stop", "smoke"],
    ["list"],
    ["status", "smoke"],
    ["trials", "smoke"],
    ["best", "smoke"],
    ["enqueue", "smoke", "--param", "l2=1e-4"],
    ["dashboard", "--port", "0"],
    ["doctor"],
    ["backup", "copy.db"],
    ["upgrade"],
    ["delete", "smoke", "--yes"],
]


@pytest.fixture
def said(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> Callable[[list[str]], tuple[int, str]]:
    """The command line in this process: its exit code, and everything it printed, logged and wrote."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.delenv("REGSEARCH_MNIST", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def say(arguments: list[str]) -> tuple[int, str]:
        caplog.clear()
        monkeypatch.setattr(sys, "argv", ["regsearch", *arguments])
        with pytest.raises(SystemExit) as exited:
            commands.main()
        written = [f"{path} {path.read_bytes()!r}" for path in tmp_path.rglob("*") if path.is_file()]
        assert isinstance(exited.value.code, int)
        return exited.value.code, "\n".join([*capfd.readouterr(), caplog.text, *written])

    return say


def test_every_command_is_tried() -> None:
    without_database = {"schema"}
    assert {
        command.name or command.callback.__name__ for command in commands.app.registered_commands if command.callback
    } == {arguments[0] for arguments in COMMANDS} | without_database


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[0])
def test_a_url_with_a_password_is_refused_and_not_repeated(
    arguments: list[str], said: Callable[[list[str]], tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for url in URLS:
        code, text = said([*arguments, "--storage", url])
        assert (code, SECRET in text) == (2, False), (url, text)
        assert "Traceback" not in text
        monkeypatch.setenv("REGSEARCH_STORAGE", url)
        code, text = said(arguments)
        assert (code, SECRET in text) == (2, False), (url, text)
        monkeypatch.delenv("REGSEARCH_STORAGE")


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[0])
def test_a_server_that_is_away_is_named_without_its_password(
    arguments: list[str], said: Callable[[list[str]], tuple[int, str]]
) -> None:
    code, text = said([*arguments, "--storage", AWAY])
    assert (code, SECRET in text) == (3, False), text
    assert "postgresql://user@127.0.0.1:1/db can't be reached" in text


MISPLACED = [
    ["run"],
    ["run", "--data"],
    ["run", "--name"],
    ["run", "--set"],
    ["run", "smoke"],
    ["status"],
    ["best", "smoke"],
    ["delete", "--yes"],
    ["backup"],
    ["enqueue", "smoke", "--param"],
    ["list", "--storge"],
    ["--storage"],
    ["run", "--timeout"],
    ["dashboard", "--port"],
]


@pytest.mark.parametrize("before", MISPLACED, ids=" ".join)
def test_a_url_in_the_wrong_place_is_shown_without_its_password(
    before: list[str], said: Callable[[list[str]], tuple[int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGSEARCH_STORAGE", f"sqlite:///{restore(schema.SCHEMA, tmp_path / 'test.db')}")
    for url in (URLS[0], URLS[1], f"mysql://user:{SECRET}@{SECRET}@host/db", f"mysql://:{SECRET}@host/db"):
        for arguments in ([*before, url], [*before[:-1], f"{before[-1]}={url}"]):
            code, text = said(arguments)
            assert (code, SECRET in text) == (2, False), (arguments, text)
            assert "Traceback" not in text


@pytest.mark.parametrize("url", URLS)
def test_a_traceback_of_the_library_does_not_show_it_either(url: str) -> None:
    with pytest.raises(InputError) as raised:
        api.statuses(storage=url)
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_a_file_may_be_called_so_all_the_same(tmp_path: Path) -> None:
    for url in ("sqlite:///./a:b@c.db", "sqlite:///a%3Ab%40c.db"):
        assert location_of(url) == tmp_path / "a:b@c.db"


def test_a_real_process_shows_it_nowhere(regsearch: Command) -> None:
    done = regsearch("status", "smoke", REGSEARCH_STORAGE=URLS[1])
    assert (done.returncode, SECRET in done.stdout + done.stderr) == (2, False)
