"""A small convolutional network, regularized as a trial asks; the ready study `cnn` searches it."""

import keras
import keras_tuner

from search.training.regularized import regularized


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    """Build it for small images of ten classes, (batch, height, width, channels); it gives logits."""
    return keras.Sequential(
        [
            regularized(hp, keras.layers.Conv2D(16, 3, activation="relu")),
            keras.layers.MaxPooling2D(),
            regularized(hp, keras.layers.Conv2D(32, 3, activation="relu")),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            regularized(hp, keras.layers.Dense(64, activation="relu")),
            keras.layers.Dense(10),
        ]
    )
