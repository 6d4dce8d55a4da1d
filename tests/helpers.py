"""What several tests ask of a database or of a trainer."""

import sqlite3
from typing import Any

from sqlalchemy import select

from search import api
from search.training.trainer import Trainer
from storage.database import database_path
from storage.queries import get_study, list_trials
from storage.tables import EpochRow
from studies.trial import EpochMetrics, TrialOutcome, TrialTask


def rows(storage: str, name: str = "smoke") -> list[dict[str, Any]]:
    """Every trial with its settings, figures and curve; without times."""
    with api.reading(storage) as database:
        study = get_study(database, name)
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
                "curve": curves.get(trial.number, []),
            }
            for trial in list_trials(database, study)
        ]


def finished(storage: str, name: str = "smoke") -> dict[int, dict[str, Any]]:
    """The trials that are acknowledged as finished, by number."""
    return {row["number"]: row for row in rows(storage, name) if row["state"] in ("complete", "pruned", "failed")}


def assert_whole(storage: str) -> None:
    """The database file passes SQLite's own check."""
    connection = sqlite3.connect(database_path(storage))
    assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
    assert connection.execute("pragma foreign_key_check").fetchall() == []
    connection.close()


def train(trainer: Trainer, **params: Any) -> tuple[TrialOutcome, list[EpochMetrics]]:
    """Train a trial to its end: its outcome and its epochs."""
    epochs: list[EpochMetrics] = []
    outcome = trainer.train(
        TrialTask(number=0, attempt=0, params=params), lambda metrics: epochs.append(metrics) or True
    )
    assert outcome is not None
    return outcome, epochs
