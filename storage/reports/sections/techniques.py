"""What each technique gains over no regularization when it is alone."""

from storage.reports import formats
from storage.reports.conclusion import TechniqueRow
from storage.reports.content import ReportContent
from storage.reports.markup import Html, element, join, table
from storage.reports.sections.section import Section, measured

_HEADER = (
    "technique",
    "configuration",
    "gain in cross-entropy (nats)",
    "gain in accuracy (pp)",
    "verdict",
)


def section(content: ReportContent) -> Section | None:
    """Return it; None before the confirmation."""
    conclusion = content.conclusion
    if conclusion is None or not conclusion.techniques:
        return None
    note = (
        "Each technique alone, but for early stopping, which may stand beside it; a combination has several. "
        f"{formats.shared_risk(conclusion.level)}"
    )
    return Section(
        id="techniques",
        title="Techniques alone",
        body=join(
            [
                table(_HEADER, [_row(row) for row in conclusion.techniques], numbers=(2, 3)),
                element("p", note, class_="note"),
            ]
        ),
    )


def _row(row: TechniqueRow) -> list[object]:
    result = row.result
    if result is None:
        return [
            element("strong", row.technique),
            "no finalist",
            None,
            None,
            element("span", "not tried", class_="muted"),
        ]
    name = formats.settings(result.finalist.params)
    if result.gain is None:
        return [element("strong", row.technique), name, None, None, None]
    return [
        element("strong", row.technique),
        name,
        measured(result.gain.cross_entropy, formats.cross_entropy_gain),
        measured(result.gain.accuracy, formats.accuracy_gain),
        _verdict(result.gain.cross_entropy.low, result.gain.cross_entropy.high),
    ]


def _verdict(low: float, high: float) -> Html:
    if low > 0:
        return element("span", "helps", class_="badge good")
    if high < 0:
        return element("span", "hurts", class_="badge bad")
    return element("span", "within noise", class_="badge")
