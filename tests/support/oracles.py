"""What Keras itself does, to hold ours against."""

from collections.abc import Sequence

import keras


class _Model:
    """What Keras's callback needs of a model."""

    stop_training = False

    def get_weights(self) -> list[float]:
        return []

    def set_weights(self, weights: list[float]) -> None: ...


def keras_early_stopping(losses: Sequence[float], patience: int) -> tuple[int, int | None]:
    """Keras's own callback on the stop losses of epochs: the best epoch, and the one after which it stops, if any."""
    callback = keras.callbacks.EarlyStopping(
        monitor="val_loss", mode="min", patience=patience, restore_best_weights=True
    )
    model = callback._model = _Model()
    callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        callback.on_epoch_end(epoch, {"val_loss": loss})
        if model.stop_training:
            return callback.best_epoch, epoch
    return callback.best_epoch, None
