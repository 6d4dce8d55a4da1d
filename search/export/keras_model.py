"""Writes a trained network as a Keras model that does not need regsearch."""

from pathlib import Path

from ...studies.configuration import Regularization
from ...studies.spec import StudySpec
from ...studies.trial import Params, Value
from ..data.arrays import Dataset
from ..data.splits import make_splits
from ..training.applied_techniques import leave_keras_alone
from ..training.builtin.network import RegularizedNetwork
from ..training.checkpoints import Arrays
from ..training.hypermodel.code import HyperModelCode
from ..training.hypermodel.trainer import HyperModelTrainer


def write_keras_model(
    spec: StudySpec, dataset: Dataset, regularization: Regularization, seed: int, weights: Arrays, path: Path
) -> None:
    """Write a configuration's network with the given weights as a .keras file. The model also reports accuracy.

    Raises ValueError if the weights belong to another network, and OSError if the file can't be written.
    """
    model = leave_keras_alone(RegularizedNetwork.of(spec, dataset, seed).network(regularization))
    model.set_weights(weights)
    model.optimizer.build(model.trainable_variables)  # without a state, Keras warns when it loads the file
    model.compile(optimizer=model.optimizer, loss=model.loss, metrics=["accuracy"], jit_compile=False)
    model.save(path)


def write_hypermodels_model(
    spec: StudySpec, dataset: Dataset, code: HyperModelCode, params: Params, seed: int, weights: Arrays, path: Path
) -> dict[str, Value]:
    """Write a HyperModel's model with the given weights as a .keras file. Return the hyperparameter values.

    Raises ValueError if the weights belong to another network, and OSError if the file can't be written. Also raises
    every error of the HyperModel.
    """
    trainer = HyperModelTrainer(spec, dataset, make_splits(dataset, spec.data, spec.search.seed), code)
    model, values = trainer.model(params, seed)
    model.set_weights(weights)
    if model.compiled:
        model.optimizer.build(model.trainable_variables)  # without a state, Keras warns when it loads the file
    model.save(path)
    return values
