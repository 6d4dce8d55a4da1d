"""How the best configuration learns beside no regularization."""

from regsearch.studies.reports.data import ReportData
from regsearch.studies.reports.figures.curves import curves
from regsearch.studies.reports.html import element, join
from regsearch.studies.reports.sections.section import Section, drawn


def section(content: ReportData) -> Section | None:
    """Return it; None where no curves are kept."""
    named = curves(content.curves)
    if not named:
        return None
    note = (
        "The train loss has the penalty in it and is measured with dropout on, while weights still change; the stop "
        "cross-entropy has neither. So the shaded gap shows overfitting where it grows, not how large it is."
    )
    return Section(
        id="curves",
        title="How it learns",
        figures=[figure for _, figure in named],
        body=join(
            [
                element("div", *(drawn(figure, name) for name, figure in named), class_="grid two"),
                element("p", note, class_="note"),
            ]
        ),
    )
