"""What a user's compiled model takes and gives: which labels its loss wants, and what its output means."""

import keras
import numpy as np
from numpy.typing import NDArray

from regsearch.studies.example_scores import PerExampleScores

_OF_PROBABILITIES = {"softmax", "sigmoid", "hard_sigmoid"}


def labels_for(model: keras.Model, labels: NDArray[np.integer], class_count: int) -> NDArray[np.generic]:
    """Return labels as a model's loss takes them: (n,) numbers of classes, or (n, class_count) one-hot.

    One-hot are those for each of Keras's own losses that isn't sparse, unless the output is a single unit; numbers
    all others, and those for a model that isn't compiled.
    """
    loss = model.loss if model.compiled else None
    is_keras = isinstance(loss, str) or type(loss).__module__.startswith("keras.") or _module(loss).startswith("keras.")
    if loss is None or not is_keras or "sparse" in _name(loss) or _units(model) == 1:
        return labels
    one_hot: NDArray[np.generic] = np.eye(class_count, dtype=np.float32)[labels]
    return one_hot


def gives_logits(model: keras.Model) -> bool:
    """Return whether a model's output are logits, as its loss says or, where that says nothing, its last layer."""
    loss = model.loss if model.compiled else None
    said = getattr(loss, "from_logits", None)
    if said is not None:
        return bool(said)
    if loss is not None and "crossentropy" in _name(loss).replace("_", ""):
        return False
    last = model.layers[-1]
    activation = getattr(getattr(last, "activation", None), "__name__", None)
    return activation not in _OF_PROBABILITIES and not isinstance(last, keras.layers.Softmax)


def check_output(model: keras.Model, x: NDArray[np.generic], class_count: int) -> None:
    """Raise ValueError where a model's output for one row isn't (1, classes or more), or (1, 1) for two classes."""
    output = model(x, training=False)
    shape = tuple(getattr(output, "shape", ()))
    if len(shape) != 2 or (shape[1] < class_count and (shape[1], class_count) != (1, 2)):
        raise ValueError(f"the model's output has the shape {shape} for a row, and the data have {class_count} classes")


def judge(model: keras.Model, x: NDArray[np.generic], y: NDArray[np.integer], class_count: int) -> PerExampleScores:
    """Apply a model to some rows, dropout off.

    Args:
        model: its output is (n, classes or more), or (n, 1) for two classes.
        x, y: (n, …) rows and their (n,) labels.
        class_count: of the data.
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
