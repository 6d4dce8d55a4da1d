"""How the search went."""

from regsearch.studies.reports.data import ReportData
from regsearch.studies.reports.figures.history import history
from regsearch.studies.reports.sections.section import Section, drawn


def section(content: ReportData) -> Section | None:
    """Return it; None before anything finished."""
    figure = history(content)
    if figure is None:
        return None
    return Section(id="history", title="The search", body=drawn(figure), figures=[figure])
