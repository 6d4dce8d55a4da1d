"""A contest from its first trial to the finalists: turns, recipes, pruning among equals, several workers."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from helpers import rows

from regsearch.search import api
from regsearch.search.result import RunResult
from regsearch.studies.configuration import Regularization
from regsearch.studies.contest.contestants import USUAL, contestant_of, fewest_trials
from regsearch.studies.errors import InputError

Search = Callable[..., RunResult]

CONTEST = [
    "search.sampler=contest",
    "search.sampler_options={}",
    "search.pruner=contest",
    "search.pruner_options={}",
    'search.recipes=["course"]',
    "training.max_epochs=6",
]


def contestants(storage: str) -> list[str]:
    return [contestant_of(Regularization.from_params(row["params"])) for row in rows(storage)]


def test_every_technique_gets_its_fewest_trials_before_any_combination(search: Search, storage: str) -> None:
    search(settings=CONTEST, trials=36)
    found = contestants(storage)
    alone = Counter(found[: found.index("combination")])
    assert all(alone[name] >= fewest_trials(name) for name in USUAL)
    assert found[:2] == ["none", "none"]
    params = [tuple(sorted(row["params"].items())) for row in rows(storage)]
    assert len(set(params)) == len(params)


def test_recipes_have_their_names_and_may_be_pruned(search: Search, storage: str) -> None:
    search(settings=CONTEST, trials=36)
    trials = optuna.load_study(study_name="smoke", storage=storage).trials
    named = {trial.user_attrs["recipe"]: trial for trial in trials if "recipe" in trial.user_attrs}
    assert set(named) >= {"none", "early stopping", "L1+L2", "dropout 0.1", "BatchNorm"}
    assert named["dropout 0.1"].params["patience"] == 2, "the patience of all trials: two fifths of six epochs"
    states = Counter(row["state"] for row in rows(storage))
    assert states["pruned"] > 3


def test_a_trial_is_pruned_by_its_equals_alone(search: Search, storage: str) -> None:
    search(settings=CONTEST, trials=36)
    seen: Counter[str] = Counter()
    for row, name in zip(rows(storage), contestants(storage), strict=True):
        if row["state"] == "pruned":
            assert seen[name] >= 3
            assert len(row["curve"]) >= 2
        seen[name] += 1


def test_several_workers_repeat_nothing_and_a_raised_total_goes_on(search: Search, storage: str) -> None:
    search(settings=CONTEST, trials=20, workers=3)
    search(settings=CONTEST, trials=40, workers=3)
    params = [tuple(sorted(row["params"].items())) for row in rows(storage)]
    assert len(set(params)) == len(params) == 40
    counts = Counter(contestants(storage))
    assert all(counts[name] >= fewest_trials(name) for name in USUAL)


def test_enqueued_settings_count_for_their_contestant(search: Search, storage: str) -> None:
    search(settings=CONTEST, trials=2)
    api.enqueue("smoke", ["l2=3.3e-5", "dropout=off", "batch_norm=none", "patience=2"], storage=storage)
    search(settings=CONTEST, trials=30)
    assert rows(storage)[2]["params"]["l2"] == 3.3e-5
    assert contestants(storage)[:26].count("l2") == fewest_trials("l2"), "26 are enough for all"


def test_finalists_have_every_technique_alone(search: Search, storage: str) -> None:
    result = search(settings=[*CONTEST, "confirm.seeds=3"], trials=36, confirm=True)
    assert result.confirmation is not None
    roles = {role for one in result.confirmation.results for role in one.finalist.roles}
    assert roles >= {f"best of {name} alone" for name in ("L1", "L2", "L1+L2", "dropout", "BatchNorm")}
    assert "baseline: early stopping alone" in roles


def test_a_budget_too_small_is_said_before_the_search(search: Search, progress: Any) -> None:
    search(settings=CONTEST, trials=10)
    (warning,) = [message for message in progress.messages if "WARNING" in message]
    assert "too few for a fair contest" in warning
    assert "L1" in warning


def test_contestants_outside_the_space_are_refused_and_nothing_is_begun(search: Search, storage: str) -> None:
    with pytest.raises(InputError, match=r"search\.contestants has dropout, but this study's space has no"):
        search(settings=[*CONTEST, 'search.contestants=["dropout"]', "space.dropout=off"], trials=4)
    with pytest.raises(InputError):
        api.load("smoke", storage=storage)
