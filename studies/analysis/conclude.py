"""Draws a study's conclusion from its finalists' trainings: rules over values, without a database."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from .. import objectives
from ..configuration import LABELS, HyperparameterValues
from ..spec import StudySpec
from .conclusion import Conclusion, FinalistResult, TechniqueRow
from .confirmed_finalist import ConfirmedFinalist, Training
from .finalist_judge import LEVEL, FinalistJudge
from .finalists import Finalist
from .race import Drop
from .tuning import Tuning
from .verdicts import Verdict, share_of_smallest_gain


def conclude(
    spec: StudySpec,
    finalists: Sequence[Finalist],
    trainings: Sequence[Training],
    drops: Mapping[int, Sequence[Drop]],
) -> Conclusion | None:
    """Draw the conclusion of the latest look of which every training has ended.

    Args:
        spec: of the study.
        finalists: all of them, by index.
        trainings: of the finalists, by finalist and seed, also those that have not ended.
        drops: whom a race dropped, by look; empty if there is no race.

    Returns None if no look has ended, or if no finalist has two seeds.
    """
    last = latest_completed_look(trainings)
    if last is None:
        return None
    seen = [training for training in trainings if training.look <= last]
    failed = {t.finalist: f"seed {t.seed}: {t.reason}" for t in reversed(seen) if t.state == "failed"}
    confirmed = _confirmed([finalist for finalist in finalists if finalist.index not in failed], seen)
    if not confirmed:
        return None
    judge = FinalistJudge(
        spec=spec,
        confirmed=confirmed,
        raced=len({training.finalist for training in seen}),
        look=max(training.look for training in seen),
    )
    dropped = {drop.index: drop for look, of_look in drops.items() if look <= last for drop in of_look}
    conclusion = _conclusion(judge, dropped)
    failures = tuple((finalist, failed[finalist.index]) for finalist in finalists if finalist.index in failed)
    return _with_ledger(replace(conclusion, failed=failures), trainings)


def latest_completed_look(trainings: Sequence[Training]) -> int | None:
    """Return the last look up to which everything that can end has ended; None if there is none.

    What is left of a finalist that failed cannot end.
    """
    out = {training.finalist for training in trainings if training.state == "failed"}
    open_looks = [t.look for t in trainings if t.finalist not in out and t.test is None]
    last = max(training.look for training in trainings)
    completed = min(open_looks, default=last + 1) - 1
    has_result = any(t.test is not None for t in trainings if t.look <= completed)
    return completed if completed >= 1 and has_result else None


def with_tunings(conclusion: Conclusion, tunings: Iterable[Tuning]) -> Conclusion:
    """Return a conclusion that knows how well the search tuned each of its techniques."""
    of_technique = {tuning.technique: tuning for tuning in tunings}
    rows = (replace(row, tuning=of_technique.get(row.technique)) for row in conclusion.techniques)
    return replace(conclusion, techniques=tuple(rows))


def _confirmed(finalists: Iterable[Finalist], trainings: Sequence[Training]) -> list[ConfirmedFinalist]:
    """Return the finalists with their trainings; one seed alone would give no interval."""
    confirmed = (
        ConfirmedFinalist(finalist=finalist, trainings=[t for t in trainings if t.finalist == finalist.index])
        for finalist in finalists
    )
    return [finalist for finalist in confirmed if len(finalist.trainings) > 1]


def _conclusion(judge: FinalistJudge, drops: Mapping[int, Drop]) -> Conclusion:
    """Return what the figures of the confirmed finalists say; `failed` is still empty."""
    spec, baseline, confirmed = judge.spec, judge.baseline, judge.confirmed
    results = {one.finalist.index: judge.summarize(one, drops) for one in confirmed}
    over_baseline = judge.compare(judge.winner, baseline)
    winner = results[judge.winner.finalist.index]
    metric = objectives.metric_of(spec.search.objective)
    conclusion = Conclusion(
        winner=winner,
        baseline=None if baseline is None else results[baseline.finalist.index],
        results=tuple(results.values()),
        failed=(),
        techniques=_technique_rows(judge, results),
        claims_gain=False,
        level=1 - (1 - LEVEL) / judge.look,
        seeds=judge.seeds,
        select_rows=confirmed[0].select_losses.shape[1],
        test_rows=confirmed[0].test_losses.shape[1],
        looks=judge.look,
        evaluations=0,
        by_accuracy=spec.search.by_accuracy,
        smallest_gain=judge.smallest_gain or 0.0,
        smallest_gain_share=share_of_smallest_gain(spec),
        winner_over_early_stopping=judge.compare(judge.winner, judge.early_stopping_alone),
        winner_over_baseline=over_baseline,
        is_race=spec.confirm.method == "race",
        has_drawn_splits=spec.confirm.split == "drawn",
        still_improving=judge.early_stopping_alone is not None and judge.early_stopping_alone.is_still_improving,
        metric=metric if judge.has_metric else None,
        select_metric=metric if judge.ranks_by_metric else None,
        is_share_of_missing=judge.is_share_of_missing,
    )
    helps = over_baseline is not None and over_baseline.verdict is Verdict.HELPS
    gains = winner.gain is not None and conclusion.objective_metric(winner.gain).is_above(0)
    return replace(conclusion, claims_gain=helps if judge.has_metric else gains)


def _technique_rows(judge: FinalistJudge, results: Mapping[int, FinalistResult]) -> tuple[TechniqueRow, ...]:
    """Return a row for each technique, with its verdicts; none for a HyperModel's own hyperparameter values."""
    if any(isinstance(result.finalist.settings, HyperparameterValues) for result in results.values()):
        return ()
    best = _best_of_techniques(list(results.values()), judge.spec.search.by_accuracy)
    return tuple(_technique_row(technique, best.get(technique), judge) for technique in LABELS)


def _technique_row(technique: str, result: FinalistResult | None, judge: FinalistJudge) -> TechniqueRow:
    if result is None:
        return TechniqueRow(technique=technique, result=None)
    finalist = next(one for one in judge.confirmed if one.finalist.index == result.finalist.index)
    return TechniqueRow(
        technique=technique,
        result=result,
        gain_over_early_stopping=judge.compare(finalist, judge.early_stopping_alone),
        over_baseline=judge.compare(finalist, judge.baseline),
    )


def _best_of_techniques(results: Iterable[FinalistResult], by_accuracy: bool) -> dict[str | None, FinalistResult]:
    """Return for each technique the result of the finalist that has it alone and is best on the selection split."""
    of_technique: dict[str | None, list[FinalistResult]] = {}
    for result in results:
        settings = result.finalist.settings
        if not isinstance(settings, HyperparameterValues):
            of_technique.setdefault(settings.technique, []).append(result)
    return {
        technique: min(alone, key=lambda result: (-result.seeds, result.select_loss(by_accuracy)))
        for technique, alone in of_technique.items()
    }


def _with_ledger(conclusion: Conclusion, trainings: Sequence[Training]) -> Conclusion:
    """Return a conclusion that counts every test evaluation, also those that have started and not ended."""
    unfinished = {t.look for t in trainings if t.began_looking and t.look > conclusion.looks}
    return replace(
        conclusion,
        looks=conclusion.looks + len(unfinished),
        unfinished_looks=len(unfinished),
        evaluations=sum(training.began_looking for training in trainings),
    )
