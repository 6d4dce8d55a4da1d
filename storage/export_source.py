"""Find the training to export: the winner's training with the median seed, or a trial."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from ..studies.analysis.conclusion import Conclusion, FinalistResult
from ..studies.configuration import configuration_of
from ..studies.errors import InputError, NoResultError
from ..studies.files import sha256_of
from ..studies.records import StudyRecord
from ..studies.trial import Params, TrainingId
from .confirmation_results import read_conclusion
from .confirmation_store import median_seed
from .database import Database
from .location import command
from .paths import finalist_weights_file
from .queries import best_trial, get_trial, kept_weights
from .tables import METRICS, ConfirmationRow


@dataclass(frozen=True, kw_only=True)
class ExportSource:
    """One stored training, which can be exported.

    Attributes:
        origin: which training it is, in words: "trial 7", "the winner, fresh seed 2".
        params: the parameters that it was trained with.
        number: the number of the training's task.
        fresh_seed: the index of its fresh seed, counted from 0; None for a trial, which uses the study's seed.
        weights: the file with its weights; None if they were not kept.
        weights_sha256: the SHA-256 of that file; None if no file was written.
        figures: the results of the training, named like the fields of `regsearch.studies.trial.TrialOutcome`.
        conclusion: the conclusion of the study's confirmation; None if there is none.
        finalist: the result of the finalist with the same configuration; None if there is none.
    """

    origin: str
    params: Params
    number: int
    fresh_seed: int | None
    weights: Path | None
    weights_sha256: str | None
    figures: Mapping[str, int | float]
    conclusion: Conclusion | None = None
    finalist: FinalistResult | None = None


def find_export_source(database: Database, study: StudyRecord, number: int | None) -> ExportSource:
    """Return the training to export: that of the trial `number`, or the winner's if `number` is None.

    If there is no winner yet, the best trial takes its place. Raises InputError if the trial isn't complete or if
    regsearch did not train it. Raises NoResultError if no trial is complete.
    """
    conclusion = read_conclusion(database, study)
    if number is None and conclusion is not None:
        return _winner(database, study, conclusion)
    trial = best_trial(database, study) if number is None else get_trial(database, study, number)
    if trial is None:
        see = command(database.location, "status", study.name)
        raise NoResultError(f"no trial of {study.name} is complete yet. See `{see}`.")
    if trial.state != "complete":
        raise InputError(
            f"trial {trial.number} of {study.name} is {trial.state}. Only a complete trial can be exported."
        )
    if trial.weights_sha256 is None and "epochs" not in trial.metrics:
        raise InputError(f"trial {trial.number} of {study.name} can't be exported: regsearch did not train it.")
    settings = configuration_of(trial.params)
    confirmed = () if conclusion is None else conclusion.results
    finalist = next((one for one in confirmed if one.finalist.settings == settings), None)
    return ExportSource(
        origin=f"trial {trial.number}",
        params=trial.params,
        number=trial.number,
        fresh_seed=None,
        weights=kept_weights(database, study, trial),
        weights_sha256=trial.weights_sha256,
        figures=trial.metrics,
        conclusion=conclusion,
        finalist=finalist,
    )


def _winner(database: Database, study: StudyRecord, conclusion: Conclusion) -> ExportSource:
    finalist = conclusion.winner.finalist
    table: Any = ConfirmationRow.__table__
    conditions = (
        table.c.study_uuid == study.study_uuid,
        table.c.finalist == finalist.index,
        table.c.state == "complete",
        table.c.look <= conclusion.completed_looks,  # the conclusion doesn't use an unfinished test analysis
    )
    with database.read() as connection:
        ranked = connection.execute(
            select(table).where(*conditions).order_by(table.c.select_cross_entropy, table.c.seed)
        ).all()
    seed = median_seed(ranked)
    row = next(row for row in ranked if row.seed == seed)
    number = TrainingId(finalist.index, seed).number
    path = finalist_weights_file(database.location, study.name, number)
    return ExportSource(
        origin=f"the winner, fresh seed {seed}",
        params=finalist.params,
        number=number,
        fresh_seed=seed,
        weights=path if _sha256(path) == row.weights_sha256 else None,
        weights_sha256=row.weights_sha256,
        figures={name: row._mapping[name] for name in METRICS},
        conclusion=conclusion,
        finalist=conclusion.winner,
    )


def _sha256(path: Path) -> str | None:
    try:
        return sha256_of(path)
    except OSError:
        return None
