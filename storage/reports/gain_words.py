"""Gains in the words of a sentence: as many digits as their interval leaves, and their unit."""

import math

from storage.reports import formats
from studies.statistics import Interval


def unit(by_accuracy: bool) -> str:
    """Return the unit of a gain in the study's objective."""
    return "percentage points" if by_accuracy else "nats per example"


def short_unit(by_accuracy: bool) -> str:
    """Return the unit as a table's heading has it."""
    return "percentage points" if by_accuracy else "nats"


def figure(by_accuracy: bool) -> str:
    """Return what is measured, in words."""
    return "test accuracy" if by_accuracy else "test cross-entropy"


def mean_of(interval: Interval, by_accuracy: bool) -> str:
    """Return how large a gain is, or a loss, without its sign: "0.0128"."""
    return _number(abs(interval.mean), interval, by_accuracy)


def ends_of(interval: Interval, by_accuracy: bool, joined: str = "and") -> str:
    """Return the ends of an interval with their signs: "0.0097 and 0.0159"."""
    return f" {joined} ".join(_number(end, interval, by_accuracy) for end in (interval.low, interval.high))


def confidence(interval: Interval) -> str:
    """Return an interval's level in words: "95 % confidence"."""
    return f"{formats.level(interval.level)} confidence"


def no_difference(smallest_gain: float, by_accuracy: bool) -> str:
    """Return the measure of no difference: "less than ±0.0041 nats"."""
    return f"less than ±{(100 if by_accuracy else 1) * smallest_gain:.2g} {short_unit(by_accuracy)}"


def _number(value: float, interval: Interval, by_accuracy: bool) -> str:
    scale, fewest = (100, 2) if by_accuracy else (1, 4)
    half = scale * (interval.high - interval.low) / 2
    wanted = 1 - math.floor(math.log10(half)) if 0 < half < math.inf else fewest
    return formats.signed(f"{scale * value:.{min(9, max(fewest, wanted))}f}")
