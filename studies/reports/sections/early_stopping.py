"""What early stopping did."""

from regsearch.studies.reports.data import ReportContent
from regsearch.studies.reports.figures.early_stopping import early_stopping
from regsearch.studies.reports.sections.section import Section, drawn


def section(content: ReportContent) -> Section | None:
    """Return it; None where no complete trial has a patience."""
    figure = early_stopping(content)
    if figure is None:
        return None
    return Section(id="early-stopping", title="Early stopping", body=drawn(figure), figures=[figure])
