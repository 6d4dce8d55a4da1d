"""Saves a trial's network after each epoch as a Keras model, with names like those of Keras's `ModelCheckpoint`."""

from collections.abc import Callable
from pathlib import Path

from ...studies.errors import reason_of
from ...studies.files import replacing
from ...studies.trial import EpochMetrics
from .checkpoints import Arrays, Checkpoints, TrainingCheckpoint

SaveModel = Callable[[TrainingCheckpoint, Path], None]
"""Writes the network of a state as a Keras model; the path ends in .keras."""

_NAME = "trial-{number}.epoch-{epoch:02d}-{val_loss:.4f}.keras"  # as ModelCheckpoint's `filepath`


def snapshot_name(number: int, metrics: EpochMetrics) -> str:
    """Return the name of the file for an epoch; like ModelCheckpoint's, it counts epochs from 1.

    Example: "trial-7.epoch-03-0.1234.keras".
    """
    return _NAME.format(number=number, epoch=metrics.epoch + 1, val_loss=metrics.stop_loss)


class Snapshots:
    """Checkpoints of one trial that also save a Keras model for each epoch; see `Checkpoints`.

    A snapshot is complete before its state is stored. So a trial that resumes from a state has all snapshots up to
    it, and an epoch that is trained again saves a snapshot of the same name.

    Args:
        checkpoints: store the states.
        folder: a directory that only this study uses.
        number: of the trial.
        save_model: writes a model.
        warn: receives one line, once, if a snapshot can't be written; the trial continues.
    """

    def __init__(
        self, checkpoints: Checkpoints, folder: Path, number: int, save_model: SaveModel, warn: Callable[[str], None]
    ) -> None:
        self._checkpoints = checkpoints
        self._folder, self._number, self._save_model, self._warn = folder, number, save_model, warn
        self._has_warned = False

    def latest(self) -> TrainingCheckpoint | None:
        """Return the newest state that is not damaged, or None."""
        return self._checkpoints.latest()

    def save(self, state: TrainingCheckpoint) -> None:
        """Write the model, then store the state."""
        try:
            self._write(state)
        except OSError as error:
            if not self._has_warned:
                self._warn(f"a snapshot of it could not be saved ({reason_of(error)})")
            self._has_warned = True
        self._checkpoints.save(state)

    def save_weights(self, weights: Arrays) -> str | None:
        """Store the weights of the restored epoch."""
        return self._checkpoints.save_weights(weights)

    def weights(self, sha256: str | None) -> Arrays | None:
        """Return the stored weights if their file has this SHA-256, else None."""
        return self._checkpoints.weights(sha256)

    def _write(self, state: TrainingCheckpoint) -> None:
        name = snapshot_name(self._number, state.curve[-1])
        # the name must end in .keras for Keras; being fixed, it replaces what a killed process left
        with replacing(self._folder / name, self._folder / f".{name}") as temporary:
            self._save_model(state, temporary)
