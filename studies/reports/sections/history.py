"""Show how the search went: the value of each trial by its number, and the best value so far."""

from collections.abc import Sequence
from typing import Any

from ... import formats
from ...analysis.trials import best_so_far
from ...records import TrialRecord
from ..data import ReportData
from ..figures.figure import (
    BAD,
    BEST,
    MUTED,
    PLAIN,
    Figure,
    axis,
    layout,
    objective_with_unit,
    rounded,
    shown_range,
    text,
    thinned,
    thinning_note,
)
from .section import Section, drawn

MOST_POINTS = 1500
_MOST_MARKS = 800
_STRIPS = (("pruned", MUTED, "line-ns-open", 0), ("failed", BAD, "x-thin-open", 1))
_CAPTION = (
    "Each dot is a complete trial; the line is the best value so far. Pruned and failed trials have no final "
    "value, so they are marked below."
)


def section(content: ReportData) -> Section | None:
    """Return the section on the search; None before a trial has finished."""
    figure = history(content)
    if figure is None:
        return None
    return Section(id="history", title="The search", body=drawn(figure), figures=[figure])


def history(content: ReportData, most_points: int = MOST_POINTS) -> Figure | None:
    """Return the figure of the search; None before a trial has finished."""
    ended = [trial for trial in content.trials if trial.state in ("complete", "pruned", "failed")]
    if not ended:
        return None
    search = content.answer.study.spec.search
    scale, is_higher_better = 100 if search.by_accuracy else 1, search.maximizes
    complete = [trial for trial in ended if trial.state == "complete" and trial.value is not None]
    steps = best_so_far(complete, maximizes=is_higher_better)
    step_numbers = {trial.number for trial in steps}
    shown = thinned(complete, most_points, [i for i, trial in enumerate(complete) if trial.number in step_numbers])
    low, high = shown_range([scale * (trial.value or 0.0) for trial in complete], higher_is_better=is_higher_better)
    note = thinning_note(len(shown), len(complete), "complete trials", "spread by number, plus those on the line")
    data = _values(shown, scale, low, high)
    if steps:
        data.append(_steps(steps, scale, ended[-1].number))
    for state, colour, symbol, row in _STRIPS:
        of_state = [trial for trial in ended if trial.state == state]
        marked = thinned(of_state, min(_MOST_MARKS, most_points))
        note += thinning_note(len(marked), len(of_state), f"{state} trials")
        data.append(_strip_points(marked, state, colour, symbol, row))
    beyond = sum(not low <= scale * (trial.value or 0.0) <= high for trial in shown)
    if beyond:
        note += f" A triangle at the edge stands for a value beyond the axis (there are {beyond:,})."
    return Figure(
        id="history",
        alt_text="The value of each trial by its number, and the best value so far.",
        height=380 if complete else 150,
        caption=_CAPTION + note if complete else f"No trial is complete.{note}",
        data=data,
        layout=_layout(
            axis(objective_with_unit(search), domain=[0.24, 1], range=[low, high]) if complete else None,
            starts_at_zero=ended[0].number == 0,
        ),
    )


def _layout(values: dict[str, Any] | None, *, starts_at_zero: bool) -> dict[str, Any]:
    """Return the layout: the axis of values, and below it the strips of pruned and failed trials."""
    return layout(
        xaxis=axis(
            "trial number",
            anchor="y2",
            tickformat=",d",
            nticks=7,
            rangemode="tozero" if starts_at_zero else "normal",
        ),
        yaxis={"visible": False} if values is None else values,
        yaxis2=axis(
            "",
            domain=[0, 1 if values is None else 0.16],
            range=[1.6, -0.6],
            tickmode="array",
            tickvals=[row for *_, row in _STRIPS],
            ticktext=[state for state, *_ in _STRIPS],
            showgrid=False,
            fixedrange=True,
        ),
    )


def _values(trials: Sequence[TrialRecord], scale: int, low: float, high: float) -> list[dict[str, Any]]:
    values = [scale * (trial.value or 0.0) for trial in trials]
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "complete",
            "x": [trial.number for trial in trials],
            "y": [rounded(min(max(value, low), high)) for value in values],
            "customdata": [rounded(value) for value in values],
            "text": [text(formats.settings(trial.params), 160) for trial in trials],
            "cliponaxis": False,
            "marker": {
                "size": 6,
                "color": PLAIN,
                "opacity": 0.65,
                "symbol": [
                    "triangle-up" if value > high else "triangle-down" if value < low else "circle" for value in values
                ],
            },
            "hovertemplate": "trial %{x}: %{customdata}<br>%{text}<extra></extra>",
        }
    ]


def _steps(steps: Sequence[TrialRecord], scale: int, last: int) -> dict[str, Any]:
    values = [rounded(scale * (trial.value or 0.0)) for trial in steps]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "best so far",
        "x": [*(trial.number for trial in steps), last],
        "y": [*values, values[-1]],
        "line": {"shape": "hv", "color": BEST, "width": 2.5},
        "hovertemplate": "best so far: %{y}<extra></extra>",
    }


def _strip_points(trials: Sequence[TrialRecord], state: str, colour: str, symbol: str, row: int) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": state,
        "yaxis": "y2",
        "x": [trial.number for trial in trials],
        "y": [row] * len(trials),
        "marker": {"symbol": symbol, "size": 8, "color": colour, "line": {"width": 1.5, "color": colour}},
        "hovertemplate": f"trial %{{x}}: {state}<extra></extra>",
    }
