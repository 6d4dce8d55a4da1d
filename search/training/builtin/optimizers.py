"""Keras's optimizers as fused operations of TensorFlow, which update a weight and its state in one pass.

Each optimizer uses the default settings and the formulas of Keras.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

# TensorFlow's operation computes 1 − 0.999 in float32, Keras in float64. Without this factor, each step would be too
# long by 6e-6 of its length.
_ADAM_CORRECTION = float(np.sqrt(np.float64(1 - np.float32(0.999)) / 0.001))


class Optimizer(ABC):
    """Updates weights in place.

    Args:
        weights: the variables that the optimizer updates.

    Attributes:
        rate: the learning rate, times `correction`. It is a variable, so another rate needs no new trace.
    """

    slots_per_weight = 0
    correction = 1.0
    """The learning rate is multiplied by this factor, so that TensorFlow's operation takes the same steps as Keras."""

    def __init__(self, weights: Sequence[tf.Variable]) -> None:
        self.rate = tf.Variable(0.0)
        self.weights = weights
        self.slots = [[tf.Variable(tf.zeros_like(w)) for _ in range(self.slots_per_weight)] for w in weights]

    def reset(self, learning_rate: float) -> None:
        """Clear the state of the optimizer, and set the learning rate, which is above 0."""
        self.rate.assign(learning_rate * self.correction)
        for slots in self.slots:
            for slot in slots:
                slot.assign(tf.zeros_like(slot))

    @abstractmethod
    def apply(self, gradients: Sequence[tf.Tensor], step: tf.Tensor) -> None:
        """Update the weights, given one gradient per weight and the number of the step, counted from 0."""


class Adam(Optimizer):
    """Takes the same steps as `keras.optimizers.Adam`."""

    slots_per_weight = 2
    correction = _ADAM_CORRECTION

    def apply(self, gradients: Sequence[tf.Tensor], step: tf.Tensor) -> None:
        """Update the weights."""
        rate = self.rate.read_value()
        steps = tf.cast(step + 1, tf.float32)
        powers = tf.pow(0.9, steps), tf.pow(0.999, steps)
        for weight, (m, v), gradient in zip(self.weights, self.slots, gradients, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=weight.handle,
                m=m.handle,
                v=v.handle,
                beta1_power=powers[0],
                beta2_power=powers[1],
                lr=rate,
                beta1=0.9,
                beta2=0.999,
                epsilon=1e-7,
                grad=gradient,
            )


class SGD(Optimizer):
    """Takes the same steps as `keras.optimizers.SGD`."""

    def apply(self, gradients: Sequence[tf.Tensor], step: tf.Tensor) -> None:
        """Update the weights."""
        rate = self.rate.read_value()
        for weight, gradient in zip(self.weights, gradients, strict=True):
            tf.raw_ops.ResourceApplyGradientDescent(var=weight.handle, alpha=rate, delta=gradient)


class RMSprop(Optimizer):
    """Takes the same steps as `keras.optimizers.RMSprop`."""

    slots_per_weight = 2

    def apply(self, gradients: Sequence[tf.Tensor], step: tf.Tensor) -> None:
        """Update the weights."""
        rate = self.rate.read_value()
        for weight, (mean_square, momentum), gradient in zip(self.weights, self.slots, gradients, strict=True):
            tf.raw_ops.ResourceApplyRMSProp(
                var=weight.handle,
                ms=mean_square.handle,
                mom=momentum.handle,
                lr=rate,
                rho=0.9,
                momentum=0.0,
                epsilon=1e-7,
                grad=gradient,
            )


OPTIMIZERS: dict[str, type[Optimizer]] = {"adam": Adam, "sgd": SGD, "rmsprop": RMSprop}
"""The optimizers by their names in a study file."""
