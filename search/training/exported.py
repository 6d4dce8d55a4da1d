"""A trained network as a Keras model for others: plain layers, nothing of ours."""

from pathlib import Path

from search.data.arrays import Dataset
from search.training.checkpoints import Arrays
from search.training.model import RegularizedNetwork
from studies.space import Regularization
from studies.spec import StudySpec


def write_keras_model(
    spec: StudySpec, dataset: Dataset, regularization: Regularization, seed: int, weights: Arrays, path: Path
) -> None:
    """Write the network of a configuration, with these weights, as a .keras file.

    It is compiled to report accuracy too. Raises ValueError for weights of another network, OSError where the
    file can't be written.
    """
    model = RegularizedNetwork.of(spec, dataset, seed).network(regularization)
    model.set_weights(weights)
    model.optimizer.build(model.trainable_variables)  # else whoever loads it is warned that it has no state
    model.compile(optimizer=model.optimizer, loss=model.loss, metrics=["accuracy"], jit_compile=False)
    model.save(path)
