"""A trainer whose rows differ by configuration, seed, row and chance, as those of networks do."""

import hashlib
from dataclasses import replace
from typing import Any

import fakes
import numpy as np

from regsearch.search.workers.inline import InlineEngine
from regsearch.studies.configuration import Regularization
from regsearch.studies.example_scores import PerExampleScores
from regsearch.studies.trial import Purpose, TrialOutcome, TrialTask


class RowTrainer(fakes.FakeTrainer):
    """A trainer whose rows differ by configuration, seed, row and chance, as those of networks do."""

    SELECT, TEST = 40, 60

    def train(self, task: TrialTask, on_epoch: Any, *arguments: Any) -> TrialOutcome | None:
        outcome = super().train(task, on_epoch, *arguments)
        if outcome is None or task.purpose != Purpose.CONFIRM:
            return outcome
        figures = self.rows_of(task, "select", self.SELECT)
        return replace(
            outcome,
            select_rows=figures.to_text(),
            select_cross_entropy=figures.cross_entropy,
            select_accuracy=figures.accuracy,
        )

    def look_at_test(self, task: TrialTask, weights: Any) -> PerExampleScores:
        return self.with_fault(task, self.rows_of(task, "test", self.TEST))

    @staticmethod
    def rows_of(task: TrialTask, split: str, count: int) -> PerExampleScores:
        regularization = Regularization.from_params(task.params)

        def random(*facts: object) -> np.random.Generator:
            return np.random.default_rng(list(hashlib.sha256(repr(facts).encode()).digest()))

        better = 0.3 * bool(regularization.l2) + 0.1 * bool(regularization.dropout)
        losses = 0.9 - better + 0.03 * random(str(regularization), task.seed).standard_normal()
        losses = losses + 0.2 * random(split).random(count) + 0.05 * random(split, str(regularization)).random(count)
        losses = losses + 0.05 * random(split, str(regularization), task.seed).random(count)
        return PerExampleScores(losses=losses.astype(np.float32), hits=losses < 0.8)


def of_rows() -> InlineEngine:
    return InlineEngine(RowTrainer)


if __name__ == "__main__":
    from regsearch.search.workers import worker

    worker.main(RowTrainer)
