"""Holds the confirmed finalists against early stopping alone and against the baseline, by figures on the test rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from regsearch.studies import objectives
from regsearch.studies.analysis.conclusion import FinalistResult, Gain
from regsearch.studies.analysis.confirmed_finalist import ConfirmedFinalist, select_loss
from regsearch.studies.analysis.finalists import STOPPING_ALONE
from regsearch.studies.analysis.race import Drop
from regsearch.studies.analysis.verdicts import Judgement, is_share_of_missing, judge, judge_means, smallest_gain
from regsearch.studies.configuration import HyperparameterValues
from regsearch.studies.search_space import Regularization
from regsearch.studies.spec import StudySpec
from regsearch.studies.statistics import (
    choose_winner,
    choose_winner_by_seeds,
    crossed_interval,
    gain,
    shared_level,
)

LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class FinalistJudge:
    """Judges the finalists of one study.

    Attributes:
        spec: the study.
        confirmed: finalists whose seeds all trained and were shown the test rows; at least one.
        raced: how many finalists began; all of them share the risk.
        look: the latest whole look, counted from 1.
    """

    spec: StudySpec
    confirmed: Sequence[ConfirmedFinalist]
    raced: int
    look: int

    @cached_property
    def seeds(self) -> int:
        """On how many seeds those were trained that no race dropped."""
        return max(len(one.trainings) for one in self.confirmed)

    @cached_property
    def baseline(self) -> ConfirmedFinalist | None:
        """No regularization at all, or a HyperModel's defaults."""
        return next((one for one in self.confirmed if one.finalist.is_baseline), None)

    @cached_property
    def stopping(self) -> ConfirmedFinalist | None:
        """Early stopping alone, at the patience that did best."""
        return min(
            (one for one in self.confirmed if STOPPING_ALONE in one.finalist.roles),
            key=lambda one: (-len(one.trainings), one.select_loss(self.spec.search.objective)),
            default=None,
        )

    @cached_property
    def has_metric(self) -> bool:
        """Whether verdicts go by a metric that has no figure for each row; a loss has one, the cross-entropy."""
        objective = self.spec.search.objective
        is_loss = objectives.metric_of(objective).removeprefix("val_") == "loss"
        if objective in objectives.OURS or self.spec.search.by_accuracy or is_loss:
            return False
        return all(one.has_objectives for one in self.confirmed)

    @cached_property
    def ranks_by_metric(self) -> bool:
        """Whether finalists are ranked by a metric on the select rows, as `select_loss` does; a loss is one, too."""
        if self.spec.search.objective in objectives.OURS or self.spec.search.by_accuracy:
            return False
        trainings = (training for one in self.confirmed for training in one.trainings)
        return all(training.figures["objective"] is not None for training in trainings)

    @cached_property
    def smallest_gain(self) -> float | None:
        """The smallest gain that matters, in the unit that verdicts go by; None if there is no reference."""
        return None if self._reference_loss is None else smallest_gain(self.spec, self._reference_loss)

    @cached_property
    def is_share_of_missing(self) -> bool:
        """Whether the smallest gain is a share of what is missing to 1, as of AUC."""
        loss = self._reference_loss
        return self.has_metric and loss is not None and is_share_of_missing(self.spec, loss)

    @cached_property
    def winner(self) -> tuple[ConfirmedFinalist, list[ConfirmedFinalist]]:
        """The simplest of those that are the best on the select rows or tied with it, and all of those."""
        running = [one for one in self.confirmed if len(one.trainings) == self.seeds]
        complexities = _complexities(running)
        if self.spec.confirm.split == "drawn":  # the rows of each seed are others
            objective = self.spec.search.objective
            losses = [[select_loss(training.figures, objective) for training in one.trainings] for one in running]
            chosen = choose_winner_by_seeds(np.array(losses), complexities)
        else:
            by_accuracy = self.spec.search.by_accuracy
            rows = np.array([one.select_errors if by_accuracy else one.select_losses for one in running])
            chosen = choose_winner(rows, complexities)
        return running[chosen.index], [running[index] for index in chosen.tied]

    def judgement(self, one: ConfirmedFinalist, other: ConfirmedFinalist | None) -> Judgement | None:
        """Return the verdict on one against another, on the seeds that both have; None against itself or nothing."""
        if self.smallest_gain is None or other is None or other is one or not one.has_seeds_of(other):
            return None
        if self.has_metric:
            gained = other.objectives_on_seeds_of(one) - one.objectives_on_seeds_of(other)
            return judge_means(gained, self.smallest_gain, self._level)
        by_accuracy = self.spec.search.by_accuracy
        ours, theirs = (pair[by_accuracy] for pair in (one.on_seeds_of(other), other.on_seeds_of(one)))
        return judge(theirs - ours, self.smallest_gain, self._level, self._level_at(self.look + 1))

    def result(self, one: ConfirmedFinalist, drops: Mapping[int, Drop]) -> FinalistResult:
        """Return a finalist's figures.

        Args:
            one: the finalist.
            drops: of a race, by finalist.
        """
        # without drawn splits the winner was chosen by the rows' own figures
        by_metric = self.ranks_by_metric and self.spec.confirm.split == "drawn"
        return FinalistResult(
            finalist=one.finalist,
            select_cross_entropy=one.mean("select_cross_entropy"),
            select_accuracy=one.mean("select_accuracy"),
            train_cross_entropy=one.mean("train_cross_entropy"),
            test_cross_entropy=crossed_interval(one.test_losses, LEVEL),
            test_accuracy=crossed_interval(1 - one.test_errors, LEVEL),
            gain=self._gain(one, self.baseline),
            gain_over_early_stopping=None if one is self.baseline else self._gain(one, self.stopping),
            best_epochs=tuple(training.figures["best_epoch"] for training in one.trainings),
            epochs=tuple(training.figures["epochs"] for training in one.trainings),
            is_tied=one in self.winner[1],
            select_cross_entropies=tuple(map(float, one.select_losses.mean(axis=1))),
            select_accuracies=tuple(map(float, 1 - one.select_errors.mean(axis=1))),
            dropped=drops.get(one.finalist.index) if len(one.trainings) < self.seeds else None,
            metric_over_baseline=self.judgement(one, self.baseline) if self.has_metric else None,
            select_objective=one.select_loss(self.spec.search.objective) if by_metric else None,
        )

    def _gain(self, one: ConfirmedFinalist, other: ConfirmedFinalist | None) -> Gain | None:
        """Return what one gains over another on the seeds that both have; None over itself or nothing."""
        if other is None or other is one or not one.has_seeds_of(other):
            return None
        (losses, errors), (their_losses, their_errors) = one.on_seeds_of(other), other.on_seeds_of(one)
        return Gain(
            cross_entropy=gain(losses, their_losses, self._level), accuracy=gain(errors, their_errors, self._level)
        )

    @cached_property
    def _reference_loss(self) -> float | None:
        reference = self.stopping or self.baseline
        if reference is None:
            return None
        losses = reference.objectives if self.has_metric else reference.judged(self.spec.search.by_accuracy)
        return float(losses.mean())

    @cached_property
    def _level(self) -> float:
        return self._level_at(self.look)

    def _level_at(self, look: int) -> float:
        return shared_level(max(self.raced - 1, 1), look)


def _complexities(confirmed: Sequence[ConfirmedFinalist]) -> list[int]:
    """Return how much each needs: its techniques, or of a HyperModel's own settings, how many aren't its defaults."""
    defaults = next((one.finalist.settings for one in confirmed if one.finalist.is_baseline), None)
    return [
        settings.complexity
        if isinstance(settings, Regularization)
        else settings.distance(defaults)
        if isinstance(defaults, HyperparameterValues)
        else 0
        for settings in (one.finalist.settings for one in confirmed)
    ]
