"""A horizontal axis with a strip of its own for "off", since a log axis has no zero and 0 is a choice of its own."""

from collections.abc import Sequence
from typing import Any

from regsearch.studies.reports.figures.figure import BEST, NONE, PAPER, PLAIN, axis, jitter, rounded

_STRIP = 0.17  # of the width
_GAP = 0.03


def strip_axes(title: str, **options: Any) -> dict[str, Any]:
    """Return the strip's axis and the main one, as parts of a layout."""
    return {
        "xaxis": axis(
            "",
            domain=[0, _STRIP],
            range=[-0.8, 0.8],
            tickmode="array",
            tickvals=[0],
            ticktext=["off"],
            showgrid=False,
            fixedrange=True,
        ),
        "xaxis2": axis(title, domain=[_STRIP + _GAP, 1], anchor="y", **options),
    }


def dots(
    numbers: Sequence[int], settings: Sequence[float | None], ys: Sequence[float], hover: str, best: int | None
) -> list[dict[str, Any]]:
    """Return the points of trials by a setting, None being off.

    Args:
        numbers: of the trials.
        settings: where each stands on the main axis.
        ys: each one's height.
        hover: what is said of a point's height, in Plotly's form.
        best: the number of the trial that stands out.
    """
    traces = []
    points = list(zip(numbers, settings, ys, strict=True))
    for is_off in (True, False):
        for is_best in (False, True):
            chosen = [point for point in points if (point[1] is None) is is_off and (point[0] == best) is is_best]
            if not chosen:
                continue
            where = "off" if is_off else "%{x:.3~g}"
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "xaxis": "x" if is_off else "x2",
                    "x": [jitter(number) if is_off else rounded(x or 0.0) for number, x, _ in chosen],
                    "y": [rounded(y) for *_, y in chosen],
                    "customdata": [number for number, *_ in chosen],
                    "cliponaxis": False,
                    "marker": _BEST_MARKER if is_best else _MARKER,
                    "hovertemplate": f"trial %{{customdata}}: {where}<br>{hover}<extra></extra>",
                }
            )
    return traces


_MARKER = {"size": 6, "color": PLAIN, "opacity": 0.6, "line": {"width": 0, "color": NONE}}
_BEST_MARKER = {"size": 12, "color": BEST, "symbol": "diamond", "line": {"width": 1.5, "color": PAPER}}
