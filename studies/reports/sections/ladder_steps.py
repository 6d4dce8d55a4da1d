"""Show how much is too much: the result of each ladder step by technique, as figures and as a table."""

from collections.abc import Sequence
from typing import Any

from ... import formats
from ...analysis.ladder import Ladder, LadderStep, Reference, ladders, reference, sentences
from ..data import ReportData
from ..figures.figure import BEST, INK, MUTED, PAPER, PLAIN, Figure, axis, layout, rounded, text
from ..html import element, join, table
from .section import Section, drawn

_HEADER = ("technique", "strength", "selection cross-entropy", "difference from baseline", "trial")
_TITLES = {
    "l1": "L1 factor (of Σ|w|, log scale)",
    "l2": "L2 factor (of Σw², log scale)",
    "dropout": "dropout rate (share of units)",
}
_STRETCH = 4  # the axis ends at 4 times the range of the good values; a far worse step would flatten the others


def section(content: ReportData) -> Section | None:
    """Return the section on the ladder; None if no technique has three complete steps."""
    all_ladders, baseline = (
        ladders(content.trials),
        reference(content.answer.study.spec, content.trials, content.conclusion),
    )
    if not all_ladders:
        return None
    figures = rung_figures(content)
    rungs = [(ladder, rung) for ladder in all_ladders for rung in ladder.rungs]
    pictures = (drawn(figure, ladder.technique) for figure, ladder in zip(figures, all_ladders, strict=True))
    return Section(
        id="rungs",
        title="What each ladder step gives",
        figures=figures,
        body=join(
            [
                element(
                    "ul",
                    *(
                        element("li", sentence)
                        for sentence in sentences(content.answer.study.spec, content.trials, content.conclusion)
                    ),
                ),
                element("div", *pictures, class_="grid three"),
                element(
                    "details",
                    element("summary", "All ladder steps"),
                    table(
                        _HEADER,
                        [_row(ladder, rung, baseline) for ladder, rung in rungs],
                        numbers=range(1, len(_HEADER)),
                        marked=[index for index, (ladder, rung) in enumerate(rungs) if rung is ladder.best],
                    ),
                ),
                element("p", _note(baseline), class_="note"),
            ]
        ),
    )


def _row(ladder: Ladder, rung: LadderStep, baseline: Reference | None) -> list[object]:
    against = None if baseline is None else formats.signed(f"{rung.cross_entropy - baseline.cross_entropy:+.5f}")
    loss = formats.cross_entropy(rung.cross_entropy)
    return [ladder.technique, f"{rung.strength:g}", loss, against, rung.trial]


def _note(baseline: Reference | None) -> str:
    note = (
        "Each ladder step is one trial with the technique and with early stopping as in the course, and nothing else. "
        "Values are on the selection split, in nats per example, from one seed: differences of a few thousandths may "
        "be luck."
    )
    if baseline is None:
        return f"{note} The result of the same training without the technique is not known."
    if baseline.is_of_search:
        return f"{note} The dashed line is {baseline.name}, with the same seed."
    return f"{note} The dashed line is {baseline.name}: its mean over the fresh seeds of the confirmation."


def rung_figures(content: ReportData) -> list[Figure]:
    """Return a figure for each ladder; all figures have the same vertical axis."""
    all_ladders, baseline = (
        ladders(content.trials),
        reference(content.answer.study.spec, content.trials, content.conclusion),
    )
    if not all_ladders:
        return []
    y_range = _range(all_ladders, baseline)
    return [_figure(ladder, baseline, y_range) for ladder in all_ladders]


def _range(all_ladders: Sequence[Ladder], baseline: Reference | None) -> tuple[float, float]:
    values = [rung.cross_entropy for ladder in all_ladders for rung in ladder.rungs]
    low = min(values) if baseline is None else min(*values, baseline.cross_entropy)
    good = [ladder.best.cross_entropy for ladder in all_ladders] + (
        [] if baseline is None else [baseline.cross_entropy]
    )
    span = max(good) - low
    high = min(max(values), low + _STRETCH * span) if span > 0 else max(values)
    high = max(high, max(good))
    margin = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    return rounded(low - margin), rounded(high + margin)


def _figure(ladder: Ladder, baseline: Reference | None, y_range: tuple[float, float]) -> Figure:
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
        alt_text=f"Selection cross-entropy of each ladder step by {_TITLES[ladder.parameter]}, beside the baseline.",
        height=300,
        caption="" if not beyond else "A triangle at the edge is a value far beyond the axis.",
        data=[_rungs(ladder, top)],
        layout=layout(
            xaxis=axis(_TITLES[ladder.parameter], **scale),
            yaxis=axis("selection cross-entropy<br>(nats per example)", range=list(y_range)),
            shapes=[] if baseline is None else [_line(baseline)],
            annotations=[] if baseline is None else [_label(baseline)],
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
            "opacity": 1,  # if sizes differ, Plotly draws points as half-transparent bubbles
            "line": {"width": 1.5, "color": PAPER},
        },
        "hovertemplate": "trial %{customdata[0]}: %{x}<br>cross-entropy %{customdata[1]}<extra></extra>",
    }


def _line(baseline: Reference) -> dict[str, Any]:
    y = rounded(baseline.cross_entropy)
    line = {"color": MUTED, "width": 1.5, "dash": "4px,4px"}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": "y", "y0": y, "y1": y, "line": line}


def _label(baseline: Reference) -> dict[str, Any]:
    return {
        "xref": "paper",
        "x": 1,
        "xanchor": "right",
        "yref": "y",
        "y": rounded(baseline.cross_entropy),
        "yanchor": "bottom",
        "text": text(baseline.name, 40),
        "showarrow": False,
        "font": {"color": INK, "size": 11},
    }
