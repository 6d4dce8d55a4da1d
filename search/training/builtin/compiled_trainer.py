"""The trainer of the built-in network: an order of magnitude faster than `model.fit`, and in agreement with it.

Only dropout draws other units than Keras does. A network is traced once for each placement of BatchNormalization and
serves every trial after that.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from regsearch.search.data.arrays import Dataset
from regsearch.search.data.splits import Splits
from regsearch.search.training.applied_techniques import leave_keras_alone
from regsearch.search.training.builtin.compiled_network import CompiledNetwork
from regsearch.search.training.builtin.compiled_techniques import CompiledTechniques, compiled_by_methods
from regsearch.search.training.builtin.keras_trainer import look_at_test
from regsearch.search.training.builtin.network import RegularizedNetwork
from regsearch.search.training.checkpoints import NO_CHECKPOINTS, Arrays, Checkpoints, TrainingCheckpoint
from regsearch.search.training.loop import train_trial
from regsearch.search.training.task_splits import TaskSplits
from regsearch.search.training.trainer import OnEpoch, Suggest
from regsearch.studies.configuration import Regularization
from regsearch.studies.example_scores import PerExampleScores
from regsearch.studies.spec import StudySpec
from regsearch.studies.trial import Params, Purpose, TrialOutcome, TrialTask

_ALIGNMENT = 64  # bytes


class CompiledTrainer:
    """Trains trials of one study by compiled epochs.

    Args:
        spec: the study.
        dataset: its data.
        splits: which rows are for what in the search.
        seed: stands for the study's seed where a trial is trained on other luck; at least 0.
    """

    def __init__(self, spec: StudySpec, dataset: Dataset, splits: Splits, seed: int | None = None) -> None:
        self.spec = spec
        self.dataset = dataset
        self.splits, self.task_splits = splits, TaskSplits(spec, dataset, splits)
        self.seed = spec.search.seed if seed is None else seed
        self.builder = RegularizedNetwork.of(spec, dataset, self.seed)
        self.kernels = self.builder.initial_kernels()
        self.x = _as_tensor(np.ascontiguousarray(dataset.x_train.reshape(len(dataset.x_train), -1)))
        self.y = tf.constant(dataset.y_train)
        self.networks: dict[str, CompiledNetwork] = {}
        self._saved: tuple[Regularization, keras.Model] | None = None

    @property
    def traces(self) -> int:
        """How often TensorFlow traced a function, in all."""
        return sum(network.traces for network in self.networks.values())

    def train(
        self,
        task: TrialTask,
        on_epoch: OnEpoch,
        checkpoints: Checkpoints = NO_CHECKPOINTS,
        suggest: Suggest | None = None,
    ) -> TrialOutcome | None:
        """Train one trial; see `Trainer`."""
        regularization = Regularization.from_params(task.params)
        network = self.network(regularization, task.seed)
        return train_trial(
            network,
            patience=regularization.patience,
            max_epochs=self.spec.training.max_epochs,
            splits=self.task_splits.of(task),
            seed=self.seed if task.seed is None else task.seed,
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
        """Write a trial's weights in the plain Keras model; see `Trainer`."""
        model = self._keras_model(Regularization.from_params(params))
        model.set_weights(state.network[-len(model.weights) :])  # see CompiledNetwork.get_state
        model.save(path)

    def _keras_model(self, regularization: Regularization) -> keras.Model:
        """Return the plain model; the same one as long as the same one is asked for."""
        if self._saved is None or self._saved[0] != regularization:
            keras.utils.clear_session()  # else Keras keeps the models of all trials before
            model = leave_keras_alone(self.builder.network(regularization))
            model.optimizer.build(model.trainable_variables)  # else whoever loads it is warned that it has no state
            self._saved = regularization, model
        return self._saved[1]

    def network(self, regularization: Regularization, seed: int | None = None) -> CompiledNetwork:
        """Return the network for one trial, at its beginning; trials with the same placement share it,
        and with the same techniques that it has no code of its own for.

        Args:
            regularization: of the trial.
            seed: decides its initial weights and draws of dropout; None: as the trainer's does.
        """
        builder, kernels = self.builder, self.kernels
        if seed is not None:
            builder = builder.seeded(seed)
            kernels = builder.initial_kernels()
        placement, techniques = regularization.batch_norm_placement, compiled_by_methods(regularization)
        name = "+".join((placement, *(technique.key for technique in techniques)))
        if name not in self.networks:
            self.networks[name] = CompiledNetwork(
                model=self.spec.model,
                training=self.spec.training,
                batch_norm=placement,
                techniques=CompiledTechniques(techniques, builder.input_shape, len(self.spec.model.hidden)),
                momentum=self.builder.momentum,
                batch_size=min(self.spec.training.batch_size, len(self.splits.train)),
                x=self.x,
                y=self.y,
                class_count=self.builder.class_count,
                scale=self.builder.scale,
            )
        network = self.networks[name]
        network.reset(regularization, kernels, builder.dropout_seeds(), builder.technique_seed)
        return network


def _as_tensor(array: NDArray[Any]) -> tf.Tensor:
    """Return a tensor in a contiguous array's own memory, where that begins as TensorFlow needs it; else a copy."""
    if array.ctypes.data % _ALIGNMENT or not array.flags.writeable:
        return tf.constant(array)
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
