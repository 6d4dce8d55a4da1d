"""Draw strength curves: the value of each technique alone by its strength, beside the training without it."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...analysis.strength_curve import Baseline, StrengthCurve
from ...analysis.tuning import PLACEMENTS, Attempt, position_of, shown
from ...spec import SearchSpec, StudySpec
from ...techniques import TECHNIQUES
from ..data import ReportData
from ..tuned_strengths import region_names, sentence
from .figure import (
    BAD,
    BEST,
    FAINT,
    GOOD,
    INK,
    MUTED,
    PAPER,
    PLAIN,
    Figure,
    axis,
    jitter,
    layout,
    objective_with_unit,
    rounded,
    shown_range,
    text,
    thinned,
    thinning_note,
)

MOST_POINTS = 300
_STRETCH = 2  # the axis ends at 2 times the distance from best value to baseline; worse ones would flatten the others
_ROW, _GAP = 0.08, 0.05  # shares of the height: a row of marks below the values, and the gap above all rows
_IDS = {"L1": "l1", "L2": "l2", "L1+L2": "l1-l2", "early stopping": "patience", "BatchNorm": "batch-norm"}
_TITLES = {
    "L1": "L1 factor (of Σ|w|, log scale)",
    "L2": "L2 factor (of Σw², log scale)",
    "L1+L2": "√(L1 factor × L2 factor) (log scale)",
    "dropout": "dropout rate (share of units)",
    "BatchNorm": "placement (where BatchNorm stands)",
    "early stopping": "patience (epochs without improvement)",
}
_PAD = "\u00a0\u00a0"  # the space between a point and its name
_LOG = ("L1", "L2", "L1+L2")


def _title(technique: str) -> str:
    return _TITLES.get(technique, f"strength of {technique}")


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The horizontal axis of a panel.

    Attributes:
        low, high: the ends of the axis; for a log axis, their logarithms to the base 10.
        is_log: whether the axis is logarithmic.
    """

    low: float
    high: float
    is_log: bool

    def part_of(self, position: float) -> float:
        """Return the place of a strength on the axis, from 0 at the left end to 1 at the right end."""
        value = math.log10(position) if self.is_log else position
        return rounded(min(max((value - self.low) / (self.high - self.low), 0.0), 1.0))


@dataclass(frozen=True, kw_only=True)
class Range:
    """The vertical axis of all panels; a value times `factor` is in the unit of the axis, such as 100 for per cent."""

    low: float
    high: float
    factor: int
    maximizes: bool

    def clipped(self, value: float) -> float:
        """Return the height at which to draw a value of the objective; a value beyond the axis is drawn at its edge."""
        return rounded(min(max(self.factor * value, self.low), self.high))

    def symbol(self, value: float, inside: str) -> str:
        """Return the symbol of a point: `inside`, or a triangle if the point lies beyond the axis."""
        at = self.factor * value
        return "triangle-up" if at > self.high else "triangle-down" if at < self.low else inside


def strengths(content: ReportData) -> dict[str, Figure]:
    """Return a panel for each technique that a trial used alone; all panels have the same vertical axis."""
    spec = content.answer.study.spec
    curves = [curve for curve in content.strength_curves if curve.tuning.attempts]
    if not curves:
        return {}
    y_range = _range(curves, spec.search)
    rows = [state for state in ("pruned", "failed") if any(getattr(curve.tuning, state) for curve in curves)]
    return {curve.tuning.technique: _figure(curve, spec, y_range, rows) for curve in curves}


def _figure(curve: StrengthCurve, spec: StudySpec, y_range: Range | None, rows: Sequence[str]) -> Figure:
    tuning, scale = curve.tuning, _scale(curve, spec)
    best = tuning.best
    shown_attempts = thinned(tuning.complete, MOST_POINTS, [] if best is None else [tuning.complete.index(best)])
    note = thinning_note(len(shown_attempts), len(tuning.complete), "complete trials")
    data: list[dict[str, Any]] = []
    shapes: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    if y_range is not None:
        data = [*_line(curve, y_range), *_points(shown_attempts, best, y_range), *_recipes(curve, scale, y_range)]
        shapes, annotations = _marks(curve, scale, y_range, _lower_end(rows))
    marks_of_state = {"pruned": (tuning.pruned, MUTED, "line-ns-open"), "failed": (tuning.failed, BAD, "x-thin-open")}
    data += [_state_row(*marks_of_state[state], state, row) for row, state in enumerate(rows)]
    return Figure(
        id=f"strength-{_IDS.get(tuning.technique, tuning.technique)}",
        alt_text=f"{tuning.technique} alone by {_title(tuning.technique)}. {sentence(curve, spec.search)}",
        height=330 if y_range is not None else 150,
        caption=sentence(curve, spec.search) + note,
        data=data,
        layout=layout(
            margin={"l": 8, "r": 14, "t": 26, "b": 8},
            xaxis=_x_axis(curve, scale, rows),
            **_y_axes(spec.search, y_range, rows),
            shapes=shapes,
            annotations=annotations,
        ),
    )


def _range(curves: Sequence[StrengthCurve], search: SearchSpec) -> Range | None:
    """Return the vertical axis of all panels, with all good values; None if there are no trials and no baselines."""
    factor, sign = (100 if search.by_accuracy else 1), (-1 if search.maximizes else 1)
    values = [attempt.value for curve in curves for attempt in curve.tuning.complete if attempt.value is not None]
    bests = [best.value for curve in curves if (best := curve.tuning.best) is not None and best.value is not None]
    baselines = {curve.baseline for curve in curves if curve.baseline is not None}
    levels = [baseline.value for baseline in baselines]
    losses = sorted(sign * factor * value for value in (*values, *levels))
    if not losses:
        return None
    good = sorted(sign * factor * value for value in (*bests, *levels))
    worst_level = max((sign * factor * value for value in levels), default=good[0])
    reach = _STRETCH * (max(worst_level, statistics.median(good)) - losses[0])
    losses_in_reach = [loss for loss in losses if loss <= losses[0] + reach] if reach > 0 else losses
    spreads = [(one.value, one.spread or 0.0) for one in baselines]
    bands = [sign * factor * (value + shift) for value, spread in spreads for shift in (-spread, spread)]
    low, high = sorted(
        sign * end for end in shown_range([min(losses_in_reach[:1] + bands), max(losses_in_reach[-1:] + bands)])
    )
    return Range(low=low, high=high, factor=factor, maximizes=search.maximizes)


def _scale(curve: StrengthCurve, spec: StudySpec) -> Scale:
    """Return a horizontal axis that contains all strengths in the search space and all strengths that were tried."""
    technique, space = curve.tuning.technique, spec.space
    tried = [attempt.position for attempt in curve.tuning.attempts]
    if technique == "BatchNorm":
        return Scale(low=-0.6, high=len(PLACEMENTS) - 0.4, is_log=False)
    if technique == "dropout":
        searched = [] if space.dropout == "off" else [space.dropout.high]
        return Scale(low=0.0, high=1.05 * max(*tried, *searched), is_log=False)
    if technique == "early stopping":
        longest = 0 if space.patience == "off" else min(space.patience.high, spec.training.max_epochs)
        return Scale(low=0.4, high=max(*tried, longest) + 0.6, is_log=False)
    one = next((one for one in TECHNIQUES if one.name == technique), None)
    if one is None:  # L1+L2
        ends = math.sqrt(space.l1.low * space.l2.low), math.sqrt(space.l1.high * space.l2.high)
    else:
        searched_range = getattr(space, one.key)
        ends = (tried[0], tried[0]) if searched_range == "off" else (searched_range.low, searched_range.high)
        if not one.is_log:
            low, high = min(*tried, *ends), max(*tried, *ends)
            margin = 0.05 * (high - low) or 0.5
            return Scale(low=rounded(low - margin), high=rounded(high + margin), is_log=False)
    low, high = math.log10(min(*tried, *ends)), math.log10(max(*tried, *ends))
    return Scale(low=rounded(low - 0.25), high=rounded(high + 0.25), is_log=True)


def _x_axis(curve: StrengthCurve, scale: Scale, rows: Sequence[str]) -> dict[str, Any]:
    technique = curve.tuning.technique
    options: dict[str, Any] = {"range": [scale.low, scale.high], "anchor": "y2" if rows else "y"}
    if technique == "BatchNorm":
        options |= {"tickvals": list(range(len(PLACEMENTS))), "ticktext": [shown(place) for place in PLACEMENTS]}
    elif technique == "early stopping":
        options |= {"dtick": 1} if scale.high < 15 else {"nticks": 8}
    elif scale.is_log:
        decades = scale.high - scale.low
        options |= {"type": "log", "exponentformat": "power", "dtick": max(1, math.ceil(decades / 6)), "tickangle": 0}
    else:
        options |= {"nticks": 8}
    return axis(_title(technique), **options)


def _y_axes(search: SearchSpec, y_range: Range | None, rows: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {"visible": False}
    if y_range is not None:
        values = axis(
            objective_with_unit(search), domain=[_lower_end(rows), 1], range=[y_range.low, y_range.high], nticks=6
        )
    if not rows:
        return {"yaxis": values}
    strip = axis(
        "",
        domain=[0, _ROW * len(rows) if y_range is not None else 1],
        range=[len(rows) - 0.4, -0.6],
        tickvals=list(range(len(rows))),
        ticktext=list(rows),
        showgrid=False,
        fixedrange=True,
    )
    return {"yaxis": values, "yaxis2": strip}


def _line(curve: StrengthCurve, y_range: Range) -> list[dict[str, Any]]:
    """Return the line through the best trial at each strength; no line if strengths have no order, as in L1+L2."""
    best = curve.line
    if curve.tuning.technique in ("L1+L2", "BatchNorm") or len(best) < 2:
        return []
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [rounded(attempt.position) for attempt in best],
            "y": [y_range.clipped(attempt.value or 0.0) for attempt in best],
            "line": {"color": FAINT, "width": 1.5},
            "hoverinfo": "skip",
        }
    ]


def _points(attempts: Sequence[Attempt], best: Attempt | None, y_range: Range) -> list[dict[str, Any]]:
    traces = []
    for is_best in (False, True):
        chosen = [attempt for attempt in attempts if (attempt is best) is is_best]
        values = [attempt.value or 0.0 for attempt in chosen]
        colour = BEST if is_best else PLAIN
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": list(map(_x, chosen)),
                "y": list(map(y_range.clipped, values)),
                "customdata": [[attempt.trial, rounded(y_range.factor * (attempt.value or 0))] for attempt in chosen],
                "text": [text(attempt.regularization, 160) for attempt in chosen],
                "cliponaxis": False,
                "marker": {
                    "size": 12 if is_best else 8,
                    "color": colour,
                    "opacity": 1 if is_best else 0.75,
                    "symbol": [y_range.symbol(value, "diamond" if is_best else "circle") for value in values],
                    "line": {"width": 1, "color": PAPER},
                },
                "hovertemplate": "trial %{customdata[0]}: %{customdata[1]}<br>%{text}<extra></extra>",
            }
        )
    return [trace for trace in traces if trace["x"]]


def _recipes(curve: StrengthCurve, scale: Scale, y_range: Range) -> list[dict[str, Any]]:
    """Return the trace with the names of recipes, each beside its point."""
    named = [attempt for attempt in curve.tuning.complete if attempt.recipe is not None][:MOST_POINTS]
    if not named:
        return []
    return [
        {
            "type": "scatter",
            "mode": "text",
            "x": list(map(_x, named)),
            "y": [y_range.clipped(attempt.value or 0.0) for attempt in named],
            "text": [f"{_PAD}{text(attempt.recipe, 20)}{_PAD}" for attempt in named],
            "textposition": [_text_position(attempt, curve.baseline, scale, y_range) for attempt in named],
            "textfont": {"size": 10, "color": MUTED},
            "cliponaxis": False,
            "hoverinfo": "skip",
        }
    ]


def _lower_end(rows: Sequence[str]) -> float:
    """Return where the axis of values begins, above the rows of marks, as a share of the panel's height."""
    return rounded(_ROW * len(rows) + _GAP) if rows else 0.0


def _text_position(attempt: Attempt, baseline: Baseline | None, scale: Scale, y_range: Range) -> str:
    """Return where to write the name of a point, as a `textposition` of Plotly: "top left"."""
    side = "left" if scale.part_of(attempt.position) > 0.5 else "right"
    return f"{_vertical_side(attempt, baseline, y_range)} {side}"


def _vertical_side(attempt: Attempt, baseline: Baseline | None, y_range: Range) -> str:
    """Return "top" or "bottom", whichever is away from the baseline and inside the edges of the panel."""
    y = y_range.clipped(attempt.value or 0.0)
    if y >= y_range.high or y <= y_range.low:
        return "bottom" if y >= y_range.high else "top"
    return "bottom" if baseline is not None and y < y_range.clipped(baseline.value) else "top"


def _state_row(attempts: Sequence[Attempt], colour: str, symbol: str, state: str, row: int) -> dict[str, Any]:
    marked = thinned(attempts, MOST_POINTS)
    ends = ["diverged" if attempt.has_diverged else state for attempt in marked]
    after = ["" if attempt.epochs is None else f" after {attempt.epochs} epochs" for attempt in marked]
    return {
        "type": "scatter",
        "mode": "markers",
        "yaxis": "y2",
        "x": list(map(_x, marked)),
        "y": [row] * len(marked),
        "customdata": [attempt.trial for attempt in marked],
        "text": [
            f"{end}{when}<br>{text(attempt.regularization, 160)}"
            for attempt, end, when in zip(marked, ends, after, strict=True)
        ],
        "marker": {"symbol": symbol, "size": 8, "color": colour, "line": {"width": 1.5, "color": colour}},
        "hovertemplate": "trial %{customdata}: %{text}<extra></extra>",
    }


def _x(attempt: Attempt) -> float:
    """Return the horizontal place of a trial; trials with the same BatchNorm placement are spread sideways."""
    return rounded(attempt.position + (0.5 * jitter(attempt.trial) if isinstance(attempt.strength, str) else 0.0))


def _marks(
    curve: StrengthCurve, scale: Scale, y_range: Range, bottom: float
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return shapes and labels: the baseline with its band, and the regions of good and bad strengths."""
    shapes, annotations = _regions(curve, scale, bottom)
    if curve.baseline is not None:
        shapes += _level(curve.baseline, y_range)
        best = curve.tuning.best
        is_right = best is not None and scale.part_of(best.position) < 0.5
        annotations.append(
            {
                "xref": "paper",
                "x": 0.99 if is_right else 0.01,
                "xanchor": "right" if is_right else "left",
                "yref": "y",
                "y": y_range.clipped(curve.baseline.value),
                "yanchor": "top" if y_range.maximizes else "bottom",
                "text": text(curve.baseline.name, 40),
                "showarrow": False,
                "font": {"color": INK, "size": 11},
            }
        )
    return shapes, annotations


def _level(baseline: Baseline, y_range: Range) -> list[dict[str, Any]]:
    ends = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": "y"}
    y = y_range.clipped(baseline.value)
    line = {**ends, "y0": y, "y1": y, "line": {"color": MUTED, "width": 1.5, "dash": "4px,4px"}}
    if baseline.spread is None:
        return [line]
    low, high = (y_range.clipped(baseline.value + shift) for shift in (-baseline.spread, baseline.spread))
    style = {"fillcolor": MUTED, "opacity": 0.14, "line": {"width": 0}, "layer": "below"}
    return [{**ends, "type": "rect", "y0": low, "y1": high, **style}, line]


def _regions(curve: StrengthCurve, scale: Scale, bottom: float) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    regions = curve.regions
    if regions is None:
        return [], []
    weak, strong = region_names(curve.tuning.technique)
    shapes: list[dict[str, Any]] = []
    labels: list[tuple[str, float, str]] = []
    if regions.too_weak_to is not None:
        labels.append((weak, 0.0, "left"))
    if regions.too_strong_from is not None:
        labels.append((strong, 1.0, "right"))
    if regions.good is not None:
        low, high = (scale.part_of(position_of(end)) for end in regions.good)
        begin = (
            low - 0.03 if regions.too_weak_to is None else (low + scale.part_of(position_of(regions.too_weak_to))) / 2
        )
        beyond = regions.too_strong_from
        end = high + 0.03 if beyond is None else (high + scale.part_of(position_of(beyond))) / 2
        ends = {"x0": rounded(max(begin, 0.0)), "x1": rounded(min(end, 1.0)), "y0": bottom, "y1": 1}
        style = {"fillcolor": GOOD, "opacity": 0.13, "line": {"width": 0}, "layer": "below"}
        shapes.append({"type": "rect", "xref": "paper", "yref": "paper", **ends, **style})
        left = 0.07 if regions.too_weak_to is None else 0.3
        right = 0.93 if beyond is None else 0.68
        labels.append(("good", rounded(min(max((begin + end) / 2, left), right)), "center"))
    return shapes, [_label(words, x, anchor) for words, x, anchor in labels]


def _label(words: str, x: float, anchor: str) -> dict[str, Any]:
    return {
        "xref": "paper",
        "x": x,
        "xanchor": anchor,
        "yref": "paper",
        "y": 1,
        "yanchor": "bottom",
        "text": words,
        "showarrow": False,
        "font": {"color": GOOD if words == "good" else MUTED, "size": 12},
    }
