"""A ladder of one technique: select cross-entropy by strength, beside the level without it."""

from collections.abc import Sequence
from typing import Any

from regsearch.studies.analysis.ladder import Ladder, Reference, ladders, reference
from regsearch.studies.reports.data import ReportData
from regsearch.studies.reports.figures.figure import BEST, INK, MUTED, PAPER, PLAIN, Figure, axis, layout, rounded, text

_TITLES = {
    "l1": "L1 factor (of Σ|w|, log scale)",
    "l2": "L2 factor (of Σw², log scale)",
    "dropout": "dropout rate (share of units)",
}
_STRETCH = 4  # of the range of the good values: a rung that is far too strong would flatten all others


def rung_figures(content: ReportData) -> list[Figure]:
    """Return a picture of each ladder, all with the same height of axis."""
    found, without = ladders(content.trials), reference(content.answer.study.spec, content.trials, content.conclusion)
    if not found:
        return []
    y_range = _range(found, without)
    return [_figure(ladder, without, y_range) for ladder in found]


def _range(found: Sequence[Ladder], without: Reference | None) -> tuple[float, float]:
    values = [rung.cross_entropy for ladder in found for rung in ladder.rungs]
    low = min(values) if without is None else min(*values, without.cross_entropy)
    good = [ladder.best.cross_entropy for ladder in found] + ([] if without is None else [without.cross_entropy])
    span = max(good) - low
    high = min(max(values), low + _STRETCH * span) if span > 0 else max(values)
    high = max(high, max(good))
    margin = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    return rounded(low - margin), rounded(high + margin)


def _figure(ladder: Ladder, without: Reference | None, y_range: tuple[float, float]) -> Figure:
    top = y_range[1]
    beyond = [rung for rung in ladder.rungs if rung.cross_entropy > top]
    xs = [rung.strength for rung in ladder.rungs]
    is_rate = ladder.parameter == "dropout"
    scale: dict[str, Any] = (
        {"range": [0, rounded(1.15 * max(xs))], "tickvals": xs}
        if is_rate
        else {"type": "log", "exponentformat": "power", "dtick": 1, "tickangle": 0}
    )
    return Figure(
        id=f"rungs-{ladder.parameter}",
        alt_text=f"Select cross-entropy of each rung by {_TITLES[ladder.parameter]}, beside the level without.",
        height=300,
        caption="" if not beyond else "A triangle at the edge: far worse than the axis shows.",
        data=[_rungs(ladder, top)],
        layout=layout(
            xaxis=axis(_TITLES[ladder.parameter], **scale),
            yaxis=axis("select cross-entropy<br>(nats per row)", range=list(y_range)),
            shapes=[] if without is None else [_line(without)],
            annotations=[] if without is None else [_label(without)],
        ),
    )


def _rungs(ladder: Ladder, top: float) -> dict[str, Any]:
    best = ladder.best
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [rounded(rung.strength) for rung in ladder.rungs],
        "y": [rounded(min(rung.cross_entropy, top)) for rung in ladder.rungs],
        "customdata": [[rung.trial, rounded(rung.cross_entropy)] for rung in ladder.rungs],
        "cliponaxis": False,
        "line": {"color": PLAIN, "width": 2},
        "marker": {
            "size": [12 if rung is best else 8 for rung in ladder.rungs],
            "color": [BEST if rung is best else PLAIN for rung in ladder.rungs],
            "symbol": [
                "triangle-up" if rung.cross_entropy > top else "diamond" if rung is best else "circle"
                for rung in ladder.rungs
            ],
            "opacity": 1,  # where sizes differ, Plotly takes points for bubbles
            "line": {"width": 1.5, "color": PAPER},
        },
        "hovertemplate": "trial %{customdata[0]}: %{x}<br>cross-entropy %{customdata[1]}<extra></extra>",
    }


def _line(without: Reference) -> dict[str, Any]:
    y = rounded(without.cross_entropy)
    line = {"color": MUTED, "width": 1.5, "dash": "4px,4px"}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": "y", "y0": y, "y1": y, "line": line}


def _label(without: Reference) -> dict[str, Any]:
    return {
        "xref": "paper",
        "x": 1,
        "xanchor": "right",
        "yref": "y",
        "y": rounded(without.cross_entropy),
        "yanchor": "bottom",
        "text": text(without.name, 40),
        "showarrow": False,
        "font": {"color": INK, "size": 11},
    }
