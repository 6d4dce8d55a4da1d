"""How the search went: each trial's value by its number, and the best so far."""

from collections.abc import Sequence
from typing import Any

from regsearch.studies import formats
from regsearch.studies.analysis.trials import best_so_far
from regsearch.studies.records import TrialRecord
from regsearch.studies.reports.data import ReportData
from regsearch.studies.reports.figures.figure import (
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

MOST_POINTS = 1500
_MOST_TICKS = 800
_CAPTION = (
    "Each dot is a complete trial; the line is the best value so far. Pruned and failed trials have no value; they are "
    "marked below."
)


def history(content: ReportData, most_points: int = MOST_POINTS) -> Figure | None:
    """Return the picture; None before anything finished."""
    ended = [trial for trial in content.trials if trial.state in ("complete", "pruned", "failed")]
    if not ended:
        return None
    search = content.answer.study.spec.search
    scale, unit = 100 if search.by_accuracy else 1, objective_with_unit(search)
    complete = [trial for trial in ended if trial.state == "complete" and trial.value is not None]
    steps = best_so_far(complete, maximizes=search.maximizes)
    kept = {trial.number for trial in steps}
    shown = thinned(complete, most_points, [i for i, trial in enumerate(complete) if trial.number in kept])
    low, high = shown_range([scale * (trial.value or 0.0) for trial in complete], higher_is_better=search.maximizes)
    data = _values(shown, scale, low, high)
    if steps:
        data.append(_steps(steps, scale, ended[-1].number))
    marks = ("pruned", MUTED, "line-ns-open", 0), ("failed", BAD, "x-thin-open", 1)
    note = thinning_note(len(shown), len(complete), "complete trials", "spread by number, and every best so far")
    for state, colour, symbol, row in marks:
        of_state = [trial for trial in ended if trial.state == state]
        ticks = thinned(of_state, min(_MOST_TICKS, most_points))
        note += thinning_note(len(ticks), len(of_state), f"{state} trials")
        data.append(_ticks(ticks, state, colour, symbol, row))
    beyond = sum(not low <= scale * (trial.value or 0.0) <= high for trial in shown)
    if beyond:
        note += f" {formats.count(beyond, 'value')} beyond the axis lie at its edge, as triangles."
    return Figure(
        id="history",
        alt_text="The value of each trial by its number, and the best value so far.",
        height=380 if complete else 150,
        caption=_CAPTION + note if complete else f"No trial is complete.{note}",
        data=data,
        layout=layout(
            xaxis=axis(
                "trial number",
                anchor="y2",
                tickformat=",d",
                nticks=7,
                rangemode="tozero" if ended[0].number == 0 else "normal",
            ),
            yaxis=axis(unit, domain=[0.24, 1], range=[low, high]) if complete else {"visible": False},
            yaxis2=axis(
                "",
                domain=[0, 0.16 if complete else 1],
                range=[1.6, -0.6],
                tickmode="array",
                tickvals=[0, 1],
                ticktext=["pruned", "failed"],
                showgrid=False,
                fixedrange=True,
            ),
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


def _ticks(trials: Sequence[TrialRecord], state: str, colour: str, symbol: str, row: int) -> dict[str, Any]:
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
