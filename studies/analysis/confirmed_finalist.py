"""What finalists gave on each fresh seed, as it is stored: the figures that a conclusion is drawn from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import objectives
from ..example_scores import PerExampleScores
from .finalists import Finalist


def select_loss(figures: Mapping[str, Any], objective: str) -> float:
    """Return a training's figure on the selection examples, by the study's objective, so that less is better."""
    if objectives.is_accuracy(objective):
        return 1.0 - float(figures["select_accuracy"])
    if objective not in objectives.OURS and figures["objective"] is not None:
        return float(figures["objective"]) * (-1 if objectives.maximizes(objective) else 1)
    return float(figures["select_cross_entropy"])


@dataclass(frozen=True, kw_only=True)
class Training:
    """One finalist on one fresh seed, as it is stored; `test` is None before its test look has ended."""

    finalist: int
    seed: int
    look: int
    state: str
    reason: str | None
    began_looking: bool
    figures: Mapping[str, Any]
    select: PerExampleScores | None
    test: PerExampleScores | None
    test_objective: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class ConfirmedFinalist:
    """A finalist whose seeds all trained and were shown the test rows."""

    finalist: Finalist
    trainings: Sequence[Training]

    @cached_property
    def select_losses(self) -> NDArray[np.float64]:
        """(seeds, select rows)."""
        return np.array([training.select.losses for training in self.trainings if training.select], dtype=np.float64)

    @cached_property
    def select_errors(self) -> NDArray[np.float64]:
        """(seeds, select rows), 1 where the class is wrong."""
        return np.array([~training.select.hits for training in self.trainings if training.select], dtype=np.float64)

    @cached_property
    def test_losses(self) -> NDArray[np.float64]:
        """(seeds, test rows)."""
        return np.array([training.test.losses for training in self.trainings if training.test], dtype=np.float64)

    @cached_property
    def test_errors(self) -> NDArray[np.float64]:
        """(seeds, test rows), 1 where the class is wrong."""
        return np.array([~training.test.hits for training in self.trainings if training.test], dtype=np.float64)

    @property
    def has_objectives(self) -> bool:
        """Whether a metric was measured on the test rows, on each seed."""
        return all(training.test_objective is not None for training in self.trainings)

    @cached_property
    def objectives(self) -> NDArray[np.float64]:
        """(seeds,), the metric on the test rows, such that less is better."""
        return np.array([training.test_objective for training in self.trainings], dtype=np.float64)

    def objectives_on_seeds_of(self, other: "ConfirmedFinalist") -> NDArray[np.float64]:
        """Return the metric on the test rows, (seeds,), on the seeds that both have."""
        return self.objectives[self._common(other)]

    def judged(self, by_accuracy: bool) -> NDArray[np.float64]:
        """(seeds, test rows), losses by the study's objective."""
        return self.test_errors if by_accuracy else self.test_losses

    def has_seeds_of(self, other: "ConfirmedFinalist") -> bool:
        """Whether both have enough seeds in common to be compared."""
        return len(self._common(other)) > 1

    def on_seeds_of(self, other: "ConfirmedFinalist") -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return losses and errors on the test rows, (seeds, test rows) each, on the seeds that both have."""
        common = self._common(other)
        return self.test_losses[common], self.test_errors[common]

    def _common(self, other: "ConfirmedFinalist") -> list[int]:
        theirs = {training.seed for training in other.trainings}
        return [i for i, training in enumerate(self.trainings) if training.seed in theirs]

    @property
    def is_still_improving(self) -> bool:
        """Whether most trainings are at their best in their last epoch."""
        last = [training.figures["best_epoch"] == training.figures["epochs"] - 1 for training in self.trainings]
        return bool(2 * sum(last) > len(last))

    def mean(self, figure: str) -> float:
        """Return the mean over seeds of one of a training's figures."""
        return float(np.mean([training.figures[figure] for training in self.trainings]))

    def select_loss(self, objective: str) -> float:
        """Return the mean over seeds of the study's objective on the select rows, such that less is better."""
        return float(np.mean([select_loss(training.figures, objective) for training in self.trainings]))
