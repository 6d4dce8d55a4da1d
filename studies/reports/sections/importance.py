"""Which techniques make a difference at all."""

from regsearch.studies.reports.data import ReportData
from regsearch.studies.reports.figures.importance import importance
from regsearch.studies.reports.html import element
from regsearch.studies.reports.sections.section import Section, drawn


def section(content: ReportData) -> Section | None:
    """Return it, or why nothing is known; None where that isn't known either."""
    figure = importance(content.importance)
    if figure is None:
        if content.importance_missing is None:
            return None
        body = element("p", f"Not known: {content.importance_missing}.", class_="note")
        return Section(id="importance", title="What matters", body=body)
    return Section(id="importance", title="What matters", body=drawn(figure), figures=[figure])
