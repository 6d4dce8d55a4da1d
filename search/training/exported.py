"""A trained network as a Keras model for others: nothing of ours is in it."""

from pathlib import Path

from search.data.arrays import Dataset
from search.data.splits import make_splits
from search.hypermodel_code import HyperModelCode
from search.training.applied import leave_keras_alone
from search.training.checkpoints import Arrays
from search.training.hypermodel_trainer import HyperModelTrainer
from search.training.model import RegularizedNetwork
from studies.space import Regularization
from studies.spec import StudySpec
from studies.trial import Params, Value


def write_keras_model(
    spec: StudySpec, dataset: Dataset, regularization: Regularization, seed: int, weights: Arrays, path: Path
) -> None:
    """Write the network of a configuration, with these weights, as a .keras file.

    It is compiled to report accuracy too. Raises ValueError for weights of another network, OSError where the
    file can't be written.
    """
    model = leave_keras_alone(RegularizedNetwork.of(spec, dataset, seed).network(regularization))
    model.set_weights(weights)
    model.optimizer.build(model.trainable_variables)  # else whoever loads it is warned that it has no state
    model.compile(optimizer=model.optimizer, loss=model.loss, metrics=["accuracy"], jit_compile=False)
    model.save(path)


def write_hypermodels_model(
    spec: StudySpec, dataset: Dataset, code: HyperModelCode, params: Params, seed: int, weights: Arrays, path: Path
) -> dict[str, Value]:
    """Write the model that a HyperModel builds, with these weights, as a .keras file; return its hyperparameters.

    Raises ValueError for weights of another network, OSError where the file can't be written; what the HyperModel
    raises passes through.
    """
    trainer = HyperModelTrainer(spec, dataset, make_splits(dataset, spec.data, spec.search.seed), code)
    model, values = trainer.model(params, seed)
    model.set_weights(weights)
    if model.compiled:
        model.optimizer.build(model.trainable_variables)  # else whoever loads it is warned that it has no state
    model.save(path)
    return values
