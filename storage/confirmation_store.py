"""Write a study's confirmation to the database.

Finalists are trained on fresh seeds. After the last training, all networks are evaluated on the test set. So no choice
depends on test results. A race plans its trainings in rounds (`storage/race_rounds.py`); others plan all first.

Test evaluations that are planned together are one *test analysis*. The columns `look` hold its number. If the user adds
seeds or finalists when test results are known, the new trainings belong to the next test analysis.
"""

import itertools
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy
from sqlalchemy import func, insert, select, update

from ..studies.analysis.finalists import Finalist
from ..studies.decision_log import log_decision
from ..studies.errors import SearchSpaceChangedError, one_line
from ..studies.example_scores import PerExampleScores
from ..studies.trial import (
    Done,
    DoneReason,
    EpochDecision,
    EpochMetrics,
    NextStep,
    Outcome,
    Purpose,
    StudyProgress,
    TestEvaluation,
    TrainingId,
    TrialOutcome,
    TrialTask,
    Value,
    Wait,
)
from . import race_rounds
from .new_study import utc_now
from .study_store import MOST_ATTEMPTS, StudyStore
from .tables import ConfirmationEpochRow, ConfirmationRow, FinalistRow, TestEvaluationRow

_FIGURES = ("train_loss", "stop_loss", "stop_cross_entropy", "stop_accuracy")

_table: Any = ConfirmationRow.__table__
_looks: Any = TestEvaluationRow.__table__


@dataclass(frozen=True, kw_only=True)
class _EndedRound:
    """What a race decides when a training ends.

    Attributes:
        round: the round that this training completed; None if it completed none.
        lines: the decisions in words, for the user.
    """

    round: race_rounds.Round | None
    lines: list[str]


_NOTHING_ENDED = _EndedRound(round=None, lines=[])


class ConfirmationStore:
    """Writes the confirmation of one study, for the study's coordinator; `StudyStore` writes the trials.

    **Atomicity**, **Ownership** and **Crash behaviour** are those of `StudyStore`. The row of a test evaluation is
    written before the evaluation starts. So the database also shows an evaluation that was interrupted.

    Args:
        study: the store of the study, in which a run has begun.
        seed_of: takes the index of a fresh seed, counted from 0; returns the random seed of the training.
    """

    def __init__(self, study: StudyStore, seed_of: Callable[[int], int]) -> None:
        self._study = study
        self._uuid = study.study_uuid
        self._seed_of = seed_of
        self._seeds = study.spec.confirm.seeds
        self._news: list[str] = []

    def plan(self, chosen: Sequence[Finalist], seeds: int, revived: Collection[int] = ()) -> int:
        """Store new finalists and the trainings that can be planned now; return the number of the test analysis.

        A race plans only the trainings of its next round. Without a race, each finalist is trained on each seed. New
        trainings belong to the current test analysis. If an evaluation of it has started, they belong to the next one.

        Args:
            chosen: the finalists that were chosen from the trials so far; those that are stored already are ignored.
            seeds: the largest number of seeds for a finalist.
            revived: the indices of dropped finalists that rejoin the race if it continues.
        """
        self._seeds = seeds
        with self._study.transaction() as connection:
            known = read_finalists(connection, self._uuid)
            there = {finalist.settings for finalist in known}
            new = [finalist for finalist in chosen if finalist.settings not in there]
            trainings = connection.execute(self._of(_table, _table.c.finalist, _table.c.seed, _table.c.state)).all()
            if self._is_race:
                rounds = race_rounds.read_rounds(connection, self._uuid)
                missing = race_rounds.first_trainings(len(known), len(new), trainings, rounds, seeds, revived)
            else:
                planned = {TrainingId(row.finalist, row.seed) for row in trainings}
                missing = race_rounds.missing_trainings(range(len(known) + len(new)), seeds, planned)
            look: int = connection.execute(self._of(_table, func.coalesce(func.max(_table.c.look), 1))).scalar_one()
            if missing and self._was_shown(connection, look):
                look += 1
            for index, finalist in enumerate(new, start=len(known)):
                connection.execute(insert(FinalistRow).values(_row_of(finalist, self._uuid, index, look)))
            self._enter(connection, missing, look)
            return look

    def progress(self) -> StudyProgress:
        """Return how far the confirmation is; each training and each test evaluation counts as one step."""
        with self._study.transaction() as connection:
            rows = connection.execute(
                self._of(_table, _table.c.finalist, _table.c.state, _looks.c.ended_at).outerjoin_from(
                    _table, _looks, self._same_key()
                )
            ).all()
        failed = {row.finalist for row in rows if row.state == "failed"}
        trained = sum(row.state in ("complete", "failed") for row in rows)
        looked = sum(row.ended_at is not None for row in rows)
        to_train = sum(row.state in ("waiting", "running") for row in rows if row.finalist not in failed)
        to_look = sum(row.ended_at is None for row in rows if row.finalist not in failed)
        finished = trained + looked
        return StudyProgress(finished=finished, total=finished + to_train + to_look, best=None)

    def unfinished(self) -> list[TrialTask]:
        """Return the trainings and test evaluations that were running when the confirmation was interrupted."""
        with self._study.transaction() as connection:
            params = self._params(connection)
            running = connection.execute(
                self._of(_table, _table.c.finalist, _table.c.seed, _table.c.attempt).where(_table.c.state == "running")
            )
            tasks = [self._task(Purpose.CONFIRM, row, params) for row in running]
            looking = connection.execute(
                self._of(_looks, _looks.c.finalist, _looks.c.seed, _looks.c.attempt, _table.c.weights_sha256)
                .join_from(_looks, _table, self._same_key())
                .where(_looks.c.ended_at.is_(None), _table.c.state == "complete")
            )
            return [*tasks, *(self._task(Purpose.TEST, row, params) for row in looking)]

    def ask(self) -> NextStep:
        """Start the next training; after the last training has ended, start the next test evaluation.

        All finalists are trained on one seed before the next seed. A finalist that failed on one seed gets no further
        training and no test evaluation.
        """
        with self._study.transaction() as connection:
            step = self._next_step(connection)
        if isinstance(step, TrialTask):
            is_training = step.purpose == Purpose.CONFIRM
            log_decision(self._study.name, step, "handed out:", "training" if is_training else "test evaluation")
        return step

    def _next_step(self, connection: sqlalchemy.Connection) -> NextStep:
        params = self._params(connection)
        failed = self._of(_table, _table.c.finalist).where(_table.c.state == "failed")
        to_train = connection.execute(
            self._of(_table, _table.c.finalist, _table.c.seed, _table.c.attempt)
            .where(_table.c.state == "waiting", _table.c.finalist.not_in(failed))
            .order_by(_table.c.seed, _table.c.finalist)
        ).first()
        if to_train is not None:
            self._set(connection, _table, TrainingId(to_train.finalist, to_train.seed), state="running")
            return self._task(Purpose.CONFIRM, to_train, params)
        running = connection.execute(self._of(_table, func.count()).where(_table.c.state == "running")).scalar_one()
        if running:
            return Wait()
        to_evaluate = connection.execute(
            self._of(_table, _table.c.finalist, _table.c.seed, _table.c.weights_sha256)
            .outerjoin_from(_table, _looks, self._same_key())
            .where(_table.c.finalist.not_in(failed), _looks.c.seed.is_(None), _table.c.state == "complete")
            .order_by(_table.c.seed, _table.c.finalist)
        ).first()
        if to_evaluate is None:
            return Done(DoneReason.TOTAL)
        key = self._key(TrainingId(to_evaluate.finalist, to_evaluate.seed))
        connection.execute(insert(_looks).values(attempt=0, began_at=utc_now(), **key))
        return self._task(Purpose.TEST, to_evaluate, params)

    def suggest(self, task: TrialTask, name: str, distribution: str, default: Value) -> Value:
        """Raise SearchSpaceChangedError: all parameters of a finalist are fixed already."""
        raise SearchSpaceChangedError(f"it asks for the parameter {name}, which it did not ask for in the search")

    def record_epoch(self, task: TrialTask, metrics: EpochMetrics) -> EpochDecision:
        """Record an epoch of a finalist. Finalists are never pruned."""
        table: Any = ConfirmationEpochRow.__table__
        with self._study.transaction() as connection:
            recorded = connection.execute(
                self._of(table, *(table.c[name] for name in _FIGURES)).where(
                    *_is_of(table, task.training), table.c.epoch == metrics.epoch
                )
            ).one_or_none()
            if recorded is not None:
                same = all(getattr(metrics, name) == figure for name, figure in recorded._mapping.items())
                return EpochDecision.REPEATED if same else EpochDecision.DIFFERS
            if not self._is_under_way(connection, task):
                return EpochDecision.ENDED
            connection.execute(insert(table).values(**self._key(task.training), **metrics.columns()))
            return EpochDecision.RECORDED

    def finish(self, task: TrialTask, outcome: Outcome) -> bool:
        """Record the result of a training or a test evaluation; return False if it has ended already."""
        ended = _NOTHING_ENDED
        with self._study.transaction() as connection:
            if not self._is_under_way(connection, task):
                return False
            if isinstance(outcome, TestEvaluation):
                figures = PerExampleScores.from_text(outcome.rows)
                self._set(
                    connection,
                    _looks,
                    task.training,
                    ended_at=utc_now(),
                    cross_entropy=figures.cross_entropy,
                    accuracy=figures.accuracy,
                    test_rows=figures.to_bytes(),
                    objective=outcome.objective,
                )
            else:
                self._set(connection, _table, task.training, state="complete", **_columns(outcome))
                ended = self._end_round(connection)
        self._announce(ended)
        return True

    def fail(self, task: TrialTask, reason: str, *, by_settings: bool = False) -> bool:
        """Record that a finalist failed for good; return False if the task has ended already.

        If the test evaluation failed, the results of the training stay. `by_settings` is ignored.
        """
        reason = one_line(f"on the test examples: {reason}" if task.purpose == Purpose.TEST else reason)
        with self._study.transaction() as connection:
            if not self._is_under_way(connection, task):
                return False
            self._set(connection, _table, task.training, state="failed", reason=reason)
            ended = self._end_round(connection) if task.purpose == Purpose.CONFIRM else _NOTHING_ENDED
        self._announce(ended)
        return True

    def record_lost_worker(self, task: TrialTask) -> TrialTask | None:
        """Record that a task's worker was lost; return the task's next attempt, or None if no attempt is left."""
        if task.attempt + 1 >= MOST_ATTEMPTS:
            return None
        table = _looks if task.purpose == Purpose.TEST else _table
        with self._study.transaction() as connection:
            self._set(connection, table, task.training, attempt=task.attempt + 1)
        return TrialTask(**{**vars(task), "attempt": task.attempt + 1})

    def trials_with_kept_weights(self) -> list[int]:
        """Return the task numbers of the trainings whose weights are kept.

        These are the trainings that wait for their test evaluation, and each finalist's training with the median seed.
        While a later test analysis runs, the median training of each earlier test analysis is kept too, since the
        answer still uses it. The weights of a failed finalist are not kept.
        """
        failed = self._of(_table, _table.c.finalist).where(_table.c.state == "failed")
        columns = (_table.c.finalist, _table.c.seed, _table.c.look, _table.c.select_cross_entropy, _looks.c.ended_at)
        with self._study.transaction() as connection:
            rows = connection.execute(
                self._of(_table, *columns)
                .outerjoin_from(_table, _looks, self._same_key())
                .where(_table.c.state == "complete", _table.c.finalist.not_in(failed))
                .order_by(_table.c.finalist, _table.c.select_cross_entropy, _table.c.seed)
            ).all()
        trainings = {TrainingId(row.finalist, row.seed) for row in rows if row.ended_at is None}
        finalists, looks = {row.finalist for row in rows}, {row.look for row in rows}
        for finalist, look in itertools.product(finalists, looks if trainings else [max(looks, default=1)]):
            ranked = [row for row in rows if row.finalist == finalist and row.look <= look]
            if ranked:
                trainings.add(TrainingId(finalist, median_seed(ranked)))
        return sorted(training.number for training in trainings)

    def stop_requested(self) -> bool:
        """Return whether a user has asked this run to stop."""
        return self._study.stop_requested()

    def news(self) -> list[str]:
        """Return the race's decisions since the last call, one line each."""
        lines, self._news = self._news, []
        return lines

    @property
    def _is_race(self) -> bool:
        return self._study.spec.confirm.method == "race"

    def _end_round(self, connection: sqlalchemy.Connection) -> "_EndedRound":
        """In a race, end the round if its last training has ended, and store the trainings that follow."""
        if not self._is_race:
            return _NOTHING_ENDED
        finalists = read_finalists(connection, self._uuid)
        ended, following = race_rounds.end_round(connection, self._uuid, self._study.spec, finalists, self._seeds)
        look: int = connection.execute(self._of(_table, func.max(_table.c.look))).scalar_one()
        self._enter(connection, following, look)
        return _EndedRound(round=ended, lines=race_rounds.in_words(ended, finalists, following))

    def _announce(self, ended: "_EndedRound") -> None:
        """Log the decisions of a race after they were committed, and keep them for `news`."""
        self._news += ended.lines
        if ended.round is not None:
            drops = ", ".join(f"finalist {drop.index} dropped ({drop.reason})" for drop in ended.round.drops)
            log_decision(
                self._study.name,
                None,
                "round ended:",
                f"round {ended.round.number} after {ended.round.seeds} seeds; {drops or 'no finalist dropped'}"
                + ("; the race is over" if ended.round.is_over else ""),
            )

    def _enter(self, connection: sqlalchemy.Connection, trainings: Iterable[TrainingId], look: int) -> None:
        for training in trainings:
            values = {"look": look, "attempt": 0, "state": "waiting", **self._key(training)}
            connection.execute(insert(_table).values(values))

    def _key(self, training: TrainingId) -> dict[str, Any]:
        """Return the key columns of a training's rows, with their values."""
        return {"study_uuid": self._uuid, **training._asdict()}

    def _was_shown(self, connection: sqlalchemy.Connection, look: int) -> bool:
        """Return whether an evaluation of the test analysis `look` has started."""
        shown = self._of(_looks, func.count()).join_from(_looks, _table, self._same_key()).where(_table.c.look == look)
        return bool(connection.execute(shown).scalar_one())

    def _params(self, connection: sqlalchemy.Connection) -> list[Mapping[str, Any]]:
        return [finalist.params for finalist in read_finalists(connection, self._uuid)]

    def _task(self, purpose: Purpose, row: Any, params: Sequence[Mapping[str, Any]]) -> TrialTask:
        fields = row._mapping
        return TrialTask(
            number=TrainingId(row.finalist, row.seed).number,
            attempt=fields.get("attempt", 0),
            params=params[row.finalist],
            purpose=purpose,
            seed=self._seed_of(row.seed),
            weights_sha256=fields.get("weights_sha256"),
        )

    def _is_under_way(self, connection: sqlalchemy.Connection, task: TrialTask) -> bool:
        table = _looks if task.purpose == Purpose.TEST else _table
        under_way = _looks.c.ended_at.is_(None) if task.purpose == Purpose.TEST else _table.c.state == "running"
        count = self._of(table, func.count()).where(*_is_of(table, task.training), under_way)
        return bool(connection.execute(count).scalar_one())

    def _set(self, connection: sqlalchemy.Connection, table: Any, training: TrainingId, **columns: Any) -> None:
        rows = update(table).where(table.c.study_uuid == self._uuid, *_is_of(table, training))
        connection.execute(rows.values(**columns))

    def _of(self, table: Any, *columns: Any) -> Any:
        """Return a select statement for this study's rows of a table."""
        return select(*columns).where(table.c.study_uuid == self._uuid)

    @staticmethod
    def _same_key() -> Any:
        return sqlalchemy.and_(*(_table.c[name] == _looks.c[name] for name in ("study_uuid", "finalist", "seed")))


def _is_of(table: Any, training: TrainingId) -> tuple[Any, Any]:
    """Return the conditions that select the rows of one training."""
    return table.c.finalist == training.finalist, table.c.seed == training.seed


def median_seed(ranked: Sequence[Any]) -> int:
    """Return the seed of the middle row, or of the better of two middle rows; `ranked` has the best row first."""
    seed: int = ranked[(len(ranked) - 1) // 2].seed
    return seed


def read_finalists(connection: sqlalchemy.Connection, uuid: str) -> list[Finalist]:
    """Return a study's finalists, ordered by their index."""
    rows = connection.execute(
        select(FinalistRow.__table__).where(FinalistRow.study_uuid == uuid).order_by(FinalistRow.finalist)
    )
    return [
        Finalist(
            index=row.finalist,
            params=json.loads(row.params),
            roles=tuple(json.loads(row.roles)),
            trial=row.trial,
            look=row.look,
        )
        for row in rows
    ]


def _row_of(finalist: Finalist, uuid: str, index: int, look: int) -> dict[str, Any]:
    return {
        "study_uuid": uuid,
        "finalist": index,
        "look": look,
        "trial": finalist.trial,
        "params": json.dumps(dict(finalist.params)),
        "roles": json.dumps(finalist.roles),
    }


def _columns(outcome: TrialOutcome) -> dict[str, Any]:
    assert outcome.select_rows is not None
    rows = PerExampleScores.from_text(outcome.select_rows).to_bytes()
    return {**outcome.columns(), "select_rows": rows, "objective": outcome.objective}
