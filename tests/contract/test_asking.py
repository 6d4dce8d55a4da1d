"""What an ask reads of a study many of whose trials run, and that it proposes the same for that."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.pruners import make_pruner
from search.samplers import sampler_factory
from search.session import _needs_all_trials
from storage.lean import LeanStorage
from storage.opening import open_for_writing
from storage.optuna_study import OptunaStudy
from storage.queries import DatasetInfo
from storage.store import StudyStore
from studies.spec import StudySpec
from studies.trial import TrialOutcome

DATASET = DatasetInfo(name="digits", source="digits", sha256="0" * 64, n_train=1, n_test=1)
OUTCOME = {"train_cross_entropy": 0.1, "train_accuracy": 0.9, "near_zero_share": 0.1, "seconds": 1.0}


def ask_among(path: Path, spec: StudySpec, finished: int, running: int, reads: list[Any]) -> list[dict[str, Any]]:
    """Every proposal; what is read by the last is counted."""
    asked = []
    with open_for_writing(path) as database:
        store = StudyStore.create(database, spec, DATASET, {})
        store.begin_run(
            spec,
            sampler_for=sampler_factory(spec),
            pruner=make_pruner(spec),
            needs_all_trials=_needs_all_trials(spec),
            engine="none",
            workers=running,
            versions={},
        )
        for number in range(finished + running):
            reads.clear()
            task = store.ask()
            assert task is not None
            asked.append(dict(task.params))
            if number < finished:
                figures = {"select_cross_entropy": (number * 7 % 11) / 10, "select_accuracy": 0.9}
                store.finish(task, TrialOutcome(best_epoch=0, epochs=1, **figures, **OUTCOME))
    return asked


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    found: list[Any] = []
    read: Callable[..., Any] = LeanStorage._get_trials
    monkeypatch.setattr(
        LeanStorage, "_get_trials", lambda *given, **named: (found.append(given), read(*given, **named))[1]
    )
    return found


def test_the_trials_that_run_are_read_once_an_ask(tmp_path: Path, smoke: StudySpec, reads: list[Any]) -> None:
    spec = smoke.changed(budget={"trials": 100})
    ask_among(tmp_path / "test.db", spec, 8, 4, reads)
    assert len(reads) <= 3  # for a waiting one, for the space, for what is proposed


def test_with_trials_that_run_tpe_proposes_what_it_would_by_reading_them_each_time(
    tmp_path: Path, smoke: StudySpec, reads: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = smoke.changed(budget={"trials": 100})
    once = ask_among(tmp_path / "once.db", spec, 8, 12, reads)
    monkeypatch.delattr(OptunaStudy, "_get_trials")
    assert ask_among(tmp_path / "each.db", spec, 8, 12, reads) == once
    assert len(reads) > 3
