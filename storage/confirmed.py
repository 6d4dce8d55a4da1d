"""Reads a confirmation and draws the study's conclusion from the per-row figures that it kept."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select

from storage.confirmation import read_finalists
from storage.confirmation_damage import STATES, check_confirmation
from storage.database import Database
from storage.finalists import Finalist
from storage.queries import StudyRecord, TrialRecord, list_trials
from storage.reports.conclusion import Conclusion, FinalistResult, Gain, TechniqueRow
from storage.reports.status import ConfirmationProgress
from storage.tables import ConfirmationRow, LookRow
from studies.rows import RowFigures
from studies.settings import NamedSettings
from studies.space import LABELS, Regularization
from studies.statistics import choose_winner, crossed_interval, gains_over
from studies.tuning import Tuning, tunings

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
        trainings = _trainings(connection, study.study_uuid)
        look = _latest_whole_look(trainings)
        if look is None:
            return None
        seen = [training for training in trainings if training.look <= look]
        conclusion = _conclude(finalists, seen, study.spec.search.by_accuracy)
    if conclusion is None:
        return None
    if conclusion.techniques:
        tried = list_trials(database, study) if trials is None else trials
        conclusion = _with_tunings(conclusion, tunings(tried, study.spec.space, maximizes=study.spec.search.maximizes))
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


@dataclass(frozen=True, kw_only=True)
class _Training:
    """One finalist on one fresh seed, as it is stored; `test` is None before its test look has ended."""

    finalist: int
    seed: int
    look: int
    state: str
    reason: str | None
    began_looking: bool
    figures: Mapping[str, Any]
    select: RowFigures | None
    test: RowFigures | None


@dataclass(frozen=True, kw_only=True)
class _Confirmed:
    """A finalist whose seeds all trained and were shown the test rows."""

    finalist: Finalist
    trainings: Sequence[_Training]

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

    def mean(self, figure: str) -> float:
        """Return the mean over seeds of one of a training's figures."""
        return float(np.mean([training.figures[figure] for training in self.trainings]))


def _trainings(connection: Connection, uuid: str) -> list[_Training]:
    table: Any = ConfirmationRow.__table__
    looks: Any = LookRow.__table__
    rows = connection.execute(
        select(table, looks.c.began_at, looks.c.ended_at, looks.c.test_rows)
        .outerjoin_from(
            table,
            looks,
            (table.c.study_uuid == looks.c.study_uuid)
            & (table.c.finalist == looks.c.finalist)
            & (table.c.seed == looks.c.seed),
        )
        .where(table.c.study_uuid == uuid)
        .order_by(table.c.finalist, table.c.seed)
    )
    return [
        _Training(
            finalist=row.finalist,
            seed=row.seed,
            look=row.look,
            state=row.state,
            reason=row.reason,
            began_looking=row.began_at is not None,
            figures=dict(row._mapping),
            select=None if row.select_rows is None else RowFigures.from_bytes(row.select_rows),
            test=None if row.test_rows is None else RowFigures.from_bytes(row.test_rows),
        )
        for row in rows
    ]


def _latest_whole_look(trainings: Sequence[_Training]) -> int | None:
    """Return the last look up to which everything that can end has ended."""
    out = {training.finalist for training in trainings if training.state == "failed"}
    open_looks = [t.look for t in trainings if t.finalist not in out and t.test is None]
    last = max(training.look for training in trainings)
    whole = min(open_looks, default=last + 1) - 1
    return whole if whole >= 1 and any(t.test is not None for t in trainings if t.look <= whole) else None


def _conclude(finalists: Sequence[Finalist], trainings: Sequence[_Training], by_accuracy: bool) -> Conclusion | None:
    failed = {t.finalist: f"seed {t.seed}: {t.reason}" for t in reversed(trainings) if t.state == "failed"}
    seeds = {finalist.index: {t.seed for t in trainings if t.finalist == finalist.index} for finalist in finalists}
    in_play = [finalist for finalist in finalists if seeds[finalist.index] and finalist.index not in failed]
    common = set.intersection(*(seeds[finalist.index] for finalist in in_play)) if in_play else set()
    if len(common) < 2:
        return None
    confirmed = [
        _Confirmed(
            finalist=finalist,
            trainings=[t for t in trainings if t.finalist == finalist.index and t.seed in common],
        )
        for finalist in in_play
    ]
    chosen = choose_winner(
        np.array([one.select_errors if by_accuracy else one.select_losses for one in confirmed]),
        _complexities([one.finalist for one in confirmed]),
    )
    baseline = next((i for i, one in enumerate(confirmed) if one.finalist.is_baseline), None)
    gains = _gains(confirmed, baseline)
    results = tuple(
        _result(one, gained, i in chosen.tied) for i, (one, gained) in enumerate(zip(confirmed, gains, strict=True))
    )
    stopped = next((row.result for row in _techniques(results, by_accuracy) if row.technique == "early stopping"), None)
    over = _gains(confirmed, None if stopped is None else results.index(stopped))
    results = tuple(
        result if i == baseline else replace(result, over_early_stopping=over[i]) for i, result in enumerate(results)
    )
    winner = results[chosen.index]
    return Conclusion(
        winner=winner,
        baseline=None if baseline is None else results[baseline],
        results=results,
        failed=tuple((finalist, failed[finalist.index]) for finalist in finalists if finalist.index in failed),
        techniques=_techniques(results, by_accuracy),
        claims_gain=winner.gain is not None and _of(winner.gain, by_accuracy).is_above(0),
        level=LEVEL,
        seeds=len(common),
        select_rows=confirmed[0].select_losses.shape[1],
        test_rows=confirmed[0].test_losses.shape[1],
        looks=max(training.look for training in trainings),
        evaluations=sum(training.began_looking for training in trainings),
        by_accuracy=by_accuracy,
    )


def _with_tunings(conclusion: Conclusion, found: Iterable[Tuning]) -> Conclusion:
    """Return a conclusion that knows how well each of its techniques was tuned."""
    of_technique = {tuning.technique: tuning for tuning in found}
    rows = (replace(row, tuning=of_technique.get(row.technique)) for row in conclusion.techniques)
    return replace(conclusion, techniques=tuple(rows))


def _with_ledger(conclusion: Conclusion, trainings: Sequence[_Training]) -> Conclusion:
    """Return a conclusion that counts every test look, also those that have begun and not ended."""
    begun = {training.look for training in trainings if training.began_looking and training.look > conclusion.looks}
    return replace(
        conclusion,
        looks=conclusion.looks + len(begun),
        unfinished_looks=len(begun),
        evaluations=sum(training.began_looking for training in trainings),
    )


def _gains(confirmed: Sequence[_Confirmed], index: int | None) -> list[Gain | None]:
    """Return what each gains over the one at an index; None for that itself, and for all where there is none."""
    if index is None or len(confirmed) < 2:
        return [None] * len(confirmed)
    losses = gains_over(np.array([one.test_losses for one in confirmed]), index, LEVEL)
    errors = gains_over(np.array([one.test_errors for one in confirmed]), index, LEVEL)
    gains = [Gain(cross_entropy=loss, accuracy=error) for loss, error in zip(losses, errors, strict=True)]
    return [None if i == index else gained for i, gained in enumerate(gains)]


def _result(one: _Confirmed, gained: Gain | None, is_tied: bool) -> FinalistResult:
    return FinalistResult(
        finalist=one.finalist,
        select_cross_entropy=one.mean("select_cross_entropy"),
        select_accuracy=one.mean("select_accuracy"),
        train_cross_entropy=one.mean("train_cross_entropy"),
        test_cross_entropy=crossed_interval(one.test_losses, LEVEL),
        test_accuracy=crossed_interval(1 - one.test_errors, LEVEL),
        gain=gained,
        best_epochs=tuple(training.figures["best_epoch"] for training in one.trainings),
        epochs=tuple(training.figures["epochs"] for training in one.trainings),
        is_tied=is_tied,
        select_cross_entropies=tuple(map(float, one.select_losses.mean(axis=1))),
        select_accuracies=tuple(map(float, 1 - one.select_errors.mean(axis=1))),
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
        technique: min(alone, key=lambda result: result.select_loss(by_accuracy))
        for technique, alone in of_technique.items()
    }
    return tuple(TechniqueRow(technique=technique, result=best.get(technique)) for technique in LABELS)


def _of(gained: Gain, by_accuracy: bool) -> Any:
    return gained.accuracy if by_accuracy else gained.cross_entropy
