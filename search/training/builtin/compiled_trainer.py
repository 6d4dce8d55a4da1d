"""The compiled trainer: about ten times as fast as `model.fit`, with results that agree with Keras.

The only difference is that dropout drops other units than in Keras. TensorFlow traces a network once for each
placement of BatchNormalization; later trials reuse the trace.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from ....studies.configuration import Regularization
from ....studies.spec import StudySpec
from ....studies.trial import Params
from ...data.arrays import Dataset
from ...data.splits import Splits
from ..applied_techniques import leave_keras_alone
from ..checkpoints import TrainingCheckpoint
from .compiled_network import CompiledNetwork
from .compiled_techniques import CompiledTechniques, compiled_by_methods
from .trainer import BuiltinTrainer

_ALIGNMENT = 64  # bytes; TensorFlow shares memory only if its address is a multiple of this


class CompiledTrainer(BuiltinTrainer):
    """Trains the trials of one study with compiled functions; see `BuiltinTrainer`."""

    def __init__(self, spec: StudySpec, dataset: Dataset, splits: Splits, seed: int | None = None) -> None:
        super().__init__(spec, dataset, splits, seed)
        self.kernels = self.builder.initial_kernels()
        self.x = _as_tensor(np.ascontiguousarray(dataset.x_train.reshape(len(dataset.x_train), -1)))
        self.y = tf.constant(dataset.y_train)
        self.networks: dict[str, CompiledNetwork] = {}
        self._latest_model: tuple[Regularization, keras.Model] | None = None

    @property
    def traces(self) -> int:
        """How often TensorFlow has traced a function, in total over all networks."""
        return sum(network.traces for network in self.networks.values())

    def save_model(self, params: Params, state: TrainingCheckpoint, path: Path) -> None:
        """Write a plain Keras model with a trial's weights; see `Trainer`."""
        model = self._keras_model(Regularization.from_params(params))
        model.set_weights(state.network[-len(model.weights) :])  # the weights are last, see CompiledNetwork.get_state
        model.save(path)

    def _keras_model(self, regularization: Regularization) -> keras.Model:
        """Return the plain Keras model; consecutive calls with the same regularization return the same model."""
        if self._latest_model is None or self._latest_model[0] != regularization:
            keras.utils.clear_session()  # otherwise Keras keeps the models of all earlier trials
            model = leave_keras_alone(self.builder.network(regularization))
            model.optimizer.build(model.trainable_variables)  # otherwise Keras warns when it loads the model
            self._latest_model = regularization, model
        return self._latest_model[1]

    def network(self, regularization: Regularization, seed: int | None = None) -> CompiledNetwork:
        """Return the untrained network of one trial.

        Two trials share a network if they have the same placement of BatchNormalization, and if `compiled_by_methods`
        returns the same techniques for both.
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
    """Return a contiguous array as a tensor. The memory is shared if TensorFlow can use its address, else copied."""
    if array.ctypes.data % _ALIGNMENT or not array.flags.writeable:
        return tf.constant(array)
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
