"""Saves a trial's network after each epoch as a Keras model, with names like those of Keras's `ModelCheckpoint`."""

from collections.abc import Callable
from pathlib import Path

from ...studies.errors import reason_of
from ...studies.files import replacing
from ...studies.trial import EpochMetrics
from .checkpoints import Arrays, Checkpoints, TrainingCheckpoint

SaveModel = Callable[[TrainingCheckpoint, Path], None]
"""Writes a network, given its state, as a Keras model to a path that ends in .keras."""

_NAME = "trial-{number}.epoch-{epoch:02d}-{val_loss:.4f}.keras"  # in the syntax of ModelCheckpoint's `filepath`


def snapshot_name(number: int, metrics: EpochMetrics) -> str:
    """Return the file name of the snapshot after an epoch. As in ModelCheckpoint, epochs count from 1 in names.

    Example: "trial-7.epoch-03-0.1234.keras".
    """
    return _NAME.format(number=number, epoch=metrics.epoch + 1, val_loss=metrics.stop_loss)


class Snapshots:
    """Checkpoints of one trial that also save a Keras model for each epoch; see `Checkpoints`.

    A snapshot is complete before the checkpoint of the same epoch is stored. So a trial that resumes from a checkpoint
    has all snapshots up to it. If an epoch is trained again, its new snapshot has the same name.

    Args:
        checkpoints: stores the checkpoints.
        folder: a directory that only this study uses.
        number: the number of the trial.
        save_model: writes a snapshot.
        warn: receives one line when the first snapshot can't be written; the trial continues.
    """

    def __init__(
        self, checkpoints: Checkpoints, folder: Path, number: int, save_model: SaveModel, warn: Callable[[str], None]
    ) -> None:
        self._checkpoints = checkpoints
        self._folder, self._number, self._save_model, self._warn = folder, number, save_model, warn
        self._has_warned = False

    def latest(self) -> TrainingCheckpoint | None:
        """Return the newest checkpoint that is not damaged, or None if the trial has none."""
        return self._checkpoints.latest()

    def save(self, state: TrainingCheckpoint) -> None:
        """Write the snapshot, then store the checkpoint."""
        try:
            self._write(state)
        except OSError as error:
            if not self._has_warned:
                self._warn(f"a snapshot of it could not be saved ({reason_of(error)})")
            self._has_warned = True
        self._checkpoints.save(state)

    def save_weights(self, weights: Arrays) -> str | None:
        """Store the final weights of the trial; return the SHA-256 of their file, or None if they are not stored."""
        return self._checkpoints.save_weights(weights)

    def weights(self, sha256: str | None) -> Arrays | None:
        """Return the stored weights if their file has this SHA-256, else None."""
        return self._checkpoints.weights(sha256)

    def _write(self, state: TrainingCheckpoint) -> None:
        name = snapshot_name(self._number, state.curve[-1])
        # Keras needs a name that ends in .keras. It is always the same, so a file of a killed process is overwritten.
        with replacing(self._folder / name, self._folder / f".{name}") as temporary:
            self._save_model(state, temporary)
