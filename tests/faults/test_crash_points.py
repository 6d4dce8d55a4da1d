"""A one-worker study that is killed at any storage call equals one that ran through, bit for bit."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fakes
import pytest
import sqlalchemy
from helpers import assert_whole, rows

from search import api
from search.engines.inline import InlineEngine
from storage import database as storage_database

SETTINGS = ["search.sampler_options={n_startup_trials=3}", "search.pruner_options={n_startup_trials=2}"]
CRASH_POINTS = 40


class Killed(BaseException):
    """Stands for kill -9: nothing that handles errors handles this."""


class KillSwitch:
    """Counts storage calls (statements, commits, and the moment after each commit), and kills at one."""

    def __init__(self, at: int | None) -> None:
        self.calls, self.at = 0, at

    def count(self, *_: Any) -> None:
        self.calls += 1
        if self.calls == self.at:
            raise Killed


@contextmanager
def kill_at(at: int | None, monkeypatch: pytest.MonkeyPatch) -> Iterator[KillSwitch]:
    switch = KillSwitch(at)
    real = storage_database._begin_immediately

    def instrumented(engine: sqlalchemy.Engine, writing: bool) -> None:
        real(engine, writing)
        if writing:
            sqlalchemy.event.listen(engine, "before_cursor_execute", switch.count)
            sqlalchemy.event.listen(engine, "commit", switch.count)
            sqlalchemy.event.listen(engine, "checkin", switch.count)

    with monkeypatch.context() as patch:
        patch.setattr(storage_database, "_begin_immediately", instrumented)
        yield switch


def search(storage: str) -> None:
    engine = InlineEngine(fakes.FakeTrainer)
    api.run("smoke", storage=storage, engine=engine, workers=1, trials=8, settings=SETTINGS)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], int]:
    """The rows of a search that ran through, and how many storage calls it made."""
    storage = f"sqlite:///{tmp_path_factory.mktemp('whole')}/test.db"
    with pytest.MonkeyPatch.context() as patch, kill_at(None, patch) as switch:
        search(storage)
    return rows(storage), switch.calls


def points(calls: int) -> list[int]:
    return sorted(random.Random(0).sample(range(1, calls + 1), CRASH_POINTS))


@pytest.mark.parametrize("which", range(CRASH_POINTS))
def test_killed_at_any_storage_call(
    which: int, whole: tuple[list[dict[str, Any]], int], storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, calls = whole
    at = points(calls)[which]
    with kill_at(at, monkeypatch) as switch, pytest.raises(Killed):
        search(storage)
    assert switch.calls >= at
    search(storage)
    assert rows(storage) == expected
    assert_whole(storage)


def test_killed_again_and_again(
    whole: tuple[list[dict[str, Any]], int], storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, calls = whole
    generator = random.Random(1)
    kills = 0
    for _ in range(60):
        try:
            with kill_at(generator.randrange(30, calls // 3), monkeypatch):
                search(storage)
            break
        except Killed:
            kills += 1
    assert kills >= 3
    assert rows(storage) == expected


def test_the_comparison_can_fail(whole: tuple[list[dict[str, Any]], int], storage: str) -> None:
    expected, _ = whole
    api.run(
        "smoke",
        storage=storage,
        engine=InlineEngine(fakes.FakeTrainer),
        trials=8,
        settings=[*SETTINGS, "search.seed=1"],
    )
    assert rows(storage) != expected
