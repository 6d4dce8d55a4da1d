"""What each finalist gains over no regularization: a row each, its interval beside the line of no gain."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from regsearch.studies import formats
from regsearch.studies.analysis.conclusion import Conclusion, FinalistResult, Gain
from regsearch.studies.reports.figures.figure import (
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
)
from regsearch.studies.statistics import Interval

_LINE, _FIGURES, _BAR, _SPACE = 16, 16, 18, 14  # pixels: a label's line, the figures, the interval, between two rows
_TOP, _BOTTOM = 8, 58
_TITLES = ("gain in test cross-entropy<br>(nats per row)", "gain in test accuracy<br>(percentage points)")


@dataclass(frozen=True, kw_only=True)
class PanelLayout:
    """Where labels stand: beside their interval, or on a narrow screen above it.

    Attributes:
        label: characters of a label's line.
        panels: the part of the width that each figure has.
        most_rows: how many finalists at most.
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
"""For the cards of optuna-dashboard, 600 by 450 pixels."""


def gains(conclusion: Conclusion, shape: PanelLayout = WIDE) -> Figure | None:
    """Return the forest plot, the winner first and then by what they gain; None before the test look."""
    rows = in_order(conclusion)
    if not rows:
        return None
    data: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    top = 0.0
    chosen = "Best on the select rows: " if conclusion.winner_is_best else "Simplest of those tied: "
    best = "Winner: " if conclusion.claims_gain else chosen
    for result in rows[: shape.most_rows]:
        is_winner = result.finalist.index == conclusion.winner.finalist.index
        label = _label(result, best if is_winner else "", shape.label)
        annotations.append(annotation(0, top, "<br>".join(label), INK, 12.5))
        height = _LINE * len(label)
        begin = top + height if shape.is_above else top
        for panel, (interval, digits) in enumerate(_intervals(result.gain)):
            annotations.append(annotation(shape.panels[panel][0], begin, _told(interval, digits), MUTED, 11))
            data.append(_bar(panel, interval, digits, begin + _FIGURES + _BAR / 2, is_winner))
        top = max(top + height, begin + _FIGURES + _BAR) + _SPACE
    level = formats.level(max(interval.level for result in rows for interval, _ in _intervals(result.gain)))
    left_out = "" if len(rows) <= shape.most_rows else f" The first {shape.most_rows} of {len(rows)} rows."
    return Figure(
        id=shape.id,
        alt_text=f"What each finalist gains over {conclusion.baseline_name} on the test rows, with its interval.",
        height=round(top) + _TOP + _BOTTOM,
        caption=f"Each line is a {level} interval over {formats.count(conclusion.seeds, 'fresh seed')} and "
        f"{formats.count(conclusion.test_rows, 'test row')}, paired with the same seeds {conclusion.baseline_phrase}. "
        f"Right of the dashed line is better; an interval that crosses it may be luck.{left_out}",
        data=data,
        layout=layout(
            margin={"l": 8, "r": 12, "t": _TOP, "b": _BOTTOM},
            annotations=annotations,
            shapes=[_no_gain(xref) for xref in ("x", "x2")],
            yaxis={"range": [top, 0], "visible": False, "fixedrange": True},
            **{
                name: axis(
                    _TITLES[panel],
                    domain=list(shape.panels[panel]),
                    range=_range([_intervals(result.gain)[panel] for result in rows[: shape.most_rows]]),
                    anchor="y",
                    automargin=False,
                    nticks=5,
                )
                for panel, name in enumerate(("xaxis", "xaxis2"))
            },
        ),
        screen=shape.screen,
    )


def in_order(conclusion: Conclusion) -> list[FinalistResult]:
    """Return the finalists that have a gain, the winner first and then the largest gain in the study's objective."""
    winner = conclusion.winner.finalist.index
    with_gain = [
        (conclusion.objective_metric(result.gain).mean, result)
        for result in conclusion.results
        if result.gain is not None
    ]
    with_gain.sort(key=lambda one: (one[1].finalist.index != winner, -one[0]))
    return [result for _, result in with_gain]


def _intervals(gain: Gain | None) -> list[tuple[Interval, int]]:
    """Return for each panel the interval in its unit, and how many digits it has."""
    assert gain is not None
    of = gain.accuracy
    percent = Interval(mean=100 * of.mean, low=100 * of.low, high=100 * of.high, level=of.level)
    return [(gain.cross_entropy, 4), (percent, 2)]


def _range(intervals: Sequence[tuple[Interval, int]]) -> list[float]:
    """Return a panel's range: every interval, and the line of no gain, with room at both ends."""
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
        "hovertemplate": f"{_told(interval, digits + 1)}<extra></extra>",
    }


def _told(interval: Interval, digits: int) -> str:
    mean, low, high = (f"{value:+.{digits}f}" for value in (interval.mean, interval.low, interval.high))
    return formats.signed(f"{mean} [{low}, {high}]")


def _no_gain(xref: str) -> dict[str, Any]:
    line = {"color": MUTED, "width": 1.5, "dash": "4px,4px"}
    ends = {"x0": 0, "x1": 0, "y0": 0, "y1": 1}
    return {"type": "line", "xref": xref, "yref": "paper", **ends, "line": line, "layer": "between"}
