"""Applies the techniques for which a compiled network has no code: their methods add operations to the graph.

The values of the techniques are variables, so TensorFlow traces a function once for all values. A technique that is
not used adds no operation.
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from ....studies.configuration import Regularization
from ....studies.techniques.technique import Technique

SeedOf = Callable[[Technique, int], int]
"""Returns the seed for a technique's random numbers in the hidden layer with this index.

For the network's input, the index is the number of hidden layers.
"""


def compiled_by_methods(regularization: Regularization) -> tuple[Technique, ...]:
    """Return the techniques in use for which a compiled network has no code of its own."""
    return tuple(technique for technique, _ in regularization.in_use if not technique.has_compiled_code)


class CompiledTechniques:
    """The techniques that one compiled network applies by calling their methods.

    Args:
        techniques: the techniques, in the order in which they are applied.
        input_shape: the shape of one example.
        hidden: the number of hidden layers.
    """

    def __init__(self, techniques: Sequence[Technique], input_shape: tuple[int, ...], hidden: int) -> None:
        self.techniques = tuple(techniques)
        self._input_shape = input_shape
        self._hidden = hidden
        self._values = {technique.key: tf.Variable(0.0) for technique in techniques}
        self._seeds = {technique.key: tf.Variable(tf.zeros(hidden + 1, tf.int64)) for technique in techniques}

    def begin(self, regularization: Regularization, seed_of: SeedOf) -> None:
        """Set the values and the seeds for a new trial."""
        for technique in self.techniques:
            self._values[technique.key].assign(float(getattr(regularization, technique.key)))
            seeds = [seed_of(technique, index) for index in range(self._hidden + 1)]
            self._seeds[technique.key].assign(seeds)

    @property
    def values(self) -> list[tuple[Technique, Any]]:
        """Each technique, with the variable that holds its value."""
        return [(technique, self._values[technique.key]) for technique in self.techniques]

    def change_input(self, rows: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Return the scaled input of a training step, (examples, features), after the techniques have changed it."""
        for technique, value in self._that_override("change_input"):
            images = tf.reshape(rows, (-1, *self._input_shape))
            changed = technique.change_input(images, value, self._seed(technique, self._hidden, step))
            rows = tf.reshape(changed, rows.shape)
        return rows

    def change_activations(self, activations: tf.Tensor, index: int, step: tf.Tensor) -> tf.Tensor:
        """Return the activations of one hidden layer in a training step, after the techniques have changed them."""
        for technique, value in self._that_override("change_activations"):
            activations = technique.change_activations(activations, value, self._seed(technique, index, step))
        return activations

    def change_losses(self, losses: tf.Tensor, y: tf.Tensor, rows: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Return the loss of each example of a batch, after the techniques have changed it.

        Args:
            losses: the cross-entropy of each example of the batch.
            y: the labels of all training data.
            rows: the indices of the batch's examples in `y`.
            logits: the network's output for the batch.
        """
        for technique, value in self._that_override("change_losses"):
            losses = technique.change_losses(losses, tf.gather(y, rows), logits, value)
        return losses

    def penalties(self, kernels: Sequence[tf.Variable]) -> list[tf.Tensor]:
        """Return the penalties of the techniques: one for each technique with a penalty and each kernel."""
        penalties = [technique.kernel_penalty(value) for technique, value in self._that_override("kernel_penalty")]
        return [penalty(kernel) for penalty in penalties if penalty is not None for kernel in kernels]

    def change_gradients(self, gradients: list[tf.Tensor], weights: Sequence[tf.Variable]) -> list[tf.Tensor]:
        """Return the gradients of a training step, after the techniques have changed them."""
        for technique, value in self._that_override("change_gradients"):
            gradients = technique.change_gradients(gradients, weights, value)
        return gradients

    def constrain(self, kernels: Sequence[tf.Variable]) -> None:
        """Apply the constraints to the kernels after a training step."""
        for technique, value in self._that_override("kernel_constraint"):
            constraint = technique.kernel_constraint(value)
            if constraint is not None:
                for kernel in kernels:
                    kernel.assign(constraint(kernel.read_value()))

    def _that_override(self, method: str) -> list[tuple[Technique, tf.Tensor]]:
        techniques = [technique for technique in self.techniques if technique.overrides(method)]
        return [(technique, self._values[technique.key].read_value()) for technique in techniques]

    def _seed(self, technique: Technique, index: int, step: tf.Tensor) -> tf.Tensor:
        return tf.stack([self._seeds[technique.key][index], tf.cast(step, tf.int64)])
