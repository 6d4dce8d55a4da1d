"""Reads a confirmation and draws the study's conclusion from the per-row figures that it kept."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import func, select

from regsearch.storage.checks.confirmation import STATES, check_confirmation
from regsearch.storage.confirmation_store import read_finalists
from regsearch.storage.confirmed_trainings import read_trainings
from regsearch.storage.database import Database
from regsearch.storage.location import as_option
from regsearch.storage.queries import list_trials
from regsearch.storage.race_rounds import Round, read_rounds
from regsearch.storage.tables import ConfirmationRow, TestEvaluationRow
from regsearch.studies import objectives
from regsearch.studies.analysis.conclusion import Conclusion, FinalistResult, Gain, TechniqueRow
from regsearch.studies.analysis.confirmed_finalist import ConfirmedFinalist, Training
from regsearch.studies.analysis.finalist_judge import LEVEL, FinalistJudge
from regsearch.studies.analysis.finalists import Finalist
from regsearch.studies.analysis.tuning import Tuning, tunings
from regsearch.studies.analysis.verdicts import Verdict, share_of_smallest_gain
from regsearch.studies.configuration import HyperparameterValues
from regsearch.studies.records import ConfirmationProgress, StudyRecord, TrialRecord
from regsearch.studies.search_space import LABELS
from regsearch.studies.spec import StudySpec


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
    looks: Any = TestEvaluationRow.__table__
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
        ConfirmedFinalist(finalist=finalist, trainings=[t for t in trainings if t.finalist == finalist.index])
        for finalist in finalists
        if finalist.index not in failed
    ]
    confirmed = [one for one in confirmed if len(one.trainings) > 1]
    if not confirmed:
        return None
    look = max(training.look for training in trainings)
    raced = len({training.finalist for training in trainings})
    judge = FinalistJudge(spec=spec, confirmed=confirmed, raced=raced, look=look)
    drops = {drop.index: drop for ended in rounds for drop in ended.drops}
    results = {one.finalist.index: judge.result(one, drops) for one in confirmed}
    winner, baseline, by_accuracy = judge.winner[0], judge.baseline, spec.search.by_accuracy
    won, over_baseline = results[winner.finalist.index], judge.judgement(winner, baseline)
    metric = objectives.metric_of(spec.search.objective)
    return Conclusion(
        winner=won,
        baseline=None if baseline is None else results[baseline.finalist.index],
        results=tuple(results.values()),
        failed=tuple((finalist, failed[finalist.index]) for finalist in finalists if finalist.index in failed),
        techniques=_judged_techniques(judge, results),
        claims_gain=(over_baseline is not None and over_baseline.verdict is Verdict.HELPS)
        if judge.has_metric
        else won.gain is not None and _of(won.gain, by_accuracy).is_above(0),
        level=1 - (1 - LEVEL) / look,
        seeds=judge.seeds,
        select_rows=confirmed[0].select_losses.shape[1],
        test_rows=confirmed[0].test_losses.shape[1],
        looks=look,
        evaluations=sum(training.began_looking for training in trainings),
        by_accuracy=by_accuracy,
        smallest_gain=judge.smallest_gain or 0.0,
        smallest_gain_share=share_of_smallest_gain(spec),
        winner_over_early_stopping=judge.judgement(winner, judge.stopping),
        winner_over_baseline=over_baseline,
        is_race=spec.confirm.method == "race",
        has_drawn_splits=spec.confirm.split == "drawn",
        still_improving=judge.stopping is not None and judge.stopping.is_still_improving,
        metric=metric if judge.has_metric else None,
        select_metric=metric if judge.ranks_by_metric else None,
        is_share_of_missing=judge.is_share_of_missing,
    )


def _judged_techniques(judge: FinalistJudge, results: Mapping[int, FinalistResult]) -> tuple[TechniqueRow, ...]:
    """Return a row for each technique with the verdicts on it."""
    by_index = {one.finalist.index: one for one in judge.confirmed}

    def judged(row: TechniqueRow) -> TechniqueRow:
        if row.result is None:
            return row
        one = by_index[row.result.finalist.index]
        return replace(
            row,
            gain_over_early_stopping=judge.judgement(one, judge.stopping),
            over_baseline=judge.judgement(one, judge.baseline),
        )

    return tuple(map(judged, _techniques(tuple(results.values()), judge.spec.search.by_accuracy)))


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


def _techniques(results: Sequence[FinalistResult], by_accuracy: bool) -> tuple[TechniqueRow, ...]:
    """Return a row for each technique with the finalist that has it alone and is best on the select rows.

    There are none where the settings are a HyperModel's own.
    """
    of_technique: dict[str | None, list[FinalistResult]] = {}
    for result in results:
        settings = result.finalist.settings
        if isinstance(settings, HyperparameterValues):
            return ()
        of_technique.setdefault(settings.technique, []).append(result)
    best = {
        technique: min(alone, key=lambda result: (-result.seeds, result.select_loss(by_accuracy)))
        for technique, alone in of_technique.items()
    }
    return tuple(TechniqueRow(technique=technique, result=best.get(technique)) for technique in LABELS)


def _of(gained: Gain, by_accuracy: bool) -> Any:
    return gained.accuracy if by_accuracy else gained.cross_entropy
