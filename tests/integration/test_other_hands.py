"""Other hands in the same database: Optuna's own tools, other coordinators, deletion and renaming."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from helpers import rows

from regsearch.search import api
from regsearch.search.result import RunResult
from regsearch.search.workers.inline import InlineEngine
from regsearch.storage.location import location_of
from regsearch.storage.paths import lock_file
from regsearch.storage.study_lock import StudyLock
from regsearch.studies.errors import InputError, StorageError, printable
from regsearch.studies.reports import trials as trials_report
from regsearch.studies.reports.answer import as_text

Search = Callable[..., RunResult]


def test_a_study_deleted_during_its_search_stops_it(search: Search, storage: str, inline_engine: InlineEngine) -> None:
    search(trials=2, name="other")
    before = rows(storage, "other")

    class Deleting(InlineEngine):
        def submit(self, task: Any) -> None:
            if task.number == 2:
                optuna.delete_study(study_name="smoke", storage=storage)
                optuna.create_study(study_name="smoke", storage=storage)  # takes over the ids
            super().submit(task)

    import fakes

    with pytest.raises(StorageError, match="the study smoke was deleted or renamed"):
        search(engine=Deleting(fakes.FakeTrainer))
    assert optuna.load_study(study_name="smoke", storage=storage).trials == []
    assert rows(storage, "other") == before


def test_a_trial_ended_in_the_dashboard_stays_as_it_was_ended(search: Search, storage: str, progress: Any) -> None:
    import fakes

    class Telling(InlineEngine):
        def submit(self, task: Any) -> None:
            if task.number == 1:
                optuna.load_study(study_name="smoke", storage=storage).tell(1, -123.0)
            super().submit(task)

    search(engine=Telling(fakes.FakeTrainer), trials=3)
    assert rows(storage)[1]["value"] == -123.0
    assert "trial 1, which regsearch did not train" in as_text(api.load("smoke", storage=storage).answer)
    assert any("trial 1 was ended by another tool" in message for message in progress.messages)


def test_delete_removes_rows_and_files_of_that_study_alone(search: Search, storage: str) -> None:
    search(trials=2)
    search(trials=2, name="other")
    (location_of(storage).parent / "test.db.d" / "study-smoke-worker-ray.log").touch()
    api.delete("smoke", storage=storage)
    assert [status.answer.study.name for status in api.statuses(storage=storage)] == ["other"]
    assert len(rows(storage, "other")) == 2
    with sqlite3.connect(location_of(storage)) as connection:
        for table in ("studies", "runs", "trials", "epochs"):
            owners = connection.execute(f"select count(distinct study_uuid) from regsearch_{table}").fetchone()
            assert owners == (1,), table
    connection.close()
    logs = location_of(storage).parent.glob("test.db.d/*.log")
    assert {path.name for path in logs} == {"study-other-worker-0.log"}


def test_a_renamed_study_keeps_its_records(search: Search, storage: str) -> None:
    search(trials=2)
    optuna.copy_study(from_study_name="smoke", to_study_name="renamed", from_storage=storage, to_storage=storage)
    for refused in (lambda: search(trials=3), lambda: api.delete("smoke", storage=storage)):
        with pytest.raises(InputError, match="was copied with Optuna, and both studies use the same rows"):
            refused()
    assert len(api.statuses(storage=storage)) == 2
    optuna.delete_study(study_name="smoke", storage=storage)
    assert search(trials=3, name="renamed").answer.counts.finished == 3


def test_a_copy_that_was_overtaken_goes_on_from_its_own_trials(search: Search, storage: str) -> None:
    search(trials=3)
    study = optuna.load_study(study_name="smoke", storage=storage)
    copy = optuna.create_study(study_name="short", storage=storage)
    copy.add_trial(study.trials[0])
    for key, value in study.user_attrs.items():
        copy.set_user_attr(key, value)
    optuna.delete_study(study_name="smoke", storage=storage)
    assert search(trials=3, name="short").answer.counts.finished == 3


def test_settings_that_change_while_the_data_load_are_refused(
    search: Search, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another start may begin the study between our first look and our lock."""
    from regsearch.search.run import run_study

    examine = run_study._examine

    def overtaken(*arguments: Any) -> Any:
        info = examine(*arguments)
        monkeypatch.setattr(run_study, "_examine", examine)
        search(trials=2, settings=["search.seed=7"])
        return info

    monkeypatch.setattr(run_study, "_examine", overtaken)
    with pytest.raises(InputError, match=r"search\.seed: 7 → 0"):
        search(trials=2)


def test_a_study_of_optunas_own_is_not_taken_over(search: Search, storage: str) -> None:
    search(trials=1, name="other")
    optuna.create_study(study_name="smoke", storage=storage)
    with pytest.raises(InputError, match="regsearch did not create"):
        search()


def test_a_refused_run_leaves_a_plain_optuna_database_as_it_was(search: Search, storage: str, tmp_path: Path) -> None:
    optuna.create_study(study_name="smoke", storage=storage)
    before = location_of(storage).read_bytes()
    with pytest.raises(InputError, match="regsearch did not create"):
        search()
    assert location_of(storage).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["test.db"]


def test_the_file_is_an_ordinary_optuna_database(search: Search, storage: str) -> None:
    result = search(trials=8)
    study = optuna.load_study(study_name="smoke", storage=storage)
    assert study.best_value == (result.answer.best and result.answer.best.value)
    assert study.metric_names == ["select cross entropy"]
    best = next(row for row in rows(storage) if row["number"] == study.best_trial.number)
    assert study.best_trial.user_attrs["select accuracy"] == best["metrics"]["select_accuracy"]
    assert len(study.best_trial.user_attrs) <= 6
    for trial, row in zip(study.trials, rows(storage), strict=True):
        assert trial.params == row["params"]
        assert trial.intermediate_values == {epoch: figures[2] for epoch, *figures in row["curve"]}


def test_a_place_for_locks_that_is_no_folder_is_one_line(search: Search, storage: str, tmp_path: Path) -> None:
    search(trials=1)
    (tmp_path / "test.db.d").rename(tmp_path / "moved")
    (tmp_path / "test.db.d").touch()
    with pytest.raises(StorageError, match=r"test\.db can't be used: Not a directory"):
        api.status("smoke", storage=storage)


@pytest.mark.parametrize(
    ("event", "table"),
    [("insert", "trials"), ("insert", "trial_params"), ("update", "trials"), ("insert", "trial_values")],
)
def test_another_programs_trigger_is_one_line_and_writes_nothing(
    event: str, table: str, search: Search, storage: str
) -> None:
    search(trials=2)
    before = rows(storage)
    with sqlite3.connect(location_of(storage)) as connection:
        connection.execute(f"create trigger t before {event} on {table} begin select raise(abort, 'not here'); end")
    connection.close()
    with pytest.raises(
        StorageError, match=r"refused what regsearch wrote: not here\. If another program has added a trigger"
    ):
        search(trials=3)
    assert rows(storage)[:2] == before
    with sqlite3.connect(location_of(storage)) as connection:
        connection.execute("drop trigger t")
    connection.close()
    assert search(trials=3).answer.counts.finished == 3


@pytest.mark.parametrize("table", ["studies", "trials", "trial_params", "regsearch_trials"])
def test_a_study_that_a_trigger_protects_is_deleted_wholly_or_not(table: str, search: Search, storage: str) -> None:
    search(trials=2)
    before = rows(storage)
    with sqlite3.connect(location_of(storage)) as connection:
        connection.execute(f"create trigger t before delete on {table} begin select raise(abort, 'stays'); end")
    connection.close()
    with pytest.raises(StorageError, match="refused what regsearch wrote: stays"):
        api.delete("smoke", storage=storage)
    assert rows(storage) == before


def test_delete_says_what_it_cannot_remove_and_removes_the_rest(search: Search, storage: str) -> None:
    search(trials=2)
    folder = location_of(storage).parent / "test.db.d"
    log = folder / "study-smoke-worker-0.log"
    log.unlink()
    (log / "inside").mkdir(parents=True)
    assert api.delete("smoke", storage=storage) == [f"{log}: Is a directory"]
    assert api.statuses(storage=storage) == []
    assert {path.name for path in folder.iterdir()} == {"open.lock", log.name}


def test_the_lock_of_a_deleted_study_holds_up_nobody(search: Search, storage: str) -> None:
    search(trials=1)
    database = location_of(storage)
    assert isinstance(database, Path)
    with StudyLock(database, "smoke") as held:
        lock_file(database, "smoke").unlink()
        with StudyLock(database, "smoke"):  # the path is free, since the study is gone
            assert held is not None
            with pytest.raises(InputError, match="is being searched"), StudyLock(database, "smoke"):
                pass


NASTY = "a\x1b[31m\u202eb\nc\x07"


def test_names_from_outside_reach_no_terminal_unescaped(search: Search, storage: str) -> None:
    search(trials=2)
    with sqlite3.connect(location_of(storage)) as connection:
        connection.execute("update regsearch_studies set dataset = ?", (NASTY,))
        connection.execute("update regsearch_trials set reason = ?", (f"={NASTY}",))
    connection.close()
    texts = [as_text(api.load("smoke", storage=storage).answer)]
    with api.trials("smoke", storage=storage) as (study, trials):
        listed = list(trials)
        texts += [trials_report.as_text(study, listed), *trials_report.as_csv(study, listed)]
    for text in texts:
        assert printable(text) == text
        assert "\nc" not in text
    assert "'=a" in texts[-1]
    assert "a\\x1b[31m\\u202eb\\nc\\x07" in texts[0]
