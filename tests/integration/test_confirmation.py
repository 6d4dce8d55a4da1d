"""A whole confirmation with trainings of milliseconds: who is a finalist, what is trained and looked at, and in which
order, what is said of it, and that it goes on after a kill at any point.
"""

import functools
import hashlib
import json
import math
import os
import re
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import fakes
import invariants
import numpy as np
import optuna
import optuna_dashboard
import pytest
from helpers import confirmation, folder_in_memory, start, wait_for
from row_trainer import RowTrainer, of_rows
from scipy.stats import t as student

from regsearch.search import api
from regsearch.search.cli.output import rendered_report
from regsearch.search.result import RunResult
from regsearch.search.run import retry, study_run
from regsearch.search.run.coordinator import Coordinator, StopReason
from regsearch.search.training.setup import TrainerSetup
from regsearch.search.workers.inline import InlineEngine
from regsearch.storage import paths
from regsearch.storage.confirmation_store import ConfirmationStore
from regsearch.storage.export_source import find_export_source
from regsearch.storage.location import location_of
from regsearch.storage.study_store import StudyStore
from regsearch.storage.tables import Base
from regsearch.studies.configuration import Regularization
from regsearch.studies.errors import InputError, StorageUnavailableError
from regsearch.studies.example_scores import PerExampleScores
from regsearch.studies.reports import status, study_list
from regsearch.studies.trial import NextStep, Purpose, TrainingId, TrialTask

Search = Callable[..., RunResult]

UNPRUNED = ["search.pruner=none", "search.pruner_options={}"]
SMALL = [*UNPRUNED, "confirm.seeds=3", "confirm.top=2"]
COURSE = [*SMALL, 'search.recipes=["course"]']


class Killed(BaseException):
    """The process was killed at that point."""


def tasks_of(engine: InlineEngine) -> list[TrialTask]:
    """What an engine is given from now on."""
    given: list[TrialTask] = []
    submit = engine.submit

    def noted(task: TrialTask) -> None:
        given.append(task)
        submit(task)

    engine.submit = noted  # type: ignore[method-assign]
    return given


def folder_of(storage: str) -> Path:
    return paths.trials_folder(location_of(storage), "smoke")


def query(storage: str, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(location_of(storage))) as connection, connection:
        return connection.execute(sql).fetchall()


def roles(storage: str) -> dict[str, list[str]]:
    """Each finalist, in words, with its roles, as the database has them."""
    found = confirmation(storage)["finalists"]
    return {str(Regularization.from_params(json.loads(row["params"]))): json.loads(row["roles"]) for row in found}


def test_finalists_are_the_best_the_techniques_and_the_baselines(search: Search, storage: str) -> None:
    search(settings=COURSE, trials=12)
    trials = sorted(
        ((value, number, Regularization.from_params(params)) for number, value, params in complete(storage)),
        key=lambda trial: trial[:2],
    )
    ranked = list(dict.fromkeys(regularization for *_, regularization in trials))
    expected: dict[Regularization, list[str]] = {}

    def add(regularization: Regularization, role: str) -> None:
        expected.setdefault(regularization, []).append(role)

    add(Regularization(), "baseline: none")
    for technique in ("early stopping", "L1", "L2", "L1+L2", "dropout", "BatchNorm", "combination"):
        best = next(regularization for regularization in ranked if regularization.technique == technique)
        add(
            best,
            {"early stopping": "baseline: early stopping alone", "combination": "best combination"}.get(
                technique, f"best of {technique} alone"
            ),
        )
    for rank in (1, 2):
        add(ranked[rank - 1], f"top {rank}")
    assert roles(storage) == {str(regularization): names for regularization, names in expected.items()}


def complete(storage: str) -> list[tuple[int, float, dict[str, Any]]]:
    trials = optuna.load_study(study_name="smoke", storage=storage).trials
    return [(t.number, t.value, t.params) for t in trials if t.state == optuna.trial.TrialState.COMPLETE]


def test_baselines_are_finalists_even_if_no_trial_was_one(search: Search, storage: str) -> None:
    only_l2 = ['space.regularizer=["l2"]', 'space.batch_norm=["none"]', "space.dropout=off"]
    search(settings=[*SMALL, *only_l2])
    found = confirmation(storage)["finalists"]
    assert [row["trial"] for row in found][:2] == [None, None]
    assert [json.loads(row["roles"]) for row in found][:2] == [["baseline: none"], ["baseline: early stopping alone"]]
    off = {"regularizer": "none", "use_dropout": False, "batch_norm": "none"}
    assert [json.loads(row["params"]) for row in found][:2] == [
        {**off, "early_stopping": False},
        {**off, "early_stopping": True, "patience": 2},
    ]


def test_without_early_stopping_in_the_space_its_baseline_is_none(search: Search, storage: str) -> None:
    search(settings=[*SMALL, "space.patience=off"])
    assert "baseline: early stopping alone" not in [role for names in roles(storage).values() for role in names]


def test_a_configuration_that_two_trials_had_is_one_finalist(search: Search, storage: str) -> None:
    """As the rules of old allow."""
    twice = [*SMALL, "search.rules=1"]
    search(settings=twice, confirm=False)
    best = min(complete(storage), key=lambda trial: (trial[1], trial[0]))
    given = [f"{name}={value!r}" for name, value in best[2].items() if name in ("l1", "l2", "dropout", "patience")]
    others = [f"{name}={value}" for name, value in best[2].items() if name not in ("l1", "l2", "dropout", "patience")]
    api.enqueue("smoke", [*given, *others], storage=storage)
    search(settings=twice, trials=7)
    trials = complete(storage)
    assert trials[-1][1:] == best[1:]
    assert len(roles(storage)) == len(confirmation(storage)["finalists"])
    assert [row["trial"] for row in confirmation(storage)["finalists"] if "top 1" in row["roles"]] == [best[0]]


def test_with_accuracy_as_the_objective_it_ranks_and_judges_accuracy(search: Search, storage: str) -> None:
    result = search(settings=[*SMALL, "search.objective=accuracy"], engine=of_rows())
    best = max(complete(storage), key=lambda trial: (trial[1], -trial[0]))
    (top,) = [row["trial"] for row in confirmation(storage)["finalists"] if '"top 1"' in row["roles"]]
    assert top == best[0]
    assert result.confirmation is not None
    assert_concludes(storage, result, by_accuracy=True)
    accuracies = [one.select_accuracy for one in result.confirmation.ranked]
    assert accuracies == sorted(accuracies, reverse=True)
    of_losses = [one.select_cross_entropy for one in result.confirmation.ranked]
    assert of_losses != sorted(of_losses)  # the two objectives differ here
    table = rendered_report(api.report("smoke", storage=storage), "text").split("Finalists: first")[1]
    first = next(line for line in table.splitlines()[1:] if "0." in line)
    assert f" {100 * accuracies[0]:.2f} " in first


def test_every_finalist_is_trained_on_the_same_fresh_seeds(search: Search, inline_engine: InlineEngine) -> None:
    given = tasks_of(inline_engine)
    search(settings=SMALL)
    seeds: dict[str, set[int | None]] = {}
    for task in given:
        if task.purpose == Purpose.CONFIRM:
            seeds.setdefault(json.dumps(dict(task.params)), set()).add(task.seed)
    (one,) = {frozenset(found) for found in seeds.values()}
    assert len(one) == 3
    assert len(seeds) >= 4
    assert not one & {None, 0}  # not the study's own


def test_no_test_look_begins_before_every_training_has_ended(
    search: Search, storage: str, process_engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    ask, finish = ConfirmationStore.ask, ConfirmationStore.finish

    def noted_ask(self: ConfirmationStore) -> NextStep:
        task = ask(self)
        if isinstance(task, TrialTask):
            happened.append(f"{task.purpose} begins")
        return task

    def noted_finish(self: ConfirmationStore, task: TrialTask, outcome: Any) -> bool:
        happened.append(f"{task.purpose} ends")
        return finish(self, task, outcome)

    monkeypatch.setattr(ConfirmationStore, "ask", noted_ask)
    monkeypatch.setattr(ConfirmationStore, "finish", noted_finish)
    search(settings=SMALL, engine=process_engine, workers=3)
    first_look = happened.index("test begins")
    planned = len(confirmation(storage)["confirmations"])
    assert happened[:first_look].count("confirm ends") == planned == happened.count("confirm begins")
    assert happened.count("test ends") == planned


def test_the_ledger_has_a_row_for_each_evaluation(search: Search, storage: str, inline_engine: InlineEngine) -> None:
    given = tasks_of(inline_engine)
    search(settings=SMALL)
    looks = confirmation(storage)["test_looks"]
    evaluated = sorted(task.number for task in given if task.purpose == Purpose.TEST)
    assert [TrainingId(row["finalist"], row["seed"]).number for row in looks] == evaluated
    assert len(set(evaluated)) == len(evaluated) == 3 * len(confirmation(storage)["finalists"])
    for row in looks:
        figures = PerExampleScores.from_bytes(row["test_rows"])
        assert row["cross_entropy"] == pytest.approx(float(np.mean(figures.losses, dtype=np.float64)), abs=1e-12)
        assert row["accuracy"] == np.mean(figures.hits)


def test_a_look_is_in_the_ledger_before_it_begins(search: Search, storage: str) -> None:
    seen: list[list[tuple[Any, ...]]] = []

    class Looking(fakes.FakeTrainer):
        def look_at_test(self, task: TrialTask, weights: Any) -> PerExampleScores:
            finalist, seed = task.training
            sql = "select began_at is not null, ended_at is null from regsearch_test_looks where finalist = "
            seen.append(query(storage, f"{sql}{finalist} and seed = {seed}"))
            return super().look_at_test(task, weights)

    search(settings=SMALL, engine=InlineEngine(Looking))
    assert seen == [[(1, 1)]] * (3 * len(confirmation(storage)["finalists"]))


def test_a_finalist_that_diverges_on_one_seed_is_left_out_and_named(
    search: Search, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(settings=SMALL, confirm=False)
    monkeypatch.setenv("FAKE_FAULTS", json.dumps({str(TrainingId(2, 1).number): "diverge"}))
    result = api.confirm("smoke", storage=storage, engine=of_rows())
    conclusion = result.confirmation
    assert conclusion is not None
    ((finalist, reason),) = conclusion.failed
    assert (finalist.index, reason) == (2, "seed 1: diverged at epoch 0")
    assert 2 not in [one.finalist.index for one in conclusion.results]
    found = confirmation(storage)
    states = [row["state"] for row in found["confirmations"] if row["finalist"] == 2]
    assert states == ["complete", "failed", "waiting"]  # nothing more is trained of it
    assert 2 not in [row["finalist"] for row in found["test_looks"]]
    assert_concludes(storage, result)
    content = api.report("smoke", storage=storage)
    for kind in ("text", "json", "html"):
        assert "diverged at epoch 0" in rendered_report(content, kind)


def test_a_finalist_whose_test_evaluation_fails_keeps_its_figures(
    search: Search, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(settings=SMALL, confirm=False)
    look = RowTrainer.look_at_test

    def failing(self: RowTrainer, task: TrialTask, weights: Any) -> PerExampleScores:
        if task.number == TrainingId(2, 1).number:
            raise ValueError("out of memory")
        return look(self, task, weights)

    monkeypatch.setattr(RowTrainer, "look_at_test", failing)
    conclusion = api.confirm("smoke", storage=storage, engine=of_rows()).confirmation
    assert conclusion is not None
    ((finalist, reason),) = conclusion.failed
    assert (finalist.index, reason) == (2, "seed 1: on the test examples: ValueError: out of memory")
    of_it = [row for row in confirmation(storage)["confirmations"] if row["finalist"] == 2]
    assert None not in [row["select_cross_entropy"] for row in of_it]


@pytest.mark.parametrize("engine", ["inline", "processes"])
@pytest.mark.parametrize("loss", [math.inf, math.nan])
def test_an_infinite_test_loss_fails_the_finalist_and_the_others_go_on(
    loss: float, engine: str, search: Search, storage: str, process_engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(settings=SMALL, confirm=False)
    monkeypatch.setenv("FAKE_FAULTS", json.dumps({str(TrainingId(2, 1).number): str(loss)}))
    result = api.confirm("smoke", storage=storage, engine=process_engine if engine == "processes" else of_rows())
    assert result.confirmation is not None
    ((finalist, reason),) = result.confirmation.failed
    assert (finalist.index, reason) == (2, "seed 1: on the test examples: ValueError: a loss is NaN or infinite")
    looked = {row["finalist"] for row in confirmation(storage)["test_looks"] if row["test_rows"] is not None}
    assert looked >= {row["finalist"] for row in confirmation(storage)["finalists"]} - {2}


def test_where_the_baseline_fails_no_gain_is_claimed(
    search: Search, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(settings=SMALL, confirm=False)
    monkeypatch.setenv("FAKE_FAULTS", json.dumps({str(TrainingId(0, 2).number): "diverge"}))
    conclusion = api.confirm("smoke", storage=storage, engine=of_rows()).confirmation
    assert conclusion is not None
    assert conclusion.baseline is None
    assert not conclusion.claims_gain
    assert {result.gain for result in conclusion.results} == {None}


@pytest.mark.parametrize("purpose", [Purpose.CONFIRM, Purpose.TEST])
def test_a_worker_that_is_killed_loses_nothing(
    purpose: Purpose, search: Search, storage: str, process_engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(settings=SMALL, confirm=False)
    copy = f"sqlite:///{Path(shutil.copytree(location_of(storage).parent, 'copy')).absolute()}/test.db"
    killed: list[TrialTask] = []
    submit = process_engine.submit

    def kills_the_third(task: TrialTask) -> None:
        submit(task)
        if task.purpose == purpose and task.number == TrainingId(1, 1).number and not killed:
            killed.append(task)
            for pid in process_engine.processes():
                os.kill(pid, signal.SIGKILL)

    process_engine.submit = kills_the_third
    api.confirm("smoke", storage=storage, engine=process_engine, workers=1)
    assert len(killed) == 1
    api.confirm("smoke", storage=copy, engine=InlineEngine(fakes.FakeTrainer))
    assert confirmation(storage) == confirmation(copy)


def test_a_task_whose_worker_dies_three_times_fails_and_the_others_go_on(
    search: Search, storage: str, process_engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(settings=SMALL, confirm=False)
    monkeypatch.setenv("FAKE_FAULTS", json.dumps({str(TrainingId(1, 0).number): "die"}))
    conclusion = api.confirm("smoke", storage=storage, engine=process_engine, workers=2).confirmation
    assert conclusion is not None
    ((finalist, reason),) = conclusion.failed
    assert finalist.index == 1
    assert "worker was lost" in reason


def test_a_raised_total_adds_finalists_and_keeps_old_rows(search: Search, storage: str, progress: Any) -> None:
    search(settings=SMALL, trials=3, engine=of_rows())
    before = confirmation(storage)
    result = search(settings=SMALL, trials=12, engine=of_rows())
    after = confirmation(storage)
    for table, rows in before.items():
        assert [row for row in after[table] if row in rows] == rows, table
    assert len(after["finalists"]) > len(before["finalists"])
    new = {row["finalist"] for row in after["finalists"]} - {row["finalist"] for row in before["finalists"]}
    assert {row["look"] for row in after["finalists"] if row["finalist"] in new} == {2}
    assert {row["look"] for row in after["confirmations"] if row["finalist"] in new} == {2}
    assert sum("This is evaluation 2:" in message for message in progress.messages) == 1
    assert result.confirmation is not None
    assert (result.confirmation.looks, result.confirmation.evaluations) == (2, len(after["test_looks"]))
    assert "used 2 times" in rendered_report(api.report("smoke", storage=storage), "text")
    assert_concludes(storage, result)


def test_more_seeds_are_a_second_look_too(search: Search, storage: str) -> None:
    search(settings=SMALL, engine=of_rows())
    before = confirmation(storage)
    result = api.confirm("smoke", storage=storage, seeds=5, engine=of_rows())
    after = confirmation(storage)
    assert after["finalists"] == before["finalists"]
    assert [row for row in after["confirmations"] if row["seed"] < 3] == before["confirmations"]
    assert {row["look"] for row in after["confirmations"] if row["seed"] >= 3} == {2}
    assert result.confirmation is not None
    assert (result.confirmation.seeds, result.confirmation.looks) == (5, 2)
    assert_concludes(storage, result)


def test_a_look_that_has_begun_and_not_ended_is_counted_and_said(search: Search, storage: str) -> None:
    first = search(settings=SMALL, engine=of_rows()).confirmation
    api.confirm("smoke", storage=storage, seeds=5, engine=of_rows())
    query(storage, "delete from regsearch_test_looks where seed > 3 or (seed = 3 and finalist > 1)")
    query(storage, "update regsearch_test_looks set ended_at = null, test_rows = null where seed = 3 and finalist = 1")
    content = api.report("smoke", storage=storage)
    conclusion = content.conclusion
    assert first is not None
    assert conclusion is not None
    ((entries,),) = query(storage, "select count(*) from regsearch_test_looks")
    assert entries == first.evaluations + 2
    assert (conclusion.looks, conclusion.completed_looks, conclusion.evaluations) == (2, 1, entries)
    assert (conclusion.seeds, conclusion.winner) == (first.seeds, first.winner), "its figures wait for its end"
    said = " ".join(rendered_report(content, "text").split())
    assert "Another use of the test set did not finish. This answer leaves out the evaluations of that use." in said
    assert f"was used 2 times (1 unfinished), with {entries} evaluations" in rendered_report(content, "html")
    found = json.loads(rendered_report(content, "json"))["confirmation"]
    assert (found["looks"], found["unfinished_looks"], found["test_evaluations"]) == (2, 1, entries)


def test_a_confirmation_counts_to_the_cost_and_not_to_the_pace(search: Search, storage: str) -> None:
    search(settings=SMALL, confirm=False)
    assert api.report("smoke", storage=storage).confirmation_cost is None
    api.confirm("smoke", storage=storage, engine=of_rows())
    query(storage, "update regsearch_confirmations set seconds = 2.5")
    key = "where finalist = 1 and seed = 2"
    query(storage, f"update regsearch_confirmations set seconds = null, state = 'failed', reason = 'diverged' {key}")
    query(storage, f"update regsearch_confirmation_epochs set seconds = 0.25 {key}")
    ((trainings,),) = query(storage, "select count(*) from regsearch_confirmations")
    ((epochs,),) = query(storage, "select count(*) from regsearch_confirmation_epochs")
    ((of_failed,),) = query(storage, f"select count(*) from regsearch_confirmation_epochs {key}")
    cost = api.report("smoke", storage=storage).confirmation_cost
    assert cost is not None
    assert of_failed
    assert (cost.trainings, cost.epochs) == (trainings, epochs)
    assert cost.seconds == pytest.approx(2.5 * (trainings - 1) + 0.25 * of_failed)

    query(storage, "delete from regsearch_runs where run_id > 1")
    last = "(select max(datetime_complete) from trials)"
    minute_before = f"strftime('%Y-%m-%d %H:%M:%f000', {last}, '-60 seconds')"
    query(storage, f"update regsearch_runs set started_at = {minute_before}, ended_at = '2999-01-01 00:00:00.000000'")
    assert api.status("smoke", storage=storage).trials_per_minute == pytest.approx(6, rel=1e-3)


@pytest.mark.parametrize("command", ["run", "confirm"])
def test_fewer_seeds_than_are_there_take_none_away(
    command: str, search: Search, storage: str, progress: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(settings=[*SMALL, "confirm.seeds=4"], trials=3, engine=of_rows())
    before = confirmation(storage)
    search(settings=SMALL, trials=12, confirm=command == "run", engine=of_rows())
    assert [message for message in progress.messages if "4 fresh seeds already" in message] == (
        ["smoke is confirmed on 4 fresh seeds already. These seeds stay, although 3 were asked for."]
        if command == "run"
        else []
    )
    if command == "confirm":
        api.confirm("smoke", storage=storage, seeds=3, engine=of_rows())
    after = confirmation(storage)
    assert len(after["finalists"]) > len(before["finalists"])
    assert {row["seed"] for row in after["confirmations"] if row["finalist"] == len(after["finalists"]) - 1} == {
        *range(4)
    }
    result = api.load("smoke", storage=storage)
    assert result.confirmation is not None
    assert result.confirmation.seeds == result.answer.study.spec.confirm.seeds == 4


def test_what_is_confirmed_keeps_its_kind_of_split(search: Search, storage: str, progress: Any) -> None:
    search(settings=[*SMALL, "confirm.split=fixed"], trials=2, confirm=False)
    search(settings=[*SMALL, "confirm.split=drawn"], trials=3)
    search(settings=[*SMALL, "confirm.split=fixed"], trials=4)
    assert [message for message in progress.messages if "split" in message] == [
        'smoke is confirmed with confirm.split = "drawn" already. This value stays, although "fixed" was asked for.'
    ]
    assert api.load("smoke", storage=storage).answer.study.spec.confirm.split == "drawn"


def test_where_nothing_is_left_to_do_nothing_is_trained(search: Search, storage: str, progress: Any) -> None:
    search(settings=SMALL)
    before = location_of(storage).read_bytes()
    confirmed = confirmation(storage)
    engine = InlineEngine(lambda setup: pytest.fail("a trainer was made"))
    first = api.confirm("smoke", storage=storage, engine=engine, progress=progress)
    search(settings=SMALL, engine=engine)
    assert confirmation(storage) == confirmed
    assert first.reason is StopReason.TOTAL
    assert before  # the run itself is entered, so only the rows are the same
    assert not [message for message in progress.messages if "on the test" in message]


def test_a_study_without_a_complete_trial_is_refused_in_one_line(
    search: Search, storage: str, regsearch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAULTS", json.dumps({str(number): "diverge" for number in range(6)}))
    search(settings=SMALL)
    assert confirmation(storage) == {table: [] for table in confirmation(storage)}
    ended = regsearch("confirm", "smoke", "--storage", storage)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert "none of its trials is complete" in ended.stderr


def test_without_seeds_there_is_no_confirmation(search: Search, storage: str) -> None:
    assert search(settings=[*UNPRUNED, "confirm.seeds=0"]).confirmation is None
    assert confirmation(storage)["finalists"] == []
    with pytest.raises(InputError, match=r"confirm\.seeds is 0"):
        api.confirm("smoke", storage=storage, engine=InlineEngine(fakes.FakeTrainer))
    result = api.confirm("smoke", storage=storage, seeds=3, engine=InlineEngine(fakes.FakeTrainer))
    assert result.confirmation is not None


def test_a_run_that_does_not_confirm_leaves_it_to_a_later_one(search: Search, storage: str) -> None:
    assert search(settings=SMALL, confirm=False).confirmation is None
    assert confirmation(storage)["finalists"] == []
    assert api.resume("smoke", storage=storage, engine=InlineEngine(fakes.FakeTrainer)).confirmation is not None


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_stopped_or_killed_in_mid_confirmation_it_is_resumable(tmp_path: Path, how: signal.Signals) -> None:
    settings = [f"--set={setting}" for setting in SMALL]
    process = start(tmp_path, "run", "smoke", "--workers", "1", *settings, "--storage", "sqlite:///test.db")
    storage = f"sqlite:///{tmp_path}/test.db"
    wait_for(lambda: (tmp_path / "test.db").exists() and _count(storage, "complete") > 2)
    process.send_signal(how)
    _, err = process.communicate(timeout=60)
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert err.splitlines()[-1] == "resume with: regsearch resume smoke --storage sqlite:///test.db"
    stopped = confirmation(storage)
    assert 2 < sum(row["state"] == "complete" for row in stopped["confirmations"]) < len(stopped["confirmations"])
    assert stopped["test_looks"] == []
    api.resume("smoke", storage=storage, engine=InlineEngine(fakes.FakeTrainer))
    ended = confirmation(storage)
    assert_kept(stopped, ended)
    assert {row["state"] for row in ended["confirmations"]} == {"complete"}
    assert len(ended["test_looks"]) == len(ended["confirmations"])
    invariants.check(storage, is_fake=True)


@pytest.mark.parametrize("what", ["plan", "publish_answer"])
def test_a_database_away_before_or_after_the_trainings_is_waited_for(
    search: Search, storage: str, progress: Any, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(settings=SMALL, confirm=False)
    owner = ConfirmationStore if what == "plan" else study_run
    real, failures = getattr(owner, what), []

    def failing(*arguments: Any) -> Any:
        if len(failures) < 3:
            failures.append(1)
            raise StorageUnavailableError("test.db is locked by another process")
        return real(*arguments)

    monkeypatch.setattr(owner, what, failing)
    monkeypatch.setattr(retry, "POLL_SECONDS", 0.01)
    result = api.confirm("smoke", storage=storage, engine=of_rows(), progress=progress)
    assert result.confirmation is not None
    assert len(failures) == 3
    assert [m for m in progress.messages if "waits" in m] == [
        "test.db is locked by another process. The run waits up to 3 minutes."
    ]


def _count(storage: str, state: str) -> int:
    try:
        return query(storage, f"select count(*) from regsearch_confirmations where state = '{state}'")[0][0]
    except sqlite3.OperationalError:
        return 0


def assert_kept(before: dict[str, list[dict[str, Any]]], after: dict[str, list[dict[str, Any]]]) -> None:
    """What had ended is there, and the same."""
    for table, rows in before.items():
        for row in rows:
            if row.get("state", "complete") == "complete" and row.get("test_rows", b"") is not None:
                assert row in after[table], table


@pytest.mark.parametrize("purpose", [Purpose.CONFIRM, Purpose.TEST])
def test_after_a_kill_in_a_confirmation_status_and_list_say_how_to_go_on(
    purpose: Purpose, search: Search, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = ConfirmationStore.finish

    def dies(self: ConfirmationStore, task: TrialTask, outcome: Any) -> bool:
        if (task.purpose, task.number) == (purpose, TrainingId(3, 2).number):
            raise Killed
        return finish(self, task, outcome)

    monkeypatch.setenv("FAKE_FAULTS", json.dumps({str(TrainingId(2, 0).number): "diverge"}))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(ConfirmationStore, "finish", dies)
        search(settings=SMALL)

    def told() -> tuple[str, str]:
        found = api.status("smoke", storage=storage)
        (listed,) = study_list.as_json([found])["studies"]
        return status.as_text(found).splitlines()[2], listed["state"]

    resume = "regsearch resume smoke --storage sqlite:///test.db"
    assert told() == (f"The confirmation is not finished. Resume with: {resume}", "stopped")
    api.resume("smoke", storage=storage, engine=InlineEngine(fakes.FakeTrainer))
    assert told() == ("Done.", "done")  # what failed is not gone on with


def test_a_study_that_is_not_confirmed_yet_is_said_to_be(search: Search, storage: str) -> None:
    search(settings=SMALL, confirm=False)
    found = status.as_text(api.status("smoke", storage=storage))
    assert (
        "Search complete, not confirmed yet. Confirm with: regsearch confirm smoke --storage sqlite:///test.db" in found
    )


def test_a_timeout_ends_it_gently(search: Search, storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    search(settings=SMALL, confirm=False)
    clock = [0.0]
    finish = ConfirmationStore.finish

    def slow(self: ConfirmationStore, task: TrialTask, outcome: Any) -> bool:
        clock[0] += 10
        return finish(self, task, outcome)

    monkeypatch.setattr(ConfirmationStore, "finish", slow)
    monkeypatch.setattr(study_run, "Coordinator", functools.partial(Coordinator, clock=lambda: clock[0]))
    result = api.confirm("smoke", storage=storage, timeout="35s", engine=InlineEngine(fakes.FakeTrainer))
    assert result.reason is StopReason.TIMEOUT
    assert result.confirmation is None
    states = [row["state"] for row in confirmation(storage)["confirmations"]]
    assert (states.count("complete"), states.count("running")) == (4, 0)
    assert api.confirm("smoke", storage=storage, engine=InlineEngine(fakes.FakeTrainer)).confirmation is not None


def test_the_winner_is_exported_as_it_was_trained_on_its_median_seed(search: Search, storage: str) -> None:
    result = search(settings=COURSE, trials=10, engine=of_rows())
    assert result.confirmation is not None
    winner = result.confirmation.winner.finalist
    trainings = [row for row in confirmation(storage)["confirmations"] if row["finalist"] == winner.index]
    median = sorted(trainings, key=lambda row: row["select_cross_entropy"])[1]
    with api.reading(storage) as database:
        exported = find_export_source(database, result.answer.study, None)
    assert (exported.fresh_seed, exported.params) == (median["seed"], winner.params)
    assert exported.weights is not None
    assert hashlib.sha256(exported.weights.read_bytes()).hexdigest() == median["weights_sha256"]
    assert exported.figures["select_cross_entropy"] == median["select_cross_entropy"]


@pytest.mark.parametrize("purpose", [Purpose.CONFIRM, Purpose.TEST])
def test_during_a_second_look_the_winner_of_the_first_is_exported(
    purpose: Purpose, search: Search, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = search(settings=[*SMALL, "confirm.method=all"], trials=3, engine=of_rows())
    finalists = len(confirmation(storage)["finalists"])
    with api.reading(storage) as database:
        first = find_export_source(database, result.answer.study, None)
    kept = set(files(storage))
    finish = ConfirmationStore.finish

    def dies(self: ConfirmationStore, task: TrialTask, outcome: Any) -> bool:
        if (task.purpose, task.number) == (purpose, TrainingId(finalists - 1, 7).number):
            raise Killed  # its last training, or its last look
        return finish(self, task, outcome)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(ConfirmationStore, "finish", dies)
        api.confirm("smoke", storage=storage, seeds=8, engine=of_rows())
    assert kept <= set(files(storage))
    with api.reading(storage) as database:
        found = find_export_source(database, result.answer.study, None)
    assert replace(found, conclusion=first.conclusion) == first  # the conclusion counts the looks that have begun
    api.confirm("smoke", storage=storage, engine=of_rows())
    left = [re.match(r"finalist-(\d+)\d{3}\.", name) for name in files(storage)]
    numbers = [match[1] for match in left if match]
    assert sorted(set(numbers)) == sorted(numbers)  # of the first look's, the others are gone
    with api.reading(storage) as database:
        assert find_export_source(database, result.answer.study, None).fresh_seed != first.fresh_seed


def test_a_confirmed_trial_is_exported_with_its_test_figures(search: Search, storage: str) -> None:
    search(settings=COURSE, trials=12, engine=of_rows())
    with api.reading(storage) as database:
        study = api.get_study(database, "smoke")
        numbers = {row["trial"]: row["finalist"] for row in confirmation(storage)["finalists"]}
        for number, _, params in complete(storage):
            found = find_export_source(database, study, number)
            assert found.origin == f"trial {number}"
            if number in numbers:
                assert found.conclusion is not None
                assert found.finalist is not None
                assert found.finalist.finalist.index == numbers[number]
            elif str(Regularization.from_params(params)) not in roles(storage):
                assert found.finalist is None


def test_deleting_a_study_deletes_all_its_rows_and_no_others(search: Search, storage: str) -> None:
    search(settings=SMALL, name="other")
    before = {table: query(storage, f"select * from {table}") for table in Base.metadata.tables}
    others = confirmation(storage, "other")
    search(settings=SMALL)
    assert all(len(query(storage, f"select * from {table}")) > len(rows) for table, rows in before.items())
    api.delete("smoke", storage=storage)
    assert {table: query(storage, f"select * from {table}") for table in before} == before
    assert confirmation(storage, "other") == others
    assert not folder_of(storage).exists()


def interval(differences: np.ndarray[Any, Any], level: float) -> tuple[float, float, float]:
    """Mean, low and high end for seeds × rows: the formula of `studies.analysis.statistics`, written anew in loops."""
    n_seeds, n_rows = differences.shape
    mean = math.fsum(differences.ravel()) / differences.size
    of_seed = [math.fsum(row) / n_rows for row in differences]
    of_row = [math.fsum(column) / n_seeds for column in differences.T]
    squares_seeds = n_rows * math.fsum((value - mean) ** 2 for value in of_seed)
    squares_rows = n_seeds * math.fsum((value - mean) ** 2 for value in of_row)
    squares = math.fsum(
        (differences[s, r] - of_seed[s] - of_row[r] + mean) ** 2 for s in range(n_seeds) for r in range(n_rows)
    )
    residual = squares / ((n_seeds - 1) * (n_rows - 1))
    beyond = max(0.0, squares_seeds / (n_seeds - 1) - residual) / differences.size
    rest = max(squares_rows / (n_rows - 1), residual) / differences.size
    quantiles = student.ppf((1 + level) / 2, [n_seeds - 1, n_rows - 1])
    half = math.sqrt(quantiles[0] ** 2 * beyond + quantiles[1] ** 2 * rest)
    return mean, mean - half, mean + half


def per_row(content: bytes) -> tuple[list[float], list[float]]:
    """Losses and errors of the rows in a blob: a count, float32 losses, bits of hits."""
    count = int.from_bytes(content[:4], "little")
    losses = np.frombuffer(content, "<f4", count, 4).astype(float)
    bits = content[4 + 4 * count :]
    return list(losses), [1.0 - (bits[row // 8] >> (7 - row % 8) & 1) for row in range(count)]


def assert_concludes(storage: str, result: RunResult, by_accuracy: bool = False) -> None:
    """Winner, gains and claims are what plain code computes from the raw rows of the database."""
    found, conclusion = confirmation(storage), result.confirmation
    assert conclusion is not None
    failed = {row["finalist"] for row in found["confirmations"] if row["state"] == "failed"}
    of = {row["finalist"]: row for row in found["finalists"] if row["finalist"] not in failed}
    seeds = [{row["seed"] for row in found["confirmations"] if row["finalist"] == finalist} for finalist in of]
    common = sorted(set.intersection(*seeds))

    def stack(table: str, blob: str, kind: int) -> dict[int, np.ndarray[Any, Any]]:
        by_key = {(row["finalist"], row["seed"]): row[blob] for row in found[table]}
        return {f: np.array([per_row(by_key[f, seed])[kind] for seed in common]) for f in of}

    select = stack("confirmations", "select_rows", int(by_accuracy))
    settings = {f: Regularization.from_params(json.loads(row["params"])) for f, row in of.items()}
    best = min(of, key=lambda f: (select[f].mean(), f))
    # each seed draws its select rows, so only seeds are in common
    tied = [f for f in of if f == best or low_end(select[f] - select[best]) <= 0]
    complexity = {
        f: sum(map(bool, (s.l1, s.l2, s.dropout, s.batch_norm != "none", s.patience))) for f, s in settings.items()
    }
    winner = min(tied, key=lambda f: (complexity[f], select[f].mean()))
    assert conclusion.winner.finalist.index == winner
    assert [one.finalist.index for one in conclusion.results if one.is_tied] == tied
    losses, errors = stack("test_looks", "test_rows", 0), stack("test_looks", "test_rows", 1)
    baseline = next((f for f, row in of.items() if "baseline: none" in row["roles"]), None)
    only_stopped = [f for f, s in settings.items() if s.patience and complexity[f] == 1]
    stopped = min(only_stopped, key=lambda f: select[f].mean(), default=None)
    raced = {row["finalist"] for row in found["confirmations"]}  # those that failed, too
    level = 1 - 2 * 0.05 / (len(raced) - 1) / conclusion.looks  # each look has its part of the risk
    assert [one.finalist.index for one in conclusion.results] == list(of)
    for one in conclusion.results:
        f = one.finalist.index
        assert_interval(one.test_cross_entropy, interval(losses[f], 0.95))
        assert_interval(one.test_accuracy, interval(1 - errors[f], 0.95))
        ours = [row for row in found["confirmations"] if row["finalist"] == f and row["seed"] in common]
        assert one.select_cross_entropy == pytest.approx(np.mean([row["select_cross_entropy"] for row in ours]))
        if stopped is None or f in (stopped, baseline):
            assert one.gain_over_early_stopping is None
        else:
            assert one.gain_over_early_stopping is not None
            assert_interval(one.gain_over_early_stopping.cross_entropy, interval(losses[stopped] - losses[f], level))
            assert_interval(one.gain_over_early_stopping.accuracy, interval(errors[stopped] - errors[f], level))
        if baseline is None or f == baseline:
            assert one.gain is None
            continue
        assert one.gain is not None
        assert_interval(one.gain.cross_entropy, interval(losses[baseline] - losses[f], level))
        assert_interval(one.gain.accuracy, interval(errors[baseline] - errors[f], level))
    judged = errors if by_accuracy else losses
    claims = baseline not in (None, winner) and interval(judged[baseline] - judged[winner], level)[1] > 0
    assert conclusion.claims_gain == claims
    assert conclusion.evaluations == len(found["test_looks"])
    assert (conclusion.seeds, conclusion.test_rows) == (len(common), losses[winner].shape[1])


def low_end(behind: Any) -> float:
    """Return the low end of Student's 68 % interval over seeds, of an array (seeds, rows)."""
    of_seed = behind.mean(axis=1)
    return float(of_seed.mean() - student.ppf(0.84, len(of_seed) - 1) * of_seed.std(ddof=1) / len(of_seed) ** 0.5)


def assert_interval(found: Any, expected: Sequence[float]) -> None:
    assert (found.mean, found.low, found.high) == pytest.approx(tuple(expected), abs=1e-9)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_winner_gains_and_claims_are_what_plain_code_finds_in_the_raw_rows(
    seed: int, search: Search, storage: str
) -> None:
    result = search(settings=[*COURSE, f"search.seed={seed}"], trials=12, engine=of_rows())
    assert_concludes(storage, result)
    assert result.confirmation is not None
    assert result.confirmation.claims_gain  # of the planted 0.3 nats


def test_the_same_study_gives_the_same_text_json_and_page(search: Search, storage: str, tmp_path: Path) -> None:
    search(settings=COURSE, trials=8, engine=of_rows())

    def reports(storage: str) -> list[str]:
        content, folder = api.report("smoke", storage=storage), str(location_of(storage).parent)
        return [rendered_report(content, kind).replace(folder, "") for kind in ("text", "json", "html")]

    first = reports(storage)
    assert reports(storage) == first
    shutil.copytree(location_of(storage).parent, tmp_path / "copy", ignore=shutil.ignore_patterns("copy"))
    assert reports(f"sqlite:///{tmp_path}/copy/test.db") == first
    query(storage, "update regsearch_test_looks set test_rows = (select max(test_rows) from regsearch_test_looks)")
    assert reports(storage) != first


def note(storage: str) -> str:
    return optuna_dashboard.get_note(optuna.load_study(study_name="smoke", storage=storage))


def test_the_answer_is_the_dashboards_note_and_a_users_own_is_left_alone(search: Search, storage: str) -> None:
    search(settings=SMALL, confirm=False)
    assert note(storage) == ""
    result = api.confirm("smoke", storage=storage, engine=of_rows())
    assert result.confirmation is not None
    first = note(storage)
    assert first.startswith("# ")
    attributes = query(storage, "select * from study_system_attributes")
    api.confirm("smoke", storage=storage, engine=of_rows())
    assert query(storage, "select * from study_system_attributes") == attributes  # written once
    api.confirm("smoke", storage=storage, seeds=4, engine=of_rows())
    assert note(storage) not in ("", first)  # what we wrote, we may replace
    search(settings=SMALL, trials=8, confirm=False)
    assert "8 of 8 trials finished" in note(storage)  # a search alone changes the counts
    optuna_dashboard.save_note(optuna.load_study(study_name="smoke", storage=storage), "mine")
    api.confirm("smoke", storage=storage, seeds=5, engine=of_rows())
    assert note(storage) == "mine"


class Death:
    """Ends this process, as far as the study's database goes, at its k-th transaction: all later ones fail too."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passed = 0
        self.at: tuple[int, bool] | None = None
        transaction = StudyStore.transaction

        @contextmanager
        def counted(store: StudyStore) -> Iterator[Any]:
            number = self.passed
            self.passed += 1
            if self.at is not None and number > self.at[0]:
                raise Killed
            with transaction(store) as connection:
                yield connection
                if self.at == (number, False):
                    raise Killed  # before it commits
            if self.at == (number, True):
                raise Killed

        monkeypatch.setattr(StudyStore, "transaction", counted)


TINY = [
    *UNPRUNED, "confirm.seeds=3", "confirm.top=1", "training.max_epochs=1", 'space.patience="off"', "space.dropout=off",
    'space.regularizer=["l2"]', 'space.batch_norm=["none"]',
]  # fmt: skip


@pytest.mark.slow
def test_killed_at_any_transaction_it_ends_with_the_same_rows(
    search: Search, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(settings=TINY, trials=2, confirm=False)
    monkeypatch.setattr(study_run, "publish_answer", lambda *_: None)  # a second of imports; it has a test of its own
    still = functools.partial(Coordinator, clock=lambda: 0.0)  # else it asks once a second whether to stop
    monkeypatch.setattr(study_run, "Coordinator", still)
    death = Death(monkeypatch)
    searched = location_of(storage).parent

    def copy(name: str) -> str:
        shutil.copytree(searched, Path.cwd() / name, ignore=lambda *_: [])
        return f"sqlite:///{Path.cwd()}/{name}/{location_of(storage).name}"

    with folder_in_memory() as memory:
        monkeypatch.chdir(memory)
        whole = copy("whole")
        api.confirm("smoke", storage=whole, engine=of_rows())
        points, expected = death.passed, confirmation(whole)
        assert (len(expected["confirmations"]), len(expected["test_looks"])) == (6, 6)
        assert points > 6 * 4 + 6 * 3
        for number in sorted({*range(12), *range(12, points, 5), points - 1}):  # all there are of a training, then some
            storage = copy(str(number))
            death.passed, death.at = 0, (number, number % 2 == 1)
            with pytest.raises(Killed):
                api.confirm("smoke", storage=storage, engine=of_rows())
            death.at = None
            api.confirm("smoke", storage=storage, engine=of_rows())
            assert confirmation(storage) == expected, number
            assert files(storage) == files(whole), number
            invariants.check(storage, is_fake=True)
            shutil.rmtree(str(number))


def files(storage: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder_of(storage).iterdir()}


def test_a_finalist_that_fails_on_a_later_seed_leaves_the_others_looks(
    search: Search, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(settings=SMALL, engine=of_rows())
    faults = {str(TrainingId(finalist, 3).number): "diverge" for finalist in (1, 2)}
    monkeypatch.setenv("FAKE_FAULTS", json.dumps(faults))

    def dies(self: ConfirmationStore, task: TrialTask, outcome: Any) -> bool:
        if task.purpose == Purpose.TEST:
            raise Killed
        return finish(self, task, outcome)

    finish = ConfirmationStore.finish
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(ConfirmationStore, "finish", dies)
        api.confirm("smoke", storage=storage, seeds=4, engine=of_rows())
    result = api.confirm("smoke", storage=storage, seeds=4, engine=of_rows())
    found = confirmation(storage)
    looked = {row["finalist"] for row in found["test_looks"] if row["seed"] == 3 and row["test_rows"] is not None}
    assert looked == {row["finalist"] for row in found["finalists"]} - {1, 2}
    assert result.confirmation is not None
    assert (result.confirmation.seeds, len(result.confirmation.failed)) == (4, 2)
    assert_concludes(storage, result)


def test_only_the_median_seeds_weights_of_each_finalist_are_left(
    search: Search, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(settings=SMALL, confirm=False)
    of_trials = {path.name for path in folder_of(storage).iterdir()}
    monkeypatch.setenv("FAKE_FAULTS", json.dumps({str(TrainingId(1, 2).number): "diverge"}))
    api.confirm("smoke", storage=storage, engine=of_rows())
    trainings = confirmation(storage)["confirmations"]
    expected = set()
    for finalist in {row["finalist"] for row in trainings} - {1}:
        ranked = sorted(
            (row["select_cross_entropy"], row["seed"], row["weights_sha256"])
            for row in trainings
            if row["finalist"] == finalist
        )
        _, seed, sha256 = ranked[1]
        expected.add(name := f"finalist-{TrainingId(finalist, seed).number}.weights.npz")
        assert hashlib.sha256((folder_of(storage) / name).read_bytes()).hexdigest() == sha256
    assert {path.name for path in folder_of(storage).iterdir()} == of_trials | expected


class CountingEngine(InlineEngine):
    """Notes with how many workers it is started, and when it is stopped."""

    def __init__(self) -> None:
        super().__init__(fakes.FakeTrainer)
        self.happened: list[str] = []

    def start(self, setup: TrainerSetup, workers: int, log_prefix: Path) -> None:
        self.happened.append(f"start {workers}")
        super().start(setup, workers, log_prefix)

    def submit(self, task: TrialTask) -> None:
        if self.happened[-1] != task.purpose.value:
            self.happened.append(task.purpose.value)
        super().submit(task)

    def stop(self) -> None:
        self.happened.append("stop")
        super().stop()


def test_idle_workers_live_on_from_the_search_to_the_confirmation(search: Search) -> None:
    """If the search needs fewer than the confirmation, its workers are replaced."""
    engine = CountingEngine()
    search(settings=SMALL, trials=6, workers=2, engine=engine)
    assert engine.happened[:5] == ["stop", "start 2", "search", "confirm", "test"]
    assert set(engine.happened[5:]) == {"stop"}
    engine = CountingEngine()
    search(settings=SMALL, trials=7, workers=2, engine=engine, name="other", confirm=False)
    engine.happened.clear()
    search(settings=[*SMALL, "confirm.seeds=4"], trials=8, workers=2, engine=engine, name="other")
    assert engine.happened[:6] == ["stop", "start 1", "search", "stop", "start 2", "confirm"]
