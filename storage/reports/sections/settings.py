"""How well trials did by their settings: one strength at a time, then all at once."""

from storage.reports.content import ReportContent
from storage.reports.figures.parallel import parallel
from storage.reports.figures.strengths import strengths
from storage.reports.markup import element, join
from storage.reports.sections.section import Section, drawn


def section(content: ReportContent) -> Section | None:
    """Return it; None where no trial is complete."""
    by_strength = strengths(content)
    together = parallel(content)
    if not by_strength and together is None:
        return None
    note = (
        "Complete trials only, each with all its other settings; the diamond is the best trial. The strip at the left "
        "holds the trials without that technique, spread sideways to be seen."
    )
    return Section(
        id="settings",
        title="Settings",
        figures=[*by_strength, *([together] if together else [])],
        body=join(
            [
                element("p", note, class_="note") if by_strength else "",
                element("div", *(drawn(figure) for figure in by_strength), class_="grid three") if by_strength else "",
                drawn(together, "All settings together") if together else "",
            ]
        ),
    )
