"""Finalists run a race: rounds on fresh seeds, drops with reasons, the same whatever interrupts it."""

import json
import shutil
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import RecordingProgress
from helpers import assert_whole, confirmation, plain
from row_trainer import of_rows

from regsearch.search import api
from regsearch.search.result import RunResult
from regsearch.search.workers.processes import ProcessEngine
from regsearch.storage.confirmation_store import ConfirmationStore
from regsearch.storage.location import location_of
from regsearch.studies.analysis.finalists import choose
from regsearch.studies.analysis.race import Contender, Part, decide, round_ends
from regsearch.studies.errors import StorageError
from regsearch.studies.trial import TrainingId, TrialTask

Search = Callable[..., RunResult]

SETTINGS = ["search.pruner=none", "search.pruner_options={}", "confirm.top=2", 'search.recipes=["course"]']
SEEDS = 8


class Killed(BaseException):
    """The process was killed at that point."""


@pytest.fixture
def searched(search: Search, storage: str) -> str:
    """A study that was searched and is not confirmed."""
    search(settings=[*SETTINGS, f"confirm.seeds={SEEDS}"], trials=12, confirm=False)
    return storage


def race(storage: str, **options: Any) -> RunResult:
    return api.confirm("smoke", **{"storage": storage, "engine": of_rows(), **options})


def seeds_of(found: dict[str, list[dict[str, Any]]]) -> dict[int, set[int]]:
    seeds: dict[int, set[int]] = defaultdict(set)
    for row in found["confirmations"]:
        seeds[row["finalist"]].add(row["seed"])
    return seeds


def part_of(row: dict[str, Any]) -> Part:
    """What a finalist runs for, by its roles as the database has them."""
    roles = json.loads(row["roles"])
    if any(role.startswith("baseline") for role in roles):
        return Part.REFERENCE
    return Part.TECHNIQUE if any(role.startswith("best of") for role in roles) else Part.CONFIGURATION


def test_each_round_drops_whom_the_rule_drops_and_nobody_else(searched: str) -> None:
    race(searched)
    found = confirmation(searched)
    parts = {row["finalist"]: part_of(row) for row in found["finalists"]}
    (reference,) = [row["finalist"] for row in found["finalists"] if "early stopping alone" in row["roles"]]
    loss = {(row["finalist"], row["seed"]): row["select_cross_entropy"] for row in found["confirmations"]}
    running, ends = set(parts), round_ends(SEEDS)
    assert [row["seeds"] for row in found["rounds"]] == list(ends[: len(found["rounds"])])
    for row in found["rounds"]:
        seeds = range(row["seeds"])
        if row["seeds"] == SEEDS:
            assert (row["is_over"], json.loads(row["drops"])) == (1, [])
            break
        field = [Contender(index=f, part=parts[f], losses=[loss[f, seed] for seed in seeds]) for f in sorted(running)]
        gain = 0.07 * sum(field[[one.index for one in field].index(reference)].losses) / len(seeds)
        decision = decide(field, reference, len(parts), gain)
        drops = {drop["index"]: drop["reason"] for drop in json.loads(row["drops"])}
        assert drops == {drop.index: drop.reason for drop in decision.drops}
        assert row["is_over"] == decision.is_over
        running -= drops.keys()
        for finalist in drops:
            assert seeds_of(found)[finalist] == set(seeds)
    most = max(map(len, seeds_of(found).values()))
    assert all(seeds_of(found)[finalist] == set(range(most)) for finalist in running)
    assert len(running) < len(parts), "somebody was dropped, else this tests nothing"


def test_a_dropped_finalist_is_evaluated_and_reported_with_its_reason(searched: str) -> None:
    result = race(searched)
    found, conclusion = confirmation(searched), result.confirmation
    assert conclusion is not None
    assert {(row["finalist"], row["seed"]) for row in found["test_looks"]} == {
        (row["finalist"], row["seed"]) for row in found["confirmations"]
    }
    reasons = {drop["index"]: drop for row in found["rounds"] for drop in json.loads(row["drops"])}
    dropped = {one.finalist.index: one for one in conclusion.results if one.dropped is not None}
    assert dropped.keys() == {finalist for finalist, seeds in seeds_of(found).items() if len(seeds) < conclusion.seeds}
    for finalist, one in dropped.items():
        assert one.dropped is not None
        assert (one.dropped.reason, one.seeds) == (reasons[finalist]["reason"], reasons[finalist]["seeds"])
    assert conclusion.winner.dropped is None


def test_what_a_round_decides_is_shown_and_counted(searched: str, progress: RecordingProgress) -> None:
    race(searched, progress=progress)
    first = confirmation(searched)["rounds"][0]
    lines = [message for message in progress.notes if message.startswith(f"after {first['seeds']} seeds")]
    assert len(lines) == len(json.loads(first["drops"])) + 1
    for drop, line in zip(json.loads(first["drops"]), lines, strict=False):
        assert f"finalist {drop['index']} " in line
        assert drop["reason"] in line


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing(searched: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(location_of(searched), other / "test.db")
    race(searched)
    engine = ProcessEngine([sys.executable, str(Path(__file__).parents[1] / "support" / "row_trainer.py")])
    race(f"sqlite:///{other / 'test.db'}", engine=engine, workers=3)
    assert confirmation(f"sqlite:///{other / 'test.db'}") == confirmation(searched)


@pytest.mark.slow
def test_a_race_killed_again_and_again_ends_as_one_that_ran_through(
    searched: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    shutil.copy(location_of(searched), whole / "test.db")
    race(f"sqlite:///{whole / 'test.db'}")
    wanted = confirmation(f"sqlite:///{whole / 'test.db'}")
    finish, deaths = ConfirmationStore.finish, {"before": 0, "after": 0}

    def dies(self: ConfirmationStore, task: TrialTask, outcome: Any) -> bool:
        """Die before each third end, and after each fifth, once."""
        if (task.number % 3, task.attempt, (task.number, "before") in seen) == (0, 0, False):
            seen.add((task.number, "before"))
            deaths["before"] += 1
            raise Killed
        ended = finish(self, task, outcome)
        if task.number % 5 == 0 and (task.number, "after") not in seen:
            seen.add((task.number, "after"))
            deaths["after"] += 1
            raise Killed
        return ended

    seen: set[tuple[int, str]] = set()
    monkeypatch.setattr(ConfirmationStore, "finish", dies)
    for _ in range(200):
        try:
            race(searched)
        except Killed:
            continue
        break
    assert min(deaths.values()) >= 3
    assert confirmation(searched) == wanted
    assert_whole(searched)


@pytest.mark.parametrize("seed", [0, 2])
def test_a_finalist_that_fails_leaves_the_race(seed: int, searched: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is in the middle of the round, or its last training."""
    study = api.trials("smoke", storage=searched)
    with study as (record, trials):
        last = len(choose(trials, record.spec)) - 1
    monkeypatch.setenv("FAKE_FAULTS", json.dumps({str(TrainingId(f, seed).number): "diverge" for f in (2, last)}))
    result = race(searched)
    found, conclusion = confirmation(searched), result.confirmation
    assert conclusion is not None
    failed = {finalist.index for finalist, _ in conclusion.failed}
    assert failed == {2, last}
    assert found["rounds"][0]["seeds"] == round_ends(SEEDS)[0]
    assert all(seeds_of(found)[finalist] <= set(range(round_ends(SEEDS)[0])) for finalist in failed)
    assert all(drop["index"] not in failed for row in found["rounds"] for drop in json.loads(row["drops"]))


def test_resuming_a_race_that_has_ended_changes_nothing(searched: str) -> None:
    race(searched)
    before = confirmation(searched)
    result = race(searched)
    assert confirmation(searched) == before
    assert result.confirmation is not None
    assert result.confirmation.looks == 1


def test_more_seeds_let_the_race_go_on_at_a_price(searched: str) -> None:
    first = race(searched).confirmation
    before = confirmation(searched)
    again = race(searched, seeds=2 * SEEDS).confirmation
    after = confirmation(searched)
    assert first is not None
    assert again is not None
    assert again.seeds > first.seeds
    assert again.looks == 2
    assert again.level == pytest.approx(1 - 0.05 / 2)  # both looks share the risk
    for table, rows in before.items():
        assert [row for row in after[table] if row in rows] == rows, table
    unsettled = set(first.unsettled)
    revived = {f for f, seeds in seeds_of(after).items() if len(seeds) > len(seeds_of(before)[f])}
    assert unsettled <= revived


def test_with_the_old_method_every_finalist_gets_every_seed(search: Search, storage: str) -> None:
    search(settings=[*SETTINGS, "confirm.seeds=5", "confirm.method=all"], trials=12, engine=of_rows())
    found = confirmation(storage)
    assert set(map(len, seeds_of(found).values())) == {5}
    assert found["rounds"] == []


def test_damage_in_a_round_is_one_line(searched: str) -> None:
    race(searched)
    for damage in ("drops = '[{}]'", "seeds = 0", "round = 7", "drops = '[1'"):
        with plain(location_of(searched)) as connection:
            kept = connection.execute(
                "select rowid, drops, seeds, round from regsearch_rounds where round = 0"
            ).fetchone()
            connection.execute(f"update regsearch_rounds set {damage} where round = 0")
        with pytest.raises(StorageError, match="smoke, round"):
            race(searched)
        with plain(location_of(searched)) as connection:
            connection.execute(
                "update regsearch_rounds set drops = ?, seeds = ?, round = ? where rowid = ?", (*kept[1:], kept[0])
            )
    race(searched)


@pytest.mark.slow
def test_if_the_best_fails_those_that_were_dropped_behind_it_are_back(
    searched: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    shutil.copy(location_of(searched), whole / "test.db")
    race(f"sqlite:///{whole / 'test.db'}")
    first = confirmation(f"sqlite:///{whole / 'test.db'}")["rounds"][0]
    drops = json.loads(first["drops"])
    best = drops[0]["than"]
    behind = {drop["index"] for drop in drops if drop["than"] == best}
    monkeypatch.setenv("FAKE_FAULTS", json.dumps({str(TrainingId(best, first["seeds"]).number): "diverge"}))
    result = race(searched)
    found, conclusion = confirmation(searched), result.confirmation
    assert conclusion is not None
    assert [finalist.index for finalist, _ in conclusion.failed] == [best]
    assert all(len(seeds_of(found)[finalist]) > first["seeds"] for finalist in behind)
    assert conclusion.winner.finalist.index != best


def test_another_number_of_seeds_lets_a_race_go_on_that_was_over_early(
    search: Search, storage: str, progress: RecordingProgress
) -> None:
    """The same number again changes nothing, so that a command can be repeated."""
    settings = [*SETTINGS, "confirm.seeds=20", "confirm.smallest_gain=1e-6"]
    conclusion = search(settings=settings, trials=12, engine=of_rows()).confirmation
    assert conclusion is not None
    first = confirmation(storage)
    reached = first["rounds"][-1]["seeds"]
    assert (first["rounds"][-1]["is_over"], reached < 15) == (1, True), "else this tests nothing"
    of_last_round = [note for note in progress.notes if note.startswith(f"after {reached} seeds")]
    assert of_last_round == [f"after {reached} seeds no finalist needs more seeds: the race ends"]
    race(storage, seeds=15)
    second = confirmation(storage)
    assert max(map(len, seeds_of(second).values())) > reached
    assert conclusion.unsettled, "else this tests nothing"
    assert all(len(seeds_of(second)[finalist]) > reached for finalist in conclusion.unsettled)
    race(storage, seeds=15)
    assert confirmation(storage) == second


@pytest.mark.slow
def test_whom_the_last_round_dropped_trains_no_more_unless_unsettled(search: Search, storage: str) -> None:
    result = search(settings=[*SETTINGS, "confirm.seeds=20"], trials=12, engine=of_rows())
    first = confirmation(storage)
    assert result.confirmation is not None
    dropped = {drop["index"] for drop in json.loads(first["rounds"][-1]["drops"])}
    settled = dropped - set(result.confirmation.unsettled)
    assert settled, "else this tests nothing"
    race(storage, seeds=15)
    second = confirmation(storage)
    assert {f: seeds_of(second)[f] for f in settled} == {f: seeds_of(first)[f] for f in settled}
