"""The labels that a user's compiled model takes, and the meaning of its output."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from ....studies.errors import ModelError, reason_of
from ....studies.example_scores import PerExampleScores

_PROBABILITY_ACTIVATIONS = {"softmax", "sigmoid", "hard_sigmoid"}


def labels_for(model: keras.Model, labels: NDArray[np.integer], class_count: int) -> NDArray[np.generic]:
    """Return labels in the form that a model's loss takes: (n,) class numbers, or (n, class_count) one-hot.

    Labels are one-hot for Keras's own losses that are not sparse, unless the output has a single unit. For a loss of
    the user's own they have the form that the loss takes, class numbers if it takes both. For a model that is not
    compiled they are class numbers.

    Raises ModelError if the user's loss takes neither.
    """
    loss = model.loss if model.compiled else None
    is_keras = isinstance(loss, str) or type(loss).__module__.startswith("keras.") or _module(loss).startswith("keras.")
    if loss is None or "sparse" in _name(loss) or _units(model) == 1:
        return labels
    if not is_keras and _takes_class_numbers(loss, _units(model) or class_count, class_count):
        return labels
    one_hot: NDArray[np.generic] = np.eye(class_count, dtype=np.float32)[labels]
    return one_hot


def _takes_class_numbers(loss: Any, units: int, class_count: int) -> bool:
    """Return whether a user's loss takes class numbers; False if it only takes one-hot labels."""
    if not callable(loss):
        return True
    count = units + 1  # not as many examples as units: else (n,) labels would suit an (n, units) output by accident
    output = keras.ops.full((count, units), 1 / units)
    numbers = np.arange(count, dtype=np.int32) % class_count
    try:
        loss(keras.ops.convert_to_tensor(numbers), output)
    except Exception:  # noqa: BLE001 - whatever a user's code raises
        try:
            loss(keras.ops.convert_to_tensor(np.eye(class_count, dtype=np.float32)[numbers]), output)
        except Exception as error:
            raise ModelError(
                f"the loss {_name(loss)} takes neither class numbers of the shape (n,) nor one-hot labels of the shape "
                f"(n, {class_count}). With one-hot labels it raises {type(error).__name__}: {reason_of(error)[:200]}"
            ) from error
        return False
    return True


def gives_logits(model: keras.Model) -> bool:
    """Return whether a model outputs logits. Its loss decides; if the loss doesn't tell, its last layer decides."""
    loss = model.loss if model.compiled else None
    from_logits = getattr(loss, "from_logits", None)
    if from_logits is not None:
        return bool(from_logits)
    if loss is not None and "crossentropy" in _name(loss).replace("_", ""):
        return False
    last = model.layers[-1]
    activation = getattr(getattr(last, "activation", None), "__name__", None)
    return activation not in _PROBABILITY_ACTIVATIONS and not isinstance(last, keras.layers.Softmax)


def check_output(model: keras.Model, x: NDArray[np.generic], class_count: int) -> None:
    """Raise ModelError if a model's output for one example has the wrong shape.

    The shape must be (1, units) with at least as many units as classes; one unit is enough for two classes.
    """
    output = model(x, training=False)
    shape = tuple(getattr(output, "shape", ()))
    if len(shape) != 2 or (shape[1] < class_count and (shape[1], class_count) != (1, 2)):
        what = f"has the shape {shape}" if shape else f"is a {type(output).__name__} of several outputs"
        raise ModelError(
            f"the model's output for one example {what}, but the data have {class_count} classes. Give the model one "
            f"output of the shape (n, {class_count})."
        )


def evaluate_part(
    model: keras.Model, x: NDArray[np.generic], y: NDArray[np.integer], class_count: int
) -> PerExampleScores:
    """Return the scores of a model on some examples, with dropout off.

    Args:
        model: a model with an output for which `check_output` raises no error.
        x, y: (n, …) examples and their (n,) labels.
        class_count: the number of classes in the data.
    """
    output = keras.ops.convert_to_numpy(model(x, training=False))
    are_logits = gives_logits(model)
    if output.shape[1] == 1:
        output = np.hstack([np.zeros_like(output), output] if are_logits else [1 - output, output])
    losses = keras.losses.sparse_categorical_crossentropy(y, output, from_logits=are_logits)
    return PerExampleScores(losses=keras.ops.convert_to_numpy(losses), hits=np.argmax(output, axis=1) == y)


def _units(model: keras.Model) -> int | None:
    shape = getattr(model, "output_shape", None)
    return shape[-1] if isinstance(shape, tuple) else None


def _name(loss: object) -> str:
    return loss.lower() if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__).lower()


def _module(loss: object) -> str:
    return str(getattr(loss, "__module__", ""))
