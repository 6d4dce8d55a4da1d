"""The weights that a network is evaluated with, and that are kept, where a technique makes them of those it trains."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from regsearch.search.training.checkpoints import Arrays
from regsearch.studies.techniques.technique import Technique


class Averages:
    """What stands for a network's trainable weights when it is evaluated; without a technique, the weights themselves.

    Args:
        techniques: those in use, each with its value, a number or a tensor; the others are left out here.
        weights: variables of the network.
    """

    def __init__(self, techniques: Sequence[tuple[Technique, Any]], weights: Sequence[Any]) -> None:
        self.techniques = [found for found in techniques if found[0].overrides("evaluated_weight")]
        self.weights = weights if self.techniques else ()
        self.averages = [tf.Variable(tf.convert_to_tensor(weight)) for weight in self.weights]

    def begin(self) -> None:
        """Begin at the weights as they are."""
        for average, weight in zip(self.averages, self.weights, strict=True):
            average.assign(tf.convert_to_tensor(weight))

    def update(self, step: Any) -> None:
        """Follow the weights after a step, counted from 0."""
        for average, weight in zip(self.averages, self.weights, strict=True):
            kept = tf.convert_to_tensor(weight)
            for technique, value in self.techniques:
                kept = technique.evaluated_weight(average.read_value(), kept, step, value)
            average.assign(kept)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the network have them for a while, in place of the weights that it trains."""
        training = self.training_weights()
        for average, weight in zip(self.averages, self.weights, strict=True):
            weight.assign(average.read_value())
        try:
            yield
        finally:
            self.set_training_weights(training)

    def training_weights(self) -> list[Any]:
        """Return copies of the weights that training goes on with; none without a technique."""
        return [np.array(weight.numpy()) for weight in self.weights]

    def set_training_weights(self, weights: Arrays) -> None:
        """Put those back."""
        for variable, value in zip(self.weights, weights, strict=True):
            variable.assign(value)
