"""Write a study's answer, with a few small charts, into the study's note, which optuna-dashboard shows."""

import hashlib

from .database import Database
from .queries import get_study
from .report_data import read_report_data
from .study_store import StudyStore

_NOTE_ATTR = "regsearch:note"  # the SHA-256 of regsearch's note; a user's own note is not changed


def publish_answer(database: Database, store: StudyStore) -> None:
    """Write the answer of a study into Optuna's tables, in one transaction.

    Nothing is written if the same answer is there already, or if the user has written a note.
    """
    from optuna_dashboard import get_note, save_note, save_plotly_graph_object  # slow: it imports Plotly too

    from ..studies.reports.dashboard_note import as_markdown, dashboard_figures

    content = read_report_data(database, get_study(database, store.name))
    note, figures = as_markdown(content), dashboard_figures(content)
    with store.transaction():
        study = store.optuna_study()
        old_note = get_note(study)
        if old_note == note or (old_note and study.user_attrs.get(_NOTE_ATTR) != _digest(old_note)):
            return
        save_note(study, note)
        for name, figure in figures.items():
            save_plotly_graph_object(study, figure, graph_object_id=name)
        study.set_user_attr(_NOTE_ATTR, _digest(note))


def _digest(note: str) -> str:
    return hashlib.sha256(note.encode()).hexdigest()
