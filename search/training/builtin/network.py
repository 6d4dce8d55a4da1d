"""The built-in network as a KerasTuner HyperModel: Flatten, Dense, …, Dense with a trial's regularization."""

import copy
import itertools
import math
from collections.abc import Sequence
from typing import Any

import keras
import keras_tuner
import numpy as np
from numpy.typing import NDArray

from ....studies.batch_norm import batch_norm_momentum
from ....studies.configuration import Regularization
from ....studies.search_space import suggest
from ....studies.spec import ModelSpec, SpaceSpec, StudySpec, TrainingSpec
from ....studies.techniques.technique import Technique
from ...data.arrays import Dataset
from ...seeds import derive_seed
from .. import applied_techniques

OPTIMIZERS = {
    "adam": keras.optimizers.Adam,
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
}


class RegularizedNetwork(keras_tuner.HyperModel):
    """Builds and compiles the built-in network.

    Args:
        model, training, space: the sections of the study's spec with these names.
        input_shape: the shape of one example: (features,), (height, width) or (height, width, channels).
        class_count: the number of units in the last layer, which outputs logits.
        scale: the factor for each example: 1/255 for uint8, so that values lie in [0, 1], else 1.
        momentum: the momentum of BatchNormalization's moving averages, in [0, 1).
        seed: the seed for the initial weights and for dropout, at least 0.
    """

    def __init__(
        self,
        *,
        model: ModelSpec,
        training: TrainingSpec,
        space: SpaceSpec,
        input_shape: tuple[int, ...],
        class_count: int,
        scale: float,
        momentum: float,
        seed: int,
    ) -> None:
        super().__init__(name="regularized_network")
        self.model = model
        self.training = training
        self.space = space
        self.input_shape = input_shape
        self.class_count = class_count
        self.scale = scale
        self.momentum = momentum
        self.seed = seed

    @classmethod
    def of(cls, spec: StudySpec, dataset: Dataset, seed: int) -> "RegularizedNetwork":
        """Return the network of a study for a data set, with this seed instead of the study's seed."""
        return cls(
            model=spec.model,
            training=spec.training,
            space=spec.space,
            input_shape=dataset.x_train.shape[1:],
            class_count=dataset.class_count,
            scale=1 / 255 if dataset.x_train.dtype == np.uint8 else 1.0,
            momentum=batch_norm_momentum(spec, spec.data.train_rows(dataset.n_train)),
            seed=seed,
        )

    def seeded(self, seed: int) -> "RegularizedNetwork":
        """Return the same network with another seed for the initial weights and for dropout."""
        other = copy.copy(self)
        other.seed = seed
        return other

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Declare KerasTuner's hyperparameters, and build the network that their values describe."""
        return self.network(Regularization.from_params(suggest(HyperParametersSuggester(hp), self.space)))

    def network(self, regularization: Regularization) -> keras.Model:
        """Build and compile the network with the given regularization.

        The input has the shape (batch, *input_shape), the output (batch, class_count). The output is logits.
        """
        layers: list[keras.Layer] = [
            keras.layers.Input(self.input_shape),
            keras.layers.Rescaling(self.scale),
            *applied_techniques.input_layers(regularization, lambda technique: self.technique_seed(technique, -1)),
            keras.layers.Flatten(data_format="channels_last"),  # otherwise ~/.keras/keras.json would decide
        ]
        for index in range(len(self.model.hidden)):
            layers += self._hidden_layer(index, regularization)
        layers.append(keras.layers.Dense(self.class_count, kernel_initializer=self._initializer(-1)))
        network = keras.Sequential(layers)
        network.compile(
            optimizer=applied_techniques.optimizer(
                regularization, OPTIMIZERS[self.training.optimizer](regularization.rate_in(self.training))
            ),
            loss=applied_techniques.loss(regularization),
            # several steps per call save time in Python; on a CPU, XLA would be slower here
            steps_per_execution=50,
            jit_compile=False,
        )
        return network

    def _hidden_layer(self, index: int, regularization: Regularization) -> list[keras.Layer]:
        units = self.model.hidden[index]
        if not self.model.is_regularized(index):
            regularization = Regularization()
        dense = keras.layers.Dense(
            units,
            kernel_initializer=self._initializer(index),
            kernel_regularizer=applied_techniques.penalty(regularization),
            kernel_constraint=applied_techniques.constraint(regularization),
        )
        activation = keras.layers.Activation(self.model.activation)
        layers = with_batch_norm(dense, activation, regularization.batch_norm_placement, self.momentum)
        after = applied_techniques.layers_after(regularization, lambda technique: self.technique_seed(technique, index))
        return [*layers, *after]

    def dropout_seeds(self) -> list[int]:
        """Return the seed of each hidden layer's dropout."""
        return [derive_seed(self.seed, "dropout", index) for index in range(len(self.model.hidden))]

    def technique_seed(self, technique: Technique, index: int) -> int:
        """Return the seed for a technique's random numbers in a hidden layer; the input has the index -1."""
        return derive_seed(self.seed, technique.key, index % (len(self.model.hidden) + 1))

    def initial_kernels(self) -> list[NDArray[Any]]:
        """Return the initial kernel, (inputs, units), of every Dense layer, including the last one."""
        sizes = [math.prod(self.input_shape), *self.model.hidden, self.class_count]
        shapes = itertools.pairwise(sizes)
        return [keras.ops.convert_to_numpy(self._initializer(index)(shape)) for index, shape in enumerate(shapes)]

    def _initializer(self, index: int) -> keras.initializers.Initializer:
        layer = index % (len(self.model.hidden) + 1)
        return keras.initializers.GlorotUniform(seed=derive_seed(self.seed, "weights", layer))


def with_batch_norm(
    layer: keras.layers.Layer, activation: keras.layers.Layer, placement: str, momentum: float
) -> list[keras.layers.Layer]:
    """Return a layer and its activation, with BatchNormalization before or after the activation, or without it.

    Args:
        layer, activation: a layer of the network and its activation.
        placement: "none", "before_activation" or "after_activation".
        momentum: the momentum of BatchNormalization's moving averages, in [0, 1).
    """
    placements: dict[str, list[keras.layers.Layer]] = {
        "none": [layer, activation],
        "before_activation": [layer, keras.layers.BatchNormalization(momentum=momentum), activation],
        "after_activation": [layer, activation, keras.layers.BatchNormalization(momentum=momentum)],
    }
    return placements[placement]


class HyperParametersSuggester:
    """Gives KerasTuner's hyperparameters the methods of an Optuna trial."""

    def __init__(self, hp: keras_tuner.HyperParameters) -> None:
        self.hp = hp

    def suggest_categorical(self, name: str, choices: Sequence[Any], /) -> Any:
        if set(choices) == {False, True}:
            return self.hp.Boolean(name)
        return self.hp.Choice(name, list(choices))

    def suggest_float(self, name: str, low: float, high: float, /, *, log: bool = False) -> Any:
        return self.hp.Float(name, low, high, sampling="log" if log else "linear")

    def suggest_int(self, name: str, low: int, high: int, /) -> Any:
        return self.hp.Int(name, low, high)
