"""Replays whole studies from recorded learning curves, in a second each, and holds them against the truth.

`python tests/benchmarks/replay.py` prints, for MNIST and for the digits, how the contest searches and how studies were
searched before it; with `--whole`, the other designs that were tried. A replayed study has the luck (initial weights,
order, split) of one recorded seed; the truth is the mean over all other seeds, which that study never draws.
"""

import argparse
import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from recorded import Curves

from regsearch.search.samplers.pruners import PEERS, WARM_UP_EPOCHS
from regsearch.studies.configuration import Regularization
from regsearch.studies.contest import contestants
from regsearch.studies.contest.contestants import contestant_of, is_out
from regsearch.studies.contest.proposals import Contest, Entry
from regsearch.studies.recipes import contest_of, recipes_in_space
from regsearch.studies.search_space import suggest
from regsearch.studies.study_file import read_study

TECHNIQUES = ("l1", "l2", "l1+l2", "dropout", "batch_norm")
TOLERANCE = 0.003  # nats
TRIALS_BEFORE = {"mnist": 50, "digits": 30}


@dataclass(frozen=True)
class Stopped:
    """Where early stopping of some patience ends a curve, and the epoch that it restores, both counted from 0."""

    restored: int
    last: int


def stop(losses: NDArray[np.float64], patience: int | None) -> Stopped:
    """Apply early stopping to the stopping split's losses, as `regsearch.search.training.early_stopping` does."""
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

    @property
    def loss(self) -> float:
        """Its value, as the contest sees it."""
        return math.inf if self.value is None else self.value


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

    @property
    def repeats(self) -> int:
        """How many trials train what an earlier one has trained."""
        return len(self.trials) - len({trial.settings for trial in self.trials})

    def best_of(self, technique: str, contest: Contest | None) -> Regularization | None:
        """Return the reported settings of a technique alone; None if no trial of it is complete.

        Args:
            contest: decides as the product does; None: the trial with the least loss.
        """
        alone = [trial for trial in self.trials if contestant_of(trial.settings) == technique]
        if contest is None:
            complete = [trial for trial in alone if trial.value is not None]
            return min(complete, key=lambda trial: trial.value or 0.0).settings if complete else None
        best = contest.best_alone(technique, [Entry(settings=t.settings, loss=t.loss) for t in alone])
        return None if best is None else best.settings


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
        return (settings for settings in self.curves.settings() if contestant_of(settings) == technique)


def search_jointly(study: Study, spec: Any) -> None:
    """Search as studies did before: Optuna's TPE over all techniques at once, its median pruner, recipes first."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seeds = np.random.SeedSequence(study.seed).generate_state(spec.budget.trials)
    found = optuna.create_study(pruner=optuna.pruners.MedianPruner())
    recipes = list(recipes_in_space(("course",), spec.space).values())
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
        settings = contest.propose(number, [Entry(settings=t.settings, loss=t.loss) for t in study.trials])
        if settings is None:
            return
        study.train(settings, prunes)


def among_equals(warm_up: int, fewest: int, slack: float = 1.0, *, best: bool = False) -> Prunes:
    """Return a pruner that compares a trial with those of its own contestant.

    Args:
        warm_up: epochs that every trial trains.
        fewest: trials that there must be to compare with.
        slack: times the median of the others, or their best, is still good enough.
        best: whether the best of the others is the measure, and not their median.
    """

    def prunes(settings: Regularization, curve: list[float], others: list[Replayed]) -> bool:
        own = contestant_of(settings)
        peers = [min(o.curve[: len(curve)]) for o in others if contestant_of(o.settings) == own]
        if len(curve) < warm_up or len(peers) < fewest:
            return False
        return min(curve) > slack * (min(peers) if best else statistics.median(peers))

    return prunes


def as_product(settings: Regularization, curve: list[float], others: list[Replayed]) -> bool:
    """Prune as `regsearch.search.samplers.pruners.ContestPruner` does by default."""
    own = contestant_of(settings)
    peers = [min(o.curve[: len(curve)]) for o in others if contestant_of(o.settings) == own]
    return len(curve) >= WARM_UP_EPOCHS and is_out(min(curve), peers, PEERS)


@dataclass(frozen=True)
class Row:
    """What one design gives, over all studies."""

    within: float
    of_technique: Mapping[str, float]
    epochs: float
    pruned_at_once: float
    repeats: float
    winner: float

    def __str__(self) -> str:
        each = " | ".join(f"{self.of_technique[technique]:.0%}" for technique in TECHNIQUES)
        return (
            f"{self.within:.0%} | {each} | {self.epochs:.0f} | {self.pruned_at_once:.0%} | {self.repeats:.1f} | "
            f"{self.winner:.4f}"
        )


class Replay:
    """Replays studies of one data set, one for each recorded seed.

    Args:
        name: of the ready study whose curves were recorded.
    """

    def __init__(self, name: str) -> None:
        self.curves = Curves(name)
        self.spec = read_study(name)
        self.truths = {seed: Truth(self.curves, seed) for seed in self.curves.seeds}
        self._best: dict[tuple[int, str, int | None], float] = {}

    def contest(self, seed: int, **changes: Any) -> Contest:
        """Return the contest of one study."""
        return replace(contest_of(self.spec.changed(search={"seed": seed})), **changes)

    def joint(self) -> Row:
        """Replay studies as they were before."""
        studies = {seed: Study(self.curves, seed) for seed in self.curves.seeds}
        for study in studies.values():
            search_jointly(study, self.spec.changed(budget={"trials": TRIALS_BEFORE[self.spec.study.name]}))
        return self._row(studies, as_the_contest=False)

    def row(self, prunes: Prunes | None = as_product, *, trials: int | None = None, fewest: int | None = None) -> Row:
        """Replay studies by the contest.

        Args:
            prunes: judges each epoch.
            trials: in all, if not as the ready study has.
            fewest: trials of each numeric technique alone, if not the product's.
        """
        usual = dict(contestants.FEWEST)
        if fewest is not None:
            contestants.FEWEST.update(dict.fromkeys(("l1", "l2", "dropout"), fewest))
        studies = {seed: Study(self.curves, seed) for seed in self.curves.seeds}
        for seed, study in studies.items():
            search_by_contest(study, self.contest(seed), trials or self.spec.budget.trials, prunes)
        contestants.FEWEST.update(usual)
        return self._row(studies, as_the_contest=True)

    def _row(self, studies: Mapping[int, Study], *, as_the_contest: bool) -> Row:
        within = {
            technique: [self._is_within(seed, study, technique, as_the_contest) for seed, study in studies.items()]
            for technique in TECHNIQUES
        }
        winners = {
            seed: min((t for t in study.trials if t.value is not None), key=lambda trial: trial.value or 0.0).settings
            for seed, study in studies.items()
        }
        return Row(
            within=float(np.mean(list(within.values()))),
            of_technique={technique: float(np.mean(found)) for technique, found in within.items()},
            epochs=float(np.mean([study.epochs for study in studies.values()])),
            pruned_at_once=float(np.mean([study.pruned_at_once for study in studies.values()])),
            repeats=float(np.mean([study.repeats for study in studies.values()])),
            winner=float(np.mean([self.truths[s].loss(winner, winner.patience) for s, winner in winners.items()])),
        )

    def _is_within(self, seed: int, study: Study, technique: str, as_the_contest: bool) -> bool:
        contest = self.contest(seed)
        reported = study.best_of(technique, contest if as_the_contest else None)
        if reported is None:
            return False
        truth, patience = self.truths[seed], contest.patience
        if (seed, technique, patience) not in self._best:
            self._best[seed, technique, patience] = truth.best(technique, patience)[0]
        return truth.loss(reported, patience) - self._best[seed, technique, patience] < TOLERANCE


def table(name: str, *, whole: bool) -> None:
    """Print the designs that were compared, a row each."""
    replay = Replay(name)
    curves = replay.curves
    error = curves.interpolation_error(curves.column("select_cross_entropy"))
    print(f"\n{name}: {len(curves.seeds)} studies a row, each with the luck of one seed; truth from the other seeds.")
    print(f"A strength that is interpolated from its neighbours errs by {error:.4f} nats (median).\n")
    print("| design | within 0.003 | L1 | L2 | L1+L2 | dropout | BatchNorm | epochs | 1st epoch | repeats | winner |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    print(f"| TPE over all at once, median pruner | {replay.joint()} |", flush=True)
    print(f"| contest | {replay.row()} |", flush=True)
    if not whole:
        return
    designs: dict[str, Callable[[], Row]] = {
        "no pruner": lambda: replay.row(None),
        "median of its equals from epoch 1": lambda: replay.row(among_equals(1, 3)),
        "from epoch 3": lambda: replay.row(among_equals(3, 3)),
        "of at least 5 equals": lambda: replay.row(among_equals(2, 5)),
        "1.05 times the median": lambda: replay.row(among_equals(2, 3, 1.05)),
        "1.1 times the best": lambda: replay.row(among_equals(2, 2, 1.1, best=True)),
        **{f"{trials} trials": partial(replay.row, trials=trials) for trials in (28, 36, 40, 50)},
        "at least 4 trials a technique": lambda: replay.row(fewest=4),
        "at least 8": lambda: replay.row(fewest=8, trials=replay.spec.budget.trials + 6),
        "at least 10": lambda: replay.row(fewest=10, trials=replay.spec.budget.trials + 12),
    }
    for design, made in designs.items():
        print(f"| {design} | {made()} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("studies", nargs="*", default=["mnist", "digits"], help="whose curves: mnist, digits")
    parser.add_argument("--whole", action="store_true", help="the other designs that were tried, too")
    arguments = parser.parse_args()
    for study_name in arguments.studies:
        table(study_name, whole=arguments.whole)
