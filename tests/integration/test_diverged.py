"""Trials that their settings fail teach the sampler, and end a search only if nothing else ever completed."""

from collections.abc import Callable
from typing import Any

import pytest
from asking import Ask, AskingTrainer, write_code
from fakes import FakeTrainer
from helpers import raw_study, rows
from optuna.distributions import CategoricalDistribution, FloatDistribution

from regsearch.search.result import RunResult
from regsearch.search.run.coordinator import StopReason
from regsearch.search.training.trainer import DivergedError
from regsearch.search.workers.inline import InlineEngine
from regsearch.storage.location import location_of
from regsearch.studies.errors import NoResultError
from regsearch.studies.trial import TrialOutcome, TrialTask

Search = Callable[..., RunResult]
HALF = [  # of the strengths on their log scale, as SGD with a large learning rate diverges by L2
    'space.regularizer=["none", "l2"]',
    "space.l2={low=1, high=1e4}",
    'space.dropout="off"',
    'space.batch_norm=["none"]',
    'space.patience="off"',
    'search.recipes=["course"]',
    "search.sampler_options={}",
]


class Diverging(FakeTrainer):
    """Diverges with every L2 above 4."""

    error: BaseException = DivergedError(1)

    def train(self, task: TrialTask, *given: Any, **options: Any) -> TrialOutcome | None:
        if task.params.get("l2", 0.0) > 4:
            raise self.error
        return super().train(task, *given, **options)


class OutOfMemory(Diverging):
    error = MemoryError("17 GB")


class NoNetwork(Diverging):
    error = ValueError("a layer of no units")


class NoDisk(Diverging):
    error = OSError("the disk is full")


@pytest.mark.slow
def test_the_share_of_diverged_trials_falls(search: Search, storage: str) -> None:
    result = search(settings=HALF, engine=InlineEngine(Diverging), trials=50, confirm=False)
    assert result.reason is StopReason.TOTAL
    found = [row["state"] == "failed" for row in rows(storage)]
    assert len(found) == 50
    assert sum(found[1:16]) >= 8
    assert sum(found[-15:]) <= 5


@pytest.mark.parametrize("trainer", [Diverging, OutOfMemory, NoNetwork])
def test_ten_trials_in_a_row_that_diverge_do_not_end_the_search(
    search: Search, storage: str, trainer: type[FakeTrainer]
) -> None:
    settings = [*HALF, "space.l2={low=100, high=1e4}"]
    assert search(settings=settings, engine=InlineEngine(trainer), trials=14).reason is StopReason.TOTAL
    assert [row["state"] for row in rows(storage)] == ["complete"] + ["failed"] * 13


@pytest.mark.parametrize(("trainer", "rules"), [(Diverging, 1), (NoDisk, 2)])
def test_ten_other_failures_in_a_row_end_the_search(
    search: Search, storage: str, trainer: type[FakeTrainer], rules: int
) -> None:
    settings = [*HALF, "space.l2={low=100, high=1e4}", 'space.regularizer=["l2"]', f"search.rules={rules}"]
    with pytest.raises(NoResultError, match="10 trials in a row failed"):
        search(settings=settings, engine=InlineEngine(trainer), trials=40, confirm=False)
    study = raw_study(location_of(storage), "smoke")
    assert study is not None
    assert all("failed_by_settings" not in str(trial["fixed"]) for trial in study["trials"].values())


def test_a_study_whose_first_ten_trials_all_diverge_ends(search: Search, storage: str) -> None:
    settings = [*HALF, "space.l2={low=100, high=1e4}", 'space.regularizer=["l2"]']
    with pytest.raises(NoResultError, match=r"10 trials in a row failed\. The last one failed because diverged"):
        search(settings=settings, engine=InlineEngine(Diverging), trials=40, confirm=False)
    assert len(rows(storage)) == 10


class Small(AskingTrainer):
    """Asks for one of four points."""

    @staticmethod
    def space(ask: Ask, task: TrialTask) -> None:
        ask("size", CategoricalDistribution([8, 16]), 8)
        ask("rate", FloatDistribution(0.1, 0.3, step=0.2), 0.1)


def test_a_repeated_hypermodel_trial_ends_before_its_first_epoch(search: Search, storage: str, tmp_path: Any) -> None:
    """Its settings are known only when it has asked for all of them; ten in a row end nothing."""
    settings = [write_code(tmp_path), "search.sampler=random", "search.sampler_options={}"]
    search(settings=settings, engine=InlineEngine(Small), trials=30, confirm=False, trust_code=True)
    found = rows(storage)
    trained = [row for row in found if row["curve"]]
    assert len(found) == 30
    assert len({tuple(row["params"].items()) for row in trained}) == len(trained) == 4
    first = {tuple(row["params"].items()): row["number"] for row in reversed(trained)}
    study = raw_study(location_of(storage), "smoke")
    assert study is not None
    for row in found:
        if not row["curve"]:
            assert row["state"] == "failed"
            reason = study["trials"][row["number"]]["ours"][0][1]
            assert reason == f"the same settings as trial {first[tuple(row['params'].items())]}"
