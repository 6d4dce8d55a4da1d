"""Puts a study's answer where optuna-dashboard shows it: its note, and a few small figures."""

import hashlib

from .database import Database
from .queries import get_study
from .report_data import read_report_data
from .study_store import StudyStore

_NOTE_ATTR = "regsearch:note"  # the SHA-256 of the note that we wrote: a user's own is left alone


def publish_answer(database: Database, store: StudyStore) -> None:
    """Write the answer of a study into Optuna's tables, in one transaction, unless it stands there already."""
    from optuna_dashboard import get_note, save_note, save_plotly_graph_object  # and Plotly: some seconds

    from ..studies.reports.dashboard_note import as_markdown, dashboard_figures

    content = read_report_data(database, get_study(database, store.name))
    note, figures = as_markdown(content), dashboard_figures(content)
    with store.transaction():
        study = store.optuna_study()
        there = get_note(study)
        if there == note or (there and study.user_attrs.get(_NOTE_ATTR) != _digest(there)):
            return
        save_note(study, note)
        for name, figure in figures.items():
            save_plotly_graph_object(study, figure, graph_object_id=name)
        study.set_user_attr(_NOTE_ATTR, _digest(note))


def _digest(note: str) -> str:
    return hashlib.sha256(note.encode()).hexdigest()
