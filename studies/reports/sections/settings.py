"""How well trials did by all their settings at once."""

from regsearch.studies.reports.data import ReportData
from regsearch.studies.reports.figures.parallel import parallel
from regsearch.studies.reports.sections.section import Section, drawn


def section(content: ReportData) -> Section | None:
    """Return it; None where fewer than two trials are complete."""
    together = parallel(content)
    if together is None:
        return None
    return Section(id="settings", title="All settings together", figures=[together], body=drawn(together))
