"""MNIST (LeCun, Cortes, Burges): 60,000 training and 10,000 test images of digits, through Keras.

Looked for in the file that $REGSEARCH_MNIST names, then in Keras's cache, then fetched by Keras's own
loader, in a process of its own: that spares the coordinator TensorFlow, and it can be given up.
"""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

from regsearch.search.data.arrays import Dataset, DataUnavailableError, read_npz
from regsearch.studies.errors import InputError

KERAS_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
"""Of Keras's mnist.npz, as `keras.datasets.mnist` checks it."""

SILENCE_SECONDS = 20.0
_START_SECONDS = 120.0  # for TensorFlow to be imported, before anything is asked of the network
_FETCH = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()  # the parent is gone
import keras
print("asking", flush=True)
keras.datasets.mnist.load_data()
"""


def load() -> Dataset:
    """Return MNIST.

    Raises InputError where $REGSEARCH_MNIST names a file that can't be used, DataUnavailableError where
    the data can be neither found nor fetched.
    """
    found = find()
    if found is None:
        found = _keras_cache()
        _fetch(found)
    return read(found)


def find() -> Path | None:
    """Return the file on this machine that holds MNIST, or None; nothing is fetched.

    Raises InputError where $REGSEARCH_MNIST names no file.
    """
    named = os.environ.get("REGSEARCH_MNIST")
    if named:
        if not os.path.isfile(named):  # unlike Path.is_file, it takes any name
            raise InputError(f"$REGSEARCH_MNIST names {named}, which is no file; correct or unset it")
        return Path(named)
    return _keras_cache() if _is_whole(_keras_cache()) else None


def read(path: Path) -> Dataset:
    """Read MNIST from a file."""
    return read_npz(path, "mnist")


def _keras_cache() -> Path:
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path.home() / ".keras") / "datasets" / "mnist.npz"


def _is_whole(path: Path) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == KERAS_SHA256


def _fetch(target: Path) -> None:
    """Let Keras fetch its file; give up when nothing has arrived for SILENCE_SECONDS."""
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    with subprocess.Popen(
        [sys.executable, "-P", "-c", _FETCH],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as keras:
        try:
            assert keras.stdout is not None
            os.set_blocking(keras.stdout.fileno(), False)
            heard, seen, asking = time.monotonic(), 0, False
            while keras.poll() is None:
                time.sleep(0.1)
                said = keras.stdout.read() or b""
                size = target.stat().st_size if target.exists() else 0
                if said or size != seen:
                    heard, seen, asking = time.monotonic(), size, True
                if time.monotonic() - heard > (SILENCE_SECONDS if asking else _START_SECONDS):
                    raise DataUnavailableError(f"no answer for {SILENCE_SECONDS:.0f} s while Keras fetched MNIST")
        finally:
            keras.kill()
    if not _is_whole(target):
        raise DataUnavailableError("Keras could not fetch MNIST (is there a network?)")
