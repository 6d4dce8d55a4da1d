"""A trial's state after each epoch, on disk: another process goes on from it and ends with the same bits.

Written by a thread of its own, so that training doesn't wait for the disk. The newest two are kept: where one is
damaged, the one before serves.
"""

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from regsearch.search.training.early_stopping import EarlyStopping
from regsearch.studies.errors import reason_of
from regsearch.studies.files import DamagedError, append_checksum, strip_checksum, write_durably
from regsearch.studies.trial import EpochMetrics
from regsearch.studies.trial_files import TrialFiles

KEPT_STATES = 2

Arrays = Sequence[NDArray[Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingCheckpoint:
    """A trial after some epochs.

    Attributes:
        curve: the figures of each epoch so far.
        stopping: what early stopping has counted.
        network: what `Network.get_state` returned after the last of them.
        best_weights: of the epoch to be restored; None where the last weights are kept.
        seconds: wall time of the training so far.
    """

    curve: tuple[EpochMetrics, ...] = ()
    stopping: EarlyStopping
    network: Arrays = ()
    best_weights: Arrays | None = None
    seconds: float = 0.0


class Checkpoints(Protocol):
    """Where one trial's states are kept."""

    def latest(self) -> TrainingCheckpoint | None:
        """Return the newest state that is whole, or None."""
        ...

    def save(self, state: TrainingCheckpoint) -> None:
        """Keep a state, soon; its arrays are not changed any more."""
        ...

    def save_weights(self, weights: Arrays) -> str | None:
        """Keep the weights of the restored epoch; return the SHA-256 of their file, None where they aren't kept."""
        ...

    def weights(self, sha256: str | None) -> Arrays | None:
        """Return the weights that are kept, if their file has that SHA-256, else None."""
        ...


class NoCheckpoints:
    """Keeps nothing."""

    def latest(self) -> None:
        """Return None."""

    def save(self, state: TrainingCheckpoint) -> None:
        """Forget it."""

    def save_weights(self, weights: Arrays) -> str | None:
        """Return None."""
        return None

    def weights(self, sha256: str | None) -> Arrays | None:
        """Return None."""
        return None


NO_CHECKPOINTS = NoCheckpoints()


class FileCheckpoints:
    """One trial's states as files; a context manager that ends with what is being written.

    Args:
        files: of its study.
        number: the trial's.
        identity: says what the trial is; a file with another one is of another trial, and ignored.
        warn: told what is wrong with a file, in one line.
    """

    def __init__(self, files: TrialFiles, number: int, identity: str, warn: Callable[[str], None]) -> None:
        self._files, self._number, self.identity, self._warn = files, number, identity, warn
        self._lock = threading.Lock()
        self._waiting: TrainingCheckpoint | None = None
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
            self._warn(f"its state could not be saved ({reason_of(self._error)}); interrupted, it would train again")

    def latest(self) -> TrainingCheckpoint | None:
        """Return the newest state that is whole, or None; what is damaged is said, and passed over."""
        for path in self._files.checkpoints(self._number):
            try:
                identity, state = _unpack(strip_checksum(path.read_bytes()))
            except (OSError, DamagedError) as error:
                self._warn(f"its checkpoint {path.name} is damaged ({error}); it goes on from the one before, if any")
                continue
            if identity == self.identity:
                return state
        return None

    def save(self, state: TrainingCheckpoint) -> None:
        """Write a state in the background; what comes while one is written replaces what still waits."""
        with self._lock:
            self._waiting = state
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_what_waits, daemon=True)
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
        """Read the weights that `save_weights` wrote; None where the file is missing or was changed."""
        try:
            content = self._files.weights(self._number).read_bytes()
        except OSError:
            return None
        if hashlib.sha256(content).hexdigest() != sha256:
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return [file[name] for name in file.files]

    def _write_what_waits(self) -> None:
        while True:
            with self._lock:
                state, self._waiting = self._waiting, None
                if state is None:
                    self._writer = None
                    return
            try:
                self._write(state)
                self._error = None
            except Exception as error:  # noqa: BLE001 - said at the trial's end: training needs no checkpoint
                self._error = error

    def _write(self, state: TrainingCheckpoint) -> None:
        epochs = len(state.curve)
        write_durably(self._files.checkpoint(self._number, epochs), append_checksum(_pack(self.identity, state)))
        for old in self._files.checkpoints(self._number)[KEPT_STATES:]:
            old.unlink(missing_ok=True)


def _pack(identity: str, state: TrainingCheckpoint) -> bytes:
    """Return a state as the bytes of an .npz file: facts as JSON, then the network's arrays, then the best weights."""
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
    """Read back what _pack returned; raises DamagedError for anything else."""
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
