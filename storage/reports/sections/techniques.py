"""What each technique gains over no regularization when it is alone, and what is left of it over early stopping."""

from storage.reports import formats
from storage.reports.conclusion import Conclusion, FinalistResult, TechniqueRow
from storage.reports.content import ReportContent
from storage.reports.markup import Html, element, join, table
from storage.reports.sections.section import Section, measured
from studies.statistics import Interval

_NOISE, _AS_STOPPED = "within noise", "as early stopping alone"
_KINDS = {"helps": "badge good", "hurts": "badge bad", _NOISE: "badge", _AS_STOPPED: "badge"}


def section(content: ReportContent) -> Section | None:
    """Return it; None before the confirmation."""
    conclusion = content.conclusion
    if conclusion is None or not conclusion.techniques:
        return None
    note = (
        "Each technique alone, but for early stopping, which may stand beside it; a combination has several. "
        f"{formats.EARLY_STOPPING_BESIDE} {formats.shared_risk(conclusion.level)}"
    )
    if conclusion.not_tuned:
        note += f" {formats.NOT_TUNED}"
    unit = "in accuracy, pp" if conclusion.by_accuracy else "in cross-entropy, nats"
    over = [f"gain over early stopping alone ({unit})"] if conclusion.has_early_stopping_alone else []
    header = ["technique", "configuration", "gain in cross-entropy (nats)", "gain in accuracy (pp)", *over, "verdict"]
    rows = [_row(conclusion, row) for row in conclusion.techniques]
    if not over:
        rows = [[*cells[:4], cells[5]] for cells in rows]
    return Section(
        id="techniques",
        title="Techniques alone",
        body=join(
            [
                table(header, rows, numbers=range(2, 4 + len(over))),
                element("p", note, class_="note"),
            ]
        ),
    )


def _row(conclusion: Conclusion, row: TechniqueRow) -> list[object]:
    """Return six cells, the fifth of them of the gain over early stopping alone."""
    name, result = element("strong", row.technique), row.result
    if result is None:
        return [name, "no finalist", None, None, None, element("span", row.unconfirmed, class_="muted")]
    gain, over = result.gain, result.over_early_stopping
    return [
        name,
        formats.settings(result.finalist.params),
        measured(None if gain is None else gain.cross_entropy, formats.cross_entropy_gain),
        measured(None if gain is None else gain.accuracy, formats.accuracy_gain),
        measured(
            None if over is None else conclusion.judged(over),
            lambda interval: formats.gain(interval, conclusion.by_accuracy),
        ),
        _verdict(conclusion, row, result),
    ]


def _verdict(conclusion: Conclusion, row: TechniqueRow, result: FinalistResult) -> Html | None:
    """Return what the study's objective says, and the other figure where it says the contrary.

    A technique that was not tuned has no verdict: the figures are about the one setting beside it.
    """
    gain = result.gain
    if not row.is_judged:
        return element("span", row.unjudged, class_="muted")
    if gain is None:
        return None
    over = result.over_early_stopping if formats.number_of(result.finalist.params, "patience") else None
    badge = _judged(conclusion.judged(gain), None if over is None else conclusion.judged(over))
    beside = _judged(conclusion.beside(gain), None if over is None else conclusion.beside(over))
    told = element("span", badge, class_=_KINDS[badge])
    if {badge, beside} == {"helps", "hurts"}:
        return join([told, element("small", f"{beside} in {conclusion.figures[1]}")])
    return told


def _judged(gain: Interval, over: Interval | None) -> str:
    """Return a key of _KINDS; where early stopping stands beside a technique, what is left over it counts as well."""
    of_both = _beyond_noise(gain)
    own = of_both if over is None else _beyond_noise(over)
    if own == _NOISE:
        return _NOISE if of_both == _NOISE else _AS_STOPPED
    return of_both if own == "helps" else own


def _beyond_noise(interval: Interval) -> str:
    return "helps" if interval.is_above(0) else "hurts" if interval.high < 0 else _NOISE
