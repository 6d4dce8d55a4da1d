"""What several tests ask of a database or of a trainer, and a search with fake trials in a process of its own."""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import postgres
from sqlalchemy import select

from regsearch.search import api
from regsearch.search.training.checkpoints import FileCheckpoints
from regsearch.search.training.trainer import Trainer
from regsearch.storage.location import Location, location_of
from regsearch.storage.queries import get_study, list_trials
from regsearch.storage.tables import EpochRow
from regsearch.studies.errors import RegsearchError
from regsearch.studies.trial import EpochMetrics, TrialOutcome, TrialTask

FAKE_SEARCH = [sys.executable, str(Path(__file__).parent / "fake_search.py")]


def rows(storage: str, name: str = "smoke") -> list[dict[str, Any]]:
    """Every trial with its settings, figures and curve; without times."""
    with api.reading(storage) as database:
        study = get_study(database, name)
        trials = list(list_trials(database, study))  # before the curves: those of finished trials are then whole
        curves: dict[int, list[tuple[Any, ...]]] = {}
        with database.read() as connection:
            epochs = select(EpochRow.__table__).where(EpochRow.study_uuid == study.study_uuid)
            for row in connection.execute(epochs.order_by(EpochRow.number, EpochRow.epoch)):
                figures = (row.epoch, row.train_loss, row.stop_loss, row.stop_cross_entropy, row.stop_accuracy)
                curves.setdefault(row.number, []).append(figures)
        return [
            {
                "number": trial.number,
                "state": trial.state,
                "value": trial.value,
                "params": dict(trial.params),
                "metrics": {key: value for key, value in trial.metrics.items() if key != "seconds"},
                "weights": trial.weights_sha256,
                "curve": curves.get(trial.number, []),
            }
            for trial in trials
        ]


def finished(storage: str, name: str = "smoke") -> dict[int, dict[str, Any]]:
    """The trials that are acknowledged as finished, by number."""
    return {row["number"]: row for row in rows(storage, name) if row["state"] in ("complete", "pruned", "failed")}


def assert_whole(storage: str) -> None:
    """The database passes SQLite's own check."""
    connection = plain(location_of(storage))
    assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
    assert connection.execute("pragma foreign_key_check").fetchall() == []
    connection.close()


def wait_for_each_checkpoint(patch: Callable[[object, str, Any], None] = setattr) -> None:
    """Let nothing depend on how two threads take turns: the one that trains waits for the one that writes."""
    save = FileCheckpoints.save

    def saved(self: FileCheckpoints, state: Any) -> None:
        save(self, state)
        writer = self._writer
        if writer is not None:
            writer.join()

    patch(FileCheckpoints, "save", saved)


@contextmanager
def folder_in_memory() -> Iterator[Path]:
    """Give a folder of a file system in memory, if there is one: a kill takes nothing of what was written."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        (study := Path(folder) / "study").mkdir()
        yield study


def plain(location: Location) -> sqlite3.Connection:
    """Return a connection to a file, or to a copy of what a server holds, without any of the product's code."""
    if isinstance(location, Path):
        return sqlite3.connect(f"{location.absolute().as_uri()}?mode=rw", uri=True)
    return postgres.copy_of(location.url.render_as_string(hide_password=False))


def raw_study(location: Location, name: str) -> dict[str, Any] | None:
    """What the database holds of a study, read without any of the product's code; None where it holds no such study.

    Its total, and every trial by number: state, values, settings, intermediate values, our figures and curve;
    without times and ids.
    """
    connection = plain(location)
    try:
        ids = connection.execute("select study_id from studies where study_name = ?", (name,)).fetchall()
        if not ids:
            return None
        ((study_id,),) = ids
        attribute = "select value_json from study_user_attributes where study_id = ? and key = 'regsearch:study'"
        ((uuid,),) = connection.execute(attribute, (study_id,)).fetchall()
        uuid = json.loads(uuid)
        ((spec,),) = connection.execute("select spec from regsearch_studies where study_uuid = ?", (uuid,)).fetchall()

        def by_number(sql: str, *bound: Any) -> dict[int, list[tuple[Any, ...]]]:
            found: dict[int, list[tuple[Any, ...]]] = {}
            for number, *figures in connection.execute(sql, bound):
                found.setdefault(number, []).append(tuple(figures))
            return found

        def of_optuna(columns: str, table: str) -> dict[int, list[tuple[Any, ...]]]:
            sql = f"select t.number, {columns} from trials t join {table} x using (trial_id) where t.study_id = ? "
            return by_number(f"{sql} order by 1, 2", study_id)

        states = by_number("select number, state from trials where study_id = ? order by number", study_id)
        values = of_optuna("x.objective, x.value, x.value_type", "trial_values")
        params = of_optuna("x.param_name, x.param_value, x.distribution_json", "trial_params")
        judged = of_optuna("x.step, x.intermediate_value", "trial_intermediate_values")
        fixed = of_optuna("x.value_json", "trial_system_attributes")
        ours = by_number(
            "select number, attempt, reason, best_epoch, epochs, select_cross_entropy, select_accuracy, "
            "train_cross_entropy, train_accuracy, near_zero_share, weights_sha256 "
            "from regsearch_trials where study_uuid = ? order by number",
            uuid,
        )
        curves = by_number(
            "select number, epoch, train_loss, stop_loss, stop_cross_entropy, stop_accuracy "
            "from regsearch_epochs where study_uuid = ? order by number, epoch",
            uuid,
        )
        return {
            "total": json.loads(spec)["budget"]["trials"],
            "numbers": [number for number, found in states.items() for _ in found],
            "trials": {
                number: {
                    "state": states[number][0][0],
                    "values": values.get(number, []),
                    "params": params.get(number, []),
                    "judged": judged.get(number, []),
                    "fixed": fixed.get(number, []),
                    "ours": ours.get(number, []),
                    "curve": curves.get(number, []),
                }
                for number in states
            },
        }
    finally:
        connection.close()


def confirmation(storage: str, name: str = "smoke") -> dict[str, list[dict[str, Any]]]:
    """What the database holds of a study's confirmation, read without any of the product's code, by our tables' names.

    Without their prefix, times and the study's UUID; what attempts there were is left out too.
    """
    with closing(plain(location_of(storage))) as connection:
        connection.row_factory = sqlite3.Row
        uuid = (
            "(select json_extract(value_json, '$') from studies join study_user_attributes using (study_id) "
            "where study_name = ? and key = 'regsearch:study')"
        )

        def read(table: str, order: str) -> list[dict[str, Any]]:
            left_out = ("study_uuid", "began_at", "ended_at", "seconds", "attempt")
            found = connection.execute(
                f"select * from regsearch_{table} where study_uuid = {uuid} order by {order}", (name,)
            )
            return [{key: row[key] for key in row.keys() if key not in left_out} for row in found]  # noqa: SIM118

        return {
            "finalists": read("finalists", "finalist"),
            "rounds": read("rounds", "round"),
            "confirmations": read("confirmations", "finalist, seed"),
            "confirmation_epochs": read("confirmation_epochs", "finalist, seed, epoch"),
            "test_looks": read("test_looks", "finalist, seed"),
        }


def train(trainer: Trainer, **params: Any) -> tuple[TrialOutcome, list[EpochMetrics]]:
    """Train a trial to its end: its outcome and its epochs."""
    epochs: list[EpochMetrics] = []
    outcome = trainer.train(
        TrialTask(number=0, attempt=0, params=params), lambda metrics: epochs.append(metrics) or True
    )
    assert outcome is not None
    return outcome, epochs


def start(folder: Path, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    """Start the command with fake trials."""
    return subprocess.Popen(
        [*FAKE_SEARCH, *arguments],
        cwd=folder,
        env={**os.environ, "FAKE_EPOCH_SECONDS": "0.05", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(condition: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def count_finished(storage: str) -> int:
    """How many are acknowledged; none while there is no such database."""
    try:
        return len(finished(storage))
    except RegsearchError:
        return 0
