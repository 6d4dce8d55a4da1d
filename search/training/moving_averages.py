"""Moving averages of the weights; a network is evaluated and stored with them if a technique asks for that."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from ...studies.techniques.technique import Technique
from .checkpoints import Arrays


class Averages:
    """Replaces the trainable weights of a network by averages during an evaluation, if a technique asks for that.

    Args:
        techniques: the techniques in use, each with its value, a number or a tensor. Techniques that don't average
            weights are ignored.
        weights: the trainable variables of the network.
    """

    def __init__(self, techniques: Sequence[tuple[Technique, Any]], weights: Sequence[Any]) -> None:
        self.techniques = [pair for pair in techniques if pair[0].overrides("evaluated_weight")]
        self.weights = weights if self.techniques else ()
        self.averages = [tf.Variable(tf.convert_to_tensor(weight)) for weight in self.weights]

    def begin(self) -> None:
        """Set the averages to the current weights."""
        for average, weight in zip(self.averages, self.weights, strict=True):
            average.assign(tf.convert_to_tensor(weight))

    def update(self, step: Any) -> None:
        """Update the averages after the training step with this number, counted from 0."""
        for average, weight in zip(self.averages, self.weights, strict=True):
            updated = tf.convert_to_tensor(weight)
            for technique, value in self.techniques:
                updated = technique.evaluated_weight(average.read_value(), updated, step, value)
            average.assign(updated)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Replace the trained weights of the network by the averages while the block runs."""
        training = self.training_weights()
        for average, weight in zip(self.averages, self.weights, strict=True):
            weight.assign(average.read_value())
        try:
            yield
        finally:
            self.set_training_weights(training)

    def training_weights(self) -> list[Any]:
        """Return copies of the trained weights, or an empty list if no technique averages them."""
        return [np.array(weight.numpy()) for weight in self.weights]

    def set_training_weights(self, weights: Arrays) -> None:
        """Restore weights that `training_weights` returned."""
        for variable, value in zip(self.weights, weights, strict=True):
            variable.assign(value)
