"""A study's answer for a notebook's cell: headline, paragraph and table, in the colours of the notebook's own page."""

from storage.queries import Answer
from storage.reports import formats
from storage.reports.answer import counts_line, dataset_line
from storage.reports.conclusion import Conclusion, TechniqueRow
from storage.reports.markup import Html, element
from storage.reports.summary import headline, paragraph

_HEADER = ("technique alone", "configuration", "gain in test cross-entropy (nats)", "in accuracy (pp)")
_LINE = "border-bottom:1px solid rgba(128,128,128,0.35);padding:0.25em 0.9em 0.25em 0;vertical-align:top;"
_TEXT, _NUMBER = f"{_LINE}text-align:left", f"{_LINE}text-align:right;white-space:nowrap"
_MUTED = "opacity:0.7;font-size:0.9em;margin:0.4em 0 0"


def as_inline_html(answer: Answer, conclusion: Conclusion | None) -> Html:
    """Return a few kilobytes of HTML without scripts and classes; every text in it is escaped."""
    return element(
        "div",
        element("p", element("strong", headline(answer, conclusion)), style="font-size:1.2em;margin:0 0 0.4em"),
        element("p", paragraph(answer, conclusion), style="max-width:52em;margin:0 0 0.6em"),
        None if conclusion is None else _techniques(conclusion),
        element("p", f"{dataset_line(answer.study.dataset)}. {counts_line(answer)}.", style=_MUTED),
    )


def _techniques(conclusion: Conclusion) -> Html:
    styles = (_TEXT, _TEXT, _NUMBER, _NUMBER)
    head = element("tr", *(element("th", name, style=style) for name, style in zip(_HEADER, styles, strict=True)))
    body = [
        element(
            "tr", *(element("td", cell, style=style) for cell, style in zip(_row(conclusion, row), styles, strict=True))
        )
        for row in conclusion.techniques
    ]
    return element("table", element("thead", head), element("tbody", *body), style="border-collapse:collapse")


def _row(conclusion: Conclusion, row: TechniqueRow) -> list[object]:
    result = row.result
    if result is None:
        return [row.technique, "not tried", "", ""]
    name, gain = formats.settings(result.finalist.params), result.gain
    if gain is None:
        return [row.technique, name, "", ""]
    judged = conclusion.judged(gain)
    is_beyond_noise = judged.is_above(0) or judged.high < 0
    told = formats.cross_entropy_gain(gain.cross_entropy), formats.accuracy_gain(gain.accuracy)
    figures = [
        element("strong" if is_beyond_noise and is_objective else "span", figure)
        for figure, is_objective in zip(told, (not conclusion.by_accuracy, conclusion.by_accuracy), strict=True)
    ]
    return [row.technique, name, *figures]
