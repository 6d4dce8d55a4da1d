"""The Keras model that each epoch leaves: its name, what it predicts, and what it owes to no custom object."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from regsearch.search.data import load_dataset
from regsearch.search.data.arrays import Dataset
from regsearch.search.data.splits import make_splits
from regsearch.search.training.builtin.compiled_trainer import CompiledTrainer
from regsearch.search.training.builtin.keras_trainer import KerasTrainer
from regsearch.search.training.checkpoints import Arrays, TrainingCheckpoint
from regsearch.search.training.early_stopping import EarlyStopping
from regsearch.search.training.snapshots import Snapshots, snapshot_name
from regsearch.studies.study_file import read_study
from regsearch.studies.trial import EpochMetrics, TrialTask

TRAINERS: dict[str, type[CompiledTrainer] | type[KerasTrainer]] = {"compiled": CompiledTrainer, "keras": KerasTrainer}
SETTINGS = [
    {"l1": 1e-4, "l2": 1e-3, "dropout": 0.3, "batch_norm": "before_activation", "patience": 1},
    {"batch_norm": "after_activation"},
    {},
]
METRICS = EpochMetrics(
    epoch=2, train_loss=1.0, stop_loss=0.08123, stop_cross_entropy=0.07, stop_accuracy=0.9, seconds=0.1
)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


class Kept:
    """Checkpoints that keep every state in memory."""

    def __init__(self, latest: TrainingCheckpoint | None = None) -> None:
        self.states: list[TrainingCheckpoint] = []
        self._latest = latest

    def latest(self) -> TrainingCheckpoint | None:
        return self._latest

    def save(self, state: TrainingCheckpoint) -> None:
        self.states.append(state)

    def save_weights(self, weights: Arrays) -> str | None:
        return "the weights' digest"


def test_it_is_called_as_model_checkpoint_would_call_it(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    callback = keras.callbacks.ModelCheckpoint(str(tmp_path / "trial-7.epoch-{epoch:02d}-{val_loss:.4f}.keras"))
    callback.set_model(model)
    callback.on_epoch_end(METRICS.epoch, {"val_loss": METRICS.stop_loss})
    assert (
        [path.name for path in tmp_path.iterdir()] == [snapshot_name(7, METRICS)] == ["trial-7.epoch-03-0.0812.keras"]
    )


@pytest.mark.slow
@pytest.mark.parametrize("params", SETTINGS, ids=["everything", "after", "nothing"])
@pytest.mark.parametrize("kind", TRAINERS)
def test_each_epoch_leaves_a_model_that_predicts_as_the_trial_did(
    kind: str, params: dict[str, Any], digits: Dataset, tmp_path: Path
) -> None:
    spec = read_study("smoke").changed(model={"hidden": (16, 8), "apply_to": "all"})
    splits = make_splits(digits, spec.data, 0)
    trainer = TRAINERS[kind](spec, digits, splits)
    task = TrialTask(number=7, attempt=0, params=params)
    alone = trainer.train(task, lambda metrics: True)
    kept = Kept()
    snapshots = Snapshots(kept, tmp_path, 7, lambda state, path: trainer.save_model(params, state, path), pytest.fail)
    trained = trainer.train(task, lambda metrics: True, snapshots)
    assert alone is not None
    assert trained is not None
    assert {**vars(trained), "seconds": 0} == {**vars(alone), "seconds": 0, "weights_sha256": "the weights' digest"}
    curve = kept.states[-1].curve
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(snapshot_name(7, metrics) for metrics in curve)
    for metrics in curve:
        model = keras.models.load_model(tmp_path / snapshot_name(7, metrics))
        logits = keras.ops.convert_to_numpy(model(digits.x_train[splits.stop]))
        losses = keras.losses.sparse_categorical_crossentropy(digits.y_train[splits.stop], logits, from_logits=True)
        assert float(np.mean(losses)) == pytest.approx(metrics.stop_cross_entropy, rel=1e-5)
        assert np.mean(np.argmax(logits, axis=1) == digits.y_train[splits.stop]) == pytest.approx(metrics.stop_accuracy)
        assert metrics.stop_cross_entropy + float(sum(model.losses)) == pytest.approx(metrics.stop_loss, rel=1e-5)
    if kind == "compiled":
        assert isinstance(trainer, CompiledTrainer)
        network = trainer.networks[params.get("batch_norm", "none")]
        network.set_state(kept.states[-1].network)
        assert np.abs(network.logits(splits.stop) - logits).max() < 1e-5


@pytest.mark.slow
def test_it_loads_without_regsearch(digits: Dataset, tmp_path: Path) -> None:
    spec = read_study("smoke").changed(training={"max_epochs": 1})
    trainer = CompiledTrainer(spec, digits, make_splits(digits, spec.data, 0))
    save: Callable[[TrainingCheckpoint, Path], None] = lambda state, path: trainer.save_model(SETTINGS[0], state, path)  # noqa: E731
    trainer.train(
        TrialTask(number=0, attempt=0, params=SETTINGS[0]),
        lambda metrics: True,
        Snapshots(Kept(), tmp_path, 0, save, pytest.fail),
    )
    (path,) = tmp_path.iterdir()
    script = f"import keras, sys; keras.models.load_model({str(path)!r}); assert 'search' not in sys.modules"
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_model_is_whole_before_its_state_is_kept(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    class Watching(Kept):
        def save(self, state: TrainingCheckpoint) -> None:
            seen.append(sorted(path.name for path in tmp_path.iterdir()))

    def half(state: TrainingCheckpoint, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    state = TrainingCheckpoint(curve=(METRICS,), stopping=EarlyStopping(patience=None))
    told: list[str] = []
    broken = Snapshots(Watching(), tmp_path, 7, half, told.append)
    broken.save(state)
    broken.save(state)
    assert told == ["a snapshot of it could not be saved (No space left on device)"]
    Snapshots(Watching(), tmp_path, 7, lambda state, path: [path.write_bytes(b"")][0], told.append).save(state)
    assert seen == [[], [], [snapshot_name(7, METRICS)]]


@pytest.mark.slow
@pytest.mark.parametrize("kind", TRAINERS)
def test_a_snapshot_carries_the_momentum_of_its_averages(kind: str, digits: Dataset, tmp_path: Path) -> None:
    spec = read_study("smoke").changed(data={"train_size": 200}, training={"max_epochs": 1})
    trainer = TRAINERS[kind](spec, digits, make_splits(digits, spec.data, 0))
    params, kept = {"batch_norm": "before_activation"}, Kept()
    trainer.train(TrialTask(number=0, attempt=0, params=params), lambda metrics: True, kept)
    trainer.save_model(params, kept.states[-1], tmp_path / "model.keras")
    layers = keras.models.load_model(tmp_path / "model.keras").layers
    assert [layer.momentum for layer in layers if isinstance(layer, keras.layers.BatchNormalization)] == [0.652]
