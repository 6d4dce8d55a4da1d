"""Show what each finalist gains over no regularization on fresh seeds, as a figure and as a table."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ... import formats
from ...analysis.conclusion import Conclusion, FinalistResult, Gain
from ...statistics import Interval
from ..data import ReportData
from ..figures.figure import (
    BEST,
    INK,
    MUTED,
    PLAIN,
    Figure,
    annotation,
    axis,
    layout,
    rounded,
    text,
    zero_line,
)
from ..html import element, join, table
from ..verdict_notes import dropped_in_words
from .section import Section, drawn, measured

_HEADER = (
    "configuration",
    "selection cross-entropy",
    "test cross-entropy",
    "test accuracy",
    "gain in cross-entropy",
    "gain in accuracy (pp)",
    "generalization gap",
    "epochs",
)
_MOST_ROWS = 60
_LINE, _FIGURES, _BAR, _SPACE = 16, 16, 18, 14  # heights in pixels: label line, numbers, interval, space
_TOP, _BOTTOM = 8, 58
_TITLES = ("gain in test cross-entropy<br>(nats per example)", "gain in test accuracy<br>(percentage points)")


def section(content: ReportData) -> Section | None:
    """Return the section on the finalists; None before the confirmation."""
    conclusion = content.conclusion
    if conclusion is None:
        return None
    figures = [figure for shape in (WIDE, NARROW) if (figure := gains(conclusion, shape))]
    return Section(
        id="finalists",
        title="What the finalists gain",
        figures=figures,
        body=join(
            [*map(drawn, figures), _table(conclusion), _note(conclusion), _dropped(conclusion), _failed(conclusion)]
        ),
    )


def _table(conclusion: Conclusion) -> Markup:
    first = in_order(conclusion)
    rest = [result for result in conclusion.ranked if not any(result is one for one in first)]
    results = [*first, *rest][:_MOST_ROWS]
    marked = [
        index for index, result in enumerate(results) if result.finalist.index == conclusion.winner.finalist.index
    ]
    return table(
        _HEADER, [_row(conclusion, result) for result in results], numbers=range(1, len(_HEADER)), marked=marked
    )


def _row(conclusion: Conclusion, result: FinalistResult) -> list[object]:
    return [
        _configuration(conclusion, result),
        formats.cross_entropy(result.select_cross_entropy),
        measured(result.test_cross_entropy, formats.cross_entropy_interval),
        measured(result.test_accuracy, formats.accuracy_interval),
        measured(None if result.gain is None else result.gain.cross_entropy, formats.cross_entropy_gain),
        measured(None if result.gain is None else result.gain.accuracy, formats.accuracy_gain),
        formats.signed(formats.cross_entropy(result.generalization_gap)),
        _epochs(result),
    ]


def _configuration(conclusion: Conclusion, result: FinalistResult) -> Markup:
    is_winner = result.finalist.index == conclusion.winner.finalist.index
    roles = ", ".join(result.finalist.roles)
    trial = "" if result.finalist.trial is None else f"; trial {result.finalist.trial}"
    return join(
        [
            element("strong" if is_winner else "span", formats.settings(result.finalist.params)),
            element("span", _badge(conclusion), class_="badge best") if is_winner else "",
            element("span", "tied", class_="badge") if result.is_tied and not is_winner else "",
            ""
            if result.dropped is None
            else element("span", f"dropped after {result.dropped.seeds:,}", class_="badge"),
            element("small", f"{roles}{trial}"),
        ]
    )


def _badge(conclusion: Conclusion) -> str:
    """Return the text of the winner's badge; if no gain is claimed, the text says how the winner was chosen."""
    if conclusion.claims_gain:
        return "winner"
    return "best on selection" if conclusion.winner_is_best else "simplest of the tied"


def _epochs(result: FinalistResult) -> str:
    fewest, most = min(result.epochs, default=0), max(result.epochs, default=0)
    return f"{fewest}" if fewest == most else f"{fewest} to {most}"


def _note(conclusion: Conclusion) -> Markup:
    exception = " that were not dropped" if any(result.dropped for result in conclusion.results) else ""
    examples = formats.count(conclusion.select_rows, "selection example")
    where = "selection splits of all seeds" if conclusion.has_drawn_splits else examples
    of_a_mean = formats.level(conclusion.winner.test_cross_entropy.level)  # that of a gain grows with each evaluation
    return element(
        "p",
        f"Each figure is a mean over {formats.count(conclusion.seeds, 'fresh seed')}, which are the same for all "
        f"finalists{exception}. The {of_a_mean} interval in brackets covers the luck of the seeds and of "
        f"the test examples together. {formats.shared_risk(conclusion.level)} Cross-entropy is in nats "
        f"per example; pp are percentage points. Finalists are compared on the {where}. There, a finalist is tied with "
        "the best one if the difference between the two is at most its standard error. The winner is the simplest of "
        f"the tied finalists. {_uses_of_test_set(conclusion)}",
        class_="note",
    )


def _uses_of_test_set(conclusion: Conclusion) -> str:
    times = "once" if conclusion.looks == 1 else f"{conclusion.looks:,} times"
    unfinished = f" ({conclusion.unfinished_looks:,} unfinished)" if conclusion.unfinished_looks else ""
    examples = formats.count(conclusion.test_rows, "example")
    return f"The test set of {examples} was used {times}{unfinished}, with {conclusion.evaluations:,} evaluations."


def _dropped(conclusion: Conclusion) -> Markup:
    sentences = dropped_in_words(conclusion)[:_MOST_ROWS]
    if not sentences:
        return Markup("")
    return join(
        [element("h3", "Finalists that got fewer seeds"), element("ul", *(element("li", one) for one in sentences))]
    )


def _failed(conclusion: Conclusion) -> Markup:
    if not conclusion.failed:
        return Markup("")
    items = [
        element("li", f"{formats.settings(finalist.params)}: ", element("span", reason))
        for finalist, reason in conclusion.failed[:_MOST_ROWS]
    ]
    return join([element("h3", "Finalists that failed"), element("ul", *items)])


@dataclass(frozen=True, kw_only=True)
class PanelLayout:
    """The layout of the figure for one kind of screen.

    Attributes:
        id: the id of the figure.
        screen: the CSS class of the screens that show it: "on-wide" or "on-narrow"; None for all screens.
        label: the largest number of characters in a line of a label.
        panels: the left and right end of the two panels (cross-entropy, accuracy), as shares of the figure's width.
        is_above: whether a label stands above its interval, for narrow screens; else the label stands beside it.
        most_rows: the largest number of finalists that are shown.
    """

    id: str
    screen: str | None
    label: int
    panels: tuple[tuple[float, float], tuple[float, float]]
    is_above: bool
    most_rows: int = 20


WIDE = PanelLayout(id="gains", screen="on-wide", label=46, panels=((0.36, 0.66), (0.7, 1.0)), is_above=False)
NARROW = PanelLayout(id="gains-narrow", screen="on-narrow", label=42, panels=((0.0, 0.48), (0.52, 1.0)), is_above=True)
CARD = PanelLayout(id="gains", screen=None, label=70, panels=NARROW.panels, is_above=True, most_rows=5)
"""The layout for the cards of optuna-dashboard, which have 600 by 450 pixels."""


def gains(conclusion: Conclusion, shape: PanelLayout = WIDE) -> Figure | None:
    """Return the figure of the gains, in the order of `in_order`; None if no finalist has a gain."""
    results = in_order(conclusion)
    if not results:
        return None
    shown = results[: shape.most_rows]
    data, annotations, height = _rows(conclusion, shown, shape)
    level = formats.level(max(interval.level for result in results for interval, _ in _intervals(result.gain)))
    left_out = "" if len(results) <= shape.most_rows else f" The first {shape.most_rows} of {len(results)} finalists."
    return Figure(
        id=shape.id,
        alt_text=f"What each finalist gains over {conclusion.baseline_name} on the test set, with its interval.",
        height=round(height) + _TOP + _BOTTOM,
        caption=f"Each line is the {level} interval of a finalist's gain over {conclusion.baseline_name}, from "
        f"{formats.count(conclusion.seeds, 'fresh seed')} and {formats.count(conclusion.test_rows, 'test example')}. "
        "Right of the dashed line, the finalist is better. If an interval crosses this line, the gain may be luck."
        f"{left_out}",
        data=data,
        layout=layout(
            margin={"l": 8, "r": 12, "t": _TOP, "b": _BOTTOM},
            annotations=annotations,
            shapes=[zero_line(xref) for xref in ("x", "x2")],
            yaxis={"range": [height, 0], "visible": False, "fixedrange": True},
            **{
                name: axis(
                    _TITLES[panel],
                    domain=list(shape.panels[panel]),
                    range=_range([_intervals(result.gain)[panel] for result in shown]),
                    anchor="y",
                    automargin=False,
                    nticks=5,
                )
                for panel, name in enumerate(("xaxis", "xaxis2"))
            },
        ),
        screen=shape.screen,
    )


def _rows(
    conclusion: Conclusion, results: Sequence[FinalistResult], shape: PanelLayout
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], float]:
    """Return the traces of the intervals, the annotations beside them, and the height of all rows in pixels."""
    data: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    top = 0.0
    for result in results:
        is_winner = result.finalist.index == conclusion.winner.finalist.index
        label = _label(result, _role_of_winner(conclusion) if is_winner else "", shape.label)
        annotations.append(annotation(0, top, "<br>".join(label), INK, 12.5))
        height = _LINE * len(label)
        start = top + height if shape.is_above else top
        for panel, (interval, digits) in enumerate(_intervals(result.gain)):
            annotations.append(annotation(shape.panels[panel][0], start, _gain(interval, digits), MUTED, 11))
            data.append(_bar(panel, interval, digits, start + _FIGURES + _BAR / 2, is_winner))
        top = max(top + height, start + _FIGURES + _BAR) + _SPACE
    return data, annotations, top


def _role_of_winner(conclusion: Conclusion) -> str:
    if conclusion.claims_gain:
        return "Winner: "
    return "Best on the selection split: " if conclusion.winner_is_best else "Simplest of those tied: "


def in_order(conclusion: Conclusion) -> list[FinalistResult]:
    """Return the finalists that have a gain: the winner first, then the others by gain, the largest first."""
    winner = conclusion.winner.finalist.index
    with_gain = [
        (conclusion.objective_metric(result.gain).mean, result)
        for result in conclusion.results
        if result.gain is not None
    ]
    with_gain.sort(key=lambda one: (one[1].finalist.index != winner, -one[0]))
    return [result for _, result in with_gain]


def _intervals(gain: Gain | None) -> list[tuple[Interval, int]]:
    """Return the interval for each panel, in the panel's unit, and how many decimals to show."""
    assert gain is not None
    of = gain.accuracy
    percent = Interval(mean=100 * of.mean, low=100 * of.low, high=100 * of.high, level=of.level)
    return [(gain.cross_entropy, 4), (percent, 2)]


def _range(intervals: Sequence[tuple[Interval, int]]) -> list[float]:
    """Return the range of a panel: it contains every interval and zero, with room at both ends."""
    low = min(0.0, *(interval.low for interval, _ in intervals))
    high = max(0.0, *(interval.high for interval, _ in intervals))
    margin = 0.08 * (high - low) or 1.0
    return [rounded(low - margin), rounded(high + margin)]


def _label(result: FinalistResult, role: str, width: int) -> Sequence[str]:
    words = f"{role}{formats.settings(result.finalist.params)}"
    wrapped = textwrap.wrap(words, width, max_lines=3, placeholder=" …")
    return [f"<b>{text(line)}</b>" if role else text(line) for line in wrapped]


def _bar(panel: int, interval: Interval, digits: int, y: float, is_winner: bool) -> dict[str, Any]:
    colour = BEST if is_winner else PLAIN
    return {
        "type": "scatter",
        "mode": "markers",
        "xaxis": ("x", "x2")[panel],
        "x": [rounded(interval.mean)],
        "y": [y],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [rounded(interval.high - interval.mean)],
            "arrayminus": [rounded(interval.mean - interval.low)],
            "color": colour,
            "thickness": 3 if is_winner else 2,
            "width": 5,
        },
        "marker": {"size": 11 if is_winner else 8, "color": colour, "symbol": "diamond" if is_winner else "circle"},
        "hovertemplate": f"{_gain(interval, digits + 1)}<extra></extra>",
    }


def _gain(interval: Interval, digits: int) -> str:
    mean, low, high = (f"{value:+.{digits}f}" for value in (interval.mean, interval.low, interval.high))
    return formats.signed(f"{mean} [{low}, {high}]")
