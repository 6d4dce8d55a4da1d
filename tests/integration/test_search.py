"""A whole search with trials of milliseconds: totals, order, failures, enqueued settings, what is kept."""

import json
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakes
import optuna
import pytest
from helpers import rows

from regsearch.search import api
from regsearch.search.cli.output import print_result, rendered_report
from regsearch.search.result import RunResult
from regsearch.search.run import study_checks
from regsearch.search.run.coordinator import StopReason
from regsearch.search.workers.inline import InlineEngine
from regsearch.search.workers.processes import ProcessEngine
from regsearch.storage.location import location_of
from regsearch.storage.study_lock import StudyLock
from regsearch.studies.errors import InputError, NoResultError

Search = Callable[..., RunResult]

NO_PRUNER = ["search.pruner=none", "search.pruner_options={}"]
GRID = (
    'search.sampler_options={ regularizer = ["none", "l2"], l2 = [1e-4], use_dropout = [false], '
    'batch_norm = ["none"], early_stopping = [true, false], patience = [1, 2] }'
)


def test_a_search_reaches_its_total_and_answers_with_the_best(search: Search, storage: str) -> None:
    result = search()
    assert result.reason is StopReason.TOTAL
    assert result.answer.counts.finished == 6
    trials = rows(storage)
    assert [trial["number"] for trial in trials] == list(range(6))
    complete = [trial for trial in trials if trial["state"] == "complete"]
    assert result.answer.best is not None
    assert result.answer.best.value == min(trial["value"] for trial in complete)
    assert result.answer.study.dataset.name == "digits"


def test_accuracy_can_be_the_objective(search: Search) -> None:
    result = search(settings=["search.objective=accuracy"])
    best = result.answer.best
    assert best is not None
    assert best.value == best.metrics["select_accuracy"]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_total_is_exact_with_any_number_of_workers(
    search: Search, process_engine: ProcessEngine, workers: int, storage: str
) -> None:
    search(engine=process_engine, workers=workers, trials=7)
    assert [trial["state"] in ("complete", "pruned") for trial in rows(storage)] == [True] * 7


def test_run_goes_on_with_a_study_and_a_reached_total_starts_nothing(search: Search, storage: str) -> None:
    search(trials=3)
    search(trials=5)
    before = rows(storage)
    assert len(before) == 5

    class NoEngine(InlineEngine):
        def start(self, *arguments: Any) -> None:
            raise AssertionError("nothing was left to do")

    assert search(trials=5, engine=NoEngine()).reason is StopReason.TOTAL
    assert rows(storage) == before


def test_a_raised_total_stays_until_another_is_asked_for(search: Search, storage: str) -> None:
    search(trials=8)
    assert search().answer.study.spec.budget.trials == 8
    with pytest.raises(InputError, match="the total of smoke can't be 3: 8 trials have started already"):
        search(trials=3)
    assert len(rows(storage)) == 8


def test_resume_goes_on_to_the_studys_own_total(search: Search, storage: str, inline_engine: InlineEngine) -> None:
    search(trials=2)
    api.resume("smoke", storage=storage, engine=inline_engine)
    assert len(rows(storage)) == 2
    api.resume("smoke", storage=storage, engine=inline_engine, trials=4)
    assert len(rows(storage)) == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        [],
        ["search.sampler=random"],
        ["search.sampler=qmc"],
        ["search.sampler=NSGAIISampler", "search.sampler_options={population_size=3}"],
        ["search.pruner=hyperband", "search.pruner_options={}"],
        ["search.objective=accuracy"],
    ],
)
def test_a_study_stopped_and_resumed_equals_one_that_ran_through(
    search: Search, storage: str, tmp_path: Path, settings: list[str]
) -> None:
    if "sampler=" in "".join(settings):
        settings = ["search.sampler_options={}", *settings]
    search(trials=12, settings=settings)
    whole = rows(storage)
    other = f"sqlite:///{tmp_path}/other.db"
    for trials in (3, 4, 9, 12):
        search(trials=trials, settings=settings, storage=other)
    assert rows(other) == whole


@pytest.mark.slow
def test_with_two_workers_each_trial_alone_gives_the_same_curve(
    search: Search, process_engine: ProcessEngine, storage: str, tmp_path: Path
) -> None:
    search(engine=process_engine, workers=2, trials=8, settings=NO_PRUNER)
    alone = f"sqlite:///{tmp_path}/alone.db"
    twice = [*NO_PRUNER, "search.rules=1"]  # what its own first trial had, too
    search(storage=alone, trials=1, settings=twice)
    for trial in rows(storage):
        settings = [f"{name}={value}" for name, value in trial["params"].items()]
        number, _ = api.enqueue("smoke", settings, storage=alone)
        search(storage=alone, trials=number + 1, settings=twice)
        again = rows(alone)[number]
        assert (again["params"], again["curve"], again["value"]) == (trial["params"], trial["curve"], trial["value"])


def test_a_grid_is_visited_once_and_ends_the_search_well(
    search: Search, process_engine: ProcessEngine, storage: str
) -> None:
    settings = ["search.sampler=grid", GRID]
    result = search(settings=settings, engine=process_engine, workers=3, trials=50)
    assert result.reason is StopReason.EXHAUSTED
    params = [json.dumps(trial["params"], sort_keys=True) for trial in rows(storage)]
    assert len(params) == len(set(params)) == 6
    assert search(settings=settings, trials=50).reason is StopReason.EXHAUSTED
    assert len(rows(storage)) == 6


def test_brute_force_ends_the_search_where_the_space_is_finite(search: Search, storage: str) -> None:
    space = ['space.regularizer=["none"]', "space.dropout=off", "space.patience={low=1, high=2}"]
    options = ["search.sampler=BruteForceSampler", "search.sampler_options={}"]
    for _ in range(3):
        assert search(settings=[*space, *options], trials=50).reason is StopReason.EXHAUSTED
        assert len(rows(storage)) == 3 * (1 + 2)
    api.enqueue("smoke", ["patience=1"], storage=storage)
    result = search(settings=[*space, *options], trials=50)
    assert result.answer.counts.waiting == 0
    assert (result.reason, result.ended) == (StopReason.EXHAUSTED, "all 9 points of the space were tried")
    with pytest.raises(InputError, match=r"trial \d has these settings already and ") as refused:
        api.enqueue("smoke", ["regularizer=none", "batch_norm=none", "patience=off"], storage=storage)
    assert refused.value.exit_code == 2
    assert len(rows(storage)) == 3 * (1 + 2) + 1


def test_enqueued_settings_are_tried_next(search: Search, storage: str) -> None:
    search(trials=2)
    number, _ = api.enqueue("smoke", ["l2=1e-4", "dropout=off"], storage=storage)
    assert number == 2
    search(trials=4)
    params = rows(storage)[2]["params"]
    assert (params["regularizer"], params["l2"], params["use_dropout"]) == ("l2", 1e-4, False)
    assert "batch_norm" in params


def test_enqueued_settings_outside_the_space_create_nothing(search: Search, storage: str) -> None:
    search(trials=2)
    with pytest.raises(InputError, match=r"invalid l2=5\. In this study it must be a number"):
        api.enqueue("smoke", ["l2=5"], storage=storage)
    with pytest.raises(InputError, match="at least one setting"):
        api.enqueue("smoke", [], storage=storage)
    assert len(rows(storage)) == 2


def test_settings_enqueued_past_us_fail_alone(search: Search, storage: str) -> None:
    search(trials=2)
    study = optuna.load_study(study_name="smoke", storage=storage)
    study.enqueue_trial({"regularizer": "l9"})
    search(trials=4)
    assert [trial["state"] for trial in rows(storage)].count("failed") == 1
    assert len(rows(storage)) == 4


def test_a_diverged_trial_fails_at_once_with_its_epoch(
    search: Search, storage: str, progress: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAULTS", '{"1": "diverge"}')
    result = search(trials=3)
    assert progress.finished[1].remark.startswith("diverged at epoch 0; its log is /")
    assert result.answer.counts.failed == 1
    with api.trials("smoke", storage=storage) as (_, trials):
        failed = list(trials)[1]
    assert (failed.state, failed.reason, failed.value) == ("failed", "diverged at epoch 0", None)
    trial = optuna.load_study(study_name="smoke", storage=storage).trials[1]
    assert (trial.state.name, trial.values, trial.user_attrs["reason"]) == ("FAIL", None, "diverged at epoch 0")


def test_a_lost_workers_trial_is_tried_again_with_the_same_end(
    search: Search, process_engine: ProcessEngine, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(trials=4)
    whole = rows(storage)
    monkeypatch.setenv("FAKE_FAULTS", '{"0": "die once", "2": "die once"}')
    other = f"sqlite:///{tmp_path}/other.db"
    search(trials=4, engine=process_engine, workers=1, storage=other)
    assert rows(other) == whole


def test_a_trial_that_kills_its_worker_fails_after_three_attempts(
    search: Search, process_engine: ProcessEngine, storage: str, progress: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAULTS", '{"1": "die"}')
    search(trials=3, engine=process_engine, workers=2)
    assert [trial["state"] for trial in rows(storage)].count("failed") == 1
    assert sum("tried again" in message for message in progress.messages) == 2
    (failed,) = [trial for trial in progress.finished if trial.state == "FAIL"]
    assert "exited with code 7" in failed.remark
    assert (
        "attempt 3, the last" in optuna.load_study(study_name="smoke", storage=storage).trials[1].user_attrs["reason"]
    )


def test_ten_failures_in_a_row_end_the_search(search: Search, storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_FAULTS", json.dumps({str(number): "raise" for number in range(30)}))
    with pytest.raises(NoResultError, match=r"10 trials in a row failed\. The last one failed because ValueError"):
        search(trials=30)
    assert len(rows(storage)) == 10


def test_a_timeout_begins_nothing_more_and_finishes_what_runs(search: Search, storage: str) -> None:
    result = search(timeout="1s", trials=10_000, settings=["search.sampler=random", "search.sampler_options={}"])
    assert result.reason is StopReason.TIMEOUT
    assert result.answer.counts.running == 0
    assert 0 < result.answer.counts.finished < 10_000


def test_a_time_that_was_over_before_any_trial_began_is_no_failure(
    search: Search, capsys: pytest.CaptureFixture[str]
) -> None:
    class Full(InlineEngine):
        def free_workers(self) -> int:
            return 0

        def wait(self, handler: Any, timeout_seconds: float) -> None:
            time.sleep(0.1)

    result = search(timeout="1s", engine=Full(fakes.FakeTrainer))
    print_result(result, False)
    said = capsys.readouterr()
    assert "The search ended: its time was over." in said.out
    assert said.err == "resume with: regsearch resume smoke --storage sqlite:///test.db\n"


def test_another_question_is_refused_with_the_differing_keys(search: Search, storage: str) -> None:
    search(trials=2)
    before = location_of(storage).read_bytes()
    with pytest.raises(InputError, match=r"search.seed: 0 → 7; training.max_epochs: 3 → 9"):
        search(settings=["search.seed=7", "training.max_epochs=9"])
    assert location_of(storage).read_bytes() == before


def test_a_study_made_before_keeps_its_trainer(search: Search, storage: str) -> None:
    search(trials=1, settings=["training.trainer=keras"])
    search(trials=2)
    with pytest.raises(InputError, match=r'training.trainer: "keras" → "compiled"'):
        search(settings=["training.trainer=compiled"])


def test_other_data_are_refused_with_both_fingerprints(search: Search, storage: str, tmp_path: Path) -> None:
    import numpy as np

    from regsearch.search.data import load_dataset

    digits = load_dataset("digits")
    search(trials=2)
    images = digits.x_train.copy()
    images[0, 0, 0] ^= 1
    np.savez(tmp_path / "own.npz", x_train=images, y_train=digits.y_train, x_test=digits.x_test, y_test=digits.y_test)
    with pytest.raises(InputError, match=rf"started on other data: digits with fingerprint {digits.sha256}, now own"):
        search(data=str(tmp_path / "own.npz"))


def test_the_same_data_may_have_moved(search: Search, storage: str, tmp_path: Path) -> None:
    import numpy as np

    from regsearch.search.data import load_dataset

    digits = load_dataset("digits")
    parts = {key: getattr(digits, key) for key in ("x_train", "y_train", "x_test", "y_test")}
    np.savez(tmp_path / "a.npz", **parts)
    np.savez(tmp_path / "b.npz", **parts)
    search(trials=2, data=str(tmp_path / "a.npz"))
    (tmp_path / "a.npz").unlink()
    assert search(trials=3, data=str(tmp_path / "b.npz")).answer.counts.finished == 3


def test_auto_takes_digits_where_mnist_cannot_be_had_and_keeps_them(
    search: Search, progress: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from regsearch.search.data import mnist
    from regsearch.search.data.arrays import DataUnavailableError

    def unavailable() -> None:
        raise DataUnavailableError("no network")

    monkeypatch.setattr(mnist, "load", unavailable)
    result = search(data="auto", trials=1)
    assert result.answer.study.dataset.name == "digits"
    assert any(message.startswith("WARNING: no network. MNIST is not here") for message in progress.messages)
    monkeypatch.setattr(mnist, "load", lambda: pytest.fail("the study is about digits"))
    assert search(data="auto", trials=2).answer.counts.finished == 2
    with pytest.raises(DataUnavailableError):
        monkeypatch.setattr(mnist, "load", unavailable)
        search(data="mnist", trials=2)


def test_a_second_coordinator_is_refused_with_who_holds_the_study(search: Search, storage: str) -> None:
    search(trials=1)
    with (
        StudyLock(location_of(storage), "smoke"),
        pytest.raises(InputError, match=r"is being searched by process \d+ on .* since 20\d\d-"),
    ):
        search(trials=2)
    assert search(trials=2).answer.counts.finished == 2


def test_a_timeout_given_on_the_command_line_is_of_that_run_alone(search: Search) -> None:
    assert search(trials=1, timeout="1h").answer.study.spec.budget.timeout is None


def test_a_figure_that_is_not_finite_is_a_failure_and_never_a_result(
    search: Search, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fakes

    class Infinite(fakes.FakeTrainer):
        def train(self, task: Any, on_epoch: Any, *rest: Any) -> Any:
            outcome = super().train(task, on_epoch, *rest)
            return outcome and type(outcome)(**{**vars(outcome), "select_cross_entropy": float("inf")})

    result = search(trials=2, engine=InlineEngine(Infinite), settings=NO_PRUNER)
    assert result.answer.counts.failed == 2


def test_the_trials_of_a_long_study_are_read_in_pages(
    search: Search, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that pauses (a pager, say) must not hold up the search's commits."""
    from regsearch.storage import queries

    monkeypatch.setattr(queries, "_PAGE", 2)
    search(trials=5)
    with api.trials("smoke", storage=storage) as (_, trials):
        first = next(trials)
        search(trials=6)
        assert [first.number, *(trial.number for trial in trials)] == [0, 1, 2, 3, 4]


def test_a_killed_run_ends_where_the_next_begins_and_is_said_to_be_killed(search: Search, storage: str) -> None:
    for trials in (1, 3, 6):
        search(trials=trials, confirm=False)
    with sqlite3.connect(location_of(storage)) as connection:
        connection.execute("update regsearch_runs set ended_at = null, outcome = null where run_id in (1, 3)")
    connection.close()
    status = api.status("smoke", storage=storage)
    assert [run.finished_trials for run in status.runs] == [1, 2, 3]
    killed = "it was killed"
    assert [run.outcome for run in status.runs] == [killed, "the study's total is reached", killed]
    latest, (*_, last) = status.runs[-1], optuna.load_study(study_name="smoke", storage=storage).trials
    assert last.datetime_complete is not None
    seconds = (last.datetime_complete - latest.started_at).total_seconds()
    assert status.trials_per_minute == pytest.approx(3 * 60 / seconds)  # however long ago that is
    page = rendered_report(api.report("smoke", storage=storage), "html")
    assert "still running" not in page
    assert page.count(killed) == 2
    with StudyLock(location_of(storage), "smoke"):
        assert [run.outcome for run in api.status("smoke", storage=storage).runs][1:] == [
            "the study's total is reached",
            None,
        ]


def test_a_study_that_was_killed_before_its_first_run_has_a_status(search: Search, storage: str) -> None:
    search(trials=1)
    with sqlite3.connect(location_of(storage)) as connection:
        connection.execute("delete from regsearch_runs")
    connection.close()
    assert api.status("smoke", storage=storage).runs == []


@pytest.mark.parametrize(
    ("hidden", "memory", "fits"),
    [
        ("[99999999999]", None, True),
        ("[99999999999]", 2**40, False),
        (f"[{'9' * 4299}]", 2**40, False),
        ("[100, 10]", 635_999, False),
        ("[100, 10]", 636_000, True),
    ],
)
def test_a_network_that_cannot_fit_is_refused_and_leaves_no_study(
    hidden: str, memory: int | None, fits: bool, search: Search, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_checks, "memory_bytes", lambda: memory)
    if fits:  # 28 × 28 pixels and 10 classes: 8 bytes for each of 79,500 weights
        search(settings=[f"model.hidden={hidden}"], trials=1)
        return
    with pytest.raises(
        InputError,
        match=r"^model\.hidden = .* is too large: .* fit into the .* GB of this machine\. Give fewer units\.$",
    ):
        search(settings=[f"model.hidden={hidden}"], trials=1)
    assert not location_of(storage).exists()


def test_each_run_is_recorded(search: Search, storage: str) -> None:
    search(trials=1)
    search(trials=2, settings=["search.sampler=random", "search.sampler_options={}"])
    runs = api.status("smoke", storage=storage).runs
    assert [run.outcome for run in runs] == ["the study's total is reached"] * 2
    assert [run.finished_trials for run in runs] == [1, 1]
    with sqlite3.connect(location_of(storage)) as connection:
        samplers = connection.execute("select sampler from regsearch_runs").fetchall()
    connection.close()
    assert samplers == [("tpe",), ("random",)]


@pytest.mark.parametrize(
    "options",
    [
        {"study": "smokee"},
        {"settings": ["search.sampler=tpr"]},
        {"settings": ["search.pruner=medain"]},
        {"engine": "rays"},
        {"workers": 0},
        {"workers": -1},
        {"trials": 0},
        {"timeout": "later"},
        {"name": "a/b"},
        {"data": "absent.npz"},
        {"data": "digit"},
        {"settings": ["data.train_size=99999"]},
    ],
)
def test_bad_input_creates_nothing(search: Search, options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        search(**options)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
