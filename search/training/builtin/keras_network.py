"""A Keras model that trains with `model.fit`, one epoch per call, on examples in an order that the study sets."""

import math
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from ....studies.example_scores import PerExampleScores
from ...data.splits import Rows
from ..applied_techniques import leave_keras_alone
from ..checkpoints import Arrays
from ..loop import Weights, evaluated_parts
from ..moving_averages import Averages

_EVALUATED_AT_ONCE = 10_000  # examples; more of them would need too much memory as floats


class Inputs(Protocol):
    """The examples that a model takes: an array, or an object that makes arrays when it is indexed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of all examples, (n, …)."""
        ...

    def __getitem__(self, rows: Any, /) -> NDArray[Any]: ...


class KerasNetwork:
    """A compiled Keras model on the examples of a data set; see `Network`.

    Args:
        model: a compiled model that outputs logits.
        x: (n, …) examples.
        y: (n,) labels.
        batch_size: the number of examples in a training step.
    """

    def __init__(self, model: keras.Model, x: Inputs, y: NDArray[Any], batch_size: int) -> None:
        self.model = model
        self.x, self.y = x, y
        self.batch_size = batch_size
        self._averages = Averages((), ())
        self._callbacks: list[keras.callbacks.Callback] = []

    def keep_averages(self, averages: Averages) -> None:
        """Use these averages, instead of the trained weights, whenever the network is evaluated or stored."""
        self._averages = averages
        if averages.techniques:
            self.model.steps_per_execution = 1  # Keras calls the callback once per execution
            steps = self.model.optimizer.iterations
            update_callback = keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: averages.update(steps.value - 1)
            )
            self._callbacks = [update_callback]

    def train_epoch(self, order: Rows) -> float:
        """Train one epoch with `fit`; return the mean training loss, including penalties."""
        # `fit` would shuffle with the same permutation in every epoch, so the caller gives the order
        history = self.model.fit(
            self.x[order],
            self.y[order],
            batch_size=self.batch_size,
            epochs=1,
            shuffle=False,
            verbose=0,
            callbacks=self._callbacks,
        )
        return float(history.history["loss"][-1])

    def evaluate(self, rows: Rows) -> PerExampleScores:
        """Return the model's scores on some examples, with dropout off."""
        with self._averages.in_place():
            return evaluate(self.model, self.x, self.y, rows)

    def penalty(self) -> float:
        """Return the sum of the model's regularization losses."""
        with self._averages.in_place():
            return float(sum(float(loss) for loss in self.model.losses))

    def get_weights(self) -> Weights:
        """Return the weights that evaluations use: the averages, if there are any, else the trained weights."""
        with self._averages.in_place():
            return list(self.model.get_weights())

    def set_weights(self, weights: Arrays) -> None:
        """Restore weights that `get_weights` returned."""
        self.model.set_weights(weights)
        self._averages.begin()

    def save(self, path: Path) -> None:
        """Save the model with the weights that evaluations use, and the optimizer's state; raise OSError on failure."""
        with self._averages.in_place():
            leave_keras_alone(self.model).save(path)

    def get_state(self) -> Weights:
        """Return copies of all variables of the model and its optimizer, including the random state of dropout."""
        return [np.array(variable.numpy()) for variable in self._variables()]

    def set_state(self, state: Arrays) -> None:
        """Restore a state that `get_state` returned."""
        self.model.optimizer.build(self.model.trainable_variables)  # otherwise the optimizer has no variables yet
        for variable, value in zip(self._variables(), state, strict=True):
            variable.assign(value)

    def _variables(self) -> list[Any]:
        return [*self.model.variables, *self.model.optimizer.variables, *self._averages.averages]


def evaluate(model: keras.Model, x: Inputs, y: NDArray[Any], rows: Rows) -> PerExampleScores:
    """Return a model's scores on some examples, with dropout off. The model must output logits."""
    losses, hits = [], []
    for part in evaluated_parts(rows, _EVALUATED_AT_ONCE, math.prod(x.shape[1:])):
        logits = model(x[part], training=False)
        loss = keras.losses.sparse_categorical_crossentropy(y[part], logits, from_logits=True)
        losses.append(keras.ops.convert_to_numpy(loss))
        hits.append(np.argmax(keras.ops.convert_to_numpy(logits), axis=1) == y[part])
    return PerExampleScores(losses=np.concatenate(losses), hits=np.concatenate(hits))
