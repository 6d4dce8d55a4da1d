"""Warnings where the best configuration lies on an edge of its range, with the setting that widens it."""

import math
from dataclasses import dataclass

from ..configuration import Regularization
from ..spec import StudySpec

_NEAR = 0.03  # of the range's length, on its scale
_STRONGEST, _HIGHEST_RATE = 1e6, 0.9  # beyond: no strength that a study takes, hardly a unit left


@dataclass(frozen=True, kw_only=True)
class AtRangeLimit:
    """A setting on an edge of its range.

    Attributes:
        parameter: l1, l2, dropout or patience.
        value: what the best configuration has.
        side: "low" or "high".
        setting: what --set takes to widen the range on that side, "space.l2={ low = 1e-07, high = 0.1 }".
    """

    parameter: str
    value: float
    side: str
    setting: str

    def __str__(self) -> str:
        """Return it in words."""
        return (
            f"{self.parameter} {self.value:.3g} lies on the {self.side} edge of its range, so a better one may lie "
            f"beyond: search there in a study of another --name, with --set '{self.setting}'"
        )


def range_limits(spec: StudySpec, best: Regularization) -> tuple[AtRangeLimit, ...]:
    """Return where the best configuration lies within 3 % of an edge that can be widened.

    Strengths count on their log scale. A range of one value was meant so; patience can't be below 1 epoch, and one of
    max_epochs never stops anything; a rate can't be below 0.
    """
    space, found = spec.space, []
    for name, value, among in (("l1", best.l1, space.l1), ("l2", best.l2, space.l2)):
        if value > 0:
            side = _side(math.log(value), math.log(among.low), math.log(among.high))
            wider = (among.low / 10, min(10 * among.high, _STRONGEST))
            found.append(_edge(name, value, side, (among.low, among.high), wider, None))
    if space.dropout != "off" and best.dropout > 0:
        rates = space.dropout
        step = (rates.high - rates.low) / 2
        wider = (max(0.0, rates.low - step), max(rates.high, min(_HIGHEST_RATE, rates.high + step)))
        side = _side(best.dropout, rates.low, rates.high)
        found.append(_edge("dropout", best.dropout, side, (rates.low, rates.high), wider, rates.off))
    if space.patience != "off" and best.patience is not None:
        epochs = space.patience
        wider = (max(1, epochs.low // 2), max(epochs.high, min(2 * epochs.high, spec.training.max_epochs)))
        side = _side(best.patience, epochs.low, epochs.high)
        found.append(_edge("patience", best.patience, side, (epochs.low, epochs.high), wider, epochs.off))
    return tuple(edge for edge in found if edge is not None)


def _side(value: float, low: float, high: float) -> str | None:
    near = _NEAR * (high - low)
    if low == high:
        return None
    return "low" if value <= low + near else "high" if value >= high - near else None


def _edge(
    name: str,
    value: float,
    side: str | None,
    given: tuple[float, float],
    wider: tuple[float, float],
    off: bool | None,
) -> AtRangeLimit | None:
    """Return the edge that a value lies on; None where it lies on none, or the range can't be wider there."""
    low, high = (wider[0], given[1]) if side == "low" else (given[0], wider[1])
    if side is None or (low, high) == given:
        return None
    ends = ", ".join(f"{end} = {_number(number)}" for end, number in (("low", low), ("high", high)))
    gate = "" if off is None else f", off = {str(off).lower()}"
    return AtRangeLimit(parameter=name, value=value, side=side, setting=f"space.{name}={{ {ends}{gate} }}")


def _number(number: float) -> str:
    return (
        str(number) if isinstance(number, int) else repr(float(f"{number:.12g}"))
    )  # 1e-08 and not 9.999999999999999e-09
