"""Applies the techniques that a compiled network has no code for, by calling their methods in its graph.

Their values are variables, so one trace serves every value. A technique that is not used adds no operation.
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from ....studies.configuration import Regularization
from ....studies.techniques.technique import Technique

SeedOf = Callable[[Technique, int], int]
"""Returns the seed of a technique's random numbers, from the index of the hidden layer. The input has the index after
the last layer's."""


def compiled_by_methods(regularization: Regularization) -> tuple[Technique, ...]:
    """Return the techniques in use that a compiled network applies by their methods."""
    return tuple(technique for technique, _ in regularization.in_use if not technique.has_compiled_code)


class CompiledTechniques:
    """Some techniques of one compiled network.

    Args:
        techniques: in their order.
        input_shape: of one example.
        hidden: the number of hidden layers.
    """

    def __init__(self, techniques: Sequence[Technique], input_shape: tuple[int, ...], hidden: int) -> None:
        self.techniques = tuple(techniques)
        self._input_shape = input_shape
        self._hidden = hidden
        self._values = {technique.key: tf.Variable(0.0) for technique in techniques}
        self._seeds = {technique.key: tf.Variable(tf.zeros(hidden + 1, tf.int64)) for technique in techniques}

    def begin(self, regularization: Regularization, seed_of: SeedOf) -> None:
        """Set the values and the seeds of another trial."""
        for technique in self.techniques:
            self._values[technique.key].assign(float(getattr(regularization, technique.key)))
            seeds = [seed_of(technique, index) for index in range(self._hidden + 1)]
            self._seeds[technique.key].assign(seeds)

    @property
    def values(self) -> list[tuple[Technique, Any]]:
        """Each technique with the variable of its value."""
        return [(technique, self._values[technique.key]) for technique in self.techniques]

    def change_input(self, rows: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Return the changed input of a training step, (examples, features), from the scaled one."""
        for technique, value in self._using("change_input"):
            images = tf.reshape(rows, (-1, *self._input_shape))
            changed = technique.change_input(images, value, self._seed(technique, self._hidden, step))
            rows = tf.reshape(changed, rows.shape)
        return rows

    def change_activations(self, activations: tf.Tensor, index: int, step: tf.Tensor) -> tf.Tensor:
        """Return the changed activations of one hidden layer in a training step."""
        for technique, value in self._using("change_activations"):
            activations = technique.change_activations(activations, value, self._seed(technique, index, step))
        return activations

    def change_losses(self, losses: tf.Tensor, y: tf.Tensor, rows: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Return the changed training loss of each example; `rows` are its indices in `y`, all labels."""
        for technique, value in self._using("change_losses"):
            losses = technique.change_losses(losses, tf.gather(y, rows), logits, value)
        return losses

    def penalties(self, kernels: Sequence[tf.Variable]) -> list[tf.Tensor]:
        """Return the penalty of each kernel by each technique that has one."""
        penalties = [technique.kernel_penalty(value) for technique, value in self._using("kernel_penalty")]
        return [penalty(kernel) for penalty in penalties if penalty is not None for kernel in kernels]

    def change_gradients(self, gradients: list[tf.Tensor], weights: Sequence[tf.Variable]) -> list[tf.Tensor]:
        """Return the changed gradients of a training step."""
        for technique, value in self._using("change_gradients"):
            gradients = technique.change_gradients(gradients, weights, value)
        return gradients

    def constrain(self, kernels: Sequence[tf.Variable]) -> None:
        """Apply the constraints to the kernels after a training step."""
        for technique, value in self._using("kernel_constraint"):
            constraint = technique.kernel_constraint(value)
            if constraint is not None:
                for kernel in kernels:
                    kernel.assign(constraint(kernel.read_value()))

    def _using(self, method: str) -> list[tuple[Technique, tf.Tensor]]:
        techniques = [technique for technique in self.techniques if technique.overrides(method)]
        return [(technique, self._values[technique.key].read_value()) for technique in techniques]

    def _seed(self, technique: Technique, index: int, step: tf.Tensor) -> tf.Tensor:
        return tf.stack([self._seeds[technique.key][index], tf.cast(step, tf.int64)])
