"""The log of decisions: a line for each, with study, trial and attempt, and none unless a program asks for it."""

import json
import logging
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from helpers import rows

from regsearch.search.result import RunResult
from regsearch.search.run import retry
from regsearch.search.workers.processes import ProcessEngine
from regsearch.storage.location import location_of
from regsearch.storage.study_store import StudyStore
from regsearch.studies.decision_log import log_decision
from regsearch.studies.errors import StorageUnavailableError
from regsearch.studies.trial import TrialTask

Search = Callable[..., RunResult]
PRUNER = ["search.pruner_options={n_startup_trials=2}"]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, logger="regsearch"):
        yield caplog


def lines(log: pytest.LogCaptureFixture, action: str) -> list[str]:
    return [record.getMessage() for record in log.records if getattr(record, "action", None) == action]


def test_each_trial_is_handed_out_and_ended_by_a_line(
    search: Search, storage: str, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAULTS", '{"5": "diverge"}')
    search(trials=10, settings=[*PRUNER, 'search.recipes=["course"]'], confirm=False)
    handed_out = lines(log, "handed out:")
    assert handed_out[0].startswith("study smoke, trial 0, attempt 0: handed out: recipe ")
    assert handed_out[-1] == "study smoke, trial 9, attempt 0: handed out: sampler"
    ended = Counter(row["state"] for row in rows(storage))
    assert ended["pruned"] > 0
    assert {action: len(lines(log, action)) for action in ("complete", "pruned", "failed:")} == {
        "complete": ended["complete"],
        "pruned": ended["pruned"],
        "failed:": ended["failed"],
    }
    assert re.fullmatch(r"study smoke, trial \d, attempt 0: pruned after epoch \d", lines(log, "pruned")[0])
    assert lines(log, "failed:") == ["study smoke, trial 5, attempt 0: failed: diverged at epoch 0"]
    assert lines(log, "phase started:") == ["study smoke: phase started: study smoke"]
    assert lines(log, "phase ended:") == ["study smoke: phase ended: study smoke; the study's total is reached"]
    record = next(record for record in log.records if vars(record).get("task") == "trial 5")
    assert (vars(record)["study"], vars(record)["attempt"], vars(record)["action"]) == ("smoke", 0, "handed out:")


def test_a_lost_worker_and_the_next_attempt_are_logged(
    search: Search, process_engine: ProcessEngine, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAULTS", '{"1": "die once"}')
    search(trials=2, engine=process_engine, workers=1, confirm=False)
    (lost,) = lines(log, "lost worker:")
    assert lost.startswith("study smoke, trial 1, attempt 0: lost worker: ")
    assert lost.endswith("; attempt 1 follows")
    assert "study smoke, trial 1, attempt 1: handed out: again" in lines(log, "handed out:")


def test_rounds_of_a_race_are_logged_with_their_drops(
    search: Search, storage: str, log: pytest.LogCaptureFixture
) -> None:
    search(trials=8, settings=["confirm.seeds=6", "confirm.method=race"])
    with closing(sqlite3.connect(location_of(storage))) as connection:
        rounds = connection.execute("select round, drops from regsearch_rounds order by round").fetchall()
    assert rounds
    assert len(lines(log, "round ended:")) == len(rounds)
    for (number, drops), line in zip(rounds, lines(log, "round ended:"), strict=True):
        assert line.startswith(f"study smoke: round ended: round {number} after ")
        dropped = [drop["index"] for drop in json.loads(drops)]
        assert [int(index) for index in re.findall(r"finalist (\d+) dropped", line)] == dropped
    evaluations = [line for line in lines(log, "complete") if "on the test examples" in line]
    assert evaluations
    assert all(line.endswith("attempt 0: complete") for line in evaluations)


def test_a_retried_step_is_logged_twice(
    search: Search, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = StudyStore.finish, []

    def finish(self: StudyStore, *arguments: Any) -> Any:
        if len(failures) < 3:
            failures.append(1)
            raise StorageUnavailableError("test.db is locked by another process")
        return real(self, *arguments)

    monkeypatch.setattr(StudyStore, "finish", finish)
    monkeypatch.setattr(retry, "POLL_SECONDS", 0.01)
    search(trials=1, confirm=False)
    assert lines(log, "retry:") == ["study smoke: retry: finish failed: test.db is locked by another process"]
    assert lines(log, "retried:") == ["study smoke: retried: finish succeeded after 3 retries"]


def test_nothing_is_shown_unless_a_program_asks_for_it(capfd: pytest.CaptureFixture[str]) -> None:
    """A warning, too: without a handler of its own, Python would print it."""
    logger = logging.getLogger("regsearch")
    logger.propagate = False
    try:
        log_decision("smoke", TrialTask(number=1, attempt=0, params={}), "hang:", "no epoch", level=logging.WARNING)
    finally:
        logger.propagate = True
    assert capfd.readouterr() == ("", "")


def test_a_line_is_one_line(log: pytest.LogCaptureFixture) -> None:
    log_decision("smoke", None, "failed:", "first\nsecond")
    assert log.messages == ["study smoke: failed: first\\nsecond"]
