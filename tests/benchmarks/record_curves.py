"""Records learning curves that `replay.py` replays: each technique alone on a grid of strengths, and combinations.

`python tests/benchmarks/record_curves.py mnist` (or `digits`) trains what is missing and goes on where it was stopped;
`--pack` then adds it to `tests/benchmarks/curves/NAME.npz`. Every training runs all epochs, so that the curve of any
patience, and of any pruner, can be cut from it. The product's compiled trainer trains them.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
WORK = HERE.parents[1] / "build" / "curves"
FIGURES = (
    "train_loss", "stop_loss", "stop_cross_entropy", "stop_accuracy",
    "select_cross_entropy", "select_accuracy", "test_cross_entropy", "test_accuracy",
)  # fmt: skip
SEEDS, COMBINATION_SEEDS, WHOLE_SEEDS = 17, 4, 2
"""How many seeds each technique alone has, how many of them combinations, and how many the ends of the ranges."""

HALF_DECADES = tuple(float(f"{10 ** (power / 2):.3g}") for power in range(-14, -3))
RATES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
PLACEMENTS = ("before_activation", "after_activation")

Settings = tuple[float, float, float, str]
"""L1, L2, rate of dropout, placement of BatchNormalization."""


def alone() -> Iterator[Settings]:
    """Give every technique alone, at every strength."""
    yield 0.0, 0.0, 0.0, "none"
    for strength in HALF_DECADES:
        yield strength, 0.0, 0.0, "none"
        yield 0.0, strength, 0.0, "none"
    for rate in RATES:
        yield 0.0, 0.0, rate, "none"
    for placement in PLACEMENTS:
        yield 0.0, 0.0, 0.0, placement
    for l1 in (1e-6, 1e-5, 1e-4, 1e-3):
        for l2 in (1e-6, 1e-5, 1e-4, 1e-3):
            yield l1, l2, 0.0, "none"


def combinations() -> Iterator[Settings]:
    """Give combinations of good strengths, from which the replay learns how techniques add up."""
    for rate in (0.2, 0.4):
        yield 1e-5, 0.0, rate, "none"
        yield 3.16e-5, 0.0, rate, "none"
        yield 0.0, 1e-4, rate, "none"
        yield 0.0, 3.16e-4, rate, "none"
        for placement in PLACEMENTS:
            yield 0.0, 0.0, rate, placement
    for placement in PLACEMENTS:
        yield 3.16e-5, 0.0, 0.0, placement
        yield 0.0, 3.16e-4, 0.0, placement
        yield 1e-5, 0.0, 0.4, placement
        yield 0.0, 1e-4, 0.4, placement


def _is_at_an_end(settings: Settings) -> bool:
    """Return whether its strength is so low that it does nothing, or so high that no study keeps it."""
    l1, l2, *_ = settings
    return any(0 < strength < 1e-6 or strength > limit for strength, limit in ((l1, 1e-3), (l2, 1e-3))) or (
        l1 > 0 and l2 > 0 and max(l1, l2) >= 1e-3
    )


def trainings() -> Iterator[tuple[Settings, int]]:
    """Give every training, seed by seed, so that a part of them is of use."""
    for seed in range(SEEDS):
        yield from ((settings, seed) for settings in alone() if seed < WHOLE_SEEDS or not _is_at_an_end(settings))
        if seed < COMBINATION_SEEDS:
            yield from ((settings, seed) for settings in combinations())


def path_of(study: str, settings: Settings, seed: int) -> Path:
    """Return the file of one training."""
    l1, l2, dropout, placement = settings
    return WORK / study / f"{l1:g}_{l2:g}_{dropout:g}_{placement}_{seed}.npy"


class _Recorder:
    """Trains in one process; a trainer for each seed, since a seed draws the split too."""

    def __init__(self, study: str) -> None:
        from regsearch.search.data import load_dataset
        from regsearch.search.training import setup
        from regsearch.studies.batch_norm import batch_norm_momentum
        from regsearch.studies.study_file import read_study

        setup.import_quietly()
        setup._start_tensorflow()
        spec = read_study(study)
        source = "mnist" if study == "mnist" else "digits"
        self.dataset = load_dataset(source, None)
        # else it would be derived from all rows, the test's among them
        momentum = batch_norm_momentum(spec, spec.data.train_rows(self.dataset.n_train))
        self.spec = spec.changed(model={"batch_norm_momentum": momentum})
        both = {
            "x_train": np.concatenate([self.dataset.x_train, self.dataset.x_test]),
            "y_train": np.concatenate([self.dataset.y_train, self.dataset.y_test]),
        }
        self.whole = replace(self.dataset, **both)  # the test rows follow the training rows
        self.test = np.arange(self.dataset.n_train, self.dataset.n_train + self.dataset.n_test)
        self.trainers: dict[int, Any] = {}

    def record(self, settings: Settings, seed: int) -> np.ndarray:
        """Return the curve, (epochs, figures); NaN from the epoch on at which it diverged."""
        from regsearch.search.data.splits import make_splits
        from regsearch.search.training.builtin.compiled_trainer import CompiledTrainer
        from regsearch.search.training.loop import epoch_order
        from regsearch.studies.configuration import Regularization

        if seed not in self.trainers:
            splits = make_splits(self.dataset, self.spec.data, seed)
            self.trainers = {seed: CompiledTrainer(self.spec, self.whole, splits, seed)}
        trainer = self.trainers[seed]
        l1, l2, dropout, placement = settings
        network = trainer.network(Regularization(l1=l1, l2=l2, dropout=dropout, batch_norm=placement))
        curve = np.full((self.spec.training.max_epochs, len(FIGURES)), np.nan)
        for epoch in range(len(curve)):
            loss = network.train_epoch(epoch_order(trainer.splits.train, seed, epoch))
            parts = [network.evaluate(rows) for rows in (trainer.splits.stop, trainer.splits.select, self.test)]
            stop, select, test = ((part.cross_entropy, part.accuracy) for part in parts)
            row = [loss, stop[0] + network.penalty(), *stop, *select, *test]
            if not np.isfinite(row).all():
                break
            curve[epoch] = row
        return curve


_recorder: _Recorder | None = None


def _start(study: str) -> None:
    global _recorder
    _recorder = _Recorder(study)


def _record(study: str, settings: Settings, seed: int) -> None:
    assert _recorder is not None
    path = path_of(study, settings, seed)
    if not path.exists():
        part = path.with_suffix(f".{os.getpid()}.part")
        with part.open("wb") as file:
            np.save(file, _recorder.record(settings, seed))
        part.replace(path)


def record(study: str, workers: int) -> None:
    """Train what is missing, seed by seed."""
    (WORK / study).mkdir(parents=True, exist_ok=True)
    known = packed(study)
    missing = [(s, seed) for s, seed in trainings() if (s, seed) not in known and not path_of(study, s, seed).exists()]
    print(f"{study}: {len(missing)} trainings to go", flush=True)
    with ProcessPoolExecutor(workers, initializer=_start, initargs=(study,)) as pool:
        futures = [pool.submit(_record, study, settings, seed) for settings, seed in missing]
        for done, future in enumerate(futures, start=1):
            future.result()
            if done % 50 == 0:
                print(f"{study}: {done} of {len(missing)}", flush=True)


def packed(study: str) -> dict[tuple[Settings, int], np.ndarray]:
    """Return the curves that the committed file has, by settings and seed."""
    path = HERE / "curves" / f"{study}.npz"
    if not path.exists():
        return {}
    with np.load(path) as data:
        columns = [data[name].tolist() for name in ("l1", "l2", "dropout", "batch_norm", "seed")]
        curves = data["curve"]
    keys = (((l1, l2, rate, str(placement)), seed) for l1, l2, rate, placement, seed in zip(*columns, strict=True))
    return dict(zip(keys, curves, strict=True))


def pack(study: str) -> None:
    """Write what the file had and what was trained since into one file: settings, seeds, and curves in float32."""
    found = packed(study)
    paths = {(settings, seed): path_of(study, settings, seed) for settings, seed in trainings()}
    found |= {key: np.load(path) for key, path in paths.items() if path.exists()}
    there = sorted(found, key=lambda key: (key[1], key[0]))
    path = HERE / "curves" / f"{study}.npz"
    np.savez_compressed(
        path,
        figures=np.array(FIGURES),
        l1=np.array([s[0] for s, _ in there]),
        l2=np.array([s[1] for s, _ in there]),
        dropout=np.array([s[2] for s, _ in there]),
        batch_norm=np.array([s[3] for s, _ in there]),
        seed=np.array([seed for _, seed in there]),
        curve=np.array([found[key] for key in there], dtype=np.float32),
    )
    print(f"{path.name}: {len(there)} trainings, {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", choices=["mnist", "digits"])
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--pack", action="store_true", help="write the file of curves, and train nothing")
    arguments = parser.parse_args()
    if arguments.pack:
        pack(arguments.study)
    else:
        record(arguments.study, arguments.workers)
    sys.exit(0)
