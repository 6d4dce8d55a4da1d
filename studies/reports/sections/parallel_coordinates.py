"""Show all settings of a trial as one line through several axes, one axis for each parameter.

The axes are one below the other. Plotly's own parallel coordinates are not used: they need WebGL and eval, print
badly, and have no place for "off".
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ... import formats
from ...records import TrialRecord
from ...techniques import TECHNIQUES
from ..data import ReportData
from ..figures.figure import (
    BEST,
    FAINT,
    INK,
    MUTED,
    PLAIN,
    Figure,
    jitter,
    layout,
    round_values,
    rounded,
    shown_range,
    text,
    thinned,
    thinning_note,
)
from .section import Section, drawn

MOST_LINES, MOST_GOOD_LINES = 160, 40
_ROW = 64  # the height of a row in pixels
_OFF_END = 0.14  # where the scale begins if "off" is left of it, as a share of the width
_SPREAD = 0.025  # how far trials with the same choice are spread, as a share of the width


def section(content: ReportData) -> Section | None:
    """Return the section on all settings; None if fewer than two trials are complete."""
    together = parallel(content)
    if together is None:
        return None
    return Section(id="settings", title="All settings together", figures=[together], body=drawn(together))


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One axis: its title, its ticks (place from 0 to 1, and text), and a function that gives the place of a trial."""

    title: str
    ticks: Sequence[tuple[float, str]]
    place: Callable[[TrialRecord], float | None]


def parallel(content: ReportData) -> Figure | None:
    """Return the figure of all complete trials; None if there are fewer than two."""
    trials = [trial for trial in content.trials if formats.select_cross_entropy(trial) is not None]
    if len(trials) < 2 or not content.has_techniques:
        return None
    rows = [*_settings_rows(trials), _value_row(trials)]
    ranked = sorted(trials, key=lambda trial: trial.metrics["select_cross_entropy"])
    tenth = max(1, len(trials) // 10)
    others, good = thinned(ranked[tenth:], MOST_LINES), thinned(ranked[1:tenth], MOST_GOOD_LINES)
    note = thinning_note(len(others) + len(good) + 1, len(trials), "complete trials", "spread over the ranks")
    styles = (others, FAINT, 1.0, 0.5), (good, PLAIN, 1.5, 0.7), (ranked[:1], BEST, 3.0, 1.0)
    return Figure(
        id="parallel",
        alt_text="The settings of complete trials, each a line from parameter to parameter, down to its cross-entropy.",
        height=_ROW * len(rows) + 16,
        caption="Each line is a complete trial, from its settings down to its selection cross-entropy. The best trial "
        f"is orange, the best tenth is blue, and the others are grey.{note}",
        data=[_lines(some, rows, colour, width, opacity) for some, colour, width, opacity in styles if some],
        layout=layout(
            margin={"l": 12, "r": 12, "t": 8, "b": 8},
            xaxis={"range": [-0.02, 1.02], "visible": False, "fixedrange": True},
            yaxis={"range": [_ROW * len(rows), 0], "visible": False, "fixedrange": True},
            annotations=[note for index, row in enumerate(rows) for note in _notes(index, row)],
            shapes=[_line(index) for index in range(len(rows))],
        ),
    )


def _settings_rows(trials: Sequence[TrialRecord]) -> list[_Row]:
    rows = [
        _choices("regularizer", "regularizer", ("none", "l1", "l2", "l1_l2"), trials),
        _scale("L1 factor (log)", "l1", trials, is_log=True),
        _scale("L2 factor (log)", "l2", trials, is_log=True),
        _scale("dropout rate", "dropout", trials),
        _choices("BatchNorm", "batch_norm", ("none", "before_activation", "after_activation"), trials),
        _scale("patience (epochs)", "patience", trials),
        *(
            _scale(technique.name, technique.key, trials, is_log=technique.is_log)
            for technique in TECHNIQUES
            if technique.is_added_later
        ),
    ]
    return [row for row in rows if row is not None]


def _choices(title: str, name: str, known: Sequence[str], trials: Sequence[TrialRecord]) -> _Row | None:
    choices = [choice for choice in known if any(trial.params.get(name, "none") == choice for trial in trials)]
    if len(choices) < 2:
        return None
    places = {choice: index / (len(choices) - 1) for index, choice in enumerate(choices)}
    words = {"l1": "L1", "l2": "L2", "l1_l2": "L1+L2"}

    def place(trial: TrialRecord) -> float | None:
        choice = trial.params.get(name, "none")
        if not isinstance(choice, str) or choice not in places:
            return None
        inside = _SPREAD + (1 - 2 * _SPREAD) * places[choice]
        return inside + 2 * _SPREAD * jitter(trial.number)

    return _Row(
        title=title,
        ticks=[(places[choice], words.get(choice, choice.replace("_", " "))) for choice in choices],
        place=place,
    )


def _scale(title: str, name: str, trials: Sequence[TrialRecord], *, is_log: bool = False) -> _Row | None:
    values = [value for trial in trials if (value := formats.number_of(trial.params, name)) is not None]
    if not values:
        return None
    low, high = min(values), max(values)
    if is_log:
        low, high = 10 ** math.floor(math.log10(low) + 1e-9), 10 ** math.ceil(math.log10(high) - 1e-9)
    has_off = len(values) < len(trials)
    begin = _OFF_END if has_off else 0.0

    def along(value: float) -> float:
        if high <= low:
            return begin + (1 - begin) / 2
        part = math.log(value / low) / math.log(high / low) if is_log else (value - low) / (high - low)
        return begin + (1 - begin) * part

    def place(trial: TrialRecord) -> float | None:
        value = formats.number_of(trial.params, name)
        return _SPREAD + 2 * _SPREAD * jitter(trial.number) if value is None else along(value)

    ticks = [(0.0, "off")] if has_off else []
    ticks += [(along(value), _tick(value, is_log)) for value in _tick_values(low, high, is_log)]
    return _Row(title=title, ticks=ticks, place=place)


def _tick_values(low: float, high: float, is_log: bool) -> list[float]:
    if high <= low:
        return [low]
    if is_log:
        decades = round(math.log10(high / low))
        step = max(1, math.ceil(decades / 5))
        return [low * 10**exponent for exponent in range(0, decades + 1, step)]
    return round_values(low, high)


def _tick(value: float, is_log: bool) -> str:
    return f"10<sup>{round(math.log10(value))}</sup>".replace("-", "−") if is_log else f"{value:g}"


def _value_row(trials: Sequence[TrialRecord]) -> _Row:
    low, high = shown_range([float(trial.metrics["select_cross_entropy"]) for trial in trials])

    def place(trial: TrialRecord) -> float | None:
        return min((trial.metrics["select_cross_entropy"] - low) / (high - low), 1.0)

    ticks = [((value - low) / (high - low), f"{value:g}") for value in round_values(low, high)]
    return _Row(title="selection cross-entropy (nats per example)", ticks=ticks, place=place)


def _lines(
    trials: Sequence[TrialRecord], rows: Sequence[_Row], colour: str, width: float, opacity: float
) -> dict[str, Any]:
    xs: list[float | None] = []
    ys: list[float | None] = []
    for trial in trials:
        for index, row in enumerate(rows):
            place = row.place(trial)
            xs.append(None if place is None else round(place, 4))
            ys.append(_height(index))
        xs.append(None)
        ys.append(None)
    return {
        "type": "scatter",
        "mode": "lines",
        "x": xs,
        "y": ys,
        "opacity": opacity,
        "line": {"color": colour, "width": width},
        "hoverinfo": "skip",
    }


def _height(index: int) -> float:
    return rounded(_ROW * (index + 0.5))


def _line(index: int) -> dict[str, Any]:
    y = _height(index)
    line = {"color": MUTED, "width": 1.5}
    return {"type": "line", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": line, "layer": "above"}


def _notes(index: int, row: _Row) -> list[dict[str, Any]]:
    common = {"yref": "y", "y": _height(index), "showarrow": False, "borderpad": 1, "bgcolor": "--paper-veil"}
    title = {**common, "x": 0, "xanchor": "left", "yanchor": "bottom", "yshift": 2, "text": f"<b>{text(row.title)}</b>"}
    ticks = [
        {
            **common,
            "x": rounded(place),
            "xanchor": "left" if place < 0.03 else "right" if place > 0.97 else "center",
            "yanchor": "top",
            "yshift": -2,
            "text": words,
            "font": {"color": MUTED, "size": 11},
        }
        for place, words in row.ticks
    ]
    return [{**title, "font": {"color": INK, "size": 12}}, *ticks]
