"""Replays whole studies from recorded learning curves, in about a second each, and holds them against the truth.

`python tests/benchmarks/replay.py` prints, for MNIST and for the digits, how today's contest searches and how studies
were searched before it. A replayed study has the luck (initial weights, order, split) of one recorded seed; the truth
is the mean over all other seeds, which that study never draws.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studies.contest import Contest, Entry
from studies.contestants import contestant_of
from studies.space import Regularization

HERE = Path(__file__).parent
TECHNIQUES = ("l1", "l2", "l1+l2", "dropout", "batch_norm")
TOLERANCE = 0.003  # nats
Curve = NDArray[np.float64]
"""(epochs, figures), as `Curves.figures` names them."""


class Curves:
    """The recorded curves of one data set.

    Strengths between those that were recorded are interpolated linearly, figure by figure and epoch by epoch, on the
    scale of the grid (log for L1 and L2). Techniques that were not recorded together add up: the sum of what each
    changes, times the share of that sum which the recorded combinations have on average.
    """

    def __init__(self, name: str) -> None:
        data = np.load(HERE / "curves" / f"{name}.npz")
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


@dataclass(frozen=True)
class Stopped:
    """Where early stopping of some patience ends a curve, and the epoch that it restores, both counted from 0."""

    restored: int
    last: int


def stop(losses: NDArray[np.float64], patience: int | None) -> Stopped:
    """Apply early stopping to the stopping split's losses, as `search.training.early_stopping` does."""
    if patience is None:
        return Stopped(len(losses) - 1, len(losses) - 1)
    best, wait = 0, 0
    for epoch in range(1, len(losses)):
        if np.float32(losses[epoch]) < np.float32(losses[best]):
            best, wait = epoch, 0
        else:
            wait += 1
            if wait >= patience:
                return Stopped(best, epoch)
    return Stopped(best, len(losses) - 1)


@dataclass
class Replayed:
    """A trial of a replayed study."""

    settings: Regularization
    curve: list[float]
    state: str
    value: float | None
    is_proposal: bool = True


Prunes = Callable[[Regularization, list[float], list[Replayed]], bool]
"""Asked after each epoch with the trial's stopping cross-entropies so far and the trials before."""


@dataclass
class Study:
    """A replayed study with one worker.

    Attributes:
        curves, seed: whose luck it has.
        trials: so far.
    """

    curves: Curves
    seed: int
    trials: list[Replayed] = field(default_factory=list)

    def train(self, settings: Regularization, prunes: Prunes | None, *, is_proposal: bool = True) -> Replayed:
        """Train one trial."""
        curve = self.curves.curve(settings, self.seed)
        columns = [self.curves.column(name) for name in ("stop_loss", "stop_cross_entropy", "select_cross_entropy")]
        loss, judged, select = (curve[:, column] for column in columns)
        stopped = stop(loss, settings.patience)
        trial = Replayed(settings, [], "COMPLETE", None, is_proposal)
        self.trials.append(trial)
        for epoch in range(stopped.last + 1):
            trial.curve.append(float(judged[epoch]))
            if prunes is not None and prunes(settings, trial.curve, self.trials[:-1]):
                trial.state = "PRUNED"
                return trial
        trial.value = float(select[stopped.restored])
        return trial

    @property
    def epochs(self) -> int:
        """Epochs that all trials trained."""
        return sum(len(trial.curve) for trial in self.trials)

    @property
    def pruned_at_once(self) -> float:
        """The share of proposals that were pruned in their first epoch."""
        proposals = [trial for trial in self.trials if trial.is_proposal]
        return sum(t.state == "PRUNED" and len(t.curve) == 1 for t in proposals) / max(len(proposals), 1)

    def best_of(self, technique: str) -> Regularization | None:
        """Return the best complete settings of a technique alone; None where there are none."""
        alone = [t for t in self.trials if t.value is not None and contestant_of(t.settings) == technique]
        return min(alone, key=lambda trial: trial.value or 0.0).settings if alone else None


class Truth:
    """What settings give on all seeds but one study's own, and the best strength of each technique there."""

    def __init__(self, curves: Curves, without: int) -> None:
        self.curves = curves
        self.seeds = [seed for seed in curves.seeds if seed != without]

    def loss(self, settings: Regularization, patience: int | None) -> float:
        """Return the mean select cross-entropy with a patience."""
        stop_loss, select = (self.curves.column(name) for name in ("stop_loss", "select_cross_entropy"))
        found = []
        for seed in self.seeds:
            curve = self.curves.curve(settings, seed)
            found.append(curve[stop(curve[:, stop_loss], patience).restored, select])
        return float(np.mean(found))

    def best(self, technique: str, patience: int | None) -> tuple[float, Regularization]:
        """Return the least loss of a technique on the recorded grid, and its settings."""
        found = [(self.loss(settings, patience), str(settings), settings) for settings in self._grid(technique)]
        loss, _, settings = min(found)
        return loss, settings

    def _grid(self, technique: str) -> Iterable[Regularization]:
        for l1, l2, dropout, placement in self.curves._of:
            settings = Regularization(l1=l1, l2=l2, dropout=dropout, batch_norm=placement)
            if contestant_of(settings) == technique:
                yield settings


def search_jointly(study: Study, spec: Any) -> None:
    """Search as studies did before: Optuna's TPE over all techniques at once, its median pruner, recipes first."""
    import optuna

    from studies.recipes import fitting
    from studies.space import suggest

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seeds = np.random.SeedSequence(study.seed).generate_state(spec.budget.trials)
    found = optuna.create_study(pruner=optuna.pruners.MedianPruner())
    recipes = list(fitting(("course",), spec.space).values())
    for number in range(spec.budget.trials):
        found.sampler = optuna.samplers.TPESampler(seed=int(seeds[number]))
        is_recipe = number < len(recipes)
        if is_recipe:
            found.enqueue_trial(recipes[number])
        trial = found.ask()
        settings = Regularization.from_params(suggest(trial, spec.space))

        def prunes(_: Regularization, curve: list[float], __: list[Replayed], trial: Any = trial) -> bool:
            trial.report(curve[-1], len(curve) - 1)
            return bool(trial.should_prune())

        def reports(_: Regularization, curve: list[float], __: list[Replayed], trial: Any = trial) -> bool:
            trial.report(curve[-1], len(curve) - 1)
            return False

        done = study.train(settings, reports if is_recipe else prunes, is_proposal=not is_recipe)
        state = optuna.trial.TrialState.COMPLETE if done.state == "COMPLETE" else optuna.trial.TrialState.PRUNED
        found.tell(trial, done.value, state)


def search_by_contest(study: Study, contest: Contest, trials: int, prunes: Prunes | None) -> None:
    """Search as the contest does, with one worker."""
    for number in range(trials):
        entries = [
            Entry(settings=trial.settings, loss=trial.value if trial.value is not None else float("inf"))
            for trial in study.trials
        ]
        settings = contest.propose(number, entries)
        if settings is None:
            return
        study.train(settings, prunes)
