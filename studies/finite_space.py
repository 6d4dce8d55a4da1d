"""Lists the points of a finite search space. A space is infinite if a trial can get a float from a range."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .canonical_configuration import canonical
from .search_space import suggest
from .spec import SpaceSpec


def is_finite(space: SpaceSpec, fixed: Mapping[str, Any] | None = None) -> bool:
    """Return whether a space has finitely many points.

    Args:
        space: the study's space.
        fixed: the parameters that may have only one value, as a dict from name to value.

    Example:
        >>> is_finite(SpaceSpec())
        False
    """
    try:
        for _ in points(space, max_epochs=1, fixed=fixed):  # the patience doesn't matter here
            pass
    except _InfiniteError:
        return False
    return True


def points(space: SpaceSpec, max_epochs: int, fixed: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the points of a finite space. Skip a point that trains the same network as an earlier point.

    The last parameter changes fastest.

    Args:
        space: a space for which `is_finite` is true.
        max_epochs: the study's largest number of epochs.
        fixed: the parameters that may have only one value, as a dict from name to value.
    """
    enumerator, seen = _PointEnumerator(max_epochs, fixed or {}), set()
    while True:
        enumerator.depth = 0
        point = suggest(enumerator, space)
        key = canonical(point, max_epochs)
        if key not in seen:
            seen.add(key)
            yield point
        if not enumerator.turn():
            return


def count_points(space: SpaceSpec, max_epochs: int) -> int | None:
    """Return how many points `points` yields; None if the space is infinite."""
    return sum(1 for _ in points(space, max_epochs)) if is_finite(space) else None


class _InfiniteError(Exception):
    """A parameter of the space is a range of floats."""


class _PointEnumerator:
    """A suggester that proposes all combinations of values one after the other, depth first."""

    def __init__(self, max_epochs: int, fixed: Mapping[str, Any]) -> None:
        self.depth = 0
        self._max_epochs, self._fixed = max_epochs, fixed
        self._path: list[tuple[int, int]] = []  # (index of the value, number of values), in order of suggestion

    def turn(self) -> bool:
        """Move to the next combination. Return False if there is none."""
        while self._path and self._path[-1][0] + 1 == self._path[-1][1]:
            self._path.pop()
        if self._path:
            index, count = self._path[-1]
            self._path[-1] = (index + 1, count)
        return bool(self._path)

    def suggest_categorical(self, name: str, choices: Sequence[Any], /) -> Any:
        return self._take(name, choices)

    def suggest_float(self, name: str, low: float, high: float, /, *, log: bool = False) -> float:
        if name not in self._fixed and low < high:
            raise _InfiniteError
        value: float = self._fixed.get(name, low)
        return value

    def suggest_int(self, name: str, low: int, high: int, /) -> int:
        # all patiences of max_epochs or more train alike
        last = max(low, min(high, self._max_epochs)) if name == "patience" else high
        value: int = self._take(name, range(low, last + 1))
        return value

    def _take(self, name: str, options: Sequence[Any]) -> Any:
        if name in self._fixed:
            return self._fixed[name]
        if self.depth == len(self._path):
            self._path.append((0, len(options)))
        index, _ = self._path[self.depth]
        self.depth += 1
        return options[index]
