"""Recipes are a study's first trials: recipe n is trial n, they are never pruned, and each is tried once."""

from collections.abc import Callable
from typing import Any

import fakes
import optuna
import pytest
from helpers import rows

from regsearch.search import api
from regsearch.search.result import RunResult
from regsearch.search.workers.inline import InlineEngine
from regsearch.storage.study_store import StudyStore
from regsearch.studies.recipes import recipes_named
from regsearch.studies.search_space import LEARNING_RATE
from regsearch.studies.trial import NextStep

Search = Callable[..., RunResult]

COURSE = ["none", "early stopping", "L1 0.01", "L2 0.01", "L1+L2", "dropout 0.1", "BatchNorm"]
WITH_COURSE = ['search.recipes=["course"]']
PRUNES_ALL = ["search.pruner=ThresholdPruner", "search.pruner_options={upper=0.0}"]


class Killed(BaseException):
    """The process was killed at that point."""


def recipes(storage: str, name: str = "smoke") -> list[Any]:
    """The recipe of each trial by number, as Optuna's own library reads it."""
    return [trial.user_attrs.get("recipe") for trial in optuna.load_study(study_name=name, storage=storage).trials]


def test_recipe_n_is_trial_n_with_its_settings(search: Search, storage: str) -> None:
    search(settings=WITH_COURSE, trials=9)
    assert recipes(storage) == [*COURSE, None, None]
    off = {"regularizer": "none", "use_dropout": False, "batch_norm": "none", "early_stopping": False}
    early = {**off, "early_stopping": True, "patience": 2}
    expected = [
        off,
        early,
        {**early, "regularizer": "l1", "l1": 0.01},
        {**early, "regularizer": "l2", "l2": 0.01},
        {**early, "regularizer": "l1_l2", "l1": 1e-5, "l2": 1e-4},
        {**early, "use_dropout": True, "dropout": 0.1},
        {**early, "batch_norm": "after_activation"},
    ]
    assert [row["params"] for row in rows(storage)][: len(expected)] == expected


def test_recipes_are_never_pruned_whatever_the_pruner_would(search: Search, storage: str) -> None:
    search(settings=[*WITH_COURSE, *PRUNES_ALL], trials=10)
    assert [row["state"] for row in rows(storage)] == [*["complete"] * 7, *["pruned"] * 3]


def test_a_searched_learning_rate_reaches_recipes_and_confirmation(search: Search, storage: str) -> None:
    searched = [*WITH_COURSE, "space.learning_rate={low=2e-3, high=1e-2}"]
    search(settings=searched, trials=7)
    assert {row["params"][LEARNING_RATE] for row in rows(storage)} == {2e-3}
    api.enqueue("smoke", ["learning_rate=5e-3", "dropout=0.3"], storage=storage)
    result = search(settings=[*searched, "confirm.seeds=3"], trials=10, confirm=True)
    assert rows(storage)[7]["params"][LEARNING_RATE] == 5e-3
    assert len({row["params"][LEARNING_RATE] for row in rows(storage)}) == 4
    assert result.confirmation is not None
    assert all("learning rate" in str(one.finalist.settings) for one in result.confirmation.results)
    assert result.confirmation.baseline is not None
    assert "no regularization, learning rate" in str(result.confirmation.baseline.finalist.settings)


def test_what_lies_outside_the_space_is_left_out_with_a_word(search: Search, storage: str, progress: Any) -> None:
    search(settings=[*WITH_COURSE, 'space.batch_norm=["none"]', "space.l2.high=1e-3"], trials=7)
    inside = [name for name in COURSE if name not in ("L2 0.01", "BatchNorm")]
    assert recipes(storage) == [*inside, None, None]
    (word,) = [message for message in progress.messages if "left out" in message]
    assert word.endswith("L2 0.01, BatchNorm")


def test_recipes_count_to_the_total(search: Search, storage: str) -> None:
    result = search(settings=WITH_COURSE, trials=3)
    assert (result.answer.counts.finished, recipes(storage)) == (3, COURSE[:3])
    search(settings=WITH_COURSE, trials=8)
    assert recipes(storage) == [*COURSE, None]


@pytest.mark.slow
def test_each_recipe_is_asked_once_over_resumes_and_kills(
    search: Search, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [recipe.name for recipe in recipes_named(["course", "ladder"])]
    settings, total = ['search.recipes=["course", "ladder"]'], len(names) + 2
    ask, asks = StudyStore.ask, 0

    def dies_now_and_then(self: StudyStore) -> NextStep:
        nonlocal asks
        asks += 1
        if asks % 5 == 0:
            raise Killed
        task = ask(self)
        if asks % 5 == 3:  # its transaction has committed
            raise Killed
        return task

    monkeypatch.setattr(StudyStore, "ask", dies_now_and_then)
    for _ in range(3 * total):
        try:
            search(settings=settings, trials=total, workers=1)
            break
        except Killed:
            pass
    assert asks > len(names)
    assert recipes(storage) == [*names, None, None]
    assert {row["state"] for row in rows(storage)} <= {"complete", "pruned"}


def test_a_recipe_whose_worker_is_lost_is_tried_again(
    search: Search, storage: str, process_engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAULTS", '{"1": "die once", "3": "die"}')
    search(settings=WITH_COURSE, trials=8, engine=process_engine, workers=2)
    assert recipes(storage) == [*COURSE, None]
    assert [row["state"] for row in rows(storage)][:7] == [*["complete"] * 3, "failed", *["complete"] * 3]


@pytest.mark.parametrize(
    ("sampler", "options"),
    [
        ("random", "{}"),
        ("qmc", "{}"),
        (
            "grid",
            '{ regularizer = ["none"], use_dropout = [true], dropout = [0.2, 0.3], batch_norm = ["none"], '
            "early_stopping = [false] }",
        ),
    ],
)
def test_recipes_go_with_every_sampler(sampler: str, options: str, search: Search, storage: str) -> None:
    search(settings=[*WITH_COURSE, f"search.sampler={sampler}", f"search.sampler_options={options}"], trials=9)
    assert recipes(storage) == [*COURSE, None, None]


def test_what_a_user_enqueued_comes_before_the_recipes_that_are_left(search: Search, storage: str) -> None:
    search(settings=WITH_COURSE, trials=2)
    api.enqueue("smoke", ["l2=1e-4", "dropout=off"], storage=storage)
    search(settings=WITH_COURSE, trials=8)
    assert recipes(storage) == [*COURSE[:2], None, *COURSE[2:]]


def test_several_workers_take_each_recipe_once(search: Search, storage: str, process_engine: Any) -> None:
    search(settings=[*WITH_COURSE, *PRUNES_ALL], trials=8, engine=process_engine, workers=3)
    assert recipes(storage) == [*COURSE, None]
    assert [row["state"] for row in rows(storage)] == [*["complete"] * 7, "pruned"]


def test_a_failing_recipe_is_not_tried_again(search: Search, storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_FAULTS", '{"2": "diverge"}')
    search(settings=WITH_COURSE, trials=4)
    search(settings=WITH_COURSE, trials=8, engine=InlineEngine(fakes.FakeTrainer))
    assert recipes(storage) == [*COURSE, None]
    assert rows(storage)[2]["state"] == "failed"
