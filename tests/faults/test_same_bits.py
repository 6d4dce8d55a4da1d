"""Real training gives the same bits, however often it was interrupted and whoever trained beside it."""

import signal
import time
from pathlib import Path

import invariants
import pytest
from conftest import Command
from helpers import finished, rows

from regsearch.search import api
from regsearch.studies.errors import RegsearchError

TRIALS = ["--trials", "8", "--workers", "1", "--quiet"]
SLOWER = ["--set", "training.max_epochs=30", "--set", "training.batch_size=8"]  # so that a stop comes between trials
SOONER = ["--set", "search.sampler_options={n_startup_trials=3}"]  # so that TPE proposes some of the eight


def count(storage: str) -> int:
    try:
        return len(finished(storage))
    except RegsearchError:
        return 0


@pytest.mark.slow
def test_a_one_worker_study_stopped_and_killed_equals_one_that_ran_through(regsearch: Command, tmp_path: Path) -> None:
    whole, stopped = f"sqlite:///{tmp_path}/whole.db", f"sqlite:///{tmp_path}/stopped.db"
    done = regsearch("run", "smoke", *TRIALS, *SOONER, *SLOWER, "--storage", whole)
    assert done.returncode == 0, done.stderr
    for stops, how in enumerate((signal.SIGTERM, signal.SIGKILL)):
        with regsearch.start("run", "smoke", *TRIALS, *SOONER, *SLOWER, "--storage", stopped) as process:
            while process.poll() is None and count(stopped) < 3 * stops + 1:
                time.sleep(0.05)
            process.send_signal(how)
            process.communicate(timeout=30)
        assert 3 * stops < count(stopped) < 8
    done = regsearch("resume", "smoke", "--workers", "1", "--storage", stopped)
    assert done.returncode == 0, done.stderr
    assert rows(stopped) == rows(whole)
    invariants.check(stopped)


@pytest.mark.slow
def test_with_two_workers_each_trial_alone_gives_the_same_curve(regsearch: Command, tmp_path: Path) -> None:
    both, alone = f"sqlite:///{tmp_path}/both.db", f"sqlite:///{tmp_path}/alone.db"
    done = regsearch("run", "smoke", "--trials", "6", "--workers", "2", "--quiet", *SOONER, "--storage", both)
    assert done.returncode == 0, done.stderr
    # by the rules of old its own first trial may be trained once more
    no_pruner = ["--set", "search.pruner=none", "--set", "search.pruner_options={}", "--set", "search.rules=1"]
    assert (
        regsearch(
            "run", "smoke", "--trials", "1", "--engine", "inline", "--quiet", *no_pruner, "--storage", alone
        ).returncode
        == 0
    )
    trained = rows(both)
    for row in trained:
        api.enqueue("smoke", [f"{name}={value}" for name, value in row["params"].items()], storage=alone)
    done = regsearch("resume", "smoke", "--trials", "7", "--workers", "1", "--quiet", "--storage", alone)
    assert done.returncode == 0, done.stderr
    for row, again in zip(trained, rows(alone)[1:], strict=True):
        assert again["params"] == row["params"]
        assert again["curve"][: len(row["curve"])] == row["curve"]
        if row["state"] == "complete":
            assert (again["value"], again["metrics"]) == (row["value"], row["metrics"])


@pytest.mark.slow
def test_the_number_of_workers_changes_no_bit(regsearch: Command, tmp_path: Path) -> None:
    """With a sampler that doesn't learn and without a pruner, all rows are the same."""
    settings = ["search.sampler=random", "search.sampler_options={}", "search.pruner=none", "search.pruner_options={}"]
    options = [option for setting in settings for option in ("--set", setting)]
    results = []
    for workers in ("1", "2"):
        storage = f"sqlite:///{tmp_path}/{workers}.db"
        done = regsearch("run", "smoke", *options, "--workers", workers, "--quiet", "--storage", storage)
        assert done.returncode == 0, done.stderr
        results.append(rows(storage))
        invariants.check(storage)
    assert len(results[0]) == 6
    assert results[0] == results[1]
