"""The ways in which a technique can act on a network and its training; each does nothing unless a technique says so.

Keras and TensorFlow are imported inside the methods of the techniques alone, so that a command which trains nothing
never loads them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Tensor = Any
"""A TensorFlow tensor."""

KerasObject = Any
"""A layer or an optimizer of Keras's own: exported models hold it, and nothing of regsearch."""


@dataclass(frozen=True, kw_only=True)
class Code:
    """What a technique adds to an exported script: Python expressions, of which Keras is there as `keras`.

    Attributes:
        definitions: functions and classes that the expressions need, as whole lines.
        input_layers, layers_after: layers, "keras.layers.Dropout(0.3)".
        kernel_penalty, kernel_constraint: a function of a kernel, "keras.regularizers.L2(0.001)".
        loss: the loss, in which {loss} stands for the one that it changes: "smoothed({loss}, 0.1)".
        optimizer: further arguments of the optimizer by their names, {"clipnorm": "1.0"}.
        callbacks: of `fit`.
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
    """How a technique is applied.

    Three ways have two methods: one gives what Keras has for it, the other computes the same with TensorFlow's
    operations in a compiled epoch. There a value is a float32 tensor, so that one graph serves every value; elsewhere
    it is a number. A seed is a whole number for Keras, and in a compiled epoch a pair (2,) of int64 that differs from
    step to step, as `tf.random.stateless_uniform` takes it. A compiled epoch may draw other numbers than Keras does.
    """

    def input_layer(self, value: Any, seed: int) -> KerasObject | None:
        """Return a Keras layer for the scaled rows, (batch, *input_shape), that changes them in training alone."""
        return None

    def change_input(self, rows: Tensor, value: Tensor, seed: Tensor) -> Tensor:
        """Return the scaled rows (batch, *input_shape) of one training step as `input_layer` changes them."""
        return rows

    def kernel_penalty(self, value: Any) -> Callable[[Tensor], Tensor] | None:
        """Return what computes the penalty of a regularized kernel, a scalar that is added to the loss."""
        return None

    def kernel_constraint(self, value: Any) -> Callable[[Tensor], Tensor] | None:
        """Return what makes of a regularized kernel, after each step, the one that training goes on with."""
        return None

    def batch_norm_placement(self, value: Any) -> str:
        """Return where BatchNormalization stands: none, before_activation or after_activation."""
        return "none"

    def layer_after(self, value: Any, seed: int | None) -> KerasObject | None:
        """Return a Keras layer for a regularized layer's activations that changes them in training alone."""
        return None

    def change_activations(self, activations: Tensor, value: Tensor, seed: Tensor) -> Tensor:
        """Return the activations (batch, units) of one training step as `layer_after` changes them."""
        return activations

    def change_losses(self, losses: Tensor, labels: Tensor, logits: Tensor, value: Any) -> Tensor:
        """Return the training loss of each row, (batch,), from its cross-entropy; figures stay cross-entropies."""
        return losses

    def change_optimizer(self, optimizer: KerasObject, value: Any) -> KerasObject:
        """Return the Keras optimizer, changed."""
        return optimizer

    def change_gradients(self, gradients: Sequence[Tensor], weights: Sequence[Tensor], value: Tensor) -> list[Tensor]:
        """Return the gradients of all weights that a compiled step goes along, as `change_optimizer` has them."""
        return list(gradients)

    def evaluated_weight(self, average: Tensor, weight: Tensor, step: Tensor, value: Any) -> Tensor:
        """Return the weight that is evaluated and kept after a step, counted from 0; before the first, the initial.

        Args:
            average: the one after the step before.
            weight: what training made of it.
        """
        return weight

    def code(self, values: Mapping[str, Any]) -> Code:
        """Return what an exported script needs; the values of all techniques are given by their keys."""
        return Code()

    def overrides(self, way: str) -> bool:
        """Return whether the technique acts in a way, given by the name of its method."""
        return getattr(type(self), way) is not getattr(Ways, way)

    @property
    def is_of_layers(self) -> bool:
        """Whether it acts on single layers alone, so that `search.regularized` can apply it."""
        return not any(map(self.overrides, ("input_layer", "change_losses", "change_optimizer", "evaluated_weight")))


PAIRS = (
    ("input_layer", "change_input"),
    ("layer_after", "change_activations"),
    ("change_optimizer", "change_gradients"),
)
"""The ways with two methods: Keras's, and that of a compiled epoch."""
