"""Draw the best value so far of each search method: the mean over its seeds, with a band from worst to best."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any, Literal

from ... import formats
from ...analysis.comparison import ComparedStudy, Comparison
from ...analysis.search_methods import SearchMethod, search_methods
from ..figures.figure import (
    Figure,
    axis,
    layout,
    objective_with_unit,
    rounded,
    shown_range,
    text,
)
from .best_so_far import COLOURS, DASHES, MOST_LINES, SYMBOLS

Spent = Literal["trials", "epochs"]
_AXES = {
    "trials": "finished trials (in the order of their numbers)",
    "epochs": "training epochs spent (of all trials, in the order of their numbers)",
}


def search_methods_figure(comparison: Comparison, spent: Spent) -> Figure | None:
    """Return the figure of the best values against trials or epochs; None if no trial is complete."""
    scale = 100 if comparison.is_by_accuracy else 1
    methods = search_methods(comparison)
    curves = [(method, curve) for method in methods[:MOST_LINES] if (curve := _curve(method, spent, scale))]
    if not curves:
        return None
    values = [value for _, curve in curves for _, of_seeds in curve for value in of_seeds]
    low, high = shown_range(values, higher_is_better=comparison.maximizes)
    left_out = "" if len(methods) <= MOST_LINES else f" The first {MOST_LINES} of {len(methods)} search methods."
    beyond = (
        ""
        if all(low <= value <= high for value in values)
        else " A line that enters from the edge started with worse values."
    )
    has_band = any(len(method.studies) > 1 for method, _ in curves)
    band = " A band reaches from the worst seed to the best." if has_band else ""
    return Figure(
        id=f"ways-by-{spent}",
        alt_text=f"The best value so far of each search method against the {spent} spent.",
        height=420,
        caption="Each line is the best value so far of one search method on the selection split, averaged over the "
        f"method's seeds.{band} A line starts when every seed has a complete trial. It ends where the method's "
        f"shortest study ends.{beyond}{left_out}",
        data=[trace for index, (method, curve) in enumerate(curves) for trace in _traces(method, curve, index, spent)],
        layout=layout(
            showlegend=True,
            margin={"l": 8, "r": 16, "t": 32 + 18 * (len(curves) // 3), "b": 8},
            xaxis=axis(_AXES[spent], tickformat=",d", nticks=7, rangemode="tozero"),
            yaxis=axis(f"best {objective_with_unit(comparison.studies[0].search)}", range=[low, high]),
        ),
    )


def _curve(method: SearchMethod, spent: Spent, scale: int) -> list[tuple[int, list[float]]]:
    """Return the points of a line: a number of trials or epochs, and the best value of each seed up to there."""
    of_seeds = [_steps(study, spent) for study in method.studies]
    if not all(of_seeds):
        return []
    end = min(study.trials if spent == "trials" else study.epochs for study in method.studies)
    begin = max(steps[0][0] for steps in of_seeds)
    places = sorted({x for steps in of_seeds for x, _ in steps if begin <= x <= end} | {end})
    if begin > end:
        return []
    return [(x, [scale * [value for at, value in steps if at <= x][-1] for steps in of_seeds]) for x in places]


def _steps(study: ComparedStudy, spent: Spent) -> list[tuple[int, float]]:
    places = [number + 1 for number, _ in study.best_so_far] if spent == "trials" else study.epochs_at
    return [(place, value) for place, (_, value) in zip(places, study.best_so_far, strict=True)]


def _traces(
    method: SearchMethod, curve: Sequence[tuple[int, list[float]]], index: int, spent: Spent
) -> list[dict[str, Any]]:
    colour, label = COLOURS[index % len(COLOURS)], text(method.label, 60)
    xs = [x for x, _ in curve]
    means = [rounded(fmean(of_seeds)) for _, of_seeds in curve]
    line = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": f"{label} ({formats.count(len(method.studies), 'seed')})",
        "legendgroup": str(index),
        "x": xs,
        "y": means,
        "line": {"shape": "hv", "color": colour, "width": 2.5, "dash": DASHES[index % len(DASHES)]},
        "marker": {
            "symbol": SYMBOLS[index % len(SYMBOLS)],
            "color": colour,
            "opacity": 1,
            "size": [*([0] * (len(xs) - 1)), 10],
        },
        "hovertemplate": f"{label}, {spent} %{{x}}: %{{y}}<extra></extra>",
    }
    if len(method.studies) == 1:
        return [line]
    upper = _staircase([(x, max(of_seeds)) for x, of_seeds in curve])
    lower = _staircase([(x, min(of_seeds)) for x, of_seeds in curve])
    outline = [*upper, *reversed(lower)]
    band = {
        "type": "scatter",
        "mode": "lines",
        "legendgroup": str(index),
        "showlegend": False,
        "x": [x for x, _ in outline],
        "y": [y for _, y in outline],
        "fill": "toself",
        "fillcolor": colour,
        "opacity": 0.15,
        "line": {"color": colour, "width": 0},
        "hoverinfo": "skip",
    }
    return [band, line]


def _staircase(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return the corners of a step line, which keeps each value until the next point."""
    corners: list[tuple[int, float]] = []
    for x, value in points:
        if corners:
            corners.append((x, corners[-1][1]))
        corners.append((x, rounded(value)))
    return corners
