"""What an ask and an epoch read of a study many of whose trials run, and that what follows is the same for that."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import FrozenTrial

from regsearch import studies
from regsearch.search.run.study_checks import needs_all_trials
from regsearch.search.samplers import make_pruner, sampler_factory
from regsearch.storage.confirmation_store import ConfirmationStore
from regsearch.storage.connect import open_for_writing
from regsearch.storage.database import Database
from regsearch.storage.optuna import storage as optuna_storage
from regsearch.storage.optuna.storage import FastRDBStorage
from regsearch.storage.optuna.study import OptunaStudy
from regsearch.storage.study_store import StudyStore
from regsearch.studies.analysis.finalists import Finalist
from regsearch.studies.example_scores import PerExampleScores
from regsearch.studies.records import DatasetInfo
from regsearch.studies.spec import StudySpec
from regsearch.studies.trial import (
    Done,
    DoneReason,
    EpochDecision,
    EpochMetrics,
    Purpose,
    TrialOutcome,
    TrialTask,
    Wait,
)

DATASET = DatasetInfo(name="digits", source="digits", sha256="0" * 64, n_train=1, n_test=1)
OUTCOME = {"train_cross_entropy": 0.1, "train_accuracy": 0.9, "near_zero_share": 0.1, "seconds": 1.0}
ROWS = PerExampleScores(losses=np.ones(3, np.float32), hits=np.ones(3, bool)).to_text()


@contextmanager
def begun(path: Path, spec: StudySpec, running: int) -> Iterator[StudyStore]:
    """A study whose run has begun."""
    with open_for_writing(path) as database:
        store = StudyStore.create(database, spec, DATASET, {})
        store.begin_run(
            spec,
            sampler_for=sampler_factory(spec),
            pruner=make_pruner(spec),
            needs_all_trials=needs_all_trials(spec),
            engine="none",
            workers=running,
            versions={},
        )
        yield store


def ask_among(path: Path, spec: StudySpec, finished: int, running: int, reads: list[Any]) -> list[dict[str, Any]]:
    """Every proposal; what is read by the last is counted."""
    asked = []
    with begun(path, spec, running) as store:
        for number in range(finished + running):
            reads.clear()
            task = store.ask()
            assert isinstance(task, TrialTask)
            asked.append(dict(task.params))
            if number < finished:
                store.finish(task, outcome(number))
    return asked


def outcome(number: int) -> TrialOutcome:
    figures = {"select_cross_entropy": (number * 7 % 11) / 10, "select_accuracy": 0.9}
    return TrialOutcome(best_epoch=0, epochs=1, **figures, **OUTCOME)


def judged(path: Path, spec: StudySpec, running: int) -> list[tuple[int, EpochDecision]]:
    """The verdicts on trials that train side by side, half of which are complete after two epochs."""
    verdicts = []
    with begun(path, spec, running) as store:
        tasks: list[TrialTask] = [task for _ in range(running) if isinstance(task := store.ask(), TrialTask)]
        for epoch in range(3):
            for task in tuple(tasks):
                loss = 1 / (epoch + 2) + (task.number * 7 % 11) / 10
                figures = dict.fromkeys(("train_loss", "stop_loss", "stop_cross_entropy"), loss)
                metrics = EpochMetrics(epoch=epoch, **figures, stop_accuracy=0.5, seconds=1.0)
                verdict = store.record_epoch(task, metrics)
                verdicts.append((task.number, verdict))
                if verdict is EpochDecision.PRUNED:
                    tasks.remove(task)
                elif epoch == 1 and task.number < running // 2:
                    store.finish(task, outcome(task.number))
                    tasks.remove(task)
    return verdicts


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    found: list[Any] = []
    read: Callable[..., Any] = FastRDBStorage._get_trials
    monkeypatch.setattr(
        FastRDBStorage, "_get_trials", lambda *given, **named: (found.append(given), read(*given, **named))[1]
    )
    return found


def test_the_trials_that_run_are_read_once_an_ask(tmp_path: Path, smoke: StudySpec, reads: list[Any]) -> None:
    spec = smoke.changed(budget={"trials": 100})
    ask_among(tmp_path / "test.db", spec, 8, 4, reads)
    assert len(reads) <= 3  # for a waiting one, for the space, for what is proposed


def test_with_running_trials_tpe_proposes_what_it_would_by_reading_them(
    tmp_path: Path, smoke: StudySpec, reads: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = smoke.changed(budget={"trials": 100})
    once = ask_among(tmp_path / "once.db", spec, 8, 12, reads)
    monkeypatch.delattr(OptunaStudy, "_get_trials")
    assert ask_among(tmp_path / "each.db", spec, 8, 12, reads) == once
    assert len(reads) > 3


def test_for_an_epoch_no_other_running_trial_is_read_whole(
    tmp_path: Path, smoke: StudySpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = smoke.changed(budget={"trials": 100}, search={"pruner_options": {"n_startup_trials": 1}})
    frozen, whole = optuna_storage._frozen, []

    def counted(*given: Any) -> list[FrozenTrial]:
        found = frozen(*given)
        whole.append(sum(bool(trial.params) and not trial.state.is_finished() for trial in found))
        return found

    def judged_and_counted(name: str) -> list[tuple[int, EpochDecision]]:
        record = StudyStore.record_epoch
        most.clear()

        def recorded(store: StudyStore, *given: Any) -> EpochDecision:
            whole.clear()
            verdict = record(store, *given)
            most.append(max(whole, default=0))
            return verdict

        with monkeypatch.context() as patch:
            patch.setattr(StudyStore, "record_epoch", recorded)
            return judged(tmp_path / f"{name}.db", spec, 12)

    most: list[int] = []
    monkeypatch.setattr(optuna_storage, "_frozen", counted)
    verdicts = judged_and_counted("one")
    assert max(most) == 1
    assert {EpochDecision.RECORDED, EpochDecision.PRUNED} == {verdict for _, verdict in verdicts}
    monkeypatch.setattr(Database, "reading_whole", lambda *_: nullcontext())
    assert judged_and_counted("all") == verdicts
    assert max(most) > 1


def test_a_store_answers_with_a_task_or_why_there_is_none(tmp_path: Path, smoke: StudySpec) -> None:
    """A search at its total is done, whatever runs; a confirmation waits for what runs, then hands out its tests."""
    spec = smoke.changed(budget={"trials": 2}, confirm={"seeds": 3, "method": "all"}, search={"recipes": []})
    with begun(tmp_path / "test.db", spec, running=1) as store:
        trial = store.ask()
        assert isinstance(trial, TrialTask)
        assert isinstance(store.ask(), TrialTask)
        assert store.ask() == Done(DoneReason.TOTAL)
        confirmation = ConfirmationStore(store, seed_of=lambda seed: seed + 1)
        finalist = Finalist(index=0, params=trial.params, roles=("best",), trial=0, look=1)
        confirmation.plan([finalist], seeds=2)
        trainings = [confirmation.ask(), confirmation.ask()]
        assert confirmation.ask() == Wait()
        for training in trainings:
            assert isinstance(training, TrialTask)
            assert confirmation.finish(training, replace(outcome(0), select_rows=ROWS))
        evaluations = [confirmation.ask(), confirmation.ask()]
        assert [task.purpose for task in evaluations if isinstance(task, TrialTask)] == [Purpose.TEST] * 2
        for evaluation in evaluations:
            assert isinstance(evaluation, TrialTask)
            assert confirmation.finish(evaluation, studies.trial.TestEvaluation(rows=ROWS))
        assert confirmation.ask() == Done(DoneReason.TOTAL)
