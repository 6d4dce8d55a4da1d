"""The learning curves that `record_curves.py` recorded, and what lies between them."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regsearch.studies.configuration import Regularization

Curve = NDArray[np.float64]
"""(epochs, figures), as `Curves.figures` names them."""

_FOLDER = Path(__file__).parent / "curves"


class Curves:
    """The recorded curves of one data set.

    Strengths between those that were recorded are interpolated linearly, figure by figure and epoch by epoch, on the
    scale of the grid (log for L1 and L2). Techniques that were not recorded together add up: the sum of what each
    changes, times the share of that sum which the recorded combinations have on average.
    """

    def __init__(self, name: str) -> None:
        data = np.load(_FOLDER / f"{name}.npz")
        self.figures = [str(figure) for figure in data["figures"]]
        self._of: dict[tuple[float, float, float, str], dict[int, Curve]] = {}
        rows = zip(*(data[key].tolist() for key in ("l1", "l2", "dropout", "batch_norm", "seed")), strict=True)
        for (l1, l2, dropout, placement, seed), curve in zip(rows, data["curve"].astype(np.float64), strict=True):
            self._of.setdefault((l1, l2, dropout, placement), {})[seed] = curve
        none = self._of[0.0, 0.0, 0.0, "none"]
        self.epochs = len(next(iter(none.values())))
        usual = max(len(self._of[key]) for key in self._of) - 1
        needed = [curves for key, curves in self._of.items() if len(curves) >= usual]
        self.seeds = sorted(set.intersection(*(set(curves) for curves in needed)))

    def column(self, figure: str) -> int:
        """Return a figure's column."""
        return self.figures.index(figure)

    def curve(self, settings: Regularization, seed: int) -> Curve:
        """Return the curve of some settings, early stopping left out."""
        key = (settings.l1, settings.l2, settings.dropout, settings.batch_norm)
        if key not in self._cache.setdefault(seed, {}):
            self._cache[seed][key] = self._made(*key, seed)
        return self._cache[seed][key]

    @cached_property
    def _cache(self) -> dict[int, dict[Any, Curve]]:
        return {}

    def _made(self, l1: float, l2: float, dropout: float, placement: str, seed: int) -> Curve:
        none = self._recorded(0.0, 0.0, 0.0, "none", seed)
        changes = []
        if l1 or l2:
            changes.append(self._penalized(l1, l2, seed) - none)
        if dropout:
            changes.append(self._between(self._rates, dropout, lambda rate: (0.0, 0.0, rate, "none"), seed) - none)
        if placement != "none":
            changes.append(self._recorded(0.0, 0.0, 0.0, placement, seed) - none)
        share = self.shares[len(changes)] if len(changes) > 1 else 1.0
        return none + share * sum(changes, np.zeros_like(none))

    def _penalized(self, l1: float, l2: float, seed: int) -> Curve:
        if not l2:
            return self._between(self._l1s, l1, lambda s: (s, 0.0, 0.0, "none"), seed)
        if not l1:
            return self._between(self._l2s, l2, lambda s: (0.0, s, 0.0, "none"), seed)
        both = sorted({key[0] for key in self._of if key[0] and key[1] and key[2] == 0 and key[3] == "none"})
        inner_l1, inner_l2 = (min(max(s, both[0]), both[-1]) for s in (l1, l2))

        def on_row(first: float) -> Curve:
            return self._between(both, inner_l2, lambda s: (first, s, 0.0, "none"), seed)

        lower = max(s for s in both if s <= inner_l1)
        upper = min(s for s in both if s >= inner_l1)
        weight = 0.0 if lower == upper else np.log(inner_l1 / lower) / np.log(upper / lower)
        inner = on_row(lower) * (1 - weight) + on_row(upper) * weight
        # beyond the grid of both, each changes what it changes alone
        outer = self._penalized(l1, 0.0, seed) - self._penalized(inner_l1, 0.0, seed)
        return inner + outer + self._penalized(0.0, l2, seed) - self._penalized(0.0, inner_l2, seed)

    @cached_property
    def _l1s(self) -> list[float]:
        return sorted(key[0] for key in self._of if key[0] and key[1:] == (0.0, 0.0, "none"))

    @cached_property
    def _l2s(self) -> list[float]:
        return sorted(key[1] for key in self._of if key[1] and (key[0], *key[2:]) == (0.0, 0.0, "none"))

    @cached_property
    def _rates(self) -> list[float]:
        return sorted({key[2] for key in self._of if key[2] and key[:2] == (0.0, 0.0) and key[3] == "none"})

    def _between(self, grid: list[float], strength: float, key_of: Callable[[float], Any], seed: int) -> Curve:
        is_log = grid[0] < 1e-3
        if strength <= grid[0]:
            return self._recorded(*key_of(grid[0]), seed)
        if strength >= grid[-1]:
            return self._recorded(*key_of(grid[-1]), seed)
        upper = next(i for i, there in enumerate(grid) if there >= strength)
        low, high = grid[upper - 1], grid[upper]
        scale = np.log if is_log else float
        weight = (scale(strength) - scale(low)) / (scale(high) - scale(low))
        return (1 - weight) * self._recorded(*key_of(low), seed) + weight * self._recorded(*key_of(high), seed)

    def _recorded(self, l1: float, l2: float, dropout: float, placement: str, seed: int) -> Curve:
        curves = self._of[l1, l2, dropout, placement]
        if seed in curves:
            return curves[seed]
        # recorded on other seeds alone: what it changes there, on top of this seed's curve
        none = self._of[0.0, 0.0, 0.0, "none"]
        change: Curve = np.mean([curves[other] - none[other] for other in curves], axis=0)
        return none[seed] + change

    def settings(self) -> list[Regularization]:
        """Return all settings that were recorded, without early stopping."""
        return [Regularization(l1=l1, l2=l2, dropout=rate, batch_norm=bn) for l1, l2, rate, bn in self._of]

    def interpolation_error(self, column: int) -> float:
        """Return the median error, over strengths, seeds and epochs, of a figure interpolated where it was recorded."""
        errors = []
        for grid, key_of in (
            (self._l1s, lambda s: (s, 0.0, 0.0, "none")),
            (self._l2s, lambda s: (0.0, s, 0.0, "none")),
            (self._rates, lambda s: (0.0, 0.0, s, "none")),
        ):
            for index in range(1, len(grid) - 1):
                others = [strength for strength in grid if strength != grid[index]]
                for seed in self._of[key_of(grid[index])]:
                    guess = self._between(others, grid[index], key_of, seed)
                    errors.extend(np.abs(guess - self._recorded(*key_of(grid[index]), seed))[:, column])
        return float(np.median(errors))

    @cached_property
    def shares(self) -> dict[int, float]:
        """The share of the sum of single changes that recorded combinations of so many techniques have."""
        column, ratios = self.column("select_cross_entropy"), {2: ([], []), 3: ([], [])}
        for (l1, l2, dropout, placement), curves in self._of.items():
            count = bool(l1 or l2) + bool(dropout) + (placement != "none")
            if count < 2:
                continue
            for seed, curve in curves.items():
                none = self._recorded(0.0, 0.0, 0.0, "none", seed)
                alone = [(l1, l2, 0.0, "none"), (0.0, 0.0, dropout, "none"), (0.0, 0.0, 0.0, placement)]
                single = [self._made(*key, seed) - none for key in alone if key != (0.0, 0.0, 0.0, "none")]
                ratios[count][0].append((curve - none)[:, column])
                ratios[count][1].append(sum(single)[:, column])
        return {
            count: float(np.sum(np.multiply(real, summed)) / np.sum(np.square(summed))) if real else 1.0
            for count, (real, summed) in ratios.items()
        }
