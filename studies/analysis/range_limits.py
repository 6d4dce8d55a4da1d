"""Warns if a value of the best configuration lies at a limit of its range, and says how to widen the range."""

import math
from dataclasses import dataclass

from ..configuration import Regularization
from ..spec import StudySpec

_NEAR = 0.03  # values this close to a limit count as at the limit, as a share of the length of the range
_STRONGEST = 1e6  # a study accepts no L1 or L2 factor above it
_HIGHEST_RATE = 0.9  # at a higher dropout rate, hardly a unit is left


@dataclass(frozen=True, kw_only=True)
class AtRangeLimit:
    """A parameter whose value in the best configuration lies at a limit of the searched range.

    Attributes:
        parameter: l1, l2, dropout or patience.
        value: the value of the parameter in the best configuration.
        side: the limit at which the value lies, "low" or "high".
        setting: the argument for --set that widens the range there, such as "space.l2={ low = 1e-07, high = 0.1 }".
    """

    parameter: str
    value: float
    side: str
    setting: str

    def __str__(self) -> str:
        """Return a warning with the value, the side and the setting."""
        return (
            f"{self.parameter} {self.value:.3g} lies on the {self.side} edge of its range, so a better value may lie "
            f"outside it: to search there, start a study with another --name and with --set '{self.setting}'"
        )


def range_limits(spec: StudySpec, best: Regularization) -> tuple[AtRangeLimit, ...]:
    """Return each parameter whose value in the best configuration is near a limit that can be widened.

    Near means within 3 % of the length of the range; for L1 and L2 factors, on a log scale. A range with a single value
    is left out, since the user chose that value. Some limits can't be widened: a patience can't be below 1 epoch, and
    one above max_epochs never stops a training. A dropout rate can't be below 0.
    """
    space, limits = spec.space, []
    for name, value, factors in (("l1", best.l1, space.l1), ("l2", best.l2, space.l2)):
        if value > 0:
            side = _side(math.log(value), math.log(factors.low), math.log(factors.high))
            wider = (factors.low / 10, min(10 * factors.high, _STRONGEST))
            limits.append(_at_limit(name, value, side, (factors.low, factors.high), wider, None))
    if space.dropout != "off" and best.dropout > 0:
        rates = space.dropout
        step = (rates.high - rates.low) / 2
        wider = (max(0.0, rates.low - step), max(rates.high, min(_HIGHEST_RATE, rates.high + step)))
        side = _side(best.dropout, rates.low, rates.high)
        limits.append(_at_limit("dropout", best.dropout, side, (rates.low, rates.high), wider, rates.off))
    if space.patience != "off" and best.patience is not None:
        epochs = space.patience
        wider = (max(1, epochs.low // 2), max(epochs.high, min(2 * epochs.high, spec.training.max_epochs)))
        side = _side(best.patience, epochs.low, epochs.high)
        limits.append(_at_limit("patience", best.patience, side, (epochs.low, epochs.high), wider, epochs.off))
    return tuple(limit for limit in limits if limit is not None)


def _side(value: float, low: float, high: float) -> str | None:
    """Return the limit of a range, "low" or "high", that a value is close to; None if it is close to neither."""
    near = _NEAR * (high - low)
    if low == high:
        return None
    return "low" if value <= low + near else "high" if value >= high - near else None


def _at_limit(
    name: str,
    value: float,
    side: str | None,
    given: tuple[float, float],
    wider: tuple[float, float],
    off: bool | None,
) -> AtRangeLimit | None:
    """Return the value with the setting that widens its range; None if `side` is None, or if the range can't be wider.

    Args:
        name: the parameter.
        value: its value in the best configuration.
        side: the limit at which the value lies.
        given: the low and the high limit of the range in the study.
        wider: the low and the high limit of the widest range to suggest.
        off: the value of the key `off` of the range in the study file; None if the range has no such key.
    """
    low, high = (wider[0], given[1]) if side == "low" else (given[0], wider[1])
    if side is None or (low, high) == given:
        return None
    ends = ", ".join(f"{end} = {_number(number)}" for end, number in (("low", low), ("high", high)))
    off_key = "" if off is None else f", off = {str(off).lower()}"
    return AtRangeLimit(parameter=name, value=value, side=side, setting=f"space.{name}={{ {ends}{off_key} }}")


def _number(number: float) -> str:
    """Return a number for a study file, without rounding noise: 1e-08 instead of 9.999999999999999e-09."""
    return str(number) if isinstance(number, int) else repr(float(f"{number:.12g}"))
