"""A study of 100,000 trials, written by SQL: how long answers take, and going on."""

import json
import math
import random
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import fakes
import psutil
from drills.figure import Figure, at_most
from helpers import start
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from probe import FOLDER, read_log

from regsearch.search import api
from regsearch.search.workers.inline import InlineEngine
from regsearch.studies.search_space import suggest
from regsearch.studies.spec import StudySpec
from regsearch.studies.study_file import read_study

_EPOCHS = 3
_RESULTS = (
    "regsearch_trials (study_uuid, number, attempt, reason, best_epoch, epochs, select_cross_entropy, select_accuracy, "
    "train_cross_entropy, train_accuracy, near_zero_share, seconds)"
)
_MOST_SECONDS = 900
_WAYS: dict[str, list[str]] = {
    "tpe, median": [],
    "random, none": [
        option
        for setting in ("sampler=random", "sampler_options={}", "pruner=none", "pruner_options={}")
        for option in ("--set", f"search.{setting}")
    ],
}


def size(trials: int = 100_000, more: int = 2, seed: int = 0) -> list[Figure]:
    """Time `best`, `status`, and `resume` until a worker has its first trial, of a study with so many trials."""
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "regsearch.db"
        began = time.monotonic()
        fill(database, trials, seed)
        took, megabytes = time.monotonic() - began, database.stat().st_size / 1e6
        what = f"{trials:,} trials"
        figures.append(Figure(name=f"{what}: written by SQL", measured=f"{took:.0f} s, {megabytes:.0f} MB"))
        for command in ("best", "status"):
            seconds, of_a_core = _time(Path(folder), command, "smoke")
            shown = f"{seconds:.2f} s, {of_a_core:.2f} s of a core"
            figures.append(at_most(f"{what}: regsearch {command}, the whole command", seconds, 1, "s", shown=shown))
        total = trials
        for way, options in _WAYS.items():
            total += more
            first, rest, peak = _go_on(Path(folder), total, options)
            figures.append(at_most(f"{what}, {way}: resume until a worker has its first trial", first, 5, "s"))
            then = f"{what}, {way}: from then until {more} trials are done"
            figures.append(Figure(name=then, measured=f"{rest:.1f} s"))
            figures.append(at_most(f"{what}, {way}: the coordinator's peak memory", peak, 500, "MB"))
    return figures


def fill(database: Path, trials: int, seed: int) -> None:
    """Write a study `smoke` of so many trials of three epochs, of which some were pruned and a few failed."""
    spec = read_study("smoke")
    api.run("smoke", storage=f"sqlite:///{database}", engine=InlineEngine(fakes.FakeTrainer), trials=1)
    with closing(sqlite3.connect(database)) as connection, connection:
        ((study_id, uuid),) = connection.execute(
            "select study_id, study_uuid from studies, regsearch_studies where study_name = 'smoke'"
        )
        connection.execute("pragma foreign_keys=off")
        batches: dict[str, list[Sequence[Any]]] = {}
        for number in range(1, trials):
            for table, row in _rows(random.Random(f"{seed} {number}"), spec, number, study_id, uuid):
                batches.setdefault(table, []).append(row)
            if number % 10_000 == 0 or number == trials - 1:
                for table, rows in batches.items():
                    connection.executemany(f"insert into {table} values ({', '.join('?' * len(rows[0]))})", rows)
                batches.clear()
        connection.execute(
            "update regsearch_studies set spec = ?", (spec.changed(budget={"trials": trials}).to_json(),)
        )


class _Random:
    """Chooses at random, and remembers how it is stored."""

    def __init__(self, generator: random.Random) -> None:
        self._generator = generator
        self.stored: dict[str, tuple[float, str]] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any], /) -> Any:
        return self._keep(name, self._generator.choice(choices), CategoricalDistribution(choices))

    def suggest_float(self, name: str, low: float, high: float, /, *, log: bool = False) -> float:
        uniform = self._generator.uniform
        value = math.exp(uniform(math.log(low), math.log(high))) if log else uniform(low, high)
        return float(self._keep(name, min(max(value, low), high), FloatDistribution(low, high, log=log)))

    def suggest_int(self, name: str, low: int, high: int, /) -> int:
        return int(self._keep(name, self._generator.randint(low, high), IntDistribution(low, high)))

    def _keep(self, name: str, value: Any, distribution: BaseDistribution) -> Any:
        self.stored[name] = distribution.to_internal_repr(value), distribution_to_json(distribution)
        return value


def _rows(
    generator: random.Random, spec: StudySpec, number: int, study_id: int, uuid: str
) -> Iterator[tuple[str, Sequence[Any]]]:
    """Give one trial's rows, with the table of each, and its columns if not all; its id is its number and 1."""
    trial_id, chosen = number + 1, _Random(generator)
    suggest(chosen, spec.space)
    state = generator.choices(("COMPLETE", "PRUNED", "FAIL"), (60, 38, 2))[0]
    epochs = {"COMPLETE": _EPOCHS, "PRUNED": 1, "FAIL": 0}[state]
    losses = [generator.uniform(0.1, 0.5) + 1 / (epoch + 2) for epoch in range(epochs)]
    day = "2025-01-01 00:00:00.000000"
    yield "trials", (trial_id, number, study_id, state, day, day)
    for name, (value, how) in chosen.stored.items():
        yield "trial_params", (None, trial_id, name, value, how)
    for epoch, loss in enumerate(losses):
        yield "trial_intermediate_values", (None, trial_id, epoch, loss, "FINITE")
        yield "regsearch_epochs", (uuid, number, epoch, loss / 2, loss, loss, 1 / (1 + loss), 0.1)
    value = generator.random() if state == "COMPLETE" else losses[-1] if losses else None
    if value is not None:
        yield "trial_values", (None, trial_id, 0, value, "FINITE")
    if state == "COMPLETE":
        shown = {
            "regularization": "L2 0.0001, dropout 0.25, early stopping (patience 3)",
            "select accuracy": 1 / (1 + value),
            "select cross-entropy": value,
            "generalization gap": value / 2,
            "best epoch": _EPOCHS - 1,
        }
        for key, figure in shown.items():
            yield "trial_user_attributes", (None, trial_id, key, json.dumps(figure))
        result = (_EPOCHS - 1, _EPOCHS, value, 1 / (1 + value), value / 2, 1 / (1 + value / 2), 0.5, 1.0)
        yield _RESULTS, (uuid, number, 0, None, *result)
    else:
        reason = "diverged at epoch 0" if state == "FAIL" else None
        yield _RESULTS, (uuid, number, 0, reason, None, epochs or None, *[None] * 6)
        if reason:
            yield "trial_user_attributes", (None, trial_id, "reason", json.dumps(reason))


def _time(folder: Path, *arguments: str) -> tuple[float, float]:
    """Return the seconds that a command took, and those of a core; medians of three."""
    took = []
    for _ in range(3):
        began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "regsearch", *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        of_a_core = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        took.append((time.monotonic() - began, of_a_core))
    return statistics.median(wall for wall, _ in took), statistics.median(core for _, core in took)


def _go_on(folder: Path, total: int, options: Sequence[str]) -> tuple[float, float, float]:
    """Return seconds until a worker had a trial, seconds from then to the end, and the coordinator's peak in MB."""
    probe = folder / f"probe-{total}"
    probe.mkdir()
    arguments = ("run", "smoke", "--trials", str(total), "--workers", "1", "--quiet", *options)
    began, peak = time.monotonic(), 0.0
    with start(folder, *arguments, **{FOLDER: str(probe), "FAKE_WORKER": "fake"}) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None and time.monotonic() < began + _MOST_SECONDS:
            peak = max(peak, watched.memory_info().rss / 1e6)
            time.sleep(0.05)
        ended = time.monotonic()
        process.terminate()
        _, err = process.communicate()
    begun = [line.seconds for line in read_log(probe) if line.what == "begin"]
    if not begun:
        print(f"no worker had a trial within {_MOST_SECONDS} s: exit {process.returncode} {err}", flush=True)
        return math.inf, math.inf, peak
    return begun[0] - began, ended - begun[0], peak
