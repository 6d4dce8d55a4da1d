"""Formats gains in cross-entropy, accuracy or a HyperModel's metric, whichever decides a study's verdicts."""

import math
from dataclasses import dataclass

from . import formats
from .objectives import metric_of
from .statistics import Interval


@dataclass(frozen=True, kw_only=True)
class Measure:
    """The figure on which a study's verdicts are based, with its unit and its number of digits.

    Attributes:
        name: "cross-entropy", "accuracy", or a metric's own name such as "auc".
        unit, short_unit, symbol: the unit of a gain in a sentence, in a title, and in narrow places; "" for a metric.
        scale: the factor that converts a gain into that unit.
        fewest: smallest number of digits after the point in a sentence; a narrow interval gets more.
        digits: number of digits after the point in a table.
    """

    name: str
    unit: str = ""
    short_unit: str = ""
    symbol: str = ""
    scale: int = 1
    fewest: int = 4
    digits: int = 5

    @property
    def figure(self) -> str:
        """What is measured on the test examples, in words: "test cross-entropy"."""
        return f"test {self.name}"

    @property
    def in_sentence(self) -> str:
        """The words that follow a number in a sentence: "nats per example of test cross-entropy", "in test auc"."""
        return f"{self.unit} of {self.figure}" if self.unit else f"in {self.figure}"

    @property
    def title(self) -> str:
        """The figure with its unit: "test accuracy (percentage points)", "test auc"."""
        return self.titled(self.short_unit)

    def titled(self, unit: str) -> str:
        """Return the figure with this unit in parentheses; for a metric, which has no unit, the figure alone."""
        return f"{self.figure} ({unit})" if self.unit else self.figure

    def gain(self, interval: Interval) -> str:
        """Return a gain with its interval for a table, always with signs.

        Example:
            >>> ACCURACY.gain(Interval(mean=0.0031, low=0.001, high=0.0052, level=0.95))
            '+0.31 [+0.10, +0.52]'
        """
        mean, low, high = (f"{self.scale * value:+.{self.digits}f}" for value in _figures(interval))
        return formats.signed(f"{mean} [{low}, {high}]")

    def mean_of(self, interval: Interval) -> str:
        """Return the size of a mean gain or loss, without its sign: "0.0128"."""
        return self._number(abs(interval.mean), interval)

    def ends_of(self, interval: Interval, joined: str = "and") -> str:
        """Return the ends of an interval with their signs: "0.0097 and 0.0159"."""
        return f" {joined} ".join(self._number(end, interval) for end in (interval.low, interval.high))

    def no_difference(self, smallest_gain: float) -> str:
        """Return the range of gains that are too small to matter.

        Example:
            >>> CROSS_ENTROPY.no_difference(0.0041)
            'less than ±0.0041 nats'
        """
        least = self.scale * smallest_gain
        number = f"{least:.2g}" if least < 99 else f"{least:,.0f}"
        return f"less than ±{number} {self.short_unit}".rstrip()

    def _number(self, value: float, interval: Interval) -> str:
        half = self.scale * (interval.high - interval.low) / 2
        wanted = 1 - math.floor(math.log10(half)) if 0 < half < math.inf else self.fewest
        return formats.signed(f"{self.scale * value:.{min(9, max(self.fewest, wanted))}f}")


CROSS_ENTROPY = Measure(name="cross-entropy", unit="nats per example", short_unit="nats", symbol="nats")
ACCURACY = Measure(
    name="accuracy",
    unit="percentage points",
    short_unit="percentage points",
    symbol="pp",
    scale=100,
    fewest=2,
    digits=2,
)


def per_example(by_accuracy: bool) -> Measure:
    """Return the measure of cross-entropy or of accuracy."""
    return ACCURACY if by_accuracy else CROSS_ENTROPY


def of_metric(metric: str) -> Measure:
    """Return the measure of a HyperModel's metric, such as "val_auc": a number without a unit."""
    return Measure(name=metric_of(metric).removeprefix("val_"))


def _figures(interval: Interval) -> tuple[float, float, float]:
    return interval.mean, interval.low, interval.high
