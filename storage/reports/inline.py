"""A study's answer for a notebook's cell: headline, paragraph and table, in the colours of the notebook's own page."""

from storage.queries import Answer
from storage.reports import formats
from storage.reports.answer import counts_line, dataset_line
from storage.reports.conclusion import Conclusion, FinalistResult, TechniqueRow
from storage.reports.markup import Html, element
from storage.reports.summary import headline, paragraph
from studies.statistics import Interval

_HEADER = ("technique", "configuration", "gain in test cross-entropy (nats)", "in accuracy (pp)")
_LINE = "border-bottom:1px solid rgba(128,128,128,0.35);padding:0.25em 0.9em 0.25em 0;vertical-align:top;"
_TEXT, _NUMBER = f"{_LINE}text-align:left", f"{_LINE}text-align:right;white-space:nowrap"
_MUTED = "opacity:0.7;font-size:0.9em;margin:0.4em 0 0"


def as_inline_html(answer: Answer, conclusion: Conclusion | None) -> Html:
    """Return a few kilobytes of HTML without scripts and classes; every text in it is escaped."""
    return element(
        "div",
        element("p", element("strong", headline(answer, conclusion)), style="font-size:1.2em;margin:0 0 0.4em"),
        element("p", paragraph(answer, conclusion), style="max-width:52em;margin:0 0 0.6em"),
        None if conclusion is None or not conclusion.techniques else _techniques(conclusion),
        element("p", f"{dataset_line(answer.study.dataset)}. {counts_line(answer)}.", style=_MUTED),
    )


def _techniques(conclusion: Conclusion) -> Html:
    styles, header = [_TEXT, _TEXT, _NUMBER, _NUMBER], list(_HEADER)
    if conclusion.has_early_stopping_alone:
        styles.append(_NUMBER)
        header.append(f"over early stopping alone ({'pp' if conclusion.by_accuracy else 'nats'})")
    head = element("tr", *(element("th", name, style=style) for name, style in zip(header, styles, strict=True)))
    body = [
        element(
            "tr", *(element("td", cell, style=style) for cell, style in zip(_row(conclusion, row), styles, strict=True))
        )
        for row in conclusion.techniques
    ]
    cells = element("table", element("thead", head), element("tbody", *body), style="border-collapse:collapse")
    note = element("p", formats.EARLY_STOPPING_BESIDE, style=_MUTED) if conclusion.has_early_stopping_alone else None
    return element("div", cells, note)


def _row(conclusion: Conclusion, row: TechniqueRow) -> list[object]:
    result = row.result
    if result is None:
        return [row.technique, row.unconfirmed, *[""] * (3 if conclusion.has_early_stopping_alone else 2)]
    gain, over = result.gain, result.over_early_stopping
    is_judged = row.is_judged
    told: list[object] = [row.technique, _configuration(row, result)]
    if gain is None:
        told += ["", ""]
    else:
        in_loss = is_judged and not conclusion.by_accuracy
        told.append(_told(gain.cross_entropy, of_accuracy=False, is_judged=in_loss))
        told.append(_told(gain.accuracy, of_accuracy=True, is_judged=is_judged and conclusion.by_accuracy))
    if conclusion.has_early_stopping_alone:
        judged = None if over is None else conclusion.judged(over)
        told.append("" if judged is None else _told(judged, of_accuracy=conclusion.by_accuracy, is_judged=is_judged))
    return told


def _configuration(row: TechniqueRow, result: FinalistResult) -> Html:
    """Return what was measured, and where the technique was not tuned, that it says no more than that."""
    untuned = None if row.is_judged else element("div", row.unjudged, style=_MUTED)
    return element("div", formats.settings(result.finalist.params), untuned)


def _told(interval: Interval, *, of_accuracy: bool, is_judged: bool) -> Html:
    """Return a gain, bold where it is the objective's and beyond noise."""
    is_beyond_noise = interval.is_above(0) or interval.high < 0
    return element("strong" if is_judged and is_beyond_noise else "span", formats.gain(interval, of_accuracy))
