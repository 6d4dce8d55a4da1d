"""What the patience of early stopping decides: each technique at its best strength, by patience, from recorded curves.

`python tests/benchmarks/patiences.py digits` (or `mnist`) prints the mean test loss over the recorded seeds and how
many epochs were trained. `--cost` times the evaluation of the selection examples against an epoch of training. A trial
would pay it at each new best epoch if its own curve should answer smaller patiences.
"""

import argparse
import statistics
import time

import numpy as np
from recorded import Curves
from replay import TECHNIQUES

from regsearch.search.training.early_stopping import EarlyStopping
from regsearch.studies.configuration import Regularization
from regsearch.studies.contest.contestants import contestant_of

PATIENCES = (1, 2, 3, 4, 6, 8, 12, 20)


def restored(curve: np.ndarray, column: int, patience: int) -> tuple[int, int]:
    """Return the epoch whose weights early stopping restores, and how many epochs it trains."""
    stopping = EarlyStopping(patience=patience)
    for epoch, loss in enumerate(curve[:, column]):
        stopping = stopping.after(epoch, float(loss))
        if stopping.is_over:
            break
    assert stopping.best_epoch is not None
    return stopping.best_epoch, epoch + 1


def losses(curves: Curves, settings: Regularization, patience: int) -> tuple[float, float]:
    """Return the mean test loss of the restored epoch, and the mean number of epochs trained."""
    stop, test = curves.column("stop_loss"), curves.column("test_cross_entropy")
    ends = [
        (curve[epoch, test], epochs)
        for curve in (curves.curve(settings, seed) for seed in curves.seeds)
        for epoch, epochs in (restored(curve, stop, patience),)
    ]
    loss, epochs = np.mean(ends, axis=0)
    return float(loss), float(epochs)


def by_patience(name: str) -> None:
    """Print a row for early stopping alone and for each technique at its best strength."""
    curves = Curves(name)
    patiences = [patience for patience in PATIENCES if patience <= curves.epochs]
    usual = int(0.4 * curves.epochs)
    alone: dict[str, list[Regularization]] = {"early stopping": [Regularization()]}
    for settings in curves.settings():
        contestant = contestant_of(settings)
        if contestant in TECHNIQUES:
            alone.setdefault(contestant, []).append(settings)
    print(f"{name}: test loss by patience, {len(curves.seeds)} seeds; in brackets the epochs trained")
    print("| technique | best strength |", " | ".join(map(str, patiences)), "|")
    print("|---" * (len(patiences) + 2) + "|")
    for contestant, settings in alone.items():
        best = min(settings, key=lambda one: losses(curves, one, usual)[0])
        cells = [f"{loss:.4f} ({epochs:.1f})" for loss, epochs in (losses(curves, best, p) for p in patiences)]
        print(f"| {contestant} | {best} |", " | ".join(cells), "|")


def cost(name: str) -> None:
    """Print how long the selection examples take to evaluate, as a share of an epoch of training."""
    from regsearch.search.data import load_dataset
    from regsearch.search.data.splits import make_splits
    from regsearch.search.training import setup
    from regsearch.studies.study_file import read_study

    setup.import_quietly()
    from regsearch.search.training.builtin.compiled_trainer import CompiledTrainer

    spec, dataset = read_study(name), load_dataset(name, None)
    trainer = CompiledTrainer(spec, dataset, make_splits(dataset, spec.data, 0))
    network = trainer.network(Regularization())
    network.train_epoch(trainer.splits.train)  # traced
    network.evaluate(trainer.splits.select)

    def seconds(what: object, *arguments: object) -> float:
        began = time.perf_counter()
        what(*arguments)  # type: ignore[operator]
        return time.perf_counter() - began

    pairs = [
        (seconds(network.evaluate, trainer.splits.select), seconds(network.train_epoch, trainer.splits.train))
        for _ in range(7)
    ]
    share = statistics.median(evaluated / trained for evaluated, trained in pairs)
    print(f"{name}: evaluating the selection examples takes {100 * share:.1f} % of an epoch of training")


def main() -> None:
    """Print a table, or the cost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("study", choices=["mnist", "digits"])
    parser.add_argument("--cost", action="store_true", help="time the evaluation, and print no table")
    arguments = parser.parse_args()
    (cost if arguments.cost else by_patience)(arguments.study)


if __name__ == "__main__":
    main()
