"""HyperModels as users write them, most of them from KerasTuner's guides, and a trainer of one."""

from pathlib import Path
from typing import Any

from regsearch.search.data.arrays import Dataset
from regsearch.search.data.splits import make_splits
from regsearch.search.training.hypermodel.code import resolve_hypermodel

IMPORTS = """
import keras
import keras_tuner
import numpy as np
import tensorflow as tf
from keras import layers
"""

# https://keras.io/keras_tuner/getting_started/, "Tune the model architecture"; nothing is changed
GUIDE = """
import keras
from keras import layers


def build_model(hp):
    model = keras.Sequential()
    model.add(layers.Flatten())
    model.add(
        layers.Dense(
            # Define the hyperparameter.
            units=hp.Int("units", min_value=32, max_value=512, step=32),
            activation=hp.Choice("activation", ["relu", "tanh"]),
        )
    )
    # Tune whether to use dropout.
    if hp.Boolean("dropout"):
        model.add(layers.Dropout(rate=0.25))
    model.add(layers.Dense(10, activation="softmax"))
    # Define the optimizer learning rate as a hyperparameter.
    learning_rate = hp.Float("lr", min_value=1e-4, max_value=1e-2, sampling="log")
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=learning_rate),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model
"""

# as in the guide's "Tune model training": `fit` has hyperparameters of its own
TUNED_FIT = f"""{IMPORTS}
class MyHyperModel(keras_tuner.HyperModel):
    def build(self, hp):
        model = keras.Sequential()
        model.add(layers.Flatten())
        model.add(layers.Dense(units=hp.Int("units", 8, 32, step=8), activation="relu"))
        model.add(layers.Dropout(0.2))
        model.add(layers.Dense(10, activation="softmax"))
        model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
        return model

    def fit(self, hp, model, *args, **kwargs):
        return model.fit(
            *args,
            # Tune whether to shuffle the data in each epoch.
            shuffle=hp.Boolean("shuffle"),
            batch_size=hp.Choice("batch_size", [16, 32]),
            epochs=hp.Int("epochs", 2, 4),
            **kwargs,
        )
"""

# the guide's "Custom training loop", shortened: it compiles nothing, and reports by callbacks and a number
LOOP = f"""{IMPORTS}
class MyHyperModel(keras_tuner.HyperModel):
    def build(self, hp):
        inputs = keras.Input(shape=(28, 28, 1))
        x = layers.Flatten()(inputs)
        x = layers.Dense(units=hp.Choice("units", [32, 64, 128]), activation="relu")(x)
        return keras.Model(inputs=inputs, outputs=layers.Dense(10)(x))

    def fit(self, hp, model, x, y, validation_data, callbacks=None, **kwargs):
        batch_size = hp.Int("batch_size", 32, 128, step=32, default=64)
        train_ds = tf.data.Dataset.from_tensor_slices((x, y)).batch(batch_size)
        optimizer = keras.optimizers.Adam(hp.Float("learning_rate", 1e-4, 1e-2, sampling="log", default=1e-3))
        loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        for callback in callbacks:
            callback.set_model(model)
        best = float("inf")
        for epoch in range(2):
            for images, labels in train_ds:
                with tf.GradientTape() as tape:
                    loss = loss_fn(labels, model(images))
                gradients = tape.gradient(loss, model.trainable_variables)
                optimizer.apply_gradients(zip(gradients, model.trainable_variables))
            epoch_loss = float(loss_fn(validation_data[1], model(validation_data[0])))
            for callback in callbacks:
                callback.on_epoch_end(epoch, logs={{"my_metric": epoch_loss}})
            best = min(best, epoch_loss)
        return best
"""


def network(compiled: str, last: str = 'layers.Dense(10, activation="softmax")') -> str:
    """A function `build` with one parameter, compiled like that; empty: not at all."""
    return f"""{IMPORTS}
def build(hp):
    model = keras.Sequential([layers.Flatten(), layers.Dense(hp.Int("units", 4, 8), activation="relu"), {last}])
    {f"model.compile({compiled})" if compiled else ""}
    return model
"""


def custom_fit(body: str) -> str:
    """A HyperModel whose `fit` has that body."""
    return f"""{network('"adam", "sparse_categorical_crossentropy", metrics=["accuracy"]')}

class Mine(keras_tuner.HyperModel):
    def build(self, hp):
        return build(hp)

    def fit(self, hp, model, *args, **kwargs):
        {body}
"""


def write(folder: Path, code: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(code)
    return path


def trainer(spec: Any, reference: str, dataset: Dataset, **search: Any) -> Any:
    """The trainer of a HyperModel, as a new worker makes it."""
    from regsearch.search.training.hypermodel.code import read_code
    from regsearch.search.training.hypermodel.trainer import HyperModelTrainer

    spec = resolve_hypermodel(spec.changed(model={"hypermodel": reference}, search=search), trusts_code=True)
    return HyperModelTrainer(spec, dataset, make_splits(dataset, spec.data, spec.search.seed), read_code(reference))
