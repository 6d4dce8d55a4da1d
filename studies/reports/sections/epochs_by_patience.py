"""Show what early stopping does: how many epochs complete trials trained, by their patience."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ... import formats
from ...records import TrialRecord
from ..data import ReportData
from ..figures.figure import (
    BEST,
    MUTED,
    NONE,
    PAPER,
    PLAIN,
    Figure,
    axis,
    jitter,
    layout,
    rounded,
    thinned,
    thinning_note,
)
from .section import Section, drawn

_MOST_POINTS = 800
_SPREAD = 0.5  # how far trials with the same patience are spread, in epochs
_STRIP = 0.17  # the width of the strip for "off", as a share of the figure
_GAP = 0.03  # the gap beside it
_MARKER = {"size": 6, "color": PLAIN, "opacity": 0.6, "line": {"width": 0, "color": NONE}}
_BEST_MARKER = {"size": 12, "color": BEST, "symbol": "diamond", "line": {"width": 1.5, "color": PAPER}}


def section(content: ReportData) -> Section | None:
    """Return the section on early stopping; None if no complete trial used it."""
    figure = early_stopping(content)
    if figure is None:
        return None
    return Section(id="early-stopping", title="Early stopping", body=drawn(figure), figures=[figure])


def by_patience(trials: Sequence[TrialRecord]) -> dict[float | None, list[TrialRecord]]:
    """Return the complete trials by their patience; the trials without early stopping (None) come first."""
    complete = [trial for trial in trials if trial.state == "complete" and "epochs" in trial.metrics]
    groups: dict[float | None, list[TrialRecord]] = {}
    for trial in complete:
        groups.setdefault(formats.number_of(trial.params, "patience"), []).append(trial)
    return dict(sorted(groups.items(), key=lambda group: -1.0 if group[0] is None else group[0]))


def early_stopping(content: ReportData) -> Figure | None:
    """Return the figure of epochs by patience; None if no complete trial used early stopping."""
    groups = by_patience(content.trials)
    if not content.has_techniques or not any(patience is not None for patience in groups):
        return None
    trials = sorted((trial for group in groups.values() for trial in group), key=lambda trial: trial.number)
    shown = thinned(trials, _MOST_POINTS)
    places = [_place(trial) for trial in shown]
    best = content.answer.best
    patiences = [patience for patience in groups if patience is not None]
    note = thinning_note(len(shown), len(trials), "complete trials")
    return Figure(
        id="early-stopping",
        alt_text="How many epochs complete trials trained, and which epoch's weights they kept, by patience.",
        height=320,
        caption="Each dot is a complete trial, moved a little sideways so that dots don't overlap. The diamond is the "
        "best trial. A bar shows the median of the epochs trained. A cross shows the median of the epoch whose weights "
        f"were kept.{note}",
        data=[
            *dots(
                [trial.number for trial in shown],
                places,
                [float(trial.metrics["epochs"]) for trial in shown],
                "%{y} epochs",
                None if best is None else best.number,
            ),
            *_medians(groups, "epochs", 0, "line-ew-open", MUTED),
            *_medians(groups, "best_epoch", 1, "cross-thin-open", BEST),
        ],
        layout=layout(
            **strip_axes(
                "patience (epochs without improvement)",
                range=[min(patiences) - 0.6, max(patiences) + 0.6],
                **({"dtick": 1} if max(patiences) - min(patiences) < 15 else {"nticks": 8}),
            ),
            yaxis=axis("epochs trained", rangemode="tozero"),
        ),
    )


def _place(trial: TrialRecord) -> float | None:
    patience = formats.number_of(trial.params, "patience")
    return None if patience is None else patience + _SPREAD * jitter(trial.number)


def _medians(
    groups: Mapping[float | None, Sequence[TrialRecord]], metric: str, shift: int, symbol: str, colour: str
) -> list[dict[str, Any]]:
    traces: list[dict[str, Any]] = []
    for is_off in (True, False):
        medians = {
            0.0 if patience is None else patience: statistics.median(trial.metrics[metric] for trial in group) + shift
            for patience, group in groups.items()
            if (patience is None) is is_off and all(metric in trial.metrics for trial in group)
        }
        if medians:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "xaxis": "x" if is_off else "x2",
                    "x": list(medians),
                    "y": [rounded(median) for median in medians.values()],
                    "marker": {"symbol": symbol, "size": 16, "color": colour, "line": {"width": 3, "color": colour}},
                    "hovertemplate": f"median: %{{y}}{' (kept)' if shift else ''}<extra></extra>",
                }
            )
    return traces


def strip_axes(title: str, **options: Any) -> dict[str, Any]:
    """Return two horizontal axes for a layout: a narrow one for "off", and the main axis beside it."""
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
    """Return a point for each trial, as Plotly traces; its horizontal place is the value of a setting.

    Args:
        numbers: the number of each trial.
        settings: the place of each trial on the main axis; None if the setting is off.
        ys: the height of each trial.
        hover: the text that shows the height of a point, as a Plotly template.
        best: the number of the best trial, which is highlighted; None if there is none.
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
