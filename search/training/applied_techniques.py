"""Applies regularization techniques to a Keras model: to its kernels, layers, loss and optimizer."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras

from ...studies.configuration import Regularization
from ...studies.techniques.technique import Technique


def input_layers(regularization: Regularization, seed_of: Callable[[Technique], int]) -> list[keras.layers.Layer]:
    """Return the Keras layers by which techniques change the scaled input of a network."""
    layers = [technique.input_layer(value, seed_of(technique)) for technique, value in regularization.in_use]
    return [layer for layer in layers if layer is not None]


def layers_after(
    regularization: Regularization, seed_of: Callable[[Technique], int | None]
) -> list[keras.layers.Layer]:
    """Return the Keras layers by which techniques change the activations of a regularized layer."""
    layers = [technique.layer_after(value, seed_of(technique)) for technique, value in regularization.in_use]
    return [layer for layer in layers if layer is not None]


def penalty(regularization: Regularization) -> keras.regularizers.Regularizer | None:
    """Return the Keras regularizer for a kernel, or None if no technique in use has a penalty."""
    penalties = _without_none(technique.kernel_penalty(value) for technique, value in regularization.in_use)
    if not penalties:
        return None
    if all(isinstance(part, keras.regularizers.L1L2) for part in penalties):
        return keras.regularizers.L1L2(l1=sum(part.l1 for part in penalties), l2=sum(part.l2 for part in penalties))
    return penalties[0] if len(penalties) == 1 and _is_of_keras(penalties[0]) else _Penalties(penalties)


def constraint(regularization: Regularization) -> keras.constraints.Constraint | None:
    """Return the Keras constraint for a kernel, or None if no technique in use has a constraint."""
    constraints = _without_none(technique.kernel_constraint(value) for technique, value in regularization.in_use)
    if not constraints:
        return None
    return constraints[0] if len(constraints) == 1 and _is_of_keras(constraints[0]) else _Constraints(constraints)


def loss(regularization: Regularization) -> keras.losses.Loss:
    """Return the loss for a network that outputs logits: the cross-entropy, changed by the techniques in use."""
    techniques = [pair for pair in regularization.in_use if pair[0].overrides("change_losses")]
    return _ChangedLoss(techniques) if techniques else keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def optimizer(regularization: Regularization, plain: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Return the optimizer after the techniques in use have changed or wrapped it."""
    changed = plain
    for technique, value in regularization.in_use:
        changed = technique.change_optimizer(changed, value)
    return changed


def leave_keras_alone(model: keras.Model) -> keras.Model:
    """Remove the parts of a model whose classes don't belong to Keras, and return the model.

    Only training needs these parts. Without them, plain Keras can load the model's file.
    """
    for layer in model.layers:
        for name in ("kernel_regularizer", "kernel_constraint"):
            part = getattr(layer, name, None)
            if part is not None and not _is_of_keras(part):
                setattr(layer, name, None)
    if not _is_of_keras(model.loss):
        model.compile(optimizer=model.optimizer, loss=loss(Regularization()), jit_compile=False)
    return model


def _is_of_keras(part: Any) -> bool:
    return type(part).__module__.startswith("keras.")


def _without_none(parts: Iterable[Any]) -> list[Any]:
    return [part for part in parts if part is not None]


class _Penalties(keras.regularizers.Regularizer):  # type: ignore[misc]
    """The sum of several penalties."""

    def __init__(self, penalties: Sequence[Callable[[Any], Any]]) -> None:
        self.penalties = penalties

    def __call__(self, kernel: Any) -> Any:
        return sum(penalty(kernel) for penalty in self.penalties)


class _Constraints(keras.constraints.Constraint):  # type: ignore[misc]
    """Several constraints, applied one after the other."""

    def __init__(self, constraints: Sequence[Callable[[Any], Any]]) -> None:
        self.constraints = constraints

    def __call__(self, kernel: Any) -> Any:
        for constrain in self.constraints:
            kernel = constrain(kernel)
        return kernel


class _ChangedLoss(keras.losses.Loss):  # type: ignore[misc]
    """The cross-entropy of each example, changed by some techniques."""

    def __init__(self, techniques: Sequence[tuple[Technique, Any]]) -> None:
        super().__init__(name="loss")
        self.techniques = techniques

    def call(self, y_true: Any, y_pred: Any) -> Any:
        labels = keras.ops.reshape(y_true, (-1,))
        losses = keras.losses.sparse_categorical_crossentropy(labels, y_pred, from_logits=True)
        for technique, value in self.techniques:
            losses = technique.change_losses(losses, labels, y_pred, value)
        return losses
