"""What early stopping did."""

from regsearch.studies.reports.data import ReportData
from regsearch.studies.reports.figures.early_stopping import early_stopping
from regsearch.studies.reports.sections.section import Section, drawn


def section(content: ReportData) -> Section | None:
    """Return it; None where no complete trial has a patience."""
    figure = early_stopping(content)
    if figure is None:
        return None
    return Section(id="early-stopping", title="Early stopping", body=drawn(figure), figures=[figure])
