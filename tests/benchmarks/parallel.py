"""Does TPE suffer from a hundred trials that run at once, and what would a first phase by QMC give? A surrogate.

    python tests/benchmarks/parallel.py [SEEDS [TRIALS [WORKERS]]]

For each way it prints the true value of the configuration chosen, the mean true value of the last fifth of the trials,
lower is better, the share of proposals that nearly repeat one that runs (the same choices, every number within 5 % of
its range), and milliseconds per ask. A trial that is told is one of those that run, at random.
"""

import math
import sys
import time
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial
from sampler_forms import NOISE, SPACE, true_value

from regsearch.studies.configuration import Regularization
from regsearch.studies.search_space import suggest

NEAR = 0.05
WAYS: dict[str, Mapping[str, Any]] = {
    "tpe, one worker": {},
    "tpe": {},
    "tpe, constant_liar=False": {"constant_liar": False},
    "tpe, 8 candidates": {"n_ei_candidates": 8},
    "tpe, 100 at random first": {"n_startup_trials": 100},
    "tpe, 100 by QMC first": {"n_startup_trials": 0},
    "random": {},
}


def sampler(way: str, seed: int, number: int) -> BaseSampler:
    """Return the sampler of a trial."""
    if way == "random":
        return RandomSampler(seed=seed * 10_000 + number)
    if "QMC" in way and number < 100:
        rest = RandomSampler(seed=seed * 10_000 + number)
        return QMCSampler(seed=seed, scramble=True, independent_sampler=rest, warn_independent_sampling=False)
    return TPESampler(seed=seed * 10_000 + number, **WAYS[way])


def is_near(one: FrozenTrial, other: FrozenTrial) -> bool:
    """Return whether two proposals hardly differ."""
    if one.params.keys() != other.params.keys():
        return False
    for name, distribution in one.distributions.items():
        a, b = one.params[name], other.params[name]
        if isinstance(distribution, CategoricalDistribution):
            if a != b:
                return False
            continue
        low, high = distribution.low, distribution.high  # type: ignore[attr-defined]
        if isinstance(distribution, FloatDistribution) and distribution.log:
            a, b, low, high = (math.log(number) for number in (a, b, low, high))
        if abs(a - b) > NEAR * (high - low):
            return False
    return True


def study(way: str, seed: int, trials: int, workers: int) -> tuple[float, float, float, float]:
    """Return what `__doc__` says of one study."""
    luck, optuna_study = np.random.default_rng(seed), optuna.create_study()
    running: list[tuple[optuna.Trial, float]] = []
    values, near, asking = [], 0, 0.0
    for number in range(trials):
        if len(running) == workers:
            trial, true = running.pop(int(luck.integers(workers)))
            values.append((true + NOISE * luck.standard_normal(), true))
            optuna_study.tell(trial, values[-1][0])
        began = time.process_time()
        optuna_study.sampler = sampler(way, seed, number)
        trial = optuna_study.ask()
        setting = Regularization.from_params(suggest(trial, SPACE))
        asking += time.process_time() - began
        proposed = optuna_study._storage.get_trial(trial._trial_id)
        near += any(is_near(proposed, optuna_study._storage.get_trial(one._trial_id)) for one, _ in running)
        running.append((trial, true_value(setting)))
    last = [true for _, true in values[-trials // 5 :]]
    return min(values)[1], float(np.mean(last)), near / trials, 1000 * asking / trials


def main() -> None:
    given = [int(argument) for argument in sys.argv[1:]]
    seeds, trials, workers = [*given, *(8, 500, 100)[len(given) :]]
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    print("| way | chosen ± s.e. | last fifth | near repetitions | an ask |\n|---|---|---|---|---|", flush=True)
    for way in WAYS:
        at_once = 1 if "one worker" in way else workers
        found = np.array([study(way, seed, trials, at_once) for seed in range(seeds)])
        chosen, last, near, asking = found.mean(axis=0)
        error = found[:, 0].std(ddof=1) / seeds**0.5 if seeds > 1 else math.nan
        print(f"| {way} | {chosen:.5f} ± {error:.5f} | {last:.5f} | {near:.1%} | {asking:.1f} ms |", flush=True)


if __name__ == "__main__":
    main()
