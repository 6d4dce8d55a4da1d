"""Read the data that a study's report and its status show."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, func, select

from ..studies.analysis.conclusion import Conclusion
from ..studies.analysis.finalists import Finalist
from ..studies.analysis.importance import importances
from ..studies.analysis.learning_curves import best_configuration, trainings_to_show
from ..studies.analysis.range_limits import range_limits
from ..studies.analysis.study_status import Status
from ..studies.configuration import Configuration, Regularization
from ..studies.records import StudyRecord, TrialRecord
from ..studies.reports.data import ConfirmationCost, Curve, ReportData
from ..studies.reports.rerun_command import command
from ..studies.trial import EPOCH_COLUMNS, EpochMetrics
from .confirmation_results import read_conclusion, read_confirmation_progress
from .database import Database
from .location import as_option
from .queries import list_runs, list_trials, read_answer, read_curve
from .tables import ConfirmationEpochRow, ConfirmationRow


def read_report_data(database: Database, study: StudyRecord) -> ReportData:
    """Return the data of a study's report, as they are in the database now."""
    trials = list(list_trials(database, study))
    answer, conclusion = read_answer(database, study), read_conclusion(database, study, trials)
    best = best_configuration(answer.best, conclusion)
    importance = importances(study.spec, trials)
    return ReportData(
        answer=answer,
        trials=trials,
        runs=list_runs(database, study),
        curves={} if best is None else _curves(database, study, trials, conclusion, best),
        conclusion=conclusion,
        confirmation_cost=_confirmation_cost(database, study),
        importance=importance.techniques,
        importance_missing=importance.reason,
        edges=tuple(map(str, range_limits(study.spec, best))) if isinstance(best, Regularization) else (),
        command=command(study),
    )


def _confirmation_cost(database: Database, study: StudyRecord) -> ConfirmationCost | None:
    training, epoch = ConfirmationRow, ConfirmationEpochRow
    key = (epoch.study_uuid == training.study_uuid, epoch.finalist == training.finalist, epoch.seed == training.seed)
    query = (
        select(training.seconds, func.count(epoch.epoch).label("epochs"), func.sum(epoch.seconds).label("of_epochs"))
        .outerjoin_from(training, epoch, and_(*key))
        .where(training.study_uuid == study.study_uuid, training.state != "waiting")
        .group_by(training.study_uuid, training.finalist, training.seed)  # PostgreSQL needs the whole key
        .order_by(training.finalist, training.seed)
    )
    with database.read() as connection:
        rows = connection.execute(query).all()
    if not rows:
        return None
    return ConfirmationCost(
        trainings=len(rows),
        epochs=sum(row.epochs for row in rows),
        seconds=sum((row.of_epochs or 0.0) if row.seconds is None else row.seconds for row in rows),
    )


def read_status(database: Database, study: StudyRecord) -> Status:
    """Return how far a study is, and which process runs it."""
    return Status(
        options=as_option(database.location),
        answer=read_answer(database, study),
        holder=database.holder(study.name),
        runs=list_runs(database, study),
        confirmation=read_confirmation_progress(database, study),
    )


def _curves(
    database: Database,
    study: StudyRecord,
    trials: Sequence[TrialRecord],
    conclusion: Conclusion | None,
    best: Configuration,
) -> dict[str, Sequence[Curve]]:
    """Return the learning curves of the best configuration and of the baseline.

    A finalist has one curve for each fresh seed. A configuration that is no finalist has the curve of its trial.
    """
    trainings = trainings_to_show(study.spec, trials, conclusion, best)
    return {
        configuration: _finalist_curves(database, study, training)
        if isinstance(training, Finalist)
        else [_trial_curve(database, study, training)]
        for configuration, training in trainings.items()
    }


def _trial_curve(database: Database, study: StudyRecord, trial: TrialRecord) -> Curve:
    curve = read_curve(database, study, trial.number)
    return _curve(f"trial {trial.number}", curve, int(trial.metrics["best_epoch"]))


def _finalist_curves(database: Database, study: StudyRecord, finalist: Finalist) -> list[Curve]:
    def select_rows(table: Any, *columns: Any) -> Any:
        return select(*columns).where(table.study_uuid == study.study_uuid, table.finalist == finalist.index)

    trained = select_rows(ConfirmationRow, ConfirmationRow.seed, ConfirmationRow.best_epoch)
    epochs = select_rows(ConfirmationEpochRow, ConfirmationEpochRow.__table__)
    by_seed: dict[int, list[EpochMetrics]] = {}
    with database.read() as connection:
        complete = connection.execute(trained.where(ConfirmationRow.state == "complete"))
        best_epochs = {row.seed: row.best_epoch for row in complete}
        for row in connection.execute(epochs.order_by(ConfirmationEpochRow.seed, ConfirmationEpochRow.epoch)):
            figures = {name: row._mapping[name] for name in EPOCH_COLUMNS}
            by_seed.setdefault(row.seed, []).append(EpochMetrics(**figures))
    return [_curve(f"seed {seed}", curve, best_epochs[seed]) for seed, curve in by_seed.items() if seed in best_epochs]


def _curve(label: str, curve: Sequence[EpochMetrics], best_epoch: int) -> Curve:
    return Curve(
        label=label,
        train_loss=[metrics.train_loss for metrics in curve],
        stop_cross_entropy=[metrics.stop_cross_entropy for metrics in curve],
        best_epoch=best_epoch,
    )
