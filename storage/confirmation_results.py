"""Read a study's confirmation: its conclusion, its number of seeds and its progress."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, func, select

from ..studies.analysis.conclude import conclude, with_tunings
from ..studies.analysis.conclusion import Conclusion
from ..studies.analysis.race import Drop
from ..studies.analysis.tuning import tunings
from ..studies.records import ConfirmationProgress, StudyRecord, TrialRecord
from .checks.confirmation import STATES, check_confirmation
from .confirmation_store import read_finalists
from .confirmed_trainings import read_trainings
from .database import Database
from .location import as_option
from .queries import list_trials
from .race_rounds import read_rounds
from .tables import ConfirmationRow, TestEvaluationRow


def read_conclusion(
    database: Database, study: StudyRecord, trials: Sequence[TrialRecord] | None = None
) -> Conclusion | None:
    """Return the conclusion of a study's confirmation; None until the finalists were evaluated on the test set.

    Args:
        database: the database that holds the study.
        study: the study that is confirmed.
        trials: the study's trials, which show how well each technique was tuned; if None, they are read here.
    """
    spec = study.spec
    with database.read() as connection:
        check_confirmation(connection, study)
        finalists = read_finalists(connection, study.study_uuid)
        if not finalists:
            return None
        trainings = read_trainings(connection, study.study_uuid, -1 if spec.search.maximizes else 1)
        conclusion = conclude(spec, finalists, trainings, _drops(connection, study))
    if conclusion is None:
        return None
    if conclusion.techniques:
        known = list_trials(database, study) if trials is None else trials
        conclusion = with_tunings(conclusion, tunings(known, spec.space, maximizes=spec.search.maximizes))
    return replace(conclusion, storage_option=tuple(as_option(database.location)))


def count_seeds(database: Database, study: StudyRecord) -> int:
    """Return the number of fresh seeds that the confirmation has planned so far; 0 before a confirmation."""
    planned = select(func.count(ConfirmationRow.seed.distinct())).where(ConfirmationRow.study_uuid == study.study_uuid)
    with database.read() as connection:
        return connection.execute(planned).scalar_one()


def read_confirmation_progress(database: Database, study: StudyRecord) -> ConfirmationProgress | None:
    """Return how many trainings and test evaluations are done, and how many remain; None before a confirmation."""
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
            raise ValueError(f"{study.name} has a training in the unknown state {unknown.pop()!r:.50}")
    if not trainings:
        return None
    failed = {row.finalist for row in trainings if row.state == "failed"}
    return ConfirmationProgress(
        planned=len(trainings),
        trained=sum(row.state == "complete" for row in trainings),
        failed=sum(row.state == "failed" for row in trainings),
        looked=sum(row.ended_at is not None for row in trainings),
        left=sum(row.ended_at is None and row.finalist not in failed for row in trainings),
    )


def _drops(connection: Connection, study: StudyRecord) -> dict[int, list[Drop]]:
    """Return a dict from the number of a test analysis (`look`) to the finalists that the race dropped in it."""
    drops: dict[int, list[Drop]] = {}
    for ended in read_rounds(connection, study.study_uuid):
        drops.setdefault(ended.look, []).extend(ended.drops)
    return drops
