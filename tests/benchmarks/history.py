"""Does a long study find as good a configuration where TPE looks back on a part only? A surrogate, no training.

    python tests/benchmarks/history.py [SEEDS [TRIALS [MOST BLOCK]]]

MOST and BLOCK are those of `storage/optuna/lookback.py`. It prints, for each seed, with all trials and with a part, the
true value of the configuration chosen, the mean true value of the last fifth of the trials, lower is better, and the
seconds of the study.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
from sampler_forms import NOISE, true_value

from regsearch.search import api
from regsearch.search.run.progress import Progress
from regsearch.search.training.setup import TrainerSetup
from regsearch.search.training.trainer import OnEpoch
from regsearch.search.workers.inline import InlineEngine
from regsearch.storage.optuna import lookback
from regsearch.studies.configuration import Regularization
from regsearch.studies.trial import TrialOutcome, TrialTask

SETTINGS = ["search.pruner=none", "search.pruner_options={}", "search.sampler_options={}"]
SPACE = ["space.l1={low=1e-7, high=1e-2}", "space.l2={low=1e-7, high=1e-2}"]


class Surrogate:
    """Answers at once, with the surrogate's value and noise that the trial's number decides."""

    def __init__(self, setup: TrainerSetup) -> None:
        self._seed = setup.spec.search.seed

    def train(self, task: TrialTask, on_epoch: OnEpoch, *_: object) -> TrialOutcome:
        noise = np.random.default_rng([self._seed, task.number]).standard_normal()
        value = true_value(Regularization.from_params(task.params)) + NOISE * noise
        return TrialOutcome(
            best_epoch=0,
            epochs=1,
            select_cross_entropy=value,
            select_accuracy=0.9,
            train_cross_entropy=value,
            train_accuracy=0.9,
            near_zero_share=0.0,
            seconds=0.0,
            weights_sha256=None,
        )


def study(seed: int, trials: int, most: int, block: int) -> tuple[float, float, float]:
    """Return the chosen configuration's true value, the mean of the last fifth's, and the seconds."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with (
        tempfile.TemporaryDirectory(dir=memory) as folder,
        mock.patch.object(lookback, "MOST", most),
        mock.patch.object(lookback, "BLOCK", block),
    ):
        storage, began = f"sqlite:///{Path(folder)}/study.db", time.perf_counter()
        settings = [*SETTINGS, *SPACE, f"search.seed={seed}"]
        engine = InlineEngine(Surrogate)
        quiet = Progress()
        api.run("smoke", storage=storage, engine=engine, workers=1, trials=trials, settings=settings, progress=quiet)
        seconds = time.perf_counter() - began
        with api.trials("smoke", storage=storage) as (_, found):
            values = [(one.value, true_value(Regularization.from_params(one.params))) for one in found]
    last = [true for _, true in values[-trials // 5 :]]
    return min(values)[1], float(np.mean(last)), seconds


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    trials = int(sys.argv[2]) if len(sys.argv) > 2 else 2500
    limits = (int(sys.argv[3]), int(sys.argv[4])) if len(sys.argv) > 4 else (lookback.MOST, lookback.BLOCK)
    print(f"{'seed':>4} {'trials seen':>12} {'chosen':>9} {'last fifth':>11} {'seconds':>8}")
    for seed in range(seeds):
        for name, most, block in (("all", trials, trials), ("a part", *limits)):
            chosen, last, seconds = study(seed, trials, most, block)
            print(f"{seed:4} {name:>12} {chosen:9.5f} {last:11.5f} {seconds:8.1f}", flush=True)


if __name__ == "__main__":
    main()
