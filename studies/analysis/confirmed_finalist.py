"""The stored results of the finalists on each fresh seed, from which a conclusion is drawn."""

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
    """Return the loss of a training on the selection split: cross-entropy, 1 − accuracy, or the metric.

    Args:
        figures: the stored results of the training.
        objective: the objective of the study. If larger values of a metric are better, the loss is minus the metric.
    """
    if objectives.is_accuracy(objective):
        return 1.0 - float(figures["select_accuracy"])
    if objective not in objectives.OURS and figures["objective"] is not None:
        return float(figures["objective"]) * (-1 if objectives.maximizes(objective) else 1)
    return float(figures["select_cross_entropy"])


@dataclass(frozen=True, kw_only=True)
class Training:
    """The stored training of one finalist on one fresh seed.

    Attributes:
        finalist: the index of the finalist.
        seed: the fresh seed.
        look: the number of the interim analysis that evaluates it on the test set, counted from 1.
        state: "waiting", "running", "complete" or "failed".
        reason: why it failed; None if it did not fail.
        began_looking: whether its test evaluation has started.
        figures: its results, such as losses and epochs, by name.
        select: the scores of each selection example; None before the training has ended.
        test: the scores of each test example; None before the test evaluation has ended.
        test_objective: the metric on the test set, with its sign chosen so that smaller is better. None if the
            objective is not a metric, or before the evaluation.
    """

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
    """A finalist with its trainings, all of which have ended and were evaluated on the test set."""

    finalist: Finalist
    trainings: Sequence[Training]

    @cached_property
    def select_losses(self) -> NDArray[np.float64]:
        """The loss of each selection example, shape (seeds, selection examples)."""
        return np.array([training.select.losses for training in self.trainings if training.select], dtype=np.float64)

    @cached_property
    def select_errors(self) -> NDArray[np.float64]:
        """1 for each selection example that got a wrong class, else 0; shape (seeds, selection examples)."""
        return np.array([~training.select.hits for training in self.trainings if training.select], dtype=np.float64)

    @cached_property
    def test_losses(self) -> NDArray[np.float64]:
        """The loss of each test example, shape (seeds, test examples)."""
        return np.array([training.test.losses for training in self.trainings if training.test], dtype=np.float64)

    @cached_property
    def test_errors(self) -> NDArray[np.float64]:
        """1 for each test example that got a wrong class, else 0; shape (seeds, test examples)."""
        return np.array([~training.test.hits for training in self.trainings if training.test], dtype=np.float64)

    @property
    def has_objectives(self) -> bool:
        """Whether the metric on the test set is stored for every training."""
        return all(training.test_objective is not None for training in self.trainings)

    @cached_property
    def objectives(self) -> NDArray[np.float64]:
        """For each seed the metric on the test set, with its sign chosen so that smaller is better; shape (seeds,)."""
        return np.array([training.test_objective for training in self.trainings], dtype=np.float64)

    def objectives_on_seeds_of(self, other: "ConfirmedFinalist") -> NDArray[np.float64]:
        """Return `objectives` of this finalist for the seeds that both finalists have, shape (seeds,)."""
        return self.objectives[self._common(other)]

    def judged(self, by_accuracy: bool) -> NDArray[np.float64]:
        """Return `test_errors` if the objective is accuracy, else `test_losses`."""
        return self.test_errors if by_accuracy else self.test_losses

    def has_seeds_of(self, other: "ConfirmedFinalist") -> bool:
        """Return whether the finalists share enough seeds for a comparison: at least two."""
        return len(self._common(other)) > 1

    def on_seeds_of(self, other: "ConfirmedFinalist") -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the test losses and test errors of this finalist for the seeds that both finalists have.

        Each array has the shape (seeds, test examples).
        """
        common = self._common(other)
        return self.test_losses[common], self.test_errors[common]

    def _common(self, other: "ConfirmedFinalist") -> list[int]:
        """Return the positions of the trainings whose seeds the other finalist also has."""
        theirs = {training.seed for training in other.trainings}
        return [i for i, training in enumerate(self.trainings) if training.seed in theirs]

    @property
    def is_still_improving(self) -> bool:
        """Whether the last epoch was the best in most trainings, so that longer training may be better."""
        last = [training.figures["best_epoch"] == training.figures["epochs"] - 1 for training in self.trainings]
        return bool(2 * sum(last) > len(last))

    def mean(self, figure: str) -> float:
        """Return the mean over seeds of the stored result with that name, such as "select_accuracy"."""
        return float(np.mean([training.figures[figure] for training in self.trainings]))

    def select_loss(self, objective: str) -> float:
        """Return the loss on the selection split by the study's objective, as a mean over seeds; smaller is better."""
        return float(np.mean([select_loss(training.figures, objective) for training in self.trainings]))
