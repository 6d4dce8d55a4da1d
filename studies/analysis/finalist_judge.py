"""Compares the confirmed finalists with early stopping alone and with the baseline, by results on the test set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .. import objectives
from ..configuration import Configuration, HyperparameterValues
from ..spec import StudySpec
from ..statistics import (
    choose_winner,
    choose_winner_by_seeds,
    crossed_interval,
    gain,
    shared_level,
)
from .conclusion import FinalistResult, Gain
from .confirmed_finalist import ConfirmedFinalist, select_loss
from .finalists import STOPPING_ALONE
from .race import Drop
from .verdicts import Judgement, is_share_of_missing, judge, judge_means, smallest_gain

LEVEL = 0.95
"""The confidence level of the interval of a mean, and the confidence in the low ends of all gains together."""


@dataclass(frozen=True, kw_only=True)
class FinalistJudge:
    """Compares the finalists of one study with each other and with its baselines.

    Attributes:
        spec: the study.
        confirmed: the finalists whose trainings have all ended and were evaluated on the test set; at least one.
        raced: how many finalists started the confirmation; all of them share the risk of a false claim.
        look: the number of the latest interim analysis that has ended, counted from 1.
    """

    spec: StudySpec
    confirmed: Sequence[ConfirmedFinalist]
    raced: int
    look: int

    @cached_property
    def seeds(self) -> int:
        """The number of seeds of each finalist that the race did not drop."""
        return max(len(finalist.trainings) for finalist in self.confirmed)

    @cached_property
    def baseline(self) -> ConfirmedFinalist | None:
        """The finalist with no regularization at all, or with a HyperModel's defaults; None if it failed."""
        return next((finalist for finalist in self.confirmed if finalist.finalist.is_baseline), None)

    @cached_property
    def early_stopping_alone(self) -> ConfirmedFinalist | None:
        """The finalist with early stopping alone and the best patience; None if no such finalist was confirmed."""
        return min(
            (finalist for finalist in self.confirmed if STOPPING_ALONE in finalist.finalist.roles),
            key=lambda finalist: (-len(finalist.trainings), finalist.select_loss(self.spec.search.objective)),
            default=None,
        )

    @cached_property
    def has_metric(self) -> bool:
        """Whether verdicts use a metric that has no value for a single example, such as AUC.

        If the objective is a loss, verdicts use cross-entropy instead, which has a value for each example.
        """
        objective = self.spec.search.objective
        is_loss = objectives.metric_of(objective).removeprefix("val_") == "loss"
        if objective in objectives.OURS or self.spec.search.by_accuracy or is_loss:
            return False
        return all(finalist.has_objectives for finalist in self.confirmed)

    @cached_property
    def ranks_by_metric(self) -> bool:
        """Whether `select_loss` ranks the finalists by a metric or loss that the user's own model reports."""
        if self.spec.search.objective in objectives.OURS or self.spec.search.by_accuracy:
            return False
        trainings = (training for finalist in self.confirmed for training in finalist.trainings)
        return all(training.figures["objective"] is not None for training in trainings)

    @cached_property
    def smallest_gain(self) -> float | None:
        """The smallest gain that matters, in the unit of the verdicts; None if no reference was confirmed."""
        return None if self._reference_loss is None else smallest_gain(self.spec, self._reference_loss)

    @cached_property
    def is_share_of_missing(self) -> bool:
        """Whether the smallest gain is a share of 1 − metric, as for AUC, and not of the metric itself."""
        loss = self._reference_loss
        return self.has_metric and loss is not None and is_share_of_missing(self.spec, loss)

    @property
    def winner(self) -> ConfirmedFinalist:
        """The simplest finalist of `tied`."""
        return self._ranking[0]

    @property
    def tied(self) -> list[ConfirmedFinalist]:
        """The best finalist on the selection split, and all others whose difference from the best may be noise."""
        return self._ranking[1]

    def compare(self, finalist: ConfirmedFinalist, reference: ConfirmedFinalist | None) -> Judgement | None:
        """Return the verdict on a finalist against a reference, on the seeds that both have.

        Returns None if there is no reference, if the finalist is the reference, or if both share fewer than two seeds.
        """
        if self.smallest_gain is None or reference is None or not _can_compare(finalist, reference):
            return None
        if self.has_metric:
            gains = reference.objectives_on_seeds_of(finalist) - finalist.objectives_on_seeds_of(reference)
            return judge_means(gains, self.smallest_gain, self._level)
        figure = int(self.spec.search.by_accuracy)  # 0: losses, 1: errors
        gains = reference.on_seeds_of(finalist)[figure] - finalist.on_seeds_of(reference)[figure]
        return judge(gains, self.smallest_gain, self._level, self._level_at(self.look + 1))

    def summarize(self, finalist: ConfirmedFinalist, drops: Mapping[int, Drop]) -> FinalistResult:
        """Return the results of a finalist.

        Args:
            finalist: one of `confirmed`.
            drops: why the race dropped finalists. The keys are the indices of the finalists.
        """
        # if all seeds share one split, the losses of single examples chose the winner, and not the metric
        by_metric = self.ranks_by_metric and self.spec.confirm.split == "drawn"
        return FinalistResult(
            finalist=finalist.finalist,
            select_cross_entropy=finalist.mean("select_cross_entropy"),
            select_accuracy=finalist.mean("select_accuracy"),
            train_cross_entropy=finalist.mean("train_cross_entropy"),
            test_cross_entropy=crossed_interval(finalist.test_losses, LEVEL),
            test_accuracy=crossed_interval(1 - finalist.test_errors, LEVEL),
            gain=self._gain(finalist, self.baseline),
            gain_over_early_stopping=None
            if finalist is self.baseline
            else self._gain(finalist, self.early_stopping_alone),
            best_epochs=tuple(training.figures["best_epoch"] for training in finalist.trainings),
            epochs=tuple(training.figures["epochs"] for training in finalist.trainings),
            is_tied=finalist in self.tied,
            select_cross_entropies=tuple(map(float, finalist.select_losses.mean(axis=1))),
            select_accuracies=tuple(map(float, 1 - finalist.select_errors.mean(axis=1))),
            dropped=drops.get(finalist.finalist.index) if len(finalist.trainings) < self.seeds else None,
            metric_over_baseline=self.compare(finalist, self.baseline) if self.has_metric else None,
            select_objective=finalist.select_loss(self.spec.search.objective) if by_metric else None,
        )

    @cached_property
    def _ranking(self) -> tuple[ConfirmedFinalist, list[ConfirmedFinalist]]:
        """`winner` and `tied`, from the finalists that the race did not drop."""
        running = [finalist for finalist in self.confirmed if len(finalist.trainings) == self.seeds]
        complexities = _complexities(running)
        if self.spec.confirm.split == "drawn":  # the selection examples differ from seed to seed
            objective = self.spec.search.objective
            losses = [[select_loss(training.figures, objective) for training in one.trainings] for one in running]
            chosen = choose_winner_by_seeds(np.array(losses), complexities)
        else:
            by_accuracy = self.spec.search.by_accuracy
            figures = np.array([one.select_errors if by_accuracy else one.select_losses for one in running])
            chosen = choose_winner(figures, complexities)
        return running[chosen.index], [running[index] for index in chosen.tied]

    def _gain(self, finalist: ConfirmedFinalist, reference: ConfirmedFinalist | None) -> Gain | None:
        """Return the gain of a finalist over a reference; None if the two can't be compared."""
        if reference is None or not _can_compare(finalist, reference):
            return None
        losses, errors = finalist.on_seeds_of(reference)
        reference_losses, reference_errors = reference.on_seeds_of(finalist)
        return Gain(
            cross_entropy=gain(losses, reference_losses, self._level),
            accuracy=gain(errors, reference_errors, self._level),
        )

    @cached_property
    def _reference_loss(self) -> float | None:
        """The mean test loss of early stopping alone, or else of the baseline; None if neither was confirmed."""
        reference = self.early_stopping_alone or self.baseline
        if reference is None:
            return None
        losses = reference.objectives if self.has_metric else reference.judged(self.spec.search.by_accuracy)
        return float(losses.mean())

    @cached_property
    def _level(self) -> float:
        """The confidence level of each verdict in this interim analysis."""
        return self._level_at(self.look)

    def _level_at(self, look: int) -> float:
        """Return the confidence level of each verdict in the interim analysis with the number `look`."""
        return shared_level(max(self.raced - 1, 1), look)


def _can_compare(finalist: ConfirmedFinalist, reference: ConfirmedFinalist) -> bool:
    """Return whether a finalist is not the reference itself and shares at least two seeds with the reference."""
    return finalist is not reference and finalist.has_seeds_of(reference)


def _complexities(confirmed: Sequence[ConfirmedFinalist]) -> list[int]:
    """Return the complexity of each finalist: how many techniques it has.

    For a HyperModel with hyperparameters of its own, the complexity is the number of values that differ from the
    defaults.
    """
    configurations = [one.finalist.settings for one in confirmed]
    defaults = next((one.finalist.settings for one in confirmed if one.finalist.is_baseline), None)
    return [_complexity(configuration, defaults) for configuration in configurations]


def _complexity(configuration: Configuration, defaults: Configuration | None) -> int:
    """Return the complexity of one configuration; see `_complexities`."""
    if isinstance(configuration, HyperparameterValues):
        return configuration.distance(defaults) if isinstance(defaults, HyperparameterValues) else 0
    return configuration.complexity
