"""Intervals over seeds and rows."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean and its confidence interval, both ends included; level such as 0.95."""

    mean: float
    low: float
    high: float
    level: float
