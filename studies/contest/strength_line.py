"""The range of one technique's strength: decides which strength to try next, and which strength is the best."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

BANDWIDTH = 0.07
"""The part of a technique's range over which losses are averaged to find its best strength."""

_GRID = (0.1, 0.3, 0.5, 0.7, 0.9)  # positions in a range, from low to high
_SPACING = (0.06, 0.03, 0.015, 0.007)  # smallest distance between two tried strengths, as part of a range; coarse first
_TOO_STRONG = 0.15  # a strength is too strong if its loss is worse than the best one by more than this part


@dataclass(frozen=True, kw_only=True)
class Line:
    """The range of one technique's strength, as positions from 0 (low) to 1 (high), both included.

    Attributes:
        low, high: the ends of the range.
        is_log: whether equal steps of the position multiply the strength by equal factors.

    Example:
        >>> Line(low=1e-5, high=1e-1, is_log=True).strength(0.5)
        0.001
    """

    low: float
    high: float
    is_log: bool

    def strength(self, position: float) -> float:
        """Return the strength at a position, rounded to two digits; the result lies in the range."""
        if self.is_log:
            value = self.low * (self.high / self.low) ** position
        else:
            value = self.low + position * (self.high - self.low)
        return self.rounded(value)

    def rounded(self, strength: float) -> float:
        """Return the strength, rounded to two digits; the result lies in the range."""
        return min(max(float(f"{strength:.2g}"), self.low), self.high)

    def position(self, strength: float) -> float:
        """Return the position of a strength that lies in the range."""
        if self.high == self.low:
            return 0.0
        if self.is_log:
            return math.log(strength / self.low) / math.log(self.high / self.low)
        return (strength - self.low) / (self.high - self.low)

    def next(
        self, grid: Sequence[float], tried: Sequence[tuple[float, float | None]], *, to_the_end: bool = False
    ) -> Iterator[float]:
        """Yield strengths to try next, the most useful first: start low, increase, then refine around the best.

        Args:
            grid: strengths to start with, from low to high.
            tried: (strength, loss) of each trial; `Entry` explains the loss.
            to_the_end: whether to try the whole grid. If not, the grid ends at the first strength that was too strong.
        """
        points = sorted(((self.position(strength), loss) for strength, loss in tried), key=lambda point: point[0])
        known = [(position, loss) for position, loss in points if loss is not None and math.isfinite(loss)]
        best_loss, best = min(zip(smoothed(known), (x for x, _ in known), strict=True), default=(math.inf, 0.0))
        limit_loss = best_loss + _TOO_STRONG * abs(best_loss)  # abs: the loss of an accuracy is negative
        too_strong = [x for x, loss in points if x > best and loss is not None and loss > limit_loss]
        limit = math.inf if to_the_end else min(too_strong, default=math.inf)
        for strength in grid:
            position = self.position(strength)
            if position < limit and all(abs(position - other) >= _SPACING[0] for other, _ in points):
                yield strength
        for spacing in _SPACING:
            taken = sorted({-spacing, *(x for x, _ in points), 1 + spacing})
            gaps = [(high - low, low, high) for low, high in itertools.pairwise(taken) if best in (low, high)]
            for width, low, high in sorted(gaps, reverse=True):
                if width >= 2 * spacing:
                    yield self.strength(min(max((low + high) / 2, 0.0), 1.0))


def smoothed(points: Sequence[tuple[float, float]]) -> list[float]:
    """Return the loss of each point (position, loss), averaged with the losses of its neighbours.

    A single loss is not used alone, because the result of one training is partly luck.

    The weights are a normal density whose standard deviation is `BANDWIDTH` of the range.

    Example:
        >>> [round(loss, 2) for loss in smoothed([(0.0, 1.0), (0.07, 2.0), (1.0, 5.0)])]
        [1.38, 1.62, 5.0]
    """
    losses = []
    for position, _ in points:
        weights = [math.exp(-0.5 * ((position - other) / BANDWIDTH) ** 2) for other, _ in points]
        losses.append(sum(w * loss for w, (_, loss) in zip(weights, points, strict=True)) / sum(weights))
    return losses


def grid_with(line: Line, own: Iterable[float]) -> list[float]:
    """Return a study's own strengths and those of the usual grid; an own strength replaces a usual one near it."""
    own = list(own)
    positions = [line.position(strength) for strength in own]
    grid = [position for position in _GRID if all(abs(position - other) >= _SPACING[0] for other in positions)]
    return sorted([*own, *(line.strength(position) for position in grid)])
