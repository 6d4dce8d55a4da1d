"""What a HyperModel's trial costs beside its training: a suggestion, and a study over a bare `fit`.

    python tests/benchmarks/hypermodel.py suggestion|overhead|all

`overhead` trains real MNIST ($REGSEARCH_MNIST) for some minutes, on one thread as workers do. For a machine with other
work, a suggestion stands beside an epoch's record, and a trial's processor time beside that of a bare fit.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution, distribution_to_json

from regsearch.search import api
from regsearch.search.machine import versions
from regsearch.search.run.progress import FinishedTrial, Progress
from regsearch.search.samplers import make_pruner, sampler_factory
from regsearch.search.training.hypermodel.code import read_code, resolve_hypermodel
from regsearch.storage.connect import open_for_writing
from regsearch.storage.study_store import StudyStore
from regsearch.studies.records import DatasetInfo
from regsearch.studies.study_file import read_study
from regsearch.studies.trial import EpochMetrics, TrialOutcome, TrialTask

ROWS, EPOCHS, TURNS = 20_000, 4, 3
TRIALS = 60
SPACE = {
    "units": (IntDistribution(32, 512, step=32), 32),
    "activation": (CategoricalDistribution(["relu", "tanh"]), "relu"),
    "dropout": (CategoricalDistribution([False, True]), False),
    "rate": (FloatDistribution(0.0, 0.5), 0.25),
    "lr": (FloatDistribution(1e-4, 1e-2, log=True), 1e-3),
    "batch_size": (CategoricalDistribution([16, 32, 64]), 32),
}
METRICS = EpochMetrics(epoch=0, train_loss=0.1, stop_loss=0.1, stop_cross_entropy=0.1, stop_accuracy=0.9, seconds=1.0)
GUIDE = """
import keras
from keras import layers


def build_model(hp):
    model = keras.Sequential([layers.Flatten()])
    model.add(layers.Dense(hp.Int("units", 32, 512, step=32, default=128), activation="relu"))
    if hp.Boolean("dropout"):
        model.add(layers.Dropout(0.25))
    model.add(layers.Dense(10, activation="softmax"))
    learning_rate = hp.Float("lr", 1e-4, 1e-2, sampling="log", default=1e-3)
    model.compile(keras.optimizers.Adam(learning_rate), loss="categorical_crossentropy", metrics=["accuracy"])
    return model
"""


def write(folder: str) -> str:
    path = Path(folder) / "mine.py"
    path.write_text(GUIDE)
    return f"{path}:build_model"


def suggestion() -> None:
    """Print how long a suggestion takes, its commit included, and an epoch's record, which is a commit too."""
    with tempfile.TemporaryDirectory() as folder:
        spec = read_study("mnist").changed(model={"hypermodel": write(folder)}, budget={"trials": TRIALS})
        spec = resolve_hypermodel(spec, trusts_code=True)
        info = DatasetInfo(name="mnist", source="mnist", sha256="0" * 64, n_train=60_000, n_test=10_000)
        with open_for_writing(Path(folder) / "test.db") as database:
            store = StudyStore.create(database, spec, info, versions())
            store.begin_run(
                spec,
                sampler_for=sampler_factory(spec),
                pruner=make_pruner(spec),
                needs_all_trials=False,
                engine="none",
                workers=1,
                versions=versions(),
            )
            seconds, records = [], []
            for number in range(TRIALS):
                task = store.ask()
                assert isinstance(task, TrialTask)
                for name, (distribution, default) in SPACE.items():
                    started = time.perf_counter()
                    store.suggest(task, name, distribution_to_json(distribution), default)
                    seconds.append(time.perf_counter() - started)
                started = time.perf_counter()
                store.record_epoch(task, METRICS)
                records.append(time.perf_counter() - started)
                store.finish(task, outcome(1 / (number + 2)))
            for what, those in (("a suggestion", seconds), ("an epoch's record", records)):
                middle, ninety = 1000 * statistics.median(those), 1000 * statistics.quantiles(those, n=10)[-1]
                print(
                    f"{what} in a study of {TRIALS} trials: median {middle:.1f} ms, nine in ten below {ninety:.1f} ms"
                )


def outcome(loss: float) -> TrialOutcome:
    return TrialOutcome(
        best_epoch=0,
        epochs=1,
        select_cross_entropy=loss,
        select_accuracy=0.9,
        train_cross_entropy=loss,
        train_accuracy=0.9,
        near_zero_share=0.1,
        seconds=1.0,
    )


class Timed(Progress):
    """Measures the processor time from the first suggestion of a trial to its end."""

    began: float | None = None
    seconds = 0.0

    def trial_began(self, task: TrialTask) -> None:
        if task.params and self.began is None:
            self.began = time.process_time()

    def trial_finished(self, trial: FinishedTrial, best: float | None) -> None:
        assert self.began is not None
        self.seconds = time.process_time() - self.began


def overhead() -> None:
    """Print how much more a trial takes, all that is recorded of it included, than `fit` alone, turn by turn."""
    with tempfile.TemporaryDirectory() as folder:
        reference = write(folder)
        settings = [
            f"model.hypermodel={reference}", f"data.train_size={ROWS}", f"training.max_epochs={EPOCHS}",
            "search.pruner=none",
        ]  # fmt: skip
        bare, trials = [], []
        for turn in range(TURNS + 1):
            timed = Timed()
            result = api.run(
                "mnist",
                name=f"turn-{turn}",
                trials=1,
                storage=f"sqlite:///{folder}/test.db",
                settings=settings,
                engine="inline",
                confirm=False,
                trust_code=True,
                progress=timed,
            )
            trials.append(timed.seconds)
            bare.append(fit_alone(reference, result.answer.study.spec))
        ratios = [one / other - 1 for one, other in zip(trials[1:], bare[1:], strict=True)]
        found = ", ".join(f"{100 * ratio:+.1f}" for ratio in ratios)
        print(f"a trial over a bare fit, in per cent: median {100 * statistics.median(ratios):+.1f} ({found})")
        print(f"a bare fit of {EPOCHS} epochs on {ROWS:,} rows: {statistics.median(bare[1:]):.1f} s")


def fit_alone(reference: str, spec: Any) -> float:
    """Return the seconds that Keras takes for the trial's model: built and fitted, with the stop rows to validate."""
    import keras
    import keras_tuner
    import numpy as np

    from regsearch.search.data import load_dataset
    from regsearch.search.data.splits import make_splits
    from regsearch.search.training.hypermodel.loader import load
    from regsearch.search.training.hypermodel.trainer import ModelInputs

    dataset = load_dataset("mnist")
    splits = make_splits(dataset, spec.data, 0)
    images, labels = ModelInputs(dataset.x_train), np.eye(10, dtype=np.float32)[dataset.y_train]
    train, stop = ((images[rows], labels[rows]) for rows in (splits.train, splits.stop))
    keras.utils.clear_session()
    hypermodel = load(read_code(reference))
    started = time.process_time()
    model = hypermodel.build(keras_tuner.HyperParameters())
    model.fit(*train, batch_size=32, epochs=EPOCHS, validation_data=stop, verbose=0)
    return time.process_time() - started


if __name__ == "__main__":
    which = sys.argv[1:] or ["all"]
    for measure in (suggestion, overhead):
        if {measure.__name__, "all"} & set(which):
            measure()
