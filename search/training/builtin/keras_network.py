"""A Keras model that trains by `model.fit`, one epoch per call, on examples in the study's own order."""

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

_EVALUATED_AT_ONCE = 10_000  # examples; more would need too much memory as floats


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
        model: compiled; its output is logits.
        x: (n, …) examples.
        y: (n,) labels.
        batch_size: examples per training step.
    """

    def __init__(self, model: keras.Model, x: Inputs, y: NDArray[Any], batch_size: int) -> None:
        self.model = model
        self.x, self.y = x, y
        self.batch_size = batch_size
        self._averages = Averages((), ())
        self._callbacks: list[keras.callbacks.Callback] = []

    def keep_averages(self, averages: Averages) -> None:
        """Evaluate and keep the averages of the weights, instead of the weights that are trained."""
        self._averages = averages
        if averages.techniques:
            self.model.steps_per_execution = 1  # the callback is called after each execution
            steps = self.model.optimizer.iterations
            follow = keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: averages.update(steps.value - 1)
            )
            self._callbacks = [follow]

    def train_epoch(self, order: Rows) -> float:
        """Call `fit` for one epoch."""
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
        """Apply the model without dropout."""
        with self._averages.in_place():
            return evaluate(self.model, self.x, self.y, rows)

    def penalty(self) -> float:
        """Add up the model's regularization losses."""
        with self._averages.in_place():
            return float(sum(float(loss) for loss in self.model.losses))

    def get_weights(self) -> Weights:
        """Return the model's weights."""
        with self._averages.in_place():
            return list(self.model.get_weights())

    def set_weights(self, weights: Arrays) -> None:
        """Set the model's weights."""
        self.model.set_weights(weights)
        self._averages.begin()

    def save(self, path: Path) -> None:
        """Write the model as it is evaluated, with the optimizer's state; raises OSError if that fails."""
        with self._averages.in_place():
            leave_keras_alone(self.model).save(path)

    def get_state(self) -> Weights:
        """Return all variables of the model, including the states of dropout, and of its optimizer."""
        return [np.array(variable.numpy()) for variable in self._variables()]

    def set_state(self, state: Arrays) -> None:
        """Set all variables."""
        self.model.optimizer.build(self.model.trainable_variables)  # otherwise it has no state yet
        for variable, value in zip(self._variables(), state, strict=True):
            variable.assign(value)

    def _variables(self) -> list[Any]:
        return [*self.model.variables, *self.model.optimizer.variables, *self._averages.averages]


def evaluate(model: keras.Model, x: Inputs, y: NDArray[Any], rows: Rows) -> PerExampleScores:
    """Apply a model that gives logits to some examples, with dropout off."""
    losses, hits = [], []
    for part in evaluated_parts(rows, _EVALUATED_AT_ONCE, math.prod(x.shape[1:])):
        logits = model(x[part], training=False)
        loss = keras.losses.sparse_categorical_crossentropy(y[part], logits, from_logits=True)
        losses.append(keras.ops.convert_to_numpy(loss))
        hits.append(np.argmax(keras.ops.convert_to_numpy(logits), axis=1) == y[part])
    return PerExampleScores(losses=np.concatenate(losses), hits=np.concatenate(hits))
