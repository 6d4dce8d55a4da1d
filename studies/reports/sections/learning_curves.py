"""Show how configurations learn: training loss and stopping cross-entropy by epoch, with the gap shaded."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..data import Curve, ReportData
from ..figures.figure import BEST, PAPER, PLAIN, PLAIN_FILL, Figure, axis, layout, rounded
from ..html import element, join
from .section import Section, drawn

_MOST_CURVES = 10
_MOST_CONFIGURATIONS = 4


def section(content: ReportData) -> Section | None:
    """Return the section on learning curves; None if no curves are stored."""
    named = curves(content.curves)
    if not named:
        return None
    note = (
        "The training loss includes the penalty and is measured with dropout, while the weights still change. The "
        "stopping cross-entropy is measured without penalty and dropout. So the size of the gap (shaded) says little. "
        "But if the gap grows, the network overfits."
    )
    return Section(
        id="curves",
        title="How it learns",
        figures=[figure for _, figure in named],
        body=join(
            [
                element("div", *(drawn(figure, name) for name, figure in named), class_="grid two"),
                element("p", note, class_="note"),
            ]
        ),
    )


def curves(by_configuration: Mapping[str, Sequence[Curve]]) -> list[tuple[str, Figure]]:
    """Return the name and figure of each configuration; all figures have the same axes."""
    chosen = {
        name: whole
        for name, trainings in by_configuration.items()
        if (whole := [curve for curve in trainings if _is_whole(curve)])
    }
    chosen = dict(list(chosen.items())[:_MOST_CONFIGURATIONS])
    everything = [curve for trainings in chosen.values() for curve in trainings[:_MOST_CURVES]]
    if not everything:
        return []
    values = [value for curve in everything for value in (*curve.train_loss, *curve.stop_cross_entropy)]
    span = max(values) - min(values) or 1.0
    y_range = [rounded(min(values) - 0.05 * span), rounded(max(values) + 0.05 * span)]
    last = max(len(curve.train_loss) for curve in everything)
    return [
        (name, _figure(f"curves-{index}" if index else "curves", trainings, y_range, last))
        for index, (name, trainings) in enumerate(chosen.items())
    ]


def mean_curve(curves: Sequence[Sequence[float]]) -> list[float]:
    """Return the mean of the curves for each epoch, up to the end of the shortest curve."""
    return [sum(values) / len(values) for values in zip(*curves, strict=False)]


def _is_whole(curve: Curve) -> bool:
    return 0 < len(curve.train_loss) == len(curve.stop_cross_entropy) and 0 <= curve.best_epoch < len(curve.train_loss)


def _figure(name: str, trainings: Sequence[Curve], y_range: Sequence[float], last: int) -> Figure:
    shown = trainings[:_MOST_CURVES]
    train = mean_curve([curve.train_loss for curve in shown])
    stop = mean_curve([curve.stop_cross_entropy for curve in shown])
    data = [
        *_mean_lines(train, stop),
        *(line for curve in shown if len(shown) > 1 for line in _thin_lines(curve)),
        _best_epochs(shown),
    ]
    several = f"Thin lines are {len(shown)} trainings; thick lines are their mean, up to the end of the shortest one."
    return Figure(
        id=name,
        alt_text="Training loss and stopping cross-entropy by epoch.",
        height=320,
        caption=several if len(shown) > 1 else "",
        data=data,
        layout=layout(
            showlegend=True,
            margin={"l": 8, "r": 12, "t": 32, "b": 8},
            xaxis=axis("epoch (from 1)", range=[0.5, last + 0.5], **({"dtick": 1} if last <= 12 else {"nticks": 8})),
            yaxis=axis("nats per example", range=list(y_range)),
        ),
    )


def _epochs(values: Sequence[float]) -> list[int]:
    return list(range(1, len(values) + 1))


def _mean_lines(train: Sequence[float], stop: Sequence[float]) -> list[dict[str, Any]]:
    common = {"type": "scatter", "mode": "lines"}
    return [
        {
            **common,
            "name": "training loss",
            "x": _epochs(train),
            "y": [rounded(value) for value in train],
            "line": {"color": PLAIN, "width": 2.5, "dash": "dot"},
            "hovertemplate": "epoch %{x}, training loss: %{y}<extra></extra>",
        },
        {
            **common,
            "name": "stopping cross-entropy",
            "x": _epochs(stop),
            "y": [rounded(value) for value in stop],
            "fill": "tonexty",
            "fillcolor": PLAIN_FILL,
            "line": {"color": BEST, "width": 2.5},
            "hovertemplate": "epoch %{x}, stopping cross-entropy: %{y}<extra></extra>",
        },
    ]


def _thin_lines(curve: Curve) -> list[dict[str, Any]]:
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "showlegend": False,
            "x": _epochs(values),
            "y": [rounded(value) for value in values],
            "line": {"color": colour, "width": 1, "dash": dash},
            "opacity": 0.4,
            "hoverinfo": "skip",
        }
        for values, colour, dash in ((curve.train_loss, PLAIN, "dot"), (curve.stop_cross_entropy, BEST, "solid"))
    ]


def _best_epochs(trainings: Sequence[Curve]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "kept epoch",
        "x": [curve.best_epoch + 1 for curve in trainings],
        "y": [rounded(curve.stop_cross_entropy[curve.best_epoch]) for curve in trainings],
        "marker": {"size": 10, "symbol": "diamond", "color": BEST, "line": {"width": 1.5, "color": PAPER}},
        "hovertemplate": "kept epoch %{x}, stopping cross-entropy: %{y}<extra></extra>",
    }
