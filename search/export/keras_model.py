"""Writes a trained network as a Keras model that does not need regsearch."""

from pathlib import Path

from regsearch.search.data.arrays import Dataset
from regsearch.search.data.splits import make_splits
from regsearch.search.training.applied_techniques import leave_keras_alone
from regsearch.search.training.builtin.network import RegularizedNetwork
from regsearch.search.training.checkpoints import Arrays
from regsearch.search.training.hypermodel.code import HyperModelCode
from regsearch.search.training.hypermodel.trainer import HyperModelTrainer
from regsearch.studies.configuration import Regularization
from regsearch.studies.spec import StudySpec
from regsearch.studies.trial import Params, Value


def write_keras_model(
    spec: StudySpec, dataset: Dataset, regularization: Regularization, seed: int, weights: Arrays, path: Path
) -> None:
    """Write the network of a configuration with these weights as a .keras file; it also reports accuracy.

    Raises ValueError if the weights are of another network, and OSError if the file can't be written.
    """
    model = leave_keras_alone(RegularizedNetwork.of(spec, dataset, seed).network(regularization))
    model.set_weights(weights)
    model.optimizer.build(model.trainable_variables)  # otherwise Keras warns on loading that there is no state
    model.compile(optimizer=model.optimizer, loss=model.loss, metrics=["accuracy"], jit_compile=False)
    model.save(path)


def write_hypermodels_model(
    spec: StudySpec, dataset: Dataset, code: HyperModelCode, params: Params, seed: int, weights: Arrays, path: Path
) -> dict[str, Value]:
    """Write a HyperModel's model with these weights as a .keras file; return its hyperparameter values.

    Raises ValueError if the weights are of another network, and OSError if the file can't be written. Errors of the
    HyperModel pass through.
    """
    trainer = HyperModelTrainer(spec, dataset, make_splits(dataset, spec.data, spec.search.seed), code)
    model, values = trainer.model(params, seed)
    model.set_weights(weights)
    if model.compiled:
        model.optimizer.build(model.trainable_variables)  # otherwise Keras warns on loading that there is no state
    model.save(path)
    return values
