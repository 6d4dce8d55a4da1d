"""Reads a confirmation and draws the study's conclusion from the per-row figures that it kept."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sqlalchemy import func, select

from storage.confirmation import read_finalists
from storage.confirmation_damage import STATES, check_confirmation
from storage.database import Database
from storage.finalist_figures import Confirmed, Training, read_trainings
from storage.finalists import STOPPING_ALONE, Finalist
from storage.location import as_option
from storage.queries import StudyRecord, TrialRecord, list_trials
from storage.race_rounds import Round, read_rounds, select_loss
from storage.reports.conclusion import Conclusion, FinalistResult, Gain, TechniqueRow
from storage.reports.status import ConfirmationProgress
from storage.tables import ConfirmationRow, LookRow
from studies import objectives
from studies.settings import NamedSettings
from studies.space import LABELS, Regularization
from studies.spec import StudySpec
from studies.statistics import choose_winner, choose_winner_by_seeds, crossed_interval, gain, shared_level
from studies.tuning import Tuning, tunings
from studies.verdicts import (
    Judgement,
    Verdict,
    is_share_of_missing,
    judge,
    judge_means,
    share_of_smallest_gain,
    smallest_gain,
)

LEVEL = 0.95


def read_conclusion(
    database: Database, study: StudyRecord, trials: Sequence[TrialRecord] | None = None
) -> Conclusion | None:
    """Return what the latest whole look concludes; None where none is whole yet.

    Args:
        trials: of the study, if they were read already; they say how well each technique was tuned.
    """
    with database.read() as connection:
        check_confirmation(connection, study)
        finalists = read_finalists(connection, study.study_uuid)
        if not finalists:
            return None
        trainings = read_trainings(connection, study.study_uuid, -1 if study.spec.search.maximizes else 1)
        look = _latest_whole_look(trainings)
        if look is None:
            return None
        seen = [training for training in trainings if training.look <= look]
        rounds = [ended for ended in read_rounds(connection, study.study_uuid) if ended.look <= look]
        conclusion = _conclude(finalists, seen, study.spec, rounds)
    if conclusion is None:
        return None
    if conclusion.techniques:
        tried = list_trials(database, study) if trials is None else trials
        conclusion = _with_tunings(conclusion, tunings(tried, study.spec.space, maximizes=study.spec.search.maximizes))
    conclusion = replace(conclusion, storage_option=tuple(as_option(database.location)))
    return _with_ledger(conclusion, trainings)


def count_seeds(database: Database, study: StudyRecord) -> int:
    """Return on how many fresh seeds the study is confirmed, or is going to be; 0 before a confirmation."""
    planned = select(func.count(ConfirmationRow.seed.distinct())).where(ConfirmationRow.study_uuid == study.study_uuid)
    with database.read() as connection:
        return connection.execute(planned).scalar_one()


def read_confirmation_progress(database: Database, study: StudyRecord) -> ConfirmationProgress | None:
    """Return how far the confirmation is; None where none was begun."""
    table: Any = ConfirmationRow.__table__
    looks: Any = LookRow.__table__
    with database.read() as connection:
        trainings = connection.execute(
            select(table.c.finalist, table.c.state, looks.c.ended_at)
            .outerjoin_from(
                table,
                looks,
                (table.c.study_uuid == looks.c.study_uuid)
                & (table.c.finalist == looks.c.finalist)
                & (table.c.seed == looks.c.seed),
            )
            .where(table.c.study_uuid == study.study_uuid)
        ).all()
        if unknown := {row.state for row in trainings} - {*STATES}:
            raise ValueError(f"{study.name} has finalists in the state {unknown.pop()!r:.50}")
    if not trainings:
        return None
    out = {row.finalist for row in trainings if row.state == "failed"}
    return ConfirmationProgress(
        planned=len(trainings),
        trained=sum(row.state == "complete" for row in trainings),
        failed=sum(row.state == "failed" for row in trainings),
        looked=sum(row.ended_at is not None for row in trainings),
        left=sum(row.ended_at is None and row.finalist not in out for row in trainings),
    )


def _latest_whole_look(trainings: Sequence[Training]) -> int | None:
    """Return the last look up to which everything that can end has ended."""
    out = {training.finalist for training in trainings if training.state == "failed"}
    open_looks = [t.look for t in trainings if t.finalist not in out and t.test is None]
    last = max(training.look for training in trainings)
    whole = min(open_looks, default=last + 1) - 1
    return whole if whole >= 1 and any(t.test is not None for t in trainings if t.look <= whole) else None


def _conclude(
    finalists: Sequence[Finalist], trainings: Sequence[Training], spec: StudySpec, rounds: Sequence[Round]
) -> Conclusion | None:
    failed = {t.finalist: f"seed {t.seed}: {t.reason}" for t in reversed(trainings) if t.state == "failed"}
    confirmed = [
        Confirmed(finalist=finalist, trainings=[t for t in trainings if t.finalist == finalist.index])
        for finalist in finalists
        if finalist.index not in failed
    ]
    confirmed = [one for one in confirmed if len(one.trainings) > 1]
    if not confirmed:
        return None
    seeds = max(len(one.trainings) for one in confirmed)
    by_accuracy, look = spec.search.by_accuracy, max(training.look for training in trainings)
    compared = max(len({training.finalist for training in trainings}) - 1, 1)  # those that failed raced, too
    level, next_level = shared_level(compared, look), shared_level(compared, look + 1)
    baseline = next((one for one in confirmed if one.finalist.is_baseline), None)
    stopping = min(
        (one for one in confirmed if STOPPING_ALONE in one.finalist.roles),
        key=lambda one: (-len(one.trainings), one.select_loss(spec.search.objective)),
        default=None,
    )
    winner, tied = _winner([one for one in confirmed if len(one.trainings) == seeds], spec)
    drops = {drop.index: drop for ended in rounds for drop in ended.drops}
    results = {
        one.finalist.index: FinalistResult(
            finalist=one.finalist,
            select_cross_entropy=one.mean("select_cross_entropy"),
            select_accuracy=one.mean("select_accuracy"),
            train_cross_entropy=one.mean("train_cross_entropy"),
            test_cross_entropy=crossed_interval(one.test_losses, LEVEL),
            test_accuracy=crossed_interval(1 - one.test_errors, LEVEL),
            gain=_gain(one, baseline, level),
            over_early_stopping=None if one is baseline else _gain(one, stopping, level),
            best_epochs=tuple(training.figures["best_epoch"] for training in one.trainings),
            epochs=tuple(training.figures["epochs"] for training in one.trainings),
            is_tied=one in tied,
            select_cross_entropies=tuple(map(float, one.select_losses.mean(axis=1))),
            select_accuracies=tuple(map(float, 1 - one.select_errors.mean(axis=1))),
            dropped=drops.get(one.finalist.index) if len(one.trainings) < seeds else None,
        )
        for one in confirmed
    }
    reference = stopping or baseline
    has_metric = _is_judged_by_metric(spec) and all(one.has_objectives for one in confirmed)
    by_metric = _is_ranked_by_metric(spec, confirmed)
    least, is_of_missing = None, False
    if reference is not None:
        losses = reference.objectives if has_metric else reference.judged(by_accuracy)
        least = smallest_gain(spec, float(losses.mean()))
        is_of_missing = has_metric and is_share_of_missing(spec, float(losses.mean()))
    by_index = {one.finalist.index: one for one in confirmed}

    def judged(index: int, other: Confirmed | None) -> Judgement | None:
        one = by_index[index]
        if least is None or other is None or other is one or not one.has_seeds_of(other):
            return None
        if has_metric:
            return judge_means(other.objectives_on_seeds_of(one) - one.objectives_on_seeds_of(other), least, level)
        ours, theirs = (pair[by_accuracy] for pair in (one.on_seeds_of(other), other.on_seeds_of(one)))
        return judge(theirs - ours, least, level, next_level)

    if has_metric:
        results = {
            index: replace(result, metric_over_baseline=judged(index, baseline)) for index, result in results.items()
        }
    if by_metric and spec.confirm.split == "drawn":  # else the winner was chosen by the rows' own figures
        results = {
            index: replace(result, select_objective=by_index[index].select_loss(spec.search.objective))
            for index, result in results.items()
        }
    won = results[winner.finalist.index]
    over_baseline = judged(won.finalist.index, baseline)
    return Conclusion(
        winner=won,
        baseline=None if baseline is None else results[baseline.finalist.index],
        results=tuple(results.values()),
        failed=tuple((finalist, failed[finalist.index]) for finalist in finalists if finalist.index in failed),
        techniques=tuple(
            row
            if row.result is None
            else replace(
                row,
                over_early_stopping=judged(row.result.finalist.index, stopping),
                over_baseline=judged(row.result.finalist.index, baseline),
            )
            for row in _techniques(tuple(results.values()), by_accuracy)
        ),
        claims_gain=(over_baseline is not None and over_baseline.verdict is Verdict.HELPS)
        if has_metric
        else won.gain is not None and _of(won.gain, by_accuracy).is_above(0),
        level=1 - (1 - LEVEL) / look,
        seeds=seeds,
        select_rows=confirmed[0].select_losses.shape[1],
        test_rows=confirmed[0].test_losses.shape[1],
        looks=look,
        evaluations=sum(training.began_looking for training in trainings),
        by_accuracy=by_accuracy,
        smallest_gain=least or 0.0,
        smallest_gain_share=share_of_smallest_gain(spec),
        winner_over_early_stopping=judged(won.finalist.index, stopping),
        winner_over_baseline=over_baseline,
        is_race=spec.confirm.method == "race",
        has_drawn_splits=spec.confirm.split == "drawn",
        still_improving=stopping is not None and stopping.is_still_improving,
        metric=objectives.metric_of(spec.search.objective) if has_metric else None,
        select_metric=objectives.metric_of(spec.search.objective) if by_metric else None,
        is_share_of_missing=is_of_missing,
    )


def _is_judged_by_metric(spec: StudySpec) -> bool:
    """Return whether verdicts go by a metric that has no figure for each row; a loss has one, the cross-entropy."""
    objective = spec.search.objective
    is_loss = objectives.metric_of(objective).removeprefix("val_") == "loss"
    return objective not in objectives.OURS and not spec.search.by_accuracy and not is_loss


def _is_ranked_by_metric(spec: StudySpec, confirmed: Iterable[Confirmed]) -> bool:
    """Return whether a race compares by a metric on the select rows, as `select_loss` does; a loss is one, too."""
    if spec.search.objective in objectives.OURS or spec.search.by_accuracy:
        return False
    return all(training.figures["objective"] is not None for one in confirmed for training in one.trainings)


def _winner(running: Sequence[Confirmed], spec: StudySpec) -> tuple[Confirmed, list[Confirmed]]:
    """Return the simplest of those that are the best on the select rows or tied with it, and those."""
    complexities = _complexities([one.finalist for one in running])
    if spec.confirm.split == "drawn":  # the rows of each seed are others
        objective = spec.search.objective
        losses = [[select_loss(training.figures, objective) for training in one.trainings] for one in running]
        chosen = choose_winner_by_seeds(np.array(losses), complexities)
    else:
        by_accuracy = spec.search.by_accuracy
        rows = np.array([one.select_errors if by_accuracy else one.select_losses for one in running])
        chosen = choose_winner(rows, complexities)
    return running[chosen.index], [running[index] for index in chosen.tied]


def _gain(one: Confirmed, other: Confirmed | None, level: float) -> Gain | None:
    """Return what one gains over another on the seeds that both have; None over itself or nothing."""
    if other is None or other is one or not one.has_seeds_of(other):
        return None
    (losses, errors), (their_losses, their_errors) = one.on_seeds_of(other), other.on_seeds_of(one)
    return Gain(cross_entropy=gain(losses, their_losses, level), accuracy=gain(errors, their_errors, level))


def _with_tunings(conclusion: Conclusion, found: Iterable[Tuning]) -> Conclusion:
    """Return a conclusion that knows how well each of its techniques was tuned."""
    of_technique = {tuning.technique: tuning for tuning in found}
    rows = (replace(row, tuning=of_technique.get(row.technique)) for row in conclusion.techniques)
    return replace(conclusion, techniques=tuple(rows))


def _with_ledger(conclusion: Conclusion, trainings: Sequence[Training]) -> Conclusion:
    """Return a conclusion that counts every test look, also those that have begun and not ended."""
    begun = {training.look for training in trainings if training.began_looking and training.look > conclusion.looks}
    return replace(
        conclusion,
        looks=conclusion.looks + len(begun),
        unfinished_looks=len(begun),
        evaluations=sum(training.began_looking for training in trainings),
    )


def _complexities(finalists: Sequence[Finalist]) -> list[int]:
    """Return how much each needs: its techniques, or of a HyperModel's own settings, how many aren't its defaults."""
    defaults = next((finalist.settings for finalist in finalists if finalist.is_baseline), None)
    return [
        settings.complexity
        if isinstance(settings, Regularization)
        else settings.distance(defaults)
        if isinstance(defaults, NamedSettings)
        else 0
        for settings in (finalist.settings for finalist in finalists)
    ]


def _techniques(results: Sequence[FinalistResult], by_accuracy: bool) -> tuple[TechniqueRow, ...]:
    """Return a row for each technique with the finalist that has it alone and is best on the select rows.

    There are none where the settings are a HyperModel's own.
    """
    of_technique: dict[str | None, list[FinalistResult]] = {}
    for result in results:
        settings = result.finalist.settings
        if isinstance(settings, NamedSettings):
            return ()
        of_technique.setdefault(settings.technique, []).append(result)
    best = {
        technique: min(alone, key=lambda result: (-result.seeds, result.select_loss(by_accuracy)))
        for technique, alone in of_technique.items()
    }
    return tuple(TechniqueRow(technique=technique, result=best.get(technique)) for technique in LABELS)


def _of(gained: Gain, by_accuracy: bool) -> Any:
    return gained.accuracy if by_accuracy else gained.cross_entropy
