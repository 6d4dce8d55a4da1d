"""What checkpoints cost: the same trial of the real trainer with and without them, in turn."""

import os
import statistics
import tempfile
import time
from pathlib import Path

from drills.figure import Figure, at_most


def checkpoints(pairs: int = 12, epochs: int = 5) -> list[Figure]:
    """Train a trial on MNIST without and with checkpoints, so many times in turn, in one process of one thread."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from regsearch.search.data import load_dataset
    from regsearch.search.data.arrays import DataUnavailableError
    from regsearch.search.training.checkpoints import NO_CHECKPOINTS, FileCheckpoints
    from regsearch.search.training.setup import TrainerSetup, make_trainer
    from regsearch.studies.study_file import read_study
    from regsearch.studies.trial import TrialTask
    from regsearch.studies.trial_files import TrialFiles

    source = "mnist"
    try:
        dataset = load_dataset(source)
    except DataUnavailableError:
        source = "digits"
        dataset = load_dataset(source)
    spec = read_study("mnist").changed(training={"max_epochs": epochs})
    trainer = make_trainer(TrainerSetup(spec=spec, source=source, sha256=dataset.sha256))
    task = TrialTask(number=0, attempt=0, params={"l2": 1e-5, "patience": epochs})
    trainer.train(task, lambda _: True)  # TensorFlow traces

    def seconds(with_checkpoints: bool) -> float:
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            if with_checkpoints:
                with FileCheckpoints(TrialFiles(Path(folder)), 0, "drill", print) as kept:
                    trainer.train(task, lambda _: True, kept)
            else:
                trainer.train(task, lambda _: True, NO_CHECKPOINTS)
            return time.perf_counter() - began

    without, with_, shares = [], [], []
    for _ in range(pairs):
        without.append(seconds(False))
        with_.append(seconds(True))
        shares.append(100 * (with_[-1] / without[-1] - 1))
    middle = statistics.median(with_) / statistics.median(without) - 1
    shown = (
        f"{100 * middle:.1f} % ({statistics.median(without):.3f} s to {statistics.median(with_):.3f} s a trial of "
        f"{epochs} epochs; pairs {min(shares):.1f} to {max(shares):.1f} %)"
    )
    name = f"checkpoints: more time to train, {source}, medians of {pairs}"
    return [at_most(name, 100 * middle, 3, "%", shown=shown)]
