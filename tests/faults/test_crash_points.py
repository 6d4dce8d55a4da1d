"""A one-worker study killed at any commit, write, fsync, rename or removal equals one that ran through, bit for bit.

These are a sample; `python tests/programs/drill.py crashes` takes every one.
"""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import invariants
import pytest
from crashing import LAYERS, SETTINGS, STATEMENTS, ForkServer
from helpers import folder_in_memory, rows
from postgres import needs_postgres, new_database

MAIN = "tpe and median"
CASES = {
    MAIN: SETTINGS,
    "hyperband": ["search.pruner=hyperband", "search.pruner_options={}", SETTINGS[0]],
    "qmc": ["search.sampler=qmc", "search.sampler_options={}", SETTINGS[1]],
    "grid": [
        "search.sampler=grid",
        'search.sampler_options={ regularizer = ["l2"], l2 = [1e-5, 1e-4, 1e-3], use_dropout = [true, false], '
        'dropout = [0.1, 0.2], batch_norm = ["none"], early_stopping = [false] }',
        SETTINGS[1],
    ],
}


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    with ForkServer() as server:
        yield server


class Whole(NamedTuple):
    """A study that ran through: its rows, and how many points of each layer it passed."""

    rows: list[dict[str, Any]]
    points: dict[str, int]


@pytest.fixture(scope="module")
def whole(forks: ForkServer) -> Callable[[str], Whole]:
    known: dict[str, Whole] = {}

    def of(case: str) -> Whole:
        if case not in known:
            with folder_in_memory() as folder:
                ended = forks.small_study(folder, CASES[case])
                assert (ended.code, ended.err) == (0, "")
                known[case] = Whole(rows(storage_in(folder)), ended.points)
        return known[case]

    return of


def storage_in(folder: Path) -> str:
    return f"sqlite:///{folder}/regsearch.db"


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with folder_in_memory() as folder:
        monkeypatch.setenv("REGSEARCH_FILES", str(folder))
        yield folder


def check(
    forks: ForkServer, folder: Path, case: str, whole: Whole, *points: tuple[str, int], storage: str | None = None
) -> None:
    """Kill the study at one point after the other, then let it run through, and check everything."""
    storage = storage or storage_in(folder)
    reader, killed_at = invariants.Reader(storage), []
    for at in points:
        ended = forks.small_study(folder, CASES[case], at=at, storage=storage)
        assert ended.was_killed or (killed_at and ended.code == 0), ended  # one that goes on passes fewer points
        killed_at.append((at, ended.where))
        reader.look()
    ended = forks.small_study(folder, CASES[case], storage=storage)
    assert (ended.code, ended.err) == (0, ""), killed_at
    assert rows(storage) == whole.rows, killed_at
    invariants.check(storage, is_fake=True, reader=reader)


@pytest.mark.slow
def test_the_study_holds_what_can_happen(whole: Callable[[str], Whole]) -> None:
    assert {row["state"] for row in whole(MAIN).rows} == {"complete", "pruned", "failed"}
    assert whole(MAIN).rows[2]["params"]["l2"] == 1e-4  # it was enqueued
    assert all(whole(MAIN).points[layer] > 30 for layer in LAYERS)


@pytest.mark.parametrize("layer", [*LAYERS, STATEMENTS])
def test_killed_at_any_point(layer: str, forks: ForkServer, whole: Callable[[str], Whole], folder: Path) -> None:
    at = random.Random(f"1 {layer}").randint(1, whole(MAIN).points[layer])
    check(forks, folder, MAIN, whole(MAIN), (layer, at))


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in CASES if case != MAIN])
def test_with_every_kind_of_sampler_and_pruner(
    case: str, forks: ForkServer, whole: Callable[[str], Whole], folder: Path
) -> None:
    at = random.Random(case).randint(1, whole(case).points["commits"])
    check(forks, folder, case, whole(case), ("commits", at))


def test_what_goes_on_is_killed_as_well(forks: ForkServer, whole: Callable[[str], Whole], folder: Path) -> None:
    generator = random.Random(7)
    half = {layer: points // 2 for layer, points in whole(MAIN).points.items()}
    points = [(layer, generator.randint(1, half[layer])) for layer in ("commits", "writes", "commits")]
    check(forks, folder, MAIN, whole(MAIN), *points)


def test_the_comparison_can_fail(forks: ForkServer, whole: Callable[[str], Whole], folder: Path) -> None:
    assert forks.small_study(folder, [*SETTINGS, "search.seed=1"]).code == 0
    assert rows(storage_in(folder)) != whole(MAIN).rows


@pytest.mark.slow
@needs_postgres
@pytest.mark.parametrize("layer", [*LAYERS, STATEMENTS])
def test_killed_at_any_point_on_a_server(
    layer: str, forks: ForkServer, whole: Callable[[str], Whole], folder: Path
) -> None:
    """The study equals one that ran through on SQLite; a few points, and each of another one's layers."""
    generator = random.Random(f"2 {layer}")
    with new_database() as storage:
        points = [(layer, generator.randint(1, whole(MAIN).points[layer] // 2)) for _ in range(2)]
        check(forks, folder, MAIN, whole(MAIN), *points, storage=storage)
