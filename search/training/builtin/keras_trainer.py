"""The reference trainer: `model.fit`, one epoch a call, on rows in an order of our own."""

import math
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from regsearch.search.data.arrays import Dataset
from regsearch.search.data.splits import Rows, Splits
from regsearch.search.training.applied_techniques import leave_keras_alone
from regsearch.search.training.builtin.network import RegularizedNetwork
from regsearch.search.training.checkpoints import NO_CHECKPOINTS, Arrays, Checkpoints, TrainingCheckpoint
from regsearch.search.training.loop import Weights, evaluated_parts, train_trial
from regsearch.search.training.moving_averages import Averages
from regsearch.search.training.task_splits import TaskSplits
from regsearch.search.training.trainer import OnEpoch, Suggest
from regsearch.studies.configuration import Regularization
from regsearch.studies.example_scores import PerExampleScores
from regsearch.studies.spec import StudySpec
from regsearch.studies.trial import Params, Purpose, TrialOutcome, TrialTask

_EVALUATED_AT_ONCE = 10_000  # rows; more would hold all of them as floats


class KerasTrainer:
    """Trains trials of one study with Keras.

    Args:
        spec: the study.
        dataset: its data; rows stay as they are until a batch needs them.
        splits: which rows are for what in the search.
        seed: stands for the study's seed where a trial is trained on other luck; at least 0.
    """

    def __init__(self, spec: StudySpec, dataset: Dataset, splits: Splits, seed: int | None = None) -> None:
        self.training = spec.training
        self.splits, self.task_splits = splits, TaskSplits(spec, dataset, splits)
        self.dataset = dataset
        self.seed = spec.search.seed if seed is None else seed
        self.builder = RegularizedNetwork.of(spec, dataset, self.seed)

    def train(
        self,
        task: TrialTask,
        on_epoch: OnEpoch,
        checkpoints: Checkpoints = NO_CHECKPOINTS,
        suggest: Suggest | None = None,
    ) -> TrialOutcome | None:
        """Train one trial; see `Trainer`."""
        keras.utils.clear_session()
        seed = self.seed if task.seed is None else task.seed
        return train_trial(
            self._network(task.params, seed),
            patience=Regularization.from_params(task.params).patience,
            max_epochs=self.training.max_epochs,
            splits=self.task_splits.of(task),
            seed=seed,
            on_epoch=on_epoch,
            checkpoints=checkpoints,
            keeps_rows=task.purpose == Purpose.CONFIRM,
        )

    def look_at_test(self, task: TrialTask, weights: Arrays) -> PerExampleScores:
        """Evaluate on the test rows; see `Trainer`."""
        return look_at_test(self.builder, self.dataset, task, weights)

    def test_objective(self, task: TrialTask, weights: Arrays) -> float | None:
        """Return None: the figures of rows give it; see `Trainer`."""
        return None

    def save_model(self, params: Params, state: TrainingCheckpoint, path: Path) -> None:
        """Write a trial's model, its optimizer's state with it; see `Trainer`."""
        network = self._network(params, self.seed)
        network.set_state(state.network)
        network.save(path)

    def _network(self, params: Params, seed: int) -> "KerasNetwork":
        regularization = Regularization.from_params(params)
        model = self.builder.seeded(seed).network(regularization)
        network = KerasNetwork(model, self.dataset.x_train, self.dataset.y_train, self.training.batch_size)
        network.keep_averages(Averages(regularization.in_use, model.trainable_variables))
        return network


class Inputs(Protocol):
    """What a model takes, by rows: an array, or what makes one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all of it, (n, …)."""
        ...

    def __getitem__(self, rows: Any, /) -> NDArray[Any]: ...


class KerasNetwork:
    """A compiled Keras model on the rows of a data set; see `Network`.

    Args:
        model: gives logits; compiled.
        x: (n, …) what it takes.
        y: (n,) labels.
        batch_size: rows per training step.
    """

    def __init__(self, model: keras.Model, x: Inputs, y: NDArray[Any], batch_size: int) -> None:
        self.model = model
        self.x, self.y = x, y
        self.batch_size = batch_size
        self._averages = Averages((), ())
        self._callbacks: list[keras.callbacks.Callback] = []

    def keep_averages(self, averages: Averages) -> None:
        """Evaluate and keep what techniques make of the weights."""
        self._averages = averages
        if averages.techniques:
            self.model.steps_per_execution = 1  # the callback is called after each execution
            steps = self.model.optimizer.iterations
            following = keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: averages.update(steps.value - 1)
            )
            self._callbacks = [following]

    def train_epoch(self, order: Rows) -> float:
        """Call `fit` for one epoch."""
        # `fit` would shuffle with one and the same permutation every epoch, so the order is ours
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
        """Write the model as it is evaluated, with the optimizer's state; raises OSError where that fails."""
        with self._averages.in_place():
            leave_keras_alone(self.model).save(path)

    def get_state(self) -> Weights:
        """Return all variables of the model, dropout's seeds among them, and of its optimizer."""
        return [np.array(variable.numpy()) for variable in self._variables()]

    def set_state(self, state: Arrays) -> None:
        """Set all variables."""
        self.model.optimizer.build(self.model.trainable_variables)  # else it has no state yet
        for variable, value in zip(self._variables(), state, strict=True):
            variable.assign(value)

    def _variables(self) -> list[Any]:
        return [*self.model.variables, *self.model.optimizer.variables, *self._averages.averages]


def look_at_test(builder: RegularizedNetwork, dataset: Dataset, task: TrialTask, weights: Arrays) -> PerExampleScores:
    """Return what a task's network does on the test rows, as the plain Keras model that a user gets."""
    model = builder.network(Regularization.from_params(task.params))
    model.set_weights(weights)
    return evaluate(model, dataset.x_test, dataset.y_test, np.arange(dataset.n_test))


def evaluate(model: keras.Model, x: Inputs, y: NDArray[Any], rows: Rows) -> PerExampleScores:
    """Apply a model that gives logits to some rows, dropout off."""
    losses, hits = [], []
    for part in evaluated_parts(rows, _EVALUATED_AT_ONCE, math.prod(x.shape[1:])):
        logits = model(x[part], training=False)
        loss = keras.losses.sparse_categorical_crossentropy(y[part], logits, from_logits=True)
        losses.append(keras.ops.convert_to_numpy(loss))
        hits.append(np.argmax(keras.ops.convert_to_numpy(logits), axis=1) == y[part])
    return PerExampleScores(losses=np.concatenate(losses), hits=np.concatenate(hits))
