"""No settings are trained twice: a proposal that a trial had is undone, and another one takes its place."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.pruners import NopPruner

from regsearch.search.samplers import SamplerFactory, sampler_factory
from regsearch.search.samplers.factory import KERAS_TUNER
from regsearch.storage.connect import open_for_writing
from regsearch.storage.queries import find_study, list_trials
from regsearch.storage.study_store import StudyStore
from regsearch.studies.canonical_configuration import canonical
from regsearch.studies.errors import InputError
from regsearch.studies.records import DatasetInfo
from regsearch.studies.search_space import suggest
from regsearch.studies.spec import StudySpec
from regsearch.studies.trial import Done, DoneReason, TrialOutcome, TrialTask

DATASET = DatasetInfo(name="digits", source="digits", sha256="0" * 64, n_train=1, n_test=1)
OUTCOME = {"train_cross_entropy": 0.1, "train_accuracy": 0.9, "near_zero_share": 0.1, "seconds": 1.0}
TWELVE = {"regularizer": ["none"], "dropout": "off", "patience": {"low": 1, "high": 9}}  # with 4 epochs
GRID = {
    "regularizer": ["none"],
    "batch_norm": ["none", "before_activation", "after_activation"],
    "early_stopping": [False, True],
    "patience": [1, 2, 3, 4, 9],
}
OFF = {"regularizer": "none", "batch_norm": "none", "early_stopping": False}
SAMPLERS = ["tpe", "random", "qmc", "grid", "NSGAIISampler", "BruteForceSampler", KERAS_TUNER]


def twelve(sampler: str = "random", **search: Any) -> StudySpec:
    """A study of twelve points: three placements, without early stopping or with a patience of 1, 2, or more."""
    options = GRID if sampler == "grid" else {}
    chosen = {"sampler": sampler, "sampler_options": options, "pruner": "none", "recipes": [], **search}
    budget = {"trials": 40}
    return StudySpec().changed(training={"max_epochs": 4}, space=TWELVE, search=chosen, budget=budget)


@contextmanager
def begun(path: Path, spec: StudySpec, sampler_for: SamplerFactory | None = None) -> Iterator[StudyStore]:
    """A study whose run has begun; it goes on where the file has it already."""
    with open_for_writing(path) as database:
        record = find_study(database, spec.study.name)
        store = StudyStore.create(database, spec, DATASET, {}) if record is None else StudyStore.open(database, record)
        store.begin_run(
            spec,
            sampler_for=sampler_for or sampler_factory(spec),
            pruner=NopPruner(),
            needs_all_trials=True,
            engine="none",
            workers=1,
            versions={},
        )
        yield store


def asked(store: StudyStore) -> TrialTask:
    task = store.ask()
    assert isinstance(task, TrialTask)
    return task


def finish(store: StudyStore, task: TrialTask) -> None:
    figures = {"select_cross_entropy": (task.number * 7 % 11) / 10, "select_accuracy": 0.9}
    store.finish(task, TrialOutcome(best_epoch=0, epochs=1, **figures, **OUTCOME))


def search(store: StudyStore, workers: int = 1) -> list[dict[str, Any]]:
    """Every proposal until none is left, with so many trials that run at once."""
    proposed, running = [], deque[TrialTask]()
    while True:
        if len(running) == workers:
            finish(store, running.popleft())
        task = store.ask()
        if isinstance(task, Done):
            assert task.reason is DoneReason.EXHAUSTED
            for left in running:
                finish(store, left)
            return proposed
        proposed.append(dict(task.params))
        running.append(task)


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_each_point_of_a_finite_space_is_tried_once(tmp_path: Path, sampler: str, workers: int) -> None:
    with begun(tmp_path / "test.db", twelve(sampler)) as store:
        proposed = search(store, workers)
    assert len({canonical(params, 4) for params in proposed}) == len(proposed) == 12
    assert states(tmp_path / "test.db") == ["complete"] * 12


def states(path: Path) -> list[str]:
    with open_for_writing(path) as database:
        study = find_study(database, "study")
        assert study is not None
        return [trial.state for trial in list_trials(database, study)]


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_search_that_stops_before_each_ask_proposes_the_same(tmp_path: Path, sampler: str) -> None:
    spec, sampler_for = twelve(sampler), sampler_factory(twelve(sampler))
    with begun(tmp_path / "through.db", spec, sampler_for) as store:
        expected = search(store)
    proposed = []
    for _ in expected:
        with begun(tmp_path / "stopped.db", spec, sampler_for) as store:
            with pytest.raises(ZeroDivisionError), store.transaction() as connection:  # killed before it commits
                store._asking.ask(connection, is_exhausted=False)
                raise ZeroDivisionError
            task = asked(store)
            proposed.append(dict(task.params))
            finish(store, task)
    assert proposed == expected


def test_in_an_infinite_space_what_is_discrete_comes_once(tmp_path: Path) -> None:
    space = {**TWELVE, "regularizer": ["none", "l2"], "patience": "off", "batch_norm": ["none"]}
    with begun(tmp_path / "test.db", twelve().changed(space=space)) as store:
        proposed = [dict(asked(store).params) for _ in range(20)]
    assert sum(params["regularizer"] == "none" for params in proposed) == 1


def test_under_the_rules_of_old_the_sampler_has_the_last_word(tmp_path: Path) -> None:
    spec = twelve(rules=1)
    with begun(tmp_path / "test.db", spec) as store:
        proposed = [dict(asked(store).params) for _ in range(20)]
    factory, study = sampler_factory(spec), optuna.create_study()
    expected = []
    for number in range(20):
        study.sampler = factory(number)
        expected.append(suggest(study.ask(), spec.space))
    assert proposed == expected
    assert len({canonical(params, 4) for params in proposed}) < 20


def test_a_recipe_that_equals_an_earlier_trial_is_left_out(tmp_path: Path) -> None:
    spec = twelve(recipes=["course"])
    with begun(tmp_path / "test.db", spec) as store:
        assert store.enqueue(OFF) == 0
        assert asked(store).params == OFF
        second, third, fourth = (asked(store).params for _ in range(3))
    assert second == {**OFF, "early_stopping": True, "patience": 2}  # of the course's, the one after "none"
    assert third == {**second, "batch_norm": "after_activation"}
    assert canonical(fourth, 4) not in {canonical(params, 4) for params in (OFF, second, third)}


def test_settings_that_a_trial_had_are_not_enqueued(tmp_path: Path) -> None:
    with begun(tmp_path / "test.db", twelve()) as store:
        store.enqueue({**OFF, "early_stopping": True, "patience": 3})
        task = asked(store)
        for patience in (3, 9):
            with pytest.raises(InputError, match="trial 0 has these settings already and still runs"):
                store.enqueue({**OFF, "early_stopping": True, "patience": patience})
        finish(store, task)
        with pytest.raises(InputError, match=r"trial 0 has these settings already and gave cross-entropy 0"):
            store.enqueue(task.params)
        assert store.enqueue({"batch_norm": "none"}) == 1  # leaves something open
        assert canonical(asked(store).params, 4) != canonical(task.params, 4)


def test_settings_enqueued_past_us_that_a_trial_had_are_failed_at_once(tmp_path: Path) -> None:
    with begun(tmp_path / "test.db", twelve()) as store:
        store.enqueue(OFF)
        finish(store, asked(store))
        with store.transaction():
            store.optuna_study().enqueue_trial(OFF)
        task = asked(store)
        assert task.number == 2
        assert task.params != OFF
    with open_for_writing(tmp_path / "test.db") as database:
        study = find_study(database, "study")
        assert study is not None
        _, repeated, running = list_trials(database, study)
    assert (repeated.state, repeated.reason) == ("failed", "the same settings as trial 0")
    assert running.state == "running"


def test_enqueued_settings_all_of_whose_points_were_tried_fail(tmp_path: Path) -> None:
    with begun(tmp_path / "test.db", twelve()) as store:
        assert len(search(store)) == 12
        store.enqueue({"batch_norm": "none"})
        assert store.ask() == Done(DoneReason.EXHAUSTED)
    assert states(tmp_path / "test.db") == ["complete"] * 12 + ["failed"]


def test_failed_settings_are_tried_again_if_they_are_not_the_cause(tmp_path: Path) -> None:
    with begun(tmp_path / "test.db", twelve("tpe")) as store:
        first, second = asked(store), asked(store)
        store.fail(first, "its worker died")
        store.fail(second, "diverged at epoch 1", by_settings=True)
        left = search(store)
    assert canonical(first.params, 4) in {canonical(params, 4) for params in left}
    assert canonical(second.params, 4) not in {canonical(params, 4) for params in left}
    assert len(left) == 11


def test_samplers_see_a_trial_that_its_settings_failed_as_the_worst(tmp_path: Path) -> None:
    seen = {}
    for rules in (1, 2):
        with begun(tmp_path / f"{rules}.db", twelve("tpe", rules=rules)) as store:
            for by_settings in (True, False):
                store.fail(asked(store), "a reason", by_settings=by_settings)
            with store.transaction():
                seen[rules] = store.optuna_study().get_trials(deepcopy=False)
            assert states(tmp_path / f"{rules}.db") == ["failed", "failed"]
    fail, pruned = optuna.trial.TrialState.FAIL, optuna.trial.TrialState.PRUNED
    assert [trial.state for trial in seen[1]] == [fail, fail]
    assert [(trial.state, trial.intermediate_values) for trial in seen[2]] == [(pruned, {}), (fail, {})]
