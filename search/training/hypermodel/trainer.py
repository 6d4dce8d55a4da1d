"""The trainer of a user's KerasTuner HyperModel.

The user's code runs again for each trial, after the random generators of Keras, NumPy and Python are seeded. So the
outcome depends only on the study, the data and the parameters, unless the user's code itself depends on anything else.
"""

import math
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
from numpy.typing import NDArray

from ....studies.batch_norm import batch_norm_momentum
from ....studies.configuration import Regularization, configuration_of
from ....studies.errors import ModelError
from ....studies.example_scores import PerExampleScores
from ....studies.objectives import OURS, metric_of
from ....studies.spec import StudySpec
from ....studies.trial import Params, Purpose, TrialOutcome, TrialTask, Value
from ...data.arrays import Dataset
from ...data.splits import Rows, Splits
from ...seeds import derive_seed
from ..builtin.keras_network import KerasNetwork
from ..builtin.network import OPTIMIZERS
from ..checkpoints import NO_CHECKPOINTS, Arrays, Checkpoints, TrainingCheckpoint
from ..loop import Measure, TrainingRun, Weights, evaluated_parts, train_trial
from ..task_splits import TaskSplits
from ..trainer import OnEpoch, Suggest
from .code import HyperModelCode
from .custom_fit import fit_by_itself
from .hyperparameters import OptunaHyperParameters, known
from .loader import build, load, overrides_fit
from .model_io import check_output, evaluate_part, gives_logits, labels_for

_LOSS = "loss"
_EVALUATED_AT_ONCE = 1000  # examples; with more, the output of a convolution could fill the memory


class ModelInputs:
    """The examples as a HyperModel gets them: float32, images as (n, height, width, channels), bytes scaled to [0, 1].

    Indexing this object creates an array of the chosen examples; no other array is created.

    Args:
        x: (n, height, width) images of one channel, or (n, …) examples of another shape; bytes or floats.
    """

    def __init__(self, x: NDArray[Any]) -> None:
        self._x = x

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of all examples, (n, …), without an added channel axis."""
        return self._x.shape

    def __getitem__(self, rows: Any) -> NDArray[np.float32]:
        part = self._x[rows]
        images = np.asarray(part, dtype=np.float32)
        if part.dtype == np.uint8:
            images /= np.float32(255)
        return images[..., np.newaxis] if self._x.ndim == 3 else images


class HyperModelTrainer:
    """Trains the trials of one study that uses a HyperModel; see `Trainer`.

    Args:
        spec: the study.
        dataset: the study's data.
        splits: the study's own splits.
        code: the code of the HyperModel; it first runs when the first trial starts.
    """

    def __init__(self, spec: StudySpec, dataset: Dataset, splits: Splits, code: HyperModelCode) -> None:
        self.spec, self.dataset, self.splits, self.code = spec, dataset, splits, code
        self.task_splits = TaskSplits(spec, dataset, splits)
        self.penalty_counts = spec.search.rules < 3  # whether the objective val_loss includes penalties
        self.momentum = batch_norm_momentum(spec, spec.data.train_rows(dataset.n_train))
        self._has_measured = False
        self._network: HyperModelNetwork | None = None  # of the current trial or, between trials, of the last one

    def train(
        self,
        task: TrialTask,
        on_epoch: OnEpoch,
        checkpoints: Checkpoints = NO_CHECKPOINTS,
        suggest: Suggest | None = None,
    ) -> TrialOutcome | None:
        """Train one trial; see `Trainer`.

        If the trial is interrupted and the HyperModel overrides `fit`, the trial starts again, with the same result.
        """
        seed = self.spec.search.seed if task.seed is None else task.seed
        params: dict[str, Value] = {}
        source = known(task.params) if suggest is None else suggest

        def ask(name: str, distribution: str, default: Value) -> Value:
            params[name] = source(name, distribution, default)
            return params[name]

        self._network = None
        hypermodel, hp, network = self._build(ask, seed)
        self._network = network
        configuration = configuration_of(params)
        run = TrainingRun(
            splits=self.task_splits.of(task),
            seed=seed,
            patience=configuration.patience if isinstance(configuration, Regularization) else None,
            max_epochs=self.spec.training.max_epochs,
            on_epoch=on_epoch,
            checkpoints=checkpoints,
            keeps_scores=task.purpose == Purpose.CONFIRM,
        )
        objective = self.spec.search.objective
        if overrides_fit(hypermodel):
            return fit_by_itself(hypermodel, hp, network, run, self.spec.training.batch_size, objective)
        if not params and task.purpose == Purpose.SEARCH and self.spec.search.rules >= 3:
            raise ModelError("the HyperModel asks for no hyperparameter, so there is nothing to search")
        self._compile(network.model)
        measure = None if objective in OURS else network.measures(metric_of(objective))
        if measure is not None and not self._has_measured:
            measure(run.splits.stop[:1])  # an unknown metric fails before the first epoch
            self._has_measured = True
        return train_trial(network, run, measure)

    def look_at_test(self, task: TrialTask, weights: Arrays) -> PerExampleScores:
        """Return the scores on the test set; see `Trainer`."""
        return self._on_test(task, weights).evaluate(np.arange(self.dataset.n_test))

    def test_objective(self, task: TrialTask, weights: Arrays) -> float | None:
        """Return the objective on the test set; see `Trainer`.

        If the HyperModel overrides `fit`, return None: only the HyperModel knows how to measure its metric.
        """
        objective = self.spec.search.objective
        if objective in OURS or overrides_fit(load(self.code)):
            return None
        network = self._on_test(task, weights)
        return network.measures(metric_of(objective))(np.arange(self.dataset.n_test))

    def _on_test(self, task: TrialTask, weights: Arrays) -> "HyperModelNetwork":
        model, _ = self.model(task.params, self.spec.search.seed)
        model.set_weights(weights)
        return HyperModelNetwork(
            model,
            self.dataset.x_test,
            self.dataset.y_test,
            self.dataset.class_count,
            penalty_counts=self.penalty_counts,
        )

    def save_model(self, params: Params, state: TrainingCheckpoint, path: Path) -> None:
        """Write a trial's model with its optimizer's state; see `Trainer`."""
        if self._network is not None and self._network.is_in(state):
            self._network.model.save(path)  # building another model would change the random numbers of this one
            return
        hypermodel, _, network = self._build(known(params), self.spec.search.seed)
        if overrides_fit(hypermodel):  # only the HyperModel knows the optimizer
            for variable, value in zip(network.model.variables, state.network, strict=False):
                variable.assign(value)
        else:
            self._compile(network.model)
            network.set_state(state.network)
        network.model.save(path)

    def model(self, params: Params, seed: int) -> tuple[keras.Model, dict[str, Value]]:
        """Return the untrained, compiled model for these parameters, and KerasTuner's hyperparameters by name.

        A hyperparameter that only `fit` declares has the value that Optuna drew.
        """
        asked: set[str] = set()

        def ask(name: str, distribution: str, default: Value) -> Value:
            asked.add(name)
            return known(params)(name, distribution, default)

        hypermodel, hp, network = self._build(ask, seed)
        if not overrides_fit(hypermodel):
            self._compile(network.model)
        return network.model, {**{name: params[name] for name in params if name not in asked}, **hp.values}

    def _build(
        self, suggest: Suggest, seed: int
    ) -> tuple[keras_tuner.HyperModel, keras_tuner.HyperParameters, "HyperModelNetwork"]:
        keras.utils.clear_session()
        keras.utils.set_random_seed(derive_seed(seed, "hypermodel"))
        hypermodel, hp = load(self.code), OptunaHyperParameters(suggest, self.spec.space, self.momentum)
        model = build(hypermodel, hp)
        network = HyperModelNetwork(
            model,
            self.dataset.x_train,
            self.dataset.y_train,
            self.dataset.class_count,
            batch_size=self.spec.training.batch_size,
            seed=seed,
            penalty_counts=self.penalty_counts,
        )
        return hypermodel, hp, network

    def _compile(self, model: keras.Model) -> None:
        """Compile a model with the study's optimizer if the HyperModel did not compile it."""
        if not model.compiled:
            training = self.spec.training
            model.compile(
                optimizer=OPTIMIZERS[training.optimizer](training.learning_rate),
                loss=keras.losses.SparseCategoricalCrossentropy(from_logits=gives_logits(model)),
                metrics=["accuracy"],
            )


class HyperModelNetwork(KerasNetwork):
    """A HyperModel's model on the examples of a data set; see `Network`.

    Args:
        model: the model; it is built here if it is not built yet.
        x, y: (n, …) examples and (n,) labels.
        class_count: the number of classes in the data.
        batch_size: the number of examples in a training step.
        seed: the seed for the random numbers in all epochs, at least 0.
        penalty_counts: whether the metric val_loss includes the penalties of regularizers, as in Keras.

    Raises ModelError if the model's output or loss does not fit the classes.
    """

    def __init__(
        self,
        model: keras.Model,
        x: NDArray[Any],
        y: NDArray[Any],
        class_count: int,
        *,
        batch_size: int = 32,
        seed: int = 0,
        penalty_counts: bool = False,
    ) -> None:
        images = ModelInputs(x)
        check_output(model, images[:1], class_count)  # this builds a model without an Input layer
        super().__init__(model, images, y, batch_size)
        self.class_count = class_count
        self.seed = seed
        self.penalty_counts = penalty_counts
        self.epochs = 0

    @cached_property
    def labels(self) -> NDArray[Any]:
        """The labels in the form that the model's loss takes."""
        return labels_for(self.model, self.y, self.class_count)

    def train_epoch(self, order: Rows) -> float:
        """Train one epoch with Keras's `fit`; return the mean training loss, including penalties."""
        # so that layers and losses draw the same global random numbers in a trial that resumes
        keras.utils.set_random_seed(derive_seed(self.seed, "epoch", self.epochs))
        self.epochs += 1
        history = self.model.fit(
            self.x[order], self.labels[order], batch_size=self.batch_size, epochs=1, shuffle=False, verbose=0
        )
        return float(history.history["loss"][-1])

    def evaluate(self, rows: Rows) -> PerExampleScores:
        """Return the model's scores on some examples, with dropout off."""
        parts = evaluated_parts(rows, _EVALUATED_AT_ONCE, math.prod(self.x.shape[1:]))
        scores = [evaluate_part(self.model, self.x[part], self.y[part], self.class_count) for part in parts]
        return PerExampleScores(
            losses=np.concatenate([part.losses for part in scores]),
            hits=np.concatenate([part.hits for part in scores]),
        )

    def measures(self, metric: str) -> Measure:
        """Return a function that measures a metric of the compiled model.

        The function raises ModelError if the model has no such metric.

        Args:
            metric: the name of the metric with "val_", such as "val_accuracy".
        """

        def measure(rows: Rows) -> float:
            metrics = self.model.evaluate(
                self.x[rows], self.labels[rows], batch_size=_EVALUATED_AT_ONCE, return_dict=True, verbose=0
            )
            name = metric.removeprefix("val_")
            if name not in metrics or name == metric:
                known_metrics = ", ".join(f"val_{known_metric}" for known_metric in metrics)
                raise ModelError(f"the objective is {metric}, but the model has only {known_metrics}")
            penalty = self.penalty(rows) if name == _LOSS and not self.penalty_counts else 0.0
            return float(metrics[name]) - penalty

        return measure

    def penalty(self, rows: Rows | None = None) -> float:
        """Return the sum of the penalties that Keras adds to the loss of the model.

        These are the penalties of all regularizers of weights. If `rows` is given, the penalties of the layers' outputs
        (`activity_regularizer`) are added. As in Keras's `evaluate`, they are averaged over these examples.
        """
        on_weights = _weight_penalty(self.model)
        if rows is None:
            return on_weights
        layers = [layer for layer in _all_layers(self.model) if layer.activity_regularizer is not None]
        if not layers:
            return on_weights
        on_outputs = 0.0
        for start in range(0, len(rows), _EVALUATED_AT_ONCE):  # the batches of `evaluate`
            part = rows[start : start + _EVALUATED_AT_ONCE]
            self.model(self.x[part], training=False)
            losses = sum(float(loss) for layer in layers for loss in layer.losses)
            on_outputs += len(part) * losses
        return on_weights + on_outputs / len(rows) - sum(_weight_penalty(layer) for layer in layers)

    def _variables(self) -> list[keras.Variable]:
        optimizer = self.model.optimizer if self.model.compiled else None
        return [*self.model.variables, *(optimizer.variables if optimizer is not None else ())]

    def get_state(self) -> Weights:
        """Return copies of all variables of the model and its optimizer, and the number of trained epochs."""
        return [*super().get_state(), np.array(self.epochs)]

    def is_in(self, state: TrainingCheckpoint) -> bool:
        """Return whether the network is now in this state."""
        current = self.get_state()
        return len(current) == len(state.network) and all(map(np.array_equal, current, state.network))

    def set_state(self, state: Arrays) -> None:
        """Restore a state that `get_state` returned."""
        *variables, epochs = state
        self.epochs = int(epochs)
        super().set_state(variables)


def _all_layers(layer: keras.Layer) -> Iterator[keras.Layer]:
    """Yield a layer, and all layers in it."""
    yield layer
    for inner in getattr(layer, "layers", ()):
        yield from _all_layers(inner)


def _weight_penalty(layer: keras.Layer) -> float:
    regularized = (weight for weight in layer.trainable_variables if weight.regularizer is not None)
    return float(sum(float(weight.regularizer(weight)) for weight in regularized))
