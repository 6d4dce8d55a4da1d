"""Microseconds that a training step of the compiled trainer takes, by what regularizes the network.

    python tests/benchmarks/steps.py [BATCH_SIZE]

Needs MNIST ($REGSEARCH_MNIST). One thread; each figure is the lowest of eight runs of 200 steps, interleaved.
"""

import os
import sys
import time

from regsearch.search.data import load_dataset
from regsearch.search.training.setup import TrainerSetup, make_trainer
from regsearch.studies.configuration import Regularization
from regsearch.studies.spec import StudySpec

BOTH = {"l1": 1e-5, "l2": 1e-5}
SETTINGS = {
    "none": Regularization(),
    "dropout": Regularization(dropout=0.2),
    "L2": Regularization(l2=1e-5),
    "L1": Regularization(l1=1e-5),
    "L1 + L2": Regularization(**BOTH),
    "BatchNormalization before the activation": Regularization(batch_norm="before_activation"),
    "BatchNormalization after the activation": Regularization(batch_norm="after_activation"),
    "L1 + L2, BatchNormalization, dropout": Regularization(**BOTH, batch_norm="after_activation", dropout=0.2),
}
RUNS, STEPS = 8, 200


def main() -> None:
    """Measure, and print."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    batch_size = int(sys.argv[1]) if len(sys.argv) > 1 else 32
    spec = StudySpec().changed(training={"batch_size": batch_size})
    trainer = make_trainer(TrainerSetup(spec=spec, source="mnist", sha256=load_dataset("mnist").sha256))
    rows = trainer.splits.train[: STEPS * batch_size]  # type: ignore[attr-defined]
    lowest = dict.fromkeys(SETTINGS, float("inf"))
    for run in range(RUNS + 1):
        for name, regularization in SETTINGS.items():
            network = trainer.network(regularization)  # type: ignore[attr-defined]
            started = time.perf_counter()
            network.train_epoch(rows)
            if run:  # the first one traces
                lowest[name] = min(lowest[name], (time.perf_counter() - started) / (len(rows) / batch_size))
    for name, seconds in sorted(lowest.items(), key=lambda item: item[1]):
        print(f"{1e6 * seconds:6.0f} µs  {name}")


if __name__ == "__main__":
    main()
