"""What `fuzz.py` and `test_model.py` have found, each in its smallest form."""

import base64
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import fakes
import optuna
import pytest
from conftest import Command
from helpers import raw_study

from regsearch.search import api
from regsearch.search.result import RunResult
from regsearch.search.workers.inline import InlineEngine
from regsearch.search.workers.task_connection import read_result
from regsearch.storage import paths
from regsearch.storage.location import location_of
from regsearch.studies.errors import InputError, RegsearchError, StorageError, one_line
from regsearch.studies.files import append_checksum
from regsearch.studies.study_file import read_study
from regsearch.studies.trial import TrialTask
from regsearch.studies.validation import parse_duration

Search = Callable[..., RunResult]


@pytest.mark.parametrize(
    "setting",
    [
        f"search.seed={'9' * 5000}",
        f"search.seed=0x{'f' * 5000}",
        f"model.hidden=0x{'f' * 5000}",
        f"search.sampler_options.{'a.' * 3000}a=1",
        f"search.pruner_options.{'a.' * 300}a=1",
        f"study.{'a.' * 3000}a=1",
        f"budget.timeout={'9' * 400}h",
        "study.question=\udcff",
        "study.name=a\u202eb\nc\x1b[31m",
        f"{'a' * 50_000}.x=1",
    ],
)
def test_an_absurd_value_is_refused_in_one_short_printable_line(setting: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read_study("smoke", [setting])
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 2000
    section, _, rest = setting.partition(".")
    key, _, value = rest.partition("=")
    path = tmp_path / "study.toml"
    path.write_text(f"[{section}]\n{key} = {value}", encoding="utf-8", errors="surrogateescape")
    with pytest.raises(InputError):
        read_study(str(path))


def test_a_duration_of_hundreds_of_digits_is_no_duration() -> None:
    with pytest.raises(ValueError, match="a duration is written"):
        parse_duration("9" * 400 + "h")
    assert parse_duration("1h30m") == 5400


def test_an_error_is_one_line_whatever_it_quotes() -> None:
    assert str(RegsearchError("a\nb\x1b[31m \u2028 \udcff ü × …")) == "a\\nb\\x1b[31m \\u2028 \\udcff ü × …"
    assert one_line("x" * 10_000).startswith("xxx")
    assert len(one_line("x" * 10_000)) < 2000


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg2://localhost/db?user=me&password=S3NT1NEL",
        "postgresql+psycopg://me:x@localhost/?x=:S3NT1NEL@localhost",
        "sqlite://me:S3NT1NEL@host/x.db/S3NT1NEL",
        "mysql+pymysql://me:S3NT1NEL%[::1]:3306/db",
    ],
)
def test_no_part_of_a_url_that_may_be_a_password_is_shown(url: str) -> None:
    with pytest.raises(InputError) as error:
        location_of(url)
    assert "S3NT1NEL" not in str(error.value)


def test_what_is_shown_of_a_server_is_where_and_who() -> None:
    server = location_of("postgresql://me@localhost/db?user=S3NT1NEL&password=S3NT1NEL&host=/run/here")
    assert str(server) == "postgresql://me@localhost/db?host=%2Frun%2Fhere"
    assert "S3NT1NEL" not in repr(server)


def test_a_path_that_is_no_text_can_be_shown(regsearch: Command) -> None:
    name = os.fsdecode(b"sqlite:///\xff.db")
    done = regsearch("doctor", "--storage", name, REGSEARCH_MNIST="")
    assert done.returncode == 0, done.stderr
    assert "\\udcff.db is not there yet" in done.stdout
    done = regsearch("doctor", REGSEARCH_MNIST="", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr


def test_doctor_says_that_a_name_is_too_long(regsearch: Command) -> None:
    done = regsearch("doctor", "--storage", f"sqlite:///{'a' * 300}.db", REGSEARCH_MNIST="")
    assert (done.returncode, done.stderr) == (3, "")
    assert "File name too long" in done.stdout


DAMAGE = [
    "delete from trials where number = 0",
    "delete from trial_values",
    "update trial_values set value = 'abc'",
    "update trial_intermediate_values set intermediate_value = 'abc'",
    "update trial_params set param_value = 1e999",
    "update trial_params set distribution_json = '{}'",
    "update trials set datetime_complete = '2026-99-01 00:00:00'",
]


def test_optunas_own_check_of_a_trial_is_there() -> None:
    trial = optuna.trial.create_trial(value=1.0)
    trial._validate()
    trial.values = None
    with pytest.raises(ValueError, match="complete"):
        trial._validate()


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_trial_that_cant_be_read_is_said_before_anything_is_written(
    search: Search, storage: str, damage: str
) -> None:
    search(trials=4)
    with sqlite3.connect(location_of(storage)) as connection:
        connection.execute(damage)
    connection.close()
    before = location_of(storage).read_bytes()
    with pytest.raises(StorageError, match="damaged"):
        search(trials=6)
    assert location_of(storage).read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        "update regsearch_trials set train_accuracy = 'abc'",
        "update regsearch_studies set n_train = 'abc'",
        "update regsearch_studies set versions = '[]'",
        "update regsearch_studies set spec = '[]'",
        "update regsearch_runs set workers = 'abc'",
        "update study_user_attributes set value_json = '{}'",
        "update trial_params set param_value = 77",
        "update trials set datetime_start = 0",
    ],
)
def test_what_cant_be_read_is_an_error_of_the_storage(search: Search, storage: str, damage: str) -> None:
    search(trials=4)
    with sqlite3.connect(location_of(storage)) as connection:
        connection.execute(damage)
    connection.close()
    with pytest.raises((StorageError, InputError)):
        _read_everything(storage)


def _read_everything(storage: str) -> None:
    api.statuses(storage=storage)
    api.status("smoke", storage=storage)
    with api.trials("smoke", storage=storage) as (_, trials):
        list(trials)


def test_a_study_with_damaged_times_cant_be_deleted_and_says_so(search: Search, storage: str) -> None:
    search(trials=2)
    with sqlite3.connect(location_of(storage)) as connection:
        connection.execute("update trials set datetime_complete = 'abc'")
    connection.close()
    with pytest.raises(StorageError, match="damaged"):
        api.delete("smoke", storage=storage)
    assert raw_study(location_of(storage), "smoke") is not None


INFINITE = base64.b64encode(b"\1\0\0\0\0\0\x80\x7f\x80").decode()  # one row: inf as float32, a hit


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "{}",
        '{"event": "TrialFinished", "new": 1}',
        "[1]",
        json.dumps({"event": "LookFinished", "number": 0, "attempt": 0, "outcome": {"rows": INFINITE}}),
    ],
)
def test_a_result_that_another_version_wrote_is_said_and_passed_over(tmp_path: Path, line: str) -> None:
    identity = hashlib.sha256(b"trial").hexdigest()
    path, remarks = tmp_path / "trial-0.ended", []
    path.write_bytes(append_checksum(f"{identity}\n{line}".encode()))
    assert read_result(path, identity, remarks.append) is None
    assert "is damaged" in remarks[0]
    assert "\n" not in remarks[0]


@pytest.mark.parametrize("name", ["trial-1.x.checkpoint", "trial-1..checkpoint", "trial-1.2.bak.checkpoint"])
def test_a_strange_file_among_those_of_trials_does_no_harm(search: Search, storage: str, name: str) -> None:
    search(trials=1)
    folder = paths.trials_folder(location_of(storage), "smoke")

    class Strange(InlineEngine):
        def submit(self, task: TrialTask) -> None:
            (folder / name).write_bytes(b"")
            super().submit(task)

    search(trials=3, engine=Strange(fakes.FakeTrainer))
    assert api.load("smoke", storage=storage).answer.counts.failed == 0


def test_what_a_kill_at_the_very_end_leaves_goes_with_the_next_run(search: Search, storage: str) -> None:
    search(trials=1)
    folder = paths.trials_folder(location_of(storage), "smoke")
    for name in ("trial-0.ended", "trial-0.3.checkpoint", "trial-0.ended.1.tmp"):
        (folder / name).touch()
    search(trials=1)
    assert {path.name for path in folder.iterdir()} == {"trial-0.weights.npz"}
