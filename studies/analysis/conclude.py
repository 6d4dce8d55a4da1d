"""Draws the conclusion of a study from the trainings of its finalists, without access to the database.

A look is an interim analysis: an evaluation of the finalists on the test set. A study may have several looks, which
are numbered from 1.
"""

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
    """Draw the conclusion of the latest interim analysis that has ended.

    Args:
        spec: the study.
        finalists: all finalists, ordered by index.
        trainings: all trainings of the finalists, ordered by finalist and seed, including unfinished trainings.
        drops: the finalists that the race dropped. The keys are the numbers of the interim analyses. Empty if there is
            no race.

    Returns None if no interim analysis has ended, or if no finalist has trained on at least two seeds.
    """
    last = latest_completed_look(trainings)
    if last is None:
        return None
    ended = [training for training in trainings if training.look <= last]
    failed = {t.finalist: f"seed {t.seed}: {t.reason}" for t in reversed(ended) if t.state == "failed"}
    confirmed = _confirmed([finalist for finalist in finalists if finalist.index not in failed], ended)
    if not confirmed:
        return None
    judge = FinalistJudge(
        spec=spec,
        confirmed=confirmed,
        raced=len({training.finalist for training in ended}),
        look=max(training.look for training in ended),
    )
    dropped = {drop.index: drop for look, of_look in drops.items() if look <= last for drop in of_look}
    conclusion = _conclusion(judge, dropped)
    failures = tuple((finalist, failed[finalist.index]) for finalist in finalists if finalist.index in failed)
    return _with_ledger(replace(conclusion, failed=failures), trainings)


def latest_completed_look(trainings: Sequence[Training]) -> int | None:
    """Return the number of the latest interim analysis that has ended; None if none has ended.

    All earlier interim analyses must have ended, too. If one training of a finalist failed, an interim analysis can end
    without the finalist's other trainings.
    """
    failed = {training.finalist for training in trainings if training.state == "failed"}
    open_looks = [t.look for t in trainings if t.finalist not in failed and t.test is None]
    last = max(training.look for training in trainings)
    completed = min(open_looks, default=last + 1) - 1
    has_result = any(t.test is not None for t in trainings if t.look <= completed)
    return completed if completed >= 1 and has_result else None


def with_tunings(conclusion: Conclusion, tunings: Iterable[Tuning]) -> Conclusion:
    """Return the conclusion with the tuning of each technique added to the technique's row."""
    of_technique = {tuning.technique: tuning for tuning in tunings}
    rows = (replace(row, tuning=of_technique.get(row.technique)) for row in conclusion.techniques)
    return replace(conclusion, techniques=tuple(rows))


def _confirmed(finalists: Iterable[Finalist], trainings: Sequence[Training]) -> list[ConfirmedFinalist]:
    """Return each finalist that has at least two trainings, with its trainings; one training gives no interval."""
    confirmed = (
        ConfirmedFinalist(finalist=finalist, trainings=[t for t in trainings if t.finalist == finalist.index])
        for finalist in finalists
    )
    return [finalist for finalist in confirmed if len(finalist.trainings) > 1]


def _conclusion(judge: FinalistJudge, drops: Mapping[int, Drop]) -> Conclusion:
    """Return the conclusion from the confirmed finalists; the caller fills in `failed` and `evaluations`."""
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
    """Return a row for each technique, with the verdicts; no rows if a HyperModel has hyperparameters of its own."""
    if any(isinstance(result.finalist.settings, HyperparameterValues) for result in results.values()):
        return ()
    best = _best_of_techniques(list(results.values()), judge.spec.search.by_accuracy)
    return tuple(_technique_row(technique, best.get(technique), judge) for technique in LABELS)


def _technique_row(technique: str, result: FinalistResult | None, judge: FinalistJudge) -> TechniqueRow:
    """Return the row of a technique; `result` belongs to the technique's best finalist, and is None without one."""
    if result is None:
        return TechniqueRow(technique=technique, result=None)
    finalist = next(one for one in judge.confirmed if one.finalist.index == result.finalist.index)
    return TechniqueRow(
        technique=technique,
        result=result,
        over_early_stopping=judge.compare(finalist, judge.early_stopping_alone),
        over_baseline=judge.compare(finalist, judge.baseline),
    )


def _best_of_techniques(results: Iterable[FinalistResult], by_accuracy: bool) -> dict[str | None, FinalistResult]:
    """Return the best result of each technique alone: most seeds, then the lowest loss on the selection split."""
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
    """Return the conclusion with the number of all test evaluations, including unfinished ones."""
    unfinished = {t.look for t in trainings if t.began_looking and t.look > conclusion.looks}
    return replace(
        conclusion,
        looks=conclusion.looks + len(unfinished),
        unfinished_looks=len(unfinished),
        evaluations=sum(training.began_looking for training in trainings),
    )
