"""What each technique gains over no regularization when it is alone."""

from storage.reports import formats
from storage.reports.conclusion import Conclusion, Gain, TechniqueRow
from storage.reports.content import ReportContent
from storage.reports.markup import Html, element, join, table
from storage.reports.sections.section import Section, measured
from studies.statistics import Interval

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
                table(_HEADER, [_row(conclusion, row) for row in conclusion.techniques], numbers=(2, 3)),
                element("p", note, class_="note"),
            ]
        ),
    )


def _row(conclusion: Conclusion, row: TechniqueRow) -> list[object]:
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
        _verdict(conclusion, result.gain),
    ]


def _verdict(conclusion: Conclusion, gain: Gain) -> Html:
    """Return what the study's objective says, and the other figure where it says the contrary."""
    (badge, kind), (other, _) = _judged(conclusion.judged(gain)), _judged(conclusion.beside(gain))
    told = element("span", badge, class_=kind)
    if {badge, other} == {"helps", "hurts"}:
        return join([told, element("small", f"{other} in {conclusion.figures[1]}")])
    return told


def _judged(interval: Interval) -> tuple[str, str]:
    if interval.is_above(0):
        return "helps", "badge good"
    return ("hurts", "badge bad") if interval.high < 0 else ("within noise", "badge")
