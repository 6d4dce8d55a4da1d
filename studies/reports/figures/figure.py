"""Define a figure, its axes and its colours.

Colours are names of CSS variables of the page (Okabe and Ito's palette, safe for colour-blind readers). The script that
draws a figure looks them up. Plotly reads labels and other words as markup, so callers must escape them with `text`. No
figure uses WebGL, which needs eval.
"""

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ...objectives import metric_of
from ...spec import SearchSpec
from ..html import clean

Item = TypeVar("Item")

INK = "--ink"
MUTED = "--muted"
FAINT = "--faint"
GRID = "--grid"
PAPER = "--paper"
NONE = "rgba(0,0,0,0)"
PLAIN = "--plain"  # for most points
BEST = "--best"  # for highlighted points
GOOD = "--good"
BAD = "--bad"
PLAIN_FILL = "--plain-fill"

_UNITS = {"cross_entropy": "selection cross-entropy<br>(nats per example)", "accuracy": "selection accuracy (%)"}
_GOLDEN = 0.618033988749895


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure of a report.

    Attributes:
        id: the id of the figure's element, and the name of the figure in the dashboard.
        alt_text: a sentence that says what the figure shows, for readers who can't see it.
        height: the height in pixels.
        caption: the text below the figure, which says how to read it.
        data, layout: the traces and the layout in Plotly's format.
        screen: "on-wide" or "on-narrow" if only such screens show the figure; None if all screens show it.
    """

    id: str
    alt_text: str
    height: int
    caption: str
    data: Sequence[dict[str, Any]]
    layout: dict[str, Any]
    screen: str | None = None


def objective_with_unit(search: SearchSpec) -> str:
    """Return the axis title for the study's objective, with the unit."""
    own = text(metric_of(search.objective), 60) + (" (%)" if search.by_accuracy else "")
    return _UNITS.get(search.objective, own)


def layout(**parts: Any) -> dict[str, Any]:
    """Return a Plotly layout: the settings that all figures share, and `parts`."""
    return {
        "paper_bgcolor": NONE,
        "plot_bgcolor": NONE,
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": MUTED},
        "hoverlabel": {"bgcolor": PAPER, "bordercolor": MUTED, "font": {"color": INK, "size": 12}, "align": "left"},
        "hovermode": "closest",
        "showlegend": False,
        "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "font": {"color": INK}},
        **parts,
    }


def axis(title: str, **options: Any) -> dict[str, Any]:
    """Return a Plotly axis; the title must end with the unit."""
    return {
        "title": {"text": title, "standoff": 8, "font": {"size": 12, "color": INK}},
        "gridcolor": GRID,
        "linecolor": MUTED,
        "showline": True,
        "zeroline": False,
        "automargin": True,
        **options,
    }


def text(value: object, longest: int = 300) -> str:
    """Escape any text, so that Plotly shows it unchanged and finds no tags, entities or links in it."""
    return html.escape(clean(value, longest), quote=False).replace("\n", " ")


def jitter(number: int) -> float:
    """Return how far to shift a trial sideways, in [-0.5, 0.5): always the same for a trial, and evenly spread."""
    return rounded((number * _GOLDEN) % 1 - 0.5)


def rounded(value: float) -> float:
    """Round a number to six significant digits, which is more than a figure can show."""
    return float(f"{value:.6g}")


def thinned(items: Sequence[Item], limit: int, keep: Iterable[int] = ()) -> list[Item]:
    """Return at most `limit` items, evenly chosen from all, plus the items at the indices `keep`."""
    if len(items) <= limit:
        return list(items)
    chosen = {index * len(items) // limit for index in range(limit)} | set(keep)
    return [items[index] for index in sorted(chosen)]


def shown_range(values: Sequence[float], *, higher_is_better: bool = False) -> tuple[float, float]:
    """Return the range of an axis, which contains all values but the extremely bad ones.

    With 8 values or more, it leaves out values that are far beyond the worse quartile: by more than 3 interquartile
    ranges. With fewer values, it contains all.
    """
    ordered = sorted(values)
    if not ordered:
        return 0.0, 1.0
    low, high = ordered[0], ordered[-1]
    first, third = ordered[(len(ordered) - 1) // 4], ordered[-1 - (len(ordered) - 1) // 4]
    reach = 3 * (third - first)
    if len(ordered) >= 8 and reach > 0:
        low, high = (max(low, first - reach), high) if higher_is_better else (low, min(high, third + reach))
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return rounded(low - margin), rounded(high + margin)


def round_values(low: float, high: float, about: int = 4) -> list[float]:
    """Return about `about` round numbers from `low` to `high`, such as ticks of an axis."""
    if not low < high:
        return [low]
    size = 10.0 ** math.floor(math.log10((high - low) / about))
    step = min((size * factor for factor in (1, 2, 2.5, 5, 10)), key=lambda step: abs((high - low) / step - about))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [rounded(step * index) for index in range(first, last + 1)]


def thinning_note(shown: int, of: int, what: str, rule: str = "spread by number") -> str:
    """Return a sentence that says how many items are drawn; "" if all items are drawn."""
    return "" if shown >= of else f" {shown:,} of {of:,} {what} are drawn, evenly {rule}."


def zero_line(xref: str = "x") -> dict[str, Any]:
    """Return the dashed vertical line at a gain of 0."""
    line = {"color": MUTED, "width": 1.5, "dash": "4px,4px"}
    ends = {"x0": 0, "x1": 0, "y0": 0, "y1": 1}
    return {"type": "line", "xref": xref, "yref": "paper", **ends, "line": line, "layer": "between"}


def annotation(x: float, y: float, words: str, colour: str, size: float) -> dict[str, Any]:
    """Return an annotation: it starts at `x` (a share of the figure's width), below `y` (a value of the axis)."""
    return {
        "xref": "paper",
        "x": x,
        "xanchor": "left",
        "yref": "y",
        "y": y,
        "yanchor": "top",
        "text": words,
        "showarrow": False,
        "align": "left",
        "borderpad": 0,
        "bgcolor": PAPER,
        "font": {"color": colour, "size": size},
    }
