"""Real processes, killed and stopped: nothing acknowledged is lost, and no process is left."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import invariants
import psutil
import pytest
from asking import write_code
from conftest import Command
from drills import kills
from helpers import FAKE_SEARCH, count_finished, finished, rows, start, wait_for

from regsearch.search import api
from regsearch.studies.reports import status


def descendants(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def all_gone(processes: list[psutil.Process]) -> bool:
    return not [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def storage(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/regsearch.db"


@pytest.mark.slow
@pytest.mark.parametrize(("trainer", "count", "trials"), [("fake", 10, 40), ("real", 1, 4)])
def test_a_search_whose_processes_are_killed_at_random_loses_nothing(trainer: str, count: int, trials: int) -> None:
    tally = kills.Tally()
    kills.kill_at_random(tally, trainer, count=count, seed=5, trials=trials)
    assert not tally.violations
    assert not tally.orphans
    assert sum(tally.phases.values()) == count


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["tpe", "contest"])
def test_a_one_worker_study_killed_at_random_equals_an_undisturbed_one(sampler: str) -> None:
    tally = kills.Tally()
    kills.kill_alone(tally, "fake", sampler, count=3, seed=1)
    assert not tally.violations
    assert not tally.orphans
    assert sum(tally.phases.values()) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signals", "code"), [([signal.SIGINT], 130), ([signal.SIGTERM], 143), ([signal.SIGINT] * 4, 130)]
)
def test_a_signal_stops_the_search_within_five_seconds(
    tmp_path: Path, storage: str, signals: list[signal.Signals], code: int
) -> None:
    with start(tmp_path, "run", "smoke", "--trials", "500") as process:
        wait_for(lambda: count_finished(storage) > 2)
        workers = descendants(process)
        asked = time.monotonic()
        for number in signals:
            process.send_signal(number)
            time.sleep(0.01)
        _, err = process.communicate(timeout=20)
        took = time.monotonic() - asked
    assert process.returncode == code, err
    assert took < 5
    assert err.splitlines()[-1] == "resume with: regsearch resume smoke"
    assert "Traceback" not in err
    assert workers
    assert all_gone(workers)
    before = finished(storage)
    with start(tmp_path, "resume", "smoke", "--trials", str(len(before) + 3)) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    after = finished(storage)
    assert {number: after[number] for number in before} == before
    invariants.check(storage, is_fake=True)


@pytest.mark.slow
def test_a_stopped_and_resumed_study_equals_one_that_ran_through(tmp_path: Path, storage: str) -> None:
    (tmp_path / "whole").mkdir()
    with start(tmp_path / "whole", "run", "smoke", "--trials", "14", "--workers", "1", "--quiet") as process:
        process.communicate(timeout=120)
    for stop in range(3):
        with start(tmp_path, "run", "smoke", "--trials", "14", "--workers", "1", "--quiet") as process:
            wait_for(lambda stop=stop: count_finished(storage) > 3 * stop)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)
        assert process.returncode == 143
    with start(tmp_path, "resume", "smoke", "--workers", "1", "--quiet") as process:
        process.communicate(timeout=60)
    assert rows(storage) == rows(f"sqlite:///{tmp_path}/whole/regsearch.db")
    invariants.check(storage, is_fake=True)


@pytest.mark.slow
def test_workers_killed_at_random_are_replaced(tmp_path: Path, storage: str) -> None:
    generator = random.Random(3)
    killed = 0
    with start(tmp_path, "run", "smoke", "--trials", "25", "--workers", "2", "--quiet") as process:
        while process.poll() is None:
            time.sleep(0.2 + generator.random() * 0.3)
            if killed < 4 and count_finished(storage) > 0:
                for worker in descendants(process)[:1]:
                    worker.kill()
                    killed += 1
        _, err = process.communicate()
    assert process.returncode == 0, err
    assert killed == 4
    invariants.check(storage, total=25, is_fake=True)
    assert "ended by signal 9" in err


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 4])
def test_a_stopped_hypermodel_says_to_go_on_with_its_code_trusted(
    tmp_path: Path, storage: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with start(tmp_path, "run", "smoke", "--trials", "500", "--trust-code", "--set", write_code(tmp_path)) as process:
        wait_for(lambda: count_finished(storage) > 2)
        for _ in range(count):
            process.send_signal(signal.SIGINT)
            time.sleep(0.01)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "resume with: regsearch resume smoke --trust-code"
    found = api.status("smoke", storage=storage)
    assert "Resume with: regsearch resume smoke --trust-code" in status.as_text(found)
    monkeypatch.chdir(tmp_path.parent)
    found = api.status("smoke", storage=storage)
    there = f"--storage sqlite:///{tmp_path.name}/regsearch.db"
    assert f"Resume with: regsearch resume smoke {there} --trust-code" in status.as_text(found)


@pytest.mark.slow
def test_signals_are_heard_while_another_process_locks_the_database(tmp_path: Path, storage: str) -> None:
    import sqlite3

    with start(tmp_path, "run", "smoke", "--trials", "500", "--quiet") as process:
        wait_for(lambda: count_finished(storage) > 0)
        other = sqlite3.connect(tmp_path / "regsearch.db", timeout=30, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        time.sleep(0.5)
        asked = time.monotonic()
        process.send_signal(signal.SIGINT)
        wait_for(lambda: not descendants(process), 5)
        assert time.monotonic() - asked < 5
        other.execute("COMMIT")
        other.close()
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "resume with: regsearch resume smoke"


@pytest.mark.slow
def test_a_search_under_nohup_survives_the_terminals_end(tmp_path: Path, storage: str) -> None:
    command = [*FAKE_SEARCH, "run", "smoke", "--trials", "12", "--quiet"]
    with subprocess.Popen(
        ["nohup", *command], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    ) as process:
        wait_for(lambda: count_finished(storage) > 0)
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=60)
    assert process.returncode == 0
    invariants.check(storage, total=12, is_fake=True)


@pytest.mark.slow
def test_stop_ends_a_search_in_another_process(tmp_path: Path, storage: str, regsearch: Command) -> None:
    assert regsearch("stop", "smoke").returncode == 2
    with start(tmp_path, "run", "smoke", "--trials", "500") as process:
        wait_for(lambda: count_finished(storage) > 1)
        status = json.loads(regsearch("status", "smoke", "--json").stdout)
        assert status["coordinator"]["pid"] == process.pid
        stopped = regsearch("stop", "smoke")
        _, err = process.communicate(timeout=20)
    assert process.returncode == 143
    assert err.splitlines()[-1] == "resume with: regsearch resume smoke"
    assert stopped.returncode == 0, stopped.stderr
    assert f"process {process.pid}" in stopped.stdout
    assert "smoke is not running" in regsearch("stop", "smoke").stdout


@pytest.mark.slow
def test_two_coordinators_of_one_study_race_and_one_is_refused(tmp_path: Path, storage: str) -> None:
    both = [start(tmp_path, "run", "smoke", "--trials", "30", "--quiet") for _ in range(2)]
    results = []
    for process in both:
        with process:
            _, err = process.communicate(timeout=120)
        results.append((process.returncode, err))
    codes = sorted(code for code, _ in results)
    assert codes == [0, 2], results
    invariants.check(storage, total=30, is_fake=True)


@pytest.mark.slow
def test_a_search_survives_a_database_that_is_locked_for_a_while(tmp_path: Path, storage: str) -> None:
    import sqlite3

    with start(tmp_path, "run", "smoke", "--trials", "12", "--quiet") as process:
        wait_for(lambda: count_finished(storage) > 0)
        other = sqlite3.connect(tmp_path / "regsearch.db", timeout=30, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        time.sleep(2)
        other.execute("COMMIT")
        other.close()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    invariants.check(storage, total=12, is_fake=True)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_exit_3_and_nothing_is_lost(tmp_path: Path, storage: str) -> None:
    import resource

    limit = 240_000
    with subprocess.Popen(
        [*FAKE_SEARCH, "run", "smoke", "--trials", "2000", "--quiet"],
        cwd=tmp_path,
        env={**os.environ, "FAKE_PATIENCE_SECONDS": "1"},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: (
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        ),
    ) as process:
        _, err = process.communicate(timeout=120)
    assert process.returncode == 3, err
    waits, says = err.splitlines()
    assert "can't be written" in waits
    assert "The run waits up to" in waits
    assert "can't be written" in says
    assert "Nothing that was trained is lost. Resume with `regsearch resume smoke`" in says
    reader = invariants.Reader(storage)
    reader.look()
    assert reader.finished > 5
    with start(tmp_path, "run", "smoke", "--trials", str(reader.finished + 2), "--quiet") as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    invariants.check(storage, reader=reader, is_fake=True)
