"""The ways in which a technique can act on a network and its training; by default, each way does nothing.

Only the methods of techniques import Keras and TensorFlow. So a command that trains nothing never loads them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Tensor = Any
"""A TensorFlow tensor."""

KerasObject = Any
"""A layer or an optimizer whose class is Keras's own, so that exported models don't need regsearch."""


@dataclass(frozen=True, kw_only=True)
class Code:
    """What a technique adds to an exported script: Python expressions that may use Keras as `keras`.

    Attributes:
        definitions: whole lines with the functions and classes that the expressions need.
        input_layers, layers_after: layers, such as "keras.layers.Dropout(0.3)".
        kernel_penalty, kernel_constraint: a function of a kernel, such as "keras.regularizers.L2(0.001)".
        loss: the changed loss, in which {loss} stands for the loss before: "smoothed({loss}, 0.1)".
        optimizer: further arguments of the optimizer, by name: {"clipnorm": "1.0"}.
        callbacks: callbacks of `fit`.
    """

    definitions: str = ""
    input_layers: tuple[str, ...] = ()
    layers_after: tuple[str, ...] = ()
    kernel_penalty: str | None = None
    kernel_constraint: str | None = None
    loss: str | None = None
    optimizer: Mapping[str, str] = field(default_factory=dict)
    callbacks: tuple[str, ...] = ()


class Ways:
    """The methods by which a technique acts; a technique overrides those that it needs.

    Three ways have two methods (`PAIRS`). One method returns an object of Keras. The other computes the same with
    TensorFlow's operations, in a compiled epoch. The two may draw different random numbers.

    In a compiled epoch, a value is a float32 tensor, so that one graph serves every value. Elsewhere it is a number.
    For Keras, a seed is a whole number. In a compiled epoch it is an int64 tensor of shape (2,) for
    `tf.random.stateless_uniform`, which differs from step to step.
    """

    def input_layer(self, value: Any, seed: int) -> KerasObject | None:
        """Return a Keras layer that changes the scaled examples, (batch, *input_shape), in training only."""
        return None

    def change_input(self, rows: Tensor, value: Tensor, seed: Tensor) -> Tensor:
        """Return the scaled examples of a training step, (batch, *input_shape), as changed by `input_layer`."""
        return rows

    def kernel_penalty(self, value: Any) -> Callable[[Tensor], Tensor] | None:
        """Return a function that computes the penalty of a regularized kernel: a scalar that is added to the loss."""
        return None

    def kernel_constraint(self, value: Any) -> Callable[[Tensor], Tensor] | None:
        """Return a function that replaces a regularized kernel after each step, for example to limit its norm."""
        return None

    def batch_norm_placement(self, value: Any) -> str:
        """Return the placement of BatchNormalization: none, before_activation or after_activation."""
        return "none"

    def layer_after(self, value: Any, seed: int | None) -> KerasObject | None:
        """Return a Keras layer that changes the activations of a regularized layer, in training only."""
        return None

    def change_activations(self, activations: Tensor, value: Tensor, seed: Tensor) -> Tensor:
        """Return the activations of a training step, (batch, units), as changed by `layer_after`."""
        return activations

    def change_losses(self, losses: Tensor, labels: Tensor, logits: Tensor, value: Any) -> Tensor:
        """Return the training loss of each example, (batch,), from its cross-entropy; reports show cross-entropies."""
        return losses

    def change_optimizer(self, optimizer: KerasObject, value: Any) -> KerasObject:
        """Return the Keras optimizer with the changes of this technique."""
        return optimizer

    def change_gradients(self, gradients: Sequence[Tensor], weights: Sequence[Tensor], value: Tensor) -> list[Tensor]:
        """Return the gradients that a compiled step applies to all weights, as changed by `change_optimizer`."""
        return list(gradients)

    def evaluated_weight(self, average: Tensor, weight: Tensor, step: Tensor, value: Any) -> Tensor:
        """Return the weight that is evaluated and stored after a training step, such as an average over steps.

        Args:
            average: what this method returned for the step before; for the first step, the initial weight.
            weight: the weight after the step.
            step: number of the step, counted from 0.
            value: the technique's value.
        """
        return weight

    def code(self, values: Mapping[str, Any]) -> Code:
        """Return the code that an exported script needs; `values` has the values of all techniques, by their keys."""
        return Code()

    def overrides(self, way: str) -> bool:
        """Return whether the technique overrides the method with this name, and so acts in this way."""
        return getattr(type(self), way) is not getattr(Ways, way)

    @property
    def is_of_layers(self) -> bool:
        """Whether it acts only on single layers, so that `search.regularized` can apply it."""
        return not any(map(self.overrides, ("input_layer", "change_losses", "change_optimizer", "evaluated_weight")))


PAIRS = (
    ("input_layer", "change_input"),
    ("layer_after", "change_activations"),
    ("change_optimizer", "change_gradients"),
)
"""The ways with two methods: the one for Keras, and the one for a compiled epoch."""
