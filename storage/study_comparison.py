"""Read several studies to compare them side by side."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.sql.functions import count

from ..studies.analysis.comparison import ComparedStudy, Comparison, side_by_side, summarize_study
from ..studies.errors import InputError
from ..studies.records import StudyRecord
from .confirmation_results import read_conclusion
from .database import Database
from .location import command
from .queries import get_study, list_trials, read_answer
from .tables import EpochRow, RunRow


def read_comparison(database: Database, names: Sequence[str]) -> Comparison:
    """Return a comparison of studies, side by side.

    Raises InputError if a name is unknown, or if there are fewer than two different names.
    """
    different = list(dict.fromkeys(names))
    if len(different) < 2:
        cause = f"only {different[0]!r} was given" if different else "none was given"
        list_studies = command(database.location, "list")
        raise InputError(f"a comparison takes at least two studies: {cause}. `{list_studies}` shows all studies.")
    studies = [get_study(database, name) for name in different]
    return side_by_side([_compared(database, study) for study in studies])


def _compared(database: Database, study: StudyRecord) -> ComparedStudy:
    epochs = select(EpochRow.number, count()).where(EpochRow.study_uuid == study.study_uuid).group_by(EpochRow.number)
    runs = select(RunRow.sampler).where(RunRow.study_uuid == study.study_uuid).order_by(RunRow.run_id)
    with database.read() as connection:
        trained = {row[0]: row[1] for row in connection.execute(epochs)}
        samplers = dict.fromkeys(connection.execute(runs).scalars())
    trials = list(list_trials(database, study))
    return summarize_study(
        read_answer(database, study),
        read_conclusion(database, study, trials),
        trials,
        trained,
        tuple(samplers),
    )
