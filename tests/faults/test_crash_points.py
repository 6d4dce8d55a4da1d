"""A one-worker study that is killed at any storage call equals one that ran through, bit for bit."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import fakes
import pytest
import sqlalchemy
from helpers import assert_whole, rows

from search import api
from search.engines.inline import InlineEngine
from storage import database as storage_database
from studies.errors import RegsearchError

SETTINGS = ["search.sampler_options={n_startup_trials=3}", "search.pruner_options={n_startup_trials=2}"]
CRASH_POINTS = 8


class Killed(BaseException):
    """Stands for kill -9: nothing that handles errors handles this."""


class KillSwitch:
    """Counts storage calls (statements, commits, and the moment after each commit), and kills at one."""

    def __init__(self, at: int | None) -> None:
        self.calls, self.at = 0, at

    def count(self, *_: Any) -> None:
        self.calls += 1
        if self.at is not None and self.calls >= self.at:  # a killed process makes no later call either
            raise Killed


@contextmanager
def kill_at(at: int | None, monkeypatch: pytest.MonkeyPatch) -> Iterator[KillSwitch]:
    switch = KillSwitch(at)
    real = storage_database._begin_immediately

    def instrumented(engine: sqlalchemy.Engine, writing: bool, *waiting: Any) -> None:
        real(engine, writing, *waiting)
        if writing:
            sqlalchemy.event.listen(engine, "before_cursor_execute", switch.count)
            sqlalchemy.event.listen(engine, "commit", switch.count)
            sqlalchemy.event.listen(engine, "checkin", switch.count)

    with monkeypatch.context() as patch:
        patch.setattr(storage_database, "_begin_immediately", instrumented)
        yield switch


CASES = {
    "tpe and median": SETTINGS,
    "hyperband": ["search.pruner=hyperband", "search.pruner_options={}", SETTINGS[0]],
    "qmc": ["search.sampler=qmc", "search.sampler_options={}", SETTINGS[1]],
    "grid": [
        "search.sampler=grid",
        'search.sampler_options={ regularizer = ["l2"], l2 = [1e-5, 1e-4, 1e-3], use_dropout = [true, false], '
        'dropout = [0.1, 0.2], batch_norm = ["none"], early_stopping = [false] }',
        SETTINGS[1],
    ],
}


def search(storage: str, settings: list[str]) -> None:
    """Search with two enqueued trials, one that diverges and one that raises."""

    def run(trials: int) -> None:
        engine = InlineEngine(fakes.FakeTrainer)
        api.run("smoke", storage=storage, engine=engine, workers=1, trials=trials, settings=settings)

    try:
        begun = len(rows(storage))
    except RegsearchError:
        begun = 0
    if begun < 3:
        run(2)
        if len(rows(storage)) == 2:
            api.enqueue("smoke", ["l2=1e-4", "dropout=off"], storage=storage)
    run(8)


@pytest.fixture(autouse=True)
def faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_FAULTS", '{"4": "diverge", "6": "raise"}')


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[list[dict[str, Any]], int]]:
    """The rows of a search that ran through, and how many storage calls it made, by case."""
    known: dict[str, tuple[list[dict[str, Any]], int]] = {}

    def of(case: str) -> tuple[list[dict[str, Any]], int]:
        if case not in known:
            storage = f"sqlite:///{tmp_path_factory.mktemp('whole')}/test.db"
            with pytest.MonkeyPatch.context() as patch, kill_at(None, patch) as switch:
                search(storage, CASES[case])
            known[case] = rows(storage), switch.calls
        return known[case]

    return of


Whole = Callable[[str], tuple[list[dict[str, Any]], int]]


@pytest.mark.parametrize("which", range(CRASH_POINTS))
@pytest.mark.parametrize("case", CASES)
def test_killed_at_any_storage_call(
    case: str, which: int, whole: Whole, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, calls = whole(case)
    at = sorted(random.Random(case).sample(range(1, calls + 1), CRASH_POINTS))[which]
    with kill_at(at, monkeypatch) as switch, pytest.raises(Killed):
        search(storage, CASES[case])
    assert switch.calls >= at
    search(storage, CASES[case])
    assert rows(storage) == expected
    assert_whole(storage)


def test_killed_again_and_again(whole: Whole, storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, calls = whole("tpe and median")
    generator = random.Random(1)
    kills = 0
    for _ in range(60):
        try:
            with kill_at(generator.randrange(30, calls // 3), monkeypatch):
                search(storage, SETTINGS)
            break
        except Killed:
            kills += 1
    assert kills >= 3
    assert rows(storage) == expected


def test_the_comparison_can_fail(whole: Whole, storage: str) -> None:
    expected, _ = whole("tpe and median")
    search(storage, [*SETTINGS, "search.seed=1"])
    assert rows(storage) != expected
