"""A regularization's techniques as Keras applies them: to kernels, layers, the loss and the optimizer of a model."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras

from regsearch.studies.configuration import Regularization
from regsearch.studies.techniques.technique import Technique


def input_layers(regularization: Regularization, seed_of: Callable[[Technique], int]) -> list[keras.layers.Layer]:
    """Return the layers for the scaled rows."""
    layers = [technique.input_layer(value, seed_of(technique)) for technique, value in regularization.in_use]
    return [layer for layer in layers if layer is not None]


def layers_after(
    regularization: Regularization, seed_of: Callable[[Technique], int | None]
) -> list[keras.layers.Layer]:
    """Return the layers for a regularized layer's activations."""
    layers = [technique.layer_after(value, seed_of(technique)) for technique, value in regularization.in_use]
    return [layer for layer in layers if layer is not None]


def penalty(regularization: Regularization) -> keras.regularizers.Regularizer | None:
    """Return Keras's regularizer of a kernel; None for none."""
    penalties = _present(technique.kernel_penalty(value) for technique, value in regularization.in_use)
    if not penalties:
        return None
    if all(isinstance(one, keras.regularizers.L1L2) for one in penalties):
        return keras.regularizers.L1L2(l1=sum(one.l1 for one in penalties), l2=sum(one.l2 for one in penalties))
    return penalties[0] if len(penalties) == 1 and _is_of_keras(penalties[0]) else _Penalties(penalties)


def constraint(regularization: Regularization) -> keras.constraints.Constraint | None:
    """Return Keras's constraint of a kernel; None for none."""
    constraints = _present(technique.kernel_constraint(value) for technique, value in regularization.in_use)
    if not constraints:
        return None
    return constraints[0] if len(constraints) == 1 and _is_of_keras(constraints[0]) else _Constraints(constraints)


def loss(regularization: Regularization) -> keras.losses.Loss:
    """Return the loss of a network that gives logits: the cross-entropy, as the techniques change it."""
    changing = [found for found in regularization.in_use if found[0].overrides("change_losses")]
    return _ChangedLoss(changing) if changing else keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def optimizer(regularization: Regularization, made: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Return an optimizer as the techniques change it."""
    for technique, value in regularization.in_use:
        made = technique.change_optimizer(made, value)
    return made


def leave_keras_alone(model: keras.Model) -> keras.Model:
    """Return a model without what only training needs and Keras lacks, so that a file of it needs nothing of ours."""
    for layer in model.layers:
        for name in ("kernel_regularizer", "kernel_constraint"):
            made = getattr(layer, name, None)
            if made is not None and not _is_of_keras(made):
                setattr(layer, name, None)
    if not _is_of_keras(model.loss):
        model.compile(optimizer=model.optimizer, loss=loss(Regularization()), jit_compile=False)
    return model


def _is_of_keras(made: Any) -> bool:
    return type(made).__module__.startswith("keras.")


def _present(made: Iterable[Any]) -> list[Any]:
    return [one for one in made if one is not None]


class _Penalties(keras.regularizers.Regularizer):  # type: ignore[misc]
    """The sum of some penalties."""

    def __init__(self, penalties: Sequence[Callable[[Any], Any]]) -> None:
        self.penalties = penalties

    def __call__(self, kernel: Any) -> Any:
        return sum(penalty(kernel) for penalty in self.penalties)


class _Constraints(keras.constraints.Constraint):  # type: ignore[misc]
    """Some constraints, one after the other."""

    def __init__(self, constraints: Sequence[Callable[[Any], Any]]) -> None:
        self.constraints = constraints

    def __call__(self, kernel: Any) -> Any:
        for constrain in self.constraints:
            kernel = constrain(kernel)
        return kernel


class _ChangedLoss(keras.losses.Loss):  # type: ignore[misc]
    """The cross-entropy of each row, as some techniques change it."""

    def __init__(self, changing: Sequence[tuple[Technique, Any]]) -> None:
        super().__init__(name="loss")
        self.changing = changing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        labels = keras.ops.reshape(y_true, (-1,))
        losses = keras.losses.sparse_categorical_crossentropy(labels, y_pred, from_logits=True)
        for technique, value in self.changing:
            losses = technique.change_losses(losses, labels, y_pred, value)
        return losses
