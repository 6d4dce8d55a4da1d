"""A one-worker study killed at any storage call or change of a file equals one that ran through, bit for bit."""

import random
from collections.abc import Callable
from typing import Any

import fakes
import pytest
from helpers import assert_whole, rows
from killing import Killed, kill_at

from search import api
from search.engines.inline import InlineEngine
from studies.errors import RegsearchError

SETTINGS = ["search.sampler_options={n_startup_trials=3}", "search.pruner_options={n_startup_trials=2}"]
CRASH_POINTS = 8


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
            with kill_at(None) as switch:
                search(storage, CASES[case])
            known[case] = rows(storage), switch.calls
        return known[case]

    return of


Whole = Callable[[str], tuple[list[dict[str, Any]], int]]


@pytest.mark.parametrize("which", range(CRASH_POINTS))
@pytest.mark.parametrize("case", CASES)
def test_killed_at_any_storage_call(case: str, which: int, whole: Whole, storage: str) -> None:
    expected, calls = whole(case)
    at = sorted(random.Random(case).sample(range(1, calls + 1), CRASH_POINTS))[which]
    with kill_at(at) as switch, pytest.raises(Killed):
        search(storage, CASES[case])
    assert switch.calls >= at
    search(storage, CASES[case])
    assert rows(storage) == expected
    assert_whole(storage)


def test_killed_again_and_again(whole: Whole, storage: str) -> None:
    expected, calls = whole("tpe and median")
    generator = random.Random(1)
    kills = 0
    for _ in range(60):
        try:
            with kill_at(generator.randrange(30, calls // 3)):
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
