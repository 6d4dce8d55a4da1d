"""Which techniques make a difference at all."""

from storage.reports.content import ReportContent
from storage.reports.figures.importance import importance
from storage.reports.sections.section import Section, drawn


def section(content: ReportContent) -> Section | None:
    """Return it; None where nothing is known."""
    figure = importance(content.importance)
    if figure is None:
        return None
    return Section(id="importance", title="What matters", body=drawn(figure), figures=[figure])
