"""The ways in which a technique can act on a network and its training; by default, each way does nothing.

Keras and TensorFlow are imported only inside the methods. So a command that trains nothing never loads the two.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Tensor = Any
"""A TensorFlow tensor."""

KerasObject = Any
"""A layer or an optimizer. Its class belongs to Keras, so that exported models don't need regsearch."""


@dataclass(frozen=True, kw_only=True)
class Code:
    """What a technique adds to an exported script: Python expressions that may use Keras as `keras`.

    Attributes:
        definitions: whole lines with the functions and classes that the expressions need.
        input_layers, layers_after: layers, such as "keras.layers.Dropout(0.3)".
        kernel_penalty, kernel_constraint: a function of a kernel, such as "keras.regularizers.L2(0.001)".
        loss: the changed loss, such as "smoothed({loss}, 0.1)", in which {loss} stands for the loss before the change.
        optimizer: further arguments of the optimizer, by name, such as {"clipnorm": "1.0"}.
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
    For Keras, a seed is a whole number. In a compiled epoch, a seed is an int64 tensor of shape (2,) that differs from
    step to step; it is meant for `tf.random.stateless_uniform`.
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
        """Return the training loss of each example, (batch,), given its cross-entropy in `losses`.

        Reports show the cross-entropy, not this loss.
        """
        return losses

    def change_optimizer(self, optimizer: KerasObject, value: Any) -> KerasObject:
        """Return the Keras optimizer after this technique has changed or wrapped it."""
        return optimizer

    def change_gradients(self, gradients: Sequence[Tensor], weights: Sequence[Tensor], value: Tensor) -> list[Tensor]:
        """Return the gradients of all weights in a compiled step, with the same change as in `change_optimizer`."""
        return list(gradients)

    def evaluated_weight(self, average: Tensor, weight: Tensor, step: Tensor, value: Any) -> Tensor:
        """Return the weight that is evaluated and stored after a training step, such as an average over steps.

        Args:
            average: what this method returned after the step before; in the first step, the initial weight.
            weight: the weight after the step.
            step: number of the step, counted from 0.
            value: the technique's value.
        """
        return weight

    def code(self, values: Mapping[str, Any]) -> Code:
        """Return the code that an exported script needs; `values` has the value of each technique, by its key."""
        return Code()

    def overrides(self, way: str) -> bool:
        """Return whether the technique overrides the method with this name."""
        return getattr(type(self), way) is not getattr(Ways, way)

    @property
    def is_of_layers(self) -> bool:
        """Whether the technique acts only on single layers; if so, `search.regularized` can apply it."""
        return not any(map(self.overrides, ("input_layer", "change_losses", "change_optimizer", "evaluated_weight")))


PAIRS = (
    ("input_layer", "change_input"),
    ("layer_after", "change_activations"),
    ("change_optimizer", "change_gradients"),
)
"""Pairs of methods that do the same: the first is for Keras, the second for a compiled epoch."""
