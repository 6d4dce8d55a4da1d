"""The rounds of a race in the database: when a round is complete, what it decides, and what to train next.

The transaction that ends a round's last training also writes the round's decision, its reasons and the next trainings.
So the decision depends only on the losses, and not on the number of workers or on interruptions.
"""

import json
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy
from sqlalchemy import insert, select

from ..studies.analysis.confirmed_finalist import select_loss
from ..studies.analysis.finalists import ALONE, BASELINES, STOPPING_ALONE, Finalist
from ..studies.analysis.race import Contender, Drop, Part, decide, round_ends
from ..studies.analysis.verdicts import smallest_gain
from ..studies.spec import StudySpec
from ..studies.statistics import Interval
from ..studies.trial import TrainingId
from .new_study import utc_now
from .tables import ConfirmationRow, RoundRow

_rounds: Any = RoundRow.__table__
_table: Any = ConfirmationRow.__table__

_DECIDING = tuple(
    _table.c[name]
    for name in ("finalist", "seed", "look", "state", "select_cross_entropy", "select_accuracy", "objective")
)
"""The columns that a decision needs, without the scores of each example, which may be megabytes."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """What was decided at the end of a round.

    Attributes:
        number: the number of the round, counted from 0 over all test analyses.
        look: the number of the test analysis that the round belongs to, counted from 1.
        seeds: the number of seeds on which each finalist in the race was trained by the end of the round.
        most_seeds: the largest number of seeds for a finalist, as the user had requested.
        is_over: whether no further round followed.
        drops: the finalists that get no more seeds, with the reasons.
    """

    number: int
    look: int
    seeds: int
    most_seeds: int
    is_over: bool
    drops: tuple[Drop, ...]


def read_rounds(connection: sqlalchemy.Connection, study_uuid: str) -> list[Round]:
    """Return a study's rounds in order; raises ValueError if one can't be read."""
    rows = connection.execute(select(_rounds).where(_rounds.c.study_uuid == study_uuid).order_by(_rounds.c.round)).all()
    return [
        Round(
            number=row.round,
            look=row.look,
            seeds=row.seeds,
            most_seeds=row.most_seeds,
            is_over=row.is_over,
            drops=read_drops(row.drops),
        )
        for row in rows
    ]


def read_drops(text: str) -> tuple[Drop, ...]:
    """Return the dropped finalists of a round from its JSON text; raises ValueError if the text is damaged."""
    try:
        drops = tuple(Drop(**{**drop, "behind": Interval(**drop["behind"])}) for drop in json.loads(text))
        for drop in drops:
            figures = (drop.index, drop.than, drop.seeds, *vars(drop.behind).values())
            if not math.isfinite(sum(figures)) or not isinstance(drop.reason, str):
                raise ValueError
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"its drops are {text:.50}") from error
    return drops


def first_trainings(
    known: int, new: int, trainings: Sequence[Any], rounds: Sequence[Round], seeds: int, revived: Collection[int]
) -> list[TrainingId]:
    """Return the trainings that a race needs next and that are not planned yet.

    A race that has ended continues only if `seeds` has changed and is larger than the number of seeds used so far. New
    finalists are first trained on all seeds that the others had. The same holds for dropped finalists that return.

    Args:
        known: the number of finalists so far.
        new: the number of finalists that this plan adds.
        trainings: the rows of the planned trainings, with finalist, seed and state.
        rounds: the rounds that have ended.
        seeds: the largest number of seeds for a finalist.
        revived: the dropped finalists that return if the race continues.
    """
    later = set(range(known, known + new))
    if not trainings:
        return missing_trainings(later, round_ends(seeds)[0], planned=())
    reached = 1 + max(row.seed for row in trainings)
    planned = {TrainingId(row.finalist, row.seed) for row in trainings}
    failed = {row.finalist for row in trainings if row.state == "failed"}
    is_under_way = any(row.state in ("waiting", "running") for row in trainings if row.finalist not in failed)
    target, running = reached, later
    if not is_under_way:
        running = later | _void(rounds, failed)
        asked_before = rounds[-1].most_seeds if rounds else reached
        if reached < seeds != asked_before:
            target = next(end for end in round_ends(seeds) if end > reached)
            dropped = {drop.index for drop in rounds[-1].drops} if rounds else set()
            still_in = {f for f in range(known) if all(TrainingId(f, seed) in planned for seed in range(reached))}
            running |= (still_in - dropped) | ({*revived} - failed)
    return missing_trainings(running, target, planned)


def missing_trainings(finalists: Iterable[int], seeds: int, planned: Collection[TrainingId]) -> list[TrainingId]:
    """Return the trainings of finalists on the seeds below `seeds`, without those that are planned already."""
    trainings = (TrainingId(finalist, seed) for finalist in sorted(finalists) for seed in range(seeds))
    return [training for training in trainings if training not in planned]


def _void(rounds: Iterable[Round], failed: Collection[int]) -> set[int]:
    """Return the finalists that were dropped because they were behind another one, which has failed since."""
    latest = {drop.index: drop for ended in rounds for drop in ended.drops}
    return {drop.index for drop in latest.values() if drop.than in failed} - {*failed}


def end_round(
    connection: sqlalchemy.Connection,
    study_uuid: str,
    spec: StudySpec,
    finalists: Sequence[Finalist],
    seeds: int,
) -> tuple[Round | None, list[TrainingId]]:
    """Decide a round if it is complete; return the decision, or None, and the trainings that follow.

    A round is complete when its last training has ended. If a finalist has failed, the finalists that were dropped
    because they were behind it return. They are trained on the seeds that they lack before the round is decided.

    Args:
        connection: the connection of the transaction that ended a training.
        study_uuid: the UUID of the study.
        spec: the definition of the study.
        finalists: the study's finalists, by index.
        seeds: the largest number of seeds for a finalist.
    """
    trainings = connection.execute(select(*_DECIDING).where(_table.c.study_uuid == study_uuid)).all()
    failed = {row.finalist for row in trainings if row.state == "failed"}
    left = [row for row in trainings if row.finalist not in failed]
    if any(row.state in ("waiting", "running") for row in left):
        return None, []
    reached = 1 + max(row.seed for row in trainings)
    rounds = read_rounds(connection, study_uuid)
    planned = {TrainingId(row.finalist, row.seed) for row in trainings}
    revived = missing_trainings(_void(rounds, failed), reached, planned)
    if revived:
        return None, revived
    contenders = _contenders(left, finalists, reached, spec)
    ended = _decide_round(len(rounds), trainings, contenders, finalists, spec, seeds)
    connection.execute(insert(_rounds).values(study_uuid=study_uuid, ended_at=utc_now(), **_columns(ended)))
    return ended, [] if ended.is_over else _next_trainings(ended, contenders, seeds)


def _decide_round(
    number: int,
    trainings: Sequence[Any],
    contenders: Sequence[Contender],
    finalists: Sequence[Finalist],
    spec: StudySpec,
    seeds: int,
) -> Round:
    """Return the decision of a complete round, which depends on the losses.

    Args:
        number: the number of the round, counted from 0.
        trainings: the rows of all trainings so far, also of failed finalists.
        contenders: the finalists that are trained on all seeds so far.
        finalists: the study's finalists, by index.
        spec: the definition of the study.
        seeds: the largest number of seeds for a finalist.
    """
    reached, look = 1 + max(row.seed for row in trainings), max(row.look for row in trainings)
    is_over = True
    drops: tuple[Drop, ...] = ()
    if reached < seeds and contenders:
        reference = reference_of(contenders, finalists)
        gain = smallest_gain(spec, _mean_loss(contenders, reference))
        raced = len({row.finalist for row in trainings})
        decision = decide(contenders, reference, raced, gain, settles_techniques=look > 1)
        is_over, drops = decision.is_over, decision.drops
    return Round(number=number, look=look, seeds=reached, most_seeds=max(seeds, reached), is_over=is_over, drops=drops)


def _next_trainings(ended: Round, contenders: Iterable[Contender], seeds: int) -> list[TrainingId]:
    """Return the trainings of the next round: all contenders that were not dropped, on the seeds of that round."""
    target = next(end for end in round_ends(seeds) if end > ended.seeds)
    dropped = {drop.index for drop in ended.drops}
    remaining = [contender.index for contender in contenders if contender.index not in dropped]
    return [TrainingId(finalist, seed) for finalist in remaining for seed in range(ended.seeds, target)]


def reference_of(contenders: Iterable[Contender], finalists: Sequence[Finalist]) -> int | None:
    """Return the index of the finalist to compare others with: early stopping alone, else the baseline, else None."""
    ranked = sorted(contenders, key=lambda contender: sum(contender.losses))
    stopping = (one.index for one in ranked if STOPPING_ALONE in finalists[one.index].roles)
    baseline = (one.index for one in ranked if finalists[one.index].is_baseline)
    return next(stopping, next(baseline, None))


def in_words(ended: Round | None, finalists: Sequence[Finalist], following: Sequence[TrainingId]) -> list[str]:
    """Return lines for the user about a decision: one for each dropped finalist, and one for the round."""
    remaining = len({finalist for finalist, _ in following})
    if ended is None:
        return [f"a finalist failed, so the finalists behind it return: {remaining} in all"] if following else []
    if ended.is_over:
        is_early = ended.seeds < ended.most_seeds
        return [f"after {ended.seeds} seeds no finalist needs more seeds: the race ends"] if is_early else []
    lines = [
        f"after {drop.seeds} seeds finalist {drop.index} ({finalists[drop.index].settings}) is dropped: {drop.reason}"
        for drop in ended.drops
    ]
    return [*lines, f"after {ended.seeds} seeds {remaining} finalists continue"]


def _contenders(rows: Iterable[Any], finalists: Sequence[Finalist], seeds: int, spec: StudySpec) -> list[Contender]:
    """Return the finalists that have been trained on all seeds so far, with their losses."""
    losses: dict[int, dict[int, float]] = {}
    for row in rows:
        losses.setdefault(row.finalist, {})[row.seed] = select_loss(row._mapping, spec.search.objective)
    return [
        Contender(index=index, part=_part(finalists[index]), losses=tuple(of_seed[seed] for seed in range(seeds)))
        for index, of_seed in sorted(losses.items())
        if len(of_seed) == seeds
    ]


def _part(finalist: Finalist) -> Part:
    if finalist.is_baseline or not BASELINES.isdisjoint(finalist.roles):
        return Part.REFERENCE
    return Part.TECHNIQUE if any(ALONE.fullmatch(role) for role in finalist.roles) else Part.CONFIGURATION


def _mean_loss(contenders: Iterable[Contender], reference: int | None) -> float:
    """Return the mean selection loss of the reference; without a reference, the smallest mean of all contenders."""
    means = {contender.index: sum(contender.losses) / len(contender.losses) for contender in contenders}
    return min(means.values()) if reference is None else means[reference]


def _columns(ended: Round) -> dict[str, Any]:
    return {
        "round": ended.number,
        "look": ended.look,
        "seeds": ended.seeds,
        "most_seeds": ended.most_seeds,
        "is_over": ended.is_over,
        "drops": json.dumps([asdict(drop) for drop in ended.drops], sort_keys=True),
    }
