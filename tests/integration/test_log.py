"""The log of a run (`--log FILE`), which is silent by default and holds no password; and Optuna's own logging."""

import logging
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from conftest import Command

from regsearch.search import api
from regsearch.search.result import RunResult
from regsearch.search.run.progress import FinishedTrial, Progress
from regsearch.studies.errors import InputError, StorageError

Search = Callable[..., RunResult]

SECRET = "S3NT1NEL/%"
QUOTED = "S3NT1NEL%2F%25"
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR) (\S+) (.+)")


class TalkativeProgress(Progress):
    """Logs at each trial, as a part of the program does that quotes too much."""

    def trial_finished(self, trial: FinishedTrial, best: float | None) -> None:
        logger = logging.getLogger("regsearch")
        logger.info("connected with %s", SECRET)
        logger.info("at postgresql+psycopg://user:%s@host/db?password=x", QUOTED)
        try:
            raise OSError(f"refused\nfor password={SECRET}")
        except OSError:
            logger.exception("no connection")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "run.log"


@pytest.fixture
def optuna_level() -> Iterator[int]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.DEBUG)
    yield optuna.logging.DEBUG
    optuna.logging.set_verbosity(before)


def messages(log: Path) -> list[tuple[str, str]]:
    """Return level and message of each line; every line must be of the study `smoke`."""
    matches = [LINE.fullmatch(line) for line in log.read_text().splitlines()]
    assert all(match is not None and match[2] == "smoke" for match in matches)
    return [(match[1], match[3]) for match in matches if match is not None]


def test_a_log_has_one_line_per_decision_from_start_to_end(search: Search, log: Path, storage: str) -> None:
    search(trials=2, log=log, confirm=False)
    first, *_, last = messages(log)
    assert first == ("INFO", f"run started, storage {storage.removeprefix('sqlite:///')}")
    assert last == ("INFO", "run ended with code 0: the study's total is reached")
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_a_later_run_appends_to_the_log(search: Search, log: Path, storage: str) -> None:
    result = search(trials=2, log=log, confirm=False)
    before = log.read_text()
    api.resume("smoke", storage=storage, log=str(log), progress=Progress(), engine="inline", confirm=False)
    assert log.read_text().startswith(before)
    assert [text for _, text in messages(log) if "resume started" in text]
    assert result.exit_code == 0


def test_a_run_without_a_log_prints_no_line_of_it(search: Search, capfd: pytest.CaptureFixture[str]) -> None:
    search(trials=1, confirm=False)
    assert tuple(capfd.readouterr()) == ("", "")


def test_after_a_run_the_logger_is_as_it_was(search: Search, log: Path) -> None:
    logger = logging.getLogger("regsearch")
    before = (logger.level, list(logger.handlers))
    search(trials=1, confirm=False, log=log)
    assert (logger.level, logger.handlers) == before


def test_an_error_is_logged_with_its_code(search: Search, log: Path) -> None:
    search(trials=2, confirm=False)
    with pytest.raises(InputError):
        search(trials=1, confirm=False, log=log)
    *_, (level, text) = messages(log)
    assert level == "ERROR"
    assert text.startswith("run ended with code 2: InputError: ")


@pytest.mark.parametrize("path", ["absent/run.log", ".", "", "a\0b"])
def test_a_bad_path_is_refused_before_anything_starts(path: str, search: Search, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=r"--log: .* can't be written: .*"):
        search(log=path)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_bad_path_is_one_line_and_code_2(regsearch: Command, tmp_path: Path) -> None:
    done = regsearch("run", "smoke", "--log", "absent/run.log", "--storage", "sqlite:///x.db")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "regsearch: --log: 'absent/run.log' can't be written: No such file or directory." in done.stderr
    assert not (tmp_path / "x.db").exists()


def test_a_run_goes_on_without_a_log_that_is_full(search: Search) -> None:
    shown = Messages()
    assert search(trials=2, confirm=False, log="/dev/full", progress=shown).answer.counts.finished == 2
    assert shown.texts.count("--log: the file can't be written any more. The run continues without it.") == 1


class Messages(Progress):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def message(self, text: str) -> None:
        self.texts.append(text)


def test_a_whole_run_logs_no_password(search: Search, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", SECRET)
    search(trials=3, log=log, progress=TalkativeProgress())
    text = log.read_text()
    assert "connected with ***" in text
    assert "postgresql+psycopg://user:***@host/db" in text
    assert "refused\\nfor password=***" in text
    assert "S3NT1NEL" not in text
    messages(log)  # each record is one line, with a traceback too


@pytest.mark.parametrize("where", ["user:{}@127.0.0.1:1/db", "127.0.0.1:1/db?user=user&password={}"])
def test_a_server_that_is_away_logs_no_password(where: str, search: Search, log: Path) -> None:
    storage = "postgresql://" + where.format(QUOTED)
    with pytest.raises(StorageError):
        search(log=log, storage=storage, progress=TalkativeProgress())
    (_, first), *_, (_, last) = messages(log)
    assert first.startswith("run started, storage postgresql://")
    assert last.startswith("run ended with code 3: ")
    assert "S3NT1NEL" not in log.read_text()


def test_a_users_own_handlers_get_no_password_of_a_url(search: Search, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InputError):
        search(timeout=f"mysql://user:{QUOTED}@host/db")
    assert "run ended with code 2" in caplog.text
    assert "S3NT1NEL" not in caplog.text


def test_a_users_own_optuna_logging_is_left_alone(search: Search, optuna_level: int, storage: str) -> None:
    levels: set[int] = set()

    class Listening(Progress):
        def trial_finished(self, trial: FinishedTrial, best: float | None) -> None:
            levels.add(optuna.logging.get_verbosity())

    search(trials=2, progress=Listening())
    api.enqueue("smoke", ["l2=1e-4"], storage=storage)
    assert levels == {optuna.logging.ERROR}
    assert optuna.logging.get_verbosity() == optuna_level


def test_an_import_does_not_change_optunas_logging() -> None:
    script = (
        "import optuna\n"
        "before = optuna.logging.get_verbosity()\n"
        "import regsearch.search.api\n"
        "assert optuna.logging.get_verbosity() == before\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
