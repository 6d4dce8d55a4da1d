"""The reference trainer, which trains with Keras's own `model.fit`."""

from pathlib import Path

import keras

from ....studies.configuration import Regularization
from ....studies.trial import Params
from ..checkpoints import TrainingCheckpoint
from ..moving_averages import Averages
from .keras_network import KerasNetwork
from .trainer import BuiltinTrainer


class KerasTrainer(BuiltinTrainer):
    """Trains the trials of one study with Keras; see `BuiltinTrainer`."""

    def network(self, regularization: Regularization, seed: int | None = None) -> KerasNetwork:
        """Discard the networks of earlier trials from Keras's memory; return the untrained network of one trial."""
        keras.utils.clear_session()
        return self._build(regularization, seed)

    def save_model(self, params: Params, state: TrainingCheckpoint, path: Path) -> None:
        """Write a trial's model with its optimizer's state; see `Trainer`."""
        network = self._build(Regularization.from_params(params))
        network.set_state(state.network)
        network.save(path)

    def _build(self, regularization: Regularization, seed: int | None = None) -> KerasNetwork:
        model = self.builder.seeded(self.seed if seed is None else seed).network(regularization)
        network = KerasNetwork(model, self.dataset.x_train, self.dataset.y_train, self.spec.training.batch_size)
        network.keep_averages(Averages(regularization.in_use, model.trainable_variables))
        return network
