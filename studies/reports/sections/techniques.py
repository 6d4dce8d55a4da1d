"""Show the verdict on each technique and the gain behind it, as a figure and as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ... import formats
from ...analysis.conclusion import Conclusion
from ...analysis.technique_verdicts import EARLY_STOPPING_ALONE, TechniqueVerdict, technique_verdicts
from ...analysis.verdicts import Verdict
from ...measure import Measure
from ...statistics import Interval
from ..data import ReportData
from ..figures.figure import (
    BAD,
    GOOD,
    INK,
    MUTED,
    PLAIN,
    PLAIN_FILL,
    Figure,
    annotation,
    axis,
    layout,
    rounded,
    text,
    zero_line,
)
from ..html import element, join, table
from ..verdict_notes import needs_in_words, over_seeds_note, verdict_in_words, verdicts_note
from .section import Section, drawn, measured

_BADGE_CLASSES = {Verdict.HELPS: "badge good", Verdict.HARMS: "badge bad"}
_LINE, _BAR, _SPACE = 17, 20, 12  # heights in pixels: a line of words, an interval, the space between two rows
_TOP, _BOTTOM = 24, 58
_FARTHEST = 0.6  # how far a harmful technique may stretch the axis, as a share of the span of the other intervals
_ROOM = 0.22  # the share of the axis that the words "no difference" need
_STYLES = {
    Verdict.HELPS: (GOOD, "triangle-right"),
    Verdict.HARMS: (BAD, "triangle-left"),
    Verdict.NO_DIFFERENCE: (PLAIN, "square"),
    Verdict.NOT_SETTLED: (MUTED, "circle-open"),
}


def section(content: ReportData) -> Section | None:
    """Return the section on the techniques; None before the confirmation."""
    conclusion = content.conclusion
    if conclusion is None or not conclusion.techniques:
        return None
    unit = ", ".join(filter(None, [conclusion.measure.name, conclusion.measure.symbol]))
    over = [f"gain over {EARLY_STOPPING_ALONE} ({unit})"] if conclusion.has_early_stopping_alone else []
    header = ["technique", "verdict", *over, f"gain over {conclusion.baseline_name} ({unit})", "seeds", "configuration"]
    rows = [_row(conclusion, verdict) for verdict in technique_verdicts(conclusion)]
    if not over:
        rows = [[*cells[:2], *cells[3:]] for cells in rows]
    figures = [figure for shape in (WIDE, NARROW) if (figure := verdicts(conclusion, shape))]
    return Section(
        id="techniques",
        title="Which techniques help",
        figures=figures,
        body=join(
            [
                *map(drawn, figures),
                table(header, rows, numbers=range(2, 4 + len(over))),
                element("p", verdicts_note(conclusion), class_="note"),
            ]
        ),
    )


def _row(conclusion: Conclusion, verdict: TechniqueVerdict) -> list[object]:
    """Return the six cells of a technique's row; the third one is the gain over early stopping alone."""
    name, result = element("strong", verdict.technique), verdict.result
    if result is None:
        return [name, _badge(verdict), None, None, None, None]
    write = conclusion.measure.gain
    return [
        name,
        _badge(verdict),
        measured(verdict.gain_over_early_stopping, write),
        measured(verdict.over_baseline, write),
        f"{verdict.seeds:,}",
        formats.settings(result.finalist.params),
    ]


def _badge(verdict: TechniqueVerdict) -> Markup:
    """Return the verdict and what would settle it; if there is no verdict, return the reason."""
    words = verdict_in_words(verdict)
    if verdict.verdict is None:
        return element("span", words, class_="muted")
    needs = needs_in_words(verdict)
    return join(
        [
            element("span", words, class_=_BADGE_CLASSES.get(verdict.verdict, "badge")),
            element("small", needs) if needs else "",
        ]
    )


@dataclass(frozen=True, kw_only=True)
class PanelLayout:
    """The layout of the figure for one kind of screen.

    Attributes:
        id: the id of the figure.
        screen: the CSS class of the screens that show it: "on-wide" or "on-narrow"; None for all screens.
        panel: the left and right end of the axis, as shares of the figure's width.
        is_above: whether words stand above their interval, for narrow screens; else the words stand beside it.
    """

    id: str
    screen: str | None
    panel: tuple[float, float]
    is_above: bool


WIDE = PanelLayout(id="verdicts", screen="on-wide", panel=(0.36, 1.0), is_above=False)
NARROW = PanelLayout(id="verdicts-narrow", screen="on-narrow", panel=(0.0, 1.0), is_above=True)
CARD = PanelLayout(id="verdicts", screen=None, panel=(0.0, 1.0), is_above=True)
"""The layout for the cards of optuna-dashboard, which have 600 by 450 pixels."""


def verdicts(conclusion: Conclusion, shape: PanelLayout = WIDE) -> Figure | None:
    """Return the figure of the verdicts; None if no technique has a verdict."""
    rows = [one for one in technique_verdicts(conclusion) if one.verdict is not None and one.gain is not None]
    if not rows:
        return None
    measure = conclusion.measure
    scale = measure.scale
    intervals = [_scaled(row.gain, scale) for row in rows if row.gain is not None]
    smallest = scale * conclusion.smallest_gain
    low, high = _range(rows, intervals, smallest)
    data: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    top = 0.0
    for row, interval in zip(rows, intervals, strict=True):
        words = _words(row, rows, measure)
        annotations += [
            annotation(0, top + i * _LINE, line, INK if i == 0 else MUTED, 13 if i == 0 else 11.5)
            for i, line in enumerate(words)
        ]
        height = _LINE * len(words)
        middle = top + height + _BAR / 2 if shape.is_above else top + height / 2
        data.append(_bar(row, interval, middle, (low, high), measure))
        top += height + (_BAR if shape.is_above else 0) + _SPACE
    title = text(f"gain in {measure.titled(measure.unit)}", 80)
    return Figure(
        id=shape.id,
        alt_text=(
            f"The verdict on each technique, and its gain over {rows[0].over} with its interval: {_in_words(rows)}."
        ),
        height=round(top) + _TOP + _BOTTOM,
        caption=_caption(conclusion, rows, is_cut=any(interval.low < low for interval in intervals)),
        data=data,
        layout=layout(
            margin={"l": 8, "r": 12, "t": _TOP, "b": _BOTTOM},
            annotations=[*annotations, *_directions(shape, low, high, smallest)],
            shapes=[*_no_difference(smallest), zero_line()],
            yaxis={"range": [top, 0], "visible": False, "fixedrange": True},
            xaxis=axis(
                title, domain=list(shape.panel), range=[low, high], anchor="y", automargin=False, nticks=6, tickangle=0
            ),
        ),
        screen=shape.screen,
    )


def _scaled(gain: Interval, scale: int) -> Interval:
    return Interval(mean=scale * gain.mean, low=scale * gain.low, high=scale * gain.high, level=gain.level)


def _range(
    rows: Sequence[TechniqueVerdict], intervals: Sequence[Interval], smallest_gain: float
) -> tuple[float, float]:
    """Return the range of the axis; it leaves out very harmful techniques, so that the others stay readable."""
    pairs = zip(rows, intervals, strict=True)
    others = [interval for row, interval in pairs if row.verdict is not Verdict.HARMS]
    low = min([-1.5 * smallest_gain, *(interval.low for interval in others)])
    high = max([1.5 * smallest_gain, *(interval.high for interval in intervals)])
    span = high - low
    lowest = min(interval.low for interval in intervals)
    low = min(low, lowest if span <= 0 else max(lowest, low - _FARTHEST * span))
    margin = 0.05 * (high - low) or 1.0
    return rounded(low - margin), rounded(high + margin)


def _words(row: TechniqueVerdict, rows: Sequence[TechniqueVerdict], measure: Measure) -> list[str]:
    """Return the two lines of a row: technique and verdict, then the gain."""
    assert row.gain is not None
    gain = measure.gain(row.gain)
    over = "" if row.over == rows[0].over else f" over {row.over}"
    return [f"<b>{text(row.technique, 40)}</b>: {row.verdict}", text(f"{gain}{over}")]


def _bar(
    row: TechniqueVerdict, interval: Interval, y: float, shown: tuple[float, float], measure: Measure
) -> dict[str, Any]:
    """Return the trace of an interval; an interval beyond the axis is only an arrow at the edge."""
    assert row.verdict is not None
    assert row.gain is not None
    colour, symbol = _STYLES[row.verdict]
    low, high = shown
    mean = min(max(interval.mean, low), high)
    is_beyond = interval.high < low
    up = 0.0 if is_beyond else max(interval.high - mean, 0.0)
    down = 0.0 if is_beyond else max(mean - max(interval.low, low), 0.0)
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [rounded(mean)],
        "y": [y],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [rounded(up)],
            "arrayminus": [rounded(down)],
            "color": colour,
            "thickness": 3,
            "width": 6,
        },
        "marker": {"size": 11, "color": colour, "symbol": symbol, "line": {"color": colour, "width": 2}},
        "cliponaxis": False,
        "hovertemplate": f"{text(row.technique, 40)}: {row.verdict}<br>{text(measure.gain(row.gain))}<extra></extra>",
    }


def _no_difference(smallest_gain: float) -> list[dict[str, Any]]:
    if smallest_gain <= 0:
        return []
    ends = {"x0": rounded(-smallest_gain), "x1": rounded(smallest_gain), "y0": 0, "y1": 1}
    line = {"color": PLAIN, "width": 1, "dash": "dot"}
    return [
        {"type": "rect", "xref": "x", "yref": "paper", **ends, "fillcolor": PLAIN_FILL, "line": line, "layer": "below"}
    ]


def _directions(shape: PanelLayout, low: float, high: float, smallest_gain: float) -> list[dict[str, Any]]:
    """Return the words above the intervals, such as "helps →"; a word is left out if there is no room for it."""
    left, right = shape.panel
    share_below = -low / (high - low)
    labels = []
    if share_below > 0.2:
        labels.append((left, "left", "← harms"))
    if share_below < 0.8:
        labels.append((right, "right", "helps →"))
    if 2 * smallest_gain > _ROOM * (high - low):
        labels.append((left + (right - left) * share_below, "center", "no difference"))
    return [
        {
            "xref": "paper",
            "x": rounded(x),
            "xanchor": anchor,
            "yref": "paper",
            "y": 1,
            "yanchor": "bottom",
            "text": words,
            "showarrow": False,
            "font": {"color": MUTED, "size": 11.5},
        }
        for x, anchor, words in labels
    ]


def _caption(conclusion: Conclusion, rows: Sequence[TechniqueVerdict], *, is_cut: bool) -> str:
    levels = " or ".join(dict.fromkeys(formats.level(row.gain.level) for row in rows if row.gain is not None))
    exception = next((row for row in rows if row.over != rows[0].over), None)
    addition = ""
    if exception is not None and rows[0].over == EARLY_STOPPING_ALONE:
        addition = f" (for {exception.technique}: over {exception.over})"
    sentences = [
        f"Each line is a {levels} interval of the gain over {rows[0].over}{addition}, on "
        f"{formats.count(conclusion.test_rows, 'test example')}.",
    ]
    if conclusion.smallest_gain:
        measure = conclusion.measure.no_difference(conclusion.smallest_gain)
        sentences.append(f"A technique whose interval lies in the shaded region makes no difference ({measure}).")
        sentences.append("An interval that crosses 0 and leaves the region is not settled.")
    else:
        sentences.append("An interval that crosses 0 is not settled.")
    sentences.append(over_seeds_note(conclusion))
    if is_cut:
        sentences.append("An interval at the left edge continues beyond it.")
    return " ".join(filter(None, sentences))


def _in_words(rows: Sequence[TechniqueVerdict]) -> str:
    return ", ".join(f"{row.technique} {row.verdict}" for row in rows)
