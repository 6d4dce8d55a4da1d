"""A trial's network after each epoch as a Keras model on disk, named as Keras's `ModelCheckpoint` would name it."""

from collections.abc import Callable
from pathlib import Path

from regsearch.search.training.checkpoints import Arrays, Checkpoints, TrainingCheckpoint
from regsearch.studies.errors import reason_of
from regsearch.studies.files import replacing
from regsearch.studies.trial import EpochMetrics

SaveModel = Callable[[TrainingCheckpoint, Path], None]
"""Writes the network of a state as a Keras model to a path that ends in .keras."""

_NAME = "trial-{number}.epoch-{epoch:02d}-{val_loss:.4f}.keras"  # a `filepath` of ModelCheckpoint, but for the number


def snapshot_name(number: int, metrics: EpochMetrics) -> str:
    """Return the name of the file for an epoch; as ModelCheckpoint's, it counts epochs from 1."""
    return _NAME.format(number=number, epoch=metrics.epoch + 1, val_loss=metrics.stop_loss)


class Snapshots:
    """Checkpoints of one trial which also leave a Keras model for each epoch; see `Checkpoints`.

    A snapshot is whole under its name before the state goes to the checkpoints: a trial that goes on from a state
    has left all snapshots up to it, and an epoch that is trained again leaves one of the same name.

    Args:
        checkpoints: keep the states.
        folder: the study's alone.
        number: the trial's.
        save_model: writes a model.
        warn: told in one line, once, that a snapshot could not be written; the trial goes on.
    """

    def __init__(
        self, checkpoints: Checkpoints, folder: Path, number: int, save_model: SaveModel, warn: Callable[[str], None]
    ) -> None:
        self._checkpoints = checkpoints
        self._folder, self._number, self._save_model, self._warn = folder, number, save_model, warn
        self._is_told = False

    def latest(self) -> TrainingCheckpoint | None:
        """Return the newest state that is whole, or None."""
        return self._checkpoints.latest()

    def save(self, state: TrainingCheckpoint) -> None:
        """Write the model, then keep the state."""
        try:
            self._write(state)
        except OSError as error:
            if not self._is_told:
                self._warn(f"a snapshot of it could not be saved ({reason_of(error)})")
            self._is_told = True
        self._checkpoints.save(state)

    def save_weights(self, weights: Arrays) -> str | None:
        """Keep the weights of the restored epoch."""
        return self._checkpoints.save_weights(weights)

    def weights(self, sha256: str | None) -> Arrays | None:
        """Return the weights that are kept, if their file has that SHA-256, else None."""
        return self._checkpoints.weights(sha256)

    def _write(self, state: TrainingCheckpoint) -> None:
        name = snapshot_name(self._number, state.curve[-1])
        # Keras wants a name in .keras; a fixed one is overwritten if a killed process left it
        with replacing(self._folder / name, self._folder / f".{name}") as temporary:
            self._save_model(state, temporary)
