"""Trials read by plain selects are the trials that Optuna itself reads."""

import math
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState

from regsearch.storage.connect import open_for_writing
from regsearch.storage.database import Database
from regsearch.storage.optuna import storage as optuna_storage
from regsearch.storage.optuna.storage import FastRDBStorage


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """Two studies with trials of every state and every kind of value."""
    database = open_for_writing(tmp_path / "test.db")
    for name in ("other", "mine"):
        study = optuna.create_study(storage=database.storage, study_name=name)
        study.enqueue_trial({"x": 0.25})
        for value in (1.5, math.inf, -math.inf, None, TrialState.FAIL, TrialState.PRUNED):
            trial = study.ask()
            trial.suggest_float("x", 0, 1)
            trial.suggest_categorical("kind", ["none", "l1", None, True])
            if trial.number % 2:
                trial.suggest_int("patience", 1, 8)
                trial.suggest_float("l2", 1e-7, 1e-2, log=True)
            for step, point in enumerate((0.5, math.nan, math.inf, -math.inf)):
                trial.report(point, 7 - step)
            trial.set_user_attr("best epoch", {"of": [1, 2.5, None, "ä"]})
            if isinstance(value, TrialState):
                study.tell(trial, state=value)
            elif value is not None:
                study.tell(trial, value)
        study.enqueue_trial({"x": 0.5}, user_attrs={"by": "hand"})
    return database


def as_text(trials: list[FrozenTrial]) -> list[str]:
    """Trials with NaN in their curves are never equal; as text they are. A curve has no order."""
    for trial in trials:
        trial.intermediate_values = dict(sorted(trial.intermediate_values.items()))
    return [f"{trial!r} {trial._trial_id}" for trial in trials]


@pytest.mark.parametrize("named", [0, 500])
@pytest.mark.parametrize(
    ("states", "included", "above"),
    [
        (None, set(), -1),
        ((TrialState.COMPLETE, TrialState.RUNNING), set(), -1),
        (None, set(), 10),
        (None, {9, 11, 14}, 12),
        (None, set(), 1000),
        (None, {1, 2}, 10),  # of the other study
    ],
)
def test_they_are_what_optuna_reads(
    database: Database,
    states: tuple[TrialState, ...] | None,
    included: set[int],
    above: int,
    named: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(optuna_storage, "_NAMED", named)
    storage = database._rdb
    assert isinstance(storage, FastRDBStorage)
    study_id = storage.get_study_id_from_name("mine")
    ours = storage._get_trials(study_id, states, included, above)
    theirs = RDBStorage._get_trials(storage, study_id, states, included, above)
    assert len(theirs) > 0 or above == 1000
    assert as_text(ours) == as_text(theirs)
    database.close()


def test_within_a_transaction_they_are_what_it_has_written(database: Database) -> None:
    study = optuna.load_study(storage=database.storage, study_name="mine")
    before = len(study.trials)
    with pytest.raises(ZeroDivisionError), database.transaction():
        inner = optuna.load_study(storage=database.storage, study_name="mine")
        inner.tell(inner.ask(), 3.0)
        assert len(inner.trials) == before  # the ask took the waiting one
        assert inner.trials[-1].value == 3.0
        raise ZeroDivisionError
    assert optuna.load_study(storage=database.storage, study_name="mine").trials[-1].state is TrialState.WAITING
    database.close()


def test_a_study_that_is_not_there_is_said(database: Database) -> None:
    with pytest.raises(KeyError):
        database._rdb._get_trials(99, None, set(), -1)
    database.close()
