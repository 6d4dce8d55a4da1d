"""How well trials did by the strength of each technique, and without it."""

import math
from collections.abc import Sequence
from typing import Any

from storage.queries import TrialRecord
from storage.reports import formats
from storage.reports.content import ReportContent
from storage.reports.figures.figure import Figure, axis, layout, rounded, shown_range, thinned, thinning_note
from storage.reports.figures.strip import dots, strip_axes

MOST_POINTS = 800
_KEPT_BEST = 50
_TITLES = {
    "l1": "L1 factor (of Σ|w|, log scale)",
    "l2": "L2 factor (of Σw², log scale)",
    "dropout": "dropout rate (share of units)",
}


def strengths(content: ReportContent) -> list[Figure]:
    """Return a picture for each strength that any complete trial has."""
    if not content.has_techniques:
        return []
    trials = [trial for trial in content.trials if formats.select_cross_entropy(trial) is not None]
    best = content.answer.best
    figures = []
    for name, title in _TITLES.items():
        if any(formats.number_of(trial.params, name) for trial in trials):
            figures.append(_figure(trials, name, title, None if best is None else best.number))
    return figures


def _figure(trials: Sequence[TrialRecord], name: str, title: str, best: int | None) -> Figure:
    ranked = sorted(range(len(trials)), key=lambda index: trials[index].metrics["select_cross_entropy"])
    shown = thinned(trials, MOST_POINTS, ranked[:_KEPT_BEST])
    values = [float(trial.metrics["select_cross_entropy"]) for trial in shown]
    low, high = shown_range([float(trial.metrics["select_cross_entropy"]) for trial in trials])
    beyond = sum(value > high for value in values)
    note = thinning_note(len(shown), len(trials), "complete trials", f"spread by number, and the best {_KEPT_BEST}")
    if beyond:
        note += f" {formats.count(beyond, 'value')} beyond the axis lie at its edge."
    of_name = [value for trial in trials if (value := formats.number_of(trial.params, name)) is not None]
    return Figure(
        id=f"strength-{name.replace('_', '-')}",
        says=f"Select cross-entropy of complete trials by {title}.",
        height=300,
        caption=note.strip(),
        data=dots(
            [trial.number for trial in shown],
            [formats.number_of(trial.params, name) for trial in shown],
            [min(value, high) for value in values],
            "cross-entropy %{y}",
            best,
        ),
        layout=layout(
            **strip_axes(title, **_scale(name, of_name)),
            yaxis=axis("select cross-entropy<br>(nats per row)", range=[low, high]),
        ),
    )


def _scale(name: str, values: Sequence[float]) -> dict[str, Any]:
    if name == "dropout":
        return {"range": [0, rounded(min(1.0, 1.08 * max(values)))], "nticks": 6}
    decades = math.log10(max(values) / min(values))
    return {"type": "log", "exponentformat": "power", "dtick": max(1, math.ceil(decades / 4)), "tickangle": 0}
