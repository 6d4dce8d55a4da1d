"""A trainer that gives what an earlier version recorded: for machines that would compute other bits.

With the same figures, samplers, pruners and the confirmation must come to the same end on every machine.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from regsearch.search.training.checkpoints import NO_CHECKPOINTS, Arrays, Checkpoints, TrainingCheckpoint
from regsearch.search.training.setup import TrainerSetup
from regsearch.search.training.trainer import DivergedError, OnEpoch, Suggest
from regsearch.studies.example_scores import PerExampleScores
from regsearch.studies.trial import EPOCH_COLUMNS, EpochMetrics, Params, Purpose, TrialOutcome, TrialTask

_OUTCOME = (
    *("best_epoch", "epochs", "select_cross_entropy", "select_accuracy", "train_cross_entropy", "train_accuracy"),
    *("near_zero_share", "seconds"),
)


class RecordedTrainer:
    """Trains nothing: a task's figures are those of the ended study.

    Args:
        path: the database in which the earlier version ended the study.
    """

    def __init__(self, path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.row_factory = sqlite3.Row

            def read(table: str, *keys: str) -> dict[tuple[int, ...], dict[str, Any]]:
                rows = (dict(row) for row in connection.execute(f"select * from {table}"))
                return {tuple(row[key] for key in keys): row for row in rows}

            self._trials = read("regsearch_trials", "number")
            self._epochs = read("regsearch_epochs", "number", "epoch")
            self._confirmed = read("regsearch_confirmations", "finalist", "seed")
            self._confirmed_epochs = read("regsearch_confirmation_epochs", "finalist", "seed", "epoch")
            self._looks = read("regsearch_test_looks", "finalist", "seed")

    def train(
        self,
        task: TrialTask,
        on_epoch: OnEpoch,
        checkpoints: Checkpoints = NO_CHECKPOINTS,
        suggest: Suggest | None = None,
    ) -> TrialOutcome | None:
        """Give the recorded epochs, then the recorded end."""
        key = (task.number,) if task.purpose == Purpose.SEARCH else task.training
        row = (self._trials if task.purpose == Purpose.SEARCH else self._confirmed)[key]
        epochs = self._epochs if task.purpose == Purpose.SEARCH else self._confirmed_epochs
        curve = sorted((epoch for epoch in epochs if epoch[:-1] == key), key=lambda epoch: epoch[-1])
        for epoch in curve:
            if not on_epoch(EpochMetrics(**{name: epochs[epoch][name] for name in EPOCH_COLUMNS})):
                return None
        if row["best_epoch"] is None:
            reason = row["reason"] or ""
            assert "diverged at epoch" in reason, f"{task} trains on, which it did not: {reason}"
            raise DivergedError(int(reason.rpartition(" ")[2]))
        rows = row.get("select_rows")
        return TrialOutcome(
            **{name: row[name] for name in _OUTCOME},
            weights_sha256=checkpoints.save_weights([np.zeros(1)]),
            select_rows=None if rows is None else PerExampleScores.from_bytes(rows).to_text(),
        )

    def look_at_test(self, task: TrialTask, weights: Arrays) -> PerExampleScores:
        """Return the recorded figures."""
        return PerExampleScores.from_bytes(self._looks[task.training]["test_rows"])

    def test_objective(self, task: TrialTask, weights: Arrays) -> float | None:
        """Return None: the stored studies go by cross-entropy or accuracy."""
        return None

    def save_model(self, params: Params, state: TrainingCheckpoint, path: Path) -> None:
        """Write nothing."""


def recorded(path: Path) -> Callable[[TrainerSetup], RecordedTrainer]:
    """Return what makes such a trainer."""
    return lambda setup: RecordedTrainer(path)
