"""Saves a trial's state on disk after each epoch; another process can resume the trial with exactly the same result.

A separate thread writes the checkpoints, so that training does not wait for the disk. The newest two are kept: if the
newest one is damaged, the trial resumes from the earlier one.
"""

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...studies.errors import reason_of
from ...studies.files import DamagedError, append_checksum, strip_checksum, write_durably
from ...studies.trial import EpochMetrics
from ...studies.trial_files import TrialFiles
from .early_stopping import EarlyStopping

KEPT_STATES = 2

Arrays = Sequence[NDArray[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingCheckpoint:
    """The state of a trial after some epochs.

    Attributes:
        curve: the metrics of each epoch so far.
        stopping: the state of early stopping.
        network: the arrays that `Network.get_state` returned after the last epoch.
        best_weights: the weights of the best epoch so far; None if the trial ends with the weights of its last epoch.
        seconds: the wall time of the training so far.
    """

    curve: tuple[EpochMetrics, ...] = ()
    stopping: EarlyStopping
    network: Arrays = ()
    best_weights: Arrays | None = None
    seconds: float = 0.0


class Checkpoints(Protocol):
    """Stores the checkpoints of one trial."""

    def latest(self) -> TrainingCheckpoint | None:
        """Return the newest checkpoint that is not damaged, or None if the trial has none."""
        ...

    def save(self, state: TrainingCheckpoint) -> None:
        """Store the state soon; the caller must not change the arrays of the state after this call."""
        ...

    def save_weights(self, weights: Arrays) -> str | None:
        """Store the final weights of the trial; return the SHA-256 of their file, or None if they are not stored."""
        ...

    def weights(self, sha256: str | None) -> Arrays | None:
        """Return the stored weights if their file has this SHA-256, else None."""
        ...


class NoCheckpoints:
    """Stores no checkpoints and no weights."""

    def latest(self) -> None:
        """Return None: no checkpoint is stored."""

    def save(self, state: TrainingCheckpoint) -> None:
        """Do nothing."""

    def save_weights(self, weights: Arrays) -> str | None:
        """Return None: no weights are stored."""
        return None

    def weights(self, sha256: str | None) -> Arrays | None:
        """Return None: no weights are stored."""
        return None


NO_CHECKPOINTS = NoCheckpoints()


class FileCheckpoints:
    """Stores the checkpoints of one trial in files. As a context manager, it waits at the end for the last write.

    Args:
        files: the files of the study's trials.
        number: the number of the trial.
        identity: identifies the trial; a file with another identity belongs to another trial and is ignored.
        warn: receives one line about each file that is damaged, or that can't be read or written.

    Example:
        with FileCheckpoints(TrialFiles(folder), 7, "this trial", print) as checkpoints:
            trainer.train(task, on_epoch, checkpoints)
    """

    def __init__(self, files: TrialFiles, number: int, identity: str, warn: Callable[[str], None]) -> None:
        self._files, self._number, self.identity, self._warn = files, number, identity, warn
        self._lock = threading.Lock()
        self._next_state: TrainingCheckpoint | None = None
        self._writer: threading.Thread | None = None
        self._error: Exception | None = None

    def __enter__(self) -> "FileCheckpoints":
        return self

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            writer = self._writer
        if writer is not None:
            writer.join()
        if self._error is not None:
            self._warn(
                f"its state could not be saved ({reason_of(self._error)}); if the trial is interrupted, it trains some "
                "epochs again"
            )

    def latest(self) -> TrainingCheckpoint | None:
        """Return the newest checkpoint that is not damaged, or None; warn about each file that can't be used."""
        for path in self._files.checkpoints(self._number):
            try:
                identity, state = _unpack(strip_checksum(path.read_bytes()))
            except (OSError, DamagedError) as error:
                what = "is damaged" if isinstance(error, DamagedError) else "can't be read"
                self._warn(
                    f"its checkpoint {path.name} {what} ({reason_of(error)}); an earlier checkpoint is used, if there "
                    "is one"
                )
                continue
            if identity == self.identity:
                return state
        return None

    def save(self, state: TrainingCheckpoint) -> None:
        """Write a checkpoint in the background. It replaces an earlier one that is still waiting to be written."""
        with self._lock:
            self._next_state = state
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_next_states, daemon=True)
                self._writer.start()

    def save_weights(self, weights: Arrays) -> str | None:
        """Write the weights, in Keras's order, as a plain .npz file; return its SHA-256."""
        buffer = io.BytesIO()
        np.savez(buffer, *weights, allow_pickle=False)
        try:
            write_durably(self._files.weights(self._number), buffer.getvalue())
        except OSError as error:
            self._warn(f"its weights could not be saved ({reason_of(error)})")
            return None
        return hashlib.sha256(buffer.getbuffer()).hexdigest()

    def weights(self, sha256: str | None) -> Arrays | None:
        """Return the weights that `save_weights` wrote, or None if their file is missing or has another SHA-256."""
        try:
            content = self._files.weights(self._number).read_bytes()
        except OSError:
            return None
        if hashlib.sha256(content).hexdigest() != sha256:
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return [file[name] for name in file.files]

    def _write_next_states(self) -> None:
        while True:
            with self._lock:
                state, self._next_state = self._next_state, None
                if state is None:
                    self._writer = None
                    return
            try:
                self._write(state)
                self._error = None
            except Exception as error:  # noqa: BLE001 - training continues; `__exit__` reports the error
                self._error = error

    def _write(self, state: TrainingCheckpoint) -> None:
        epochs = len(state.curve)
        write_durably(self._files.checkpoint(self._number, epochs), append_checksum(_pack(self.identity, state)))
        for old in self._files.checkpoints(self._number)[KEPT_STATES:]:
            with suppress(OSError):  # an old state that stays does no harm
                old.unlink(missing_ok=True)


def _pack(identity: str, state: TrainingCheckpoint) -> bytes:
    """Return an .npz file as bytes; it contains JSON, then the arrays of the network, then the best weights."""
    facts = {
        "identity": identity,
        "curve": [asdict(metrics) for metrics in state.curve],
        "stopping": asdict(state.stopping),
        "seconds": state.seconds,
        "network": len(state.network),
        "has_best_weights": state.best_weights is not None,
    }
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    np.savez(buffer, text, *state.network, *(state.best_weights or ()), allow_pickle=False)
    return buffer.getvalue()


def _unpack(content: bytes) -> tuple[str, TrainingCheckpoint]:
    """Return the identity and the state that `_pack` packed; raise DamagedError for any other bytes."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            text, *arrays = (file[name] for name in file.files)
        facts = json.loads(text.tobytes())
        return facts["identity"], TrainingCheckpoint(
            curve=tuple(EpochMetrics(**metrics) for metrics in facts["curve"]),
            stopping=EarlyStopping(**facts["stopping"]),
            network=arrays[: facts["network"]],
            best_weights=arrays[facts["network"] :] if facts["has_best_weights"] else None,
            seconds=facts["seconds"],
        )
    except (ValueError, TypeError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise DamagedError(reason_of(error)) from error
