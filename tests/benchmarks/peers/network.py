"""What every Keras peer trains: the course's network, on the rows that regsearch would take."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from benchmarks.peers.common import Recording, WindowOverError
from numpy.typing import NDArray

from regsearch.search.data import load_dataset
from regsearch.search.data.splits import make_splits
from regsearch.studies.configuration import Regularization
from regsearch.studies.spec import StudySpec
from regsearch.studies.study_file import read_study

SPACE = StudySpec().space


@dataclass(frozen=True, kw_only=True, eq=False)
class Arrays:
    """Images (n, 28, 28), float32 in [0, 1], and int32 labels of the three parts of the training rows."""

    x_train: NDArray[Any]
    y_train: NDArray[Any]
    x_stop: NDArray[Any]
    y_stop: NDArray[Any]
    x_select: NDArray[Any]
    y_select: NDArray[Any]


def load_arrays(seed: int) -> Arrays:
    """Return MNIST as the study `mnist` with this seed splits it."""
    spec = read_study("mnist", [f"search.seed={seed}"])
    dataset = load_dataset("mnist")
    splits = make_splits(dataset, spec.data, spec.search.seed)
    arrays = {}
    for part in ("train", "stop", "select"):
        rows = getattr(splits, part)
        arrays[f"x_{part}"] = dataset.x_train[rows].astype(np.float32) / 255
        arrays[f"y_{part}"] = dataset.y_train[rows]
    return Arrays(**arrays)


def build(regularization: Regularization) -> keras.Sequential:
    """Return the network, not compiled; it gives logits."""
    penalty = None
    if regularization.l1 or regularization.l2:
        penalty = keras.regularizers.L1L2(l1=regularization.l1, l2=regularization.l2)
    model = keras.Sequential()
    model.add(keras.layers.Input((28, 28)))
    model.add(keras.layers.Flatten())
    model.add(keras.layers.Dense(140, kernel_regularizer=penalty))
    if regularization.batch_norm == "before_activation":
        model.add(keras.layers.BatchNormalization())
    model.add(keras.layers.Activation("relu"))
    if regularization.batch_norm == "after_activation":
        model.add(keras.layers.BatchNormalization())
    if regularization.dropout:
        model.add(keras.layers.Dropout(regularization.dropout))
    model.add(keras.layers.Dense(10))
    return model


def compile_as_documented(model: keras.Sequential) -> None:
    """Compile as the tools' examples do: one metric, everything else Keras's default.

    The metric is the cross-entropy: Keras's loss has the penalty in it, which must not decide pruning.
    """
    model.compile(
        optimizer=keras.optimizers.Adam(1e-3),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="cross_entropy")],
    )


def early_stopping(patience: int | None) -> list[keras.callbacks.Callback]:
    """Return Keras's callback, or none."""
    if patience is None:
        return []
    return [keras.callbacks.EarlyStopping(monitor="val_loss", patience=patience, restore_best_weights=True)]


class Watch(keras.callbacks.Callback):
    """Enters each epoch of a trial in a recording; stands before other callbacks."""

    def __init__(self, recording: Recording, trial: int) -> None:
        super().__init__()
        self.recording = recording
        self.trial = trial

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.recording.epoch_begins()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.recording.epoch_ended(self.trial)
        if self.recording.is_over:
            raise WindowOverError
