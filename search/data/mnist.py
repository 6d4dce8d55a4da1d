"""MNIST (LeCun, Cortes, Burges): 60,000 training and 10,000 test images of digits, as Keras provides them.

It is read from the file that $REGSEARCH_MNIST names, or else from Keras's cache. If neither exists, Keras's own loader
downloads it. The loader runs in a separate process, so that the coordinator needs no TensorFlow and can kill a download
that hangs.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from ...studies.errors import InputError
from ...studies.files import sha256_of
from ..quiet_tensorflow import QUIET_TENSORFLOW
from .arrays import Dataset, DataUnavailableError, read_npz

KERAS_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
"""The SHA-256 of Keras's mnist.npz, which `keras.datasets.mnist` also checks."""

SILENCE_SECONDS = 20.0
"""A download fails if nothing arrives for so many seconds."""

_START_SECONDS = 120.0  # to import TensorFlow, before the download starts
_FETCH = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(1)), daemon=True).start()  # if the parent process ends
import keras
print("asking", flush=True)
keras.datasets.mnist.load_data()
"""


def load() -> Dataset:
    """Return MNIST as a data set.

    Raises InputError if $REGSEARCH_MNIST names a file that can't be used, and DataUnavailableError if the data can be
    neither found nor downloaded.
    """
    path = find()
    if path is None:
        path = _keras_cache()
        _download(path)
    return read(path)


def find() -> Path | None:
    """Return the path of the file with MNIST on this machine; None if there is none. This downloads nothing.

    Raises InputError if $REGSEARCH_MNIST names something that is not a file.
    """
    given_path = os.environ.get("REGSEARCH_MNIST")
    if given_path:
        if not os.path.isfile(given_path):  # unlike Path.is_file, it accepts any string
            raise InputError(
                f"can't read MNIST: $REGSEARCH_MNIST names {given_path}, which is not a file. Correct the variable."
            )
        return Path(given_path)
    return _keras_cache() if _is_complete(_keras_cache()) else None


def read(path: Path) -> Dataset:
    """Return MNIST from an .npz file."""
    return read_npz(path, "mnist")


def _keras_cache() -> Path:
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path.home() / ".keras") / "datasets" / "mnist.npz"


def _is_complete(path: Path) -> bool:
    return path.is_file() and sha256_of(path) == KERAS_SHA256


def _download(target: Path) -> None:
    """Let Keras download MNIST. Raises DataUnavailableError if Keras fails or nothing arrives for SILENCE_SECONDS."""
    with subprocess.Popen(
        [sys.executable, "-P", "-c", _FETCH],
        env={**os.environ, **QUIET_TENSORFLOW},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as keras:
        try:
            assert keras.stdout is not None
            os.set_blocking(keras.stdout.fileno(), False)
            last_progress, last_size, is_downloading = time.monotonic(), 0, False
            while keras.poll() is None:
                time.sleep(0.1)
                output = keras.stdout.read() or b""
                size = target.stat().st_size if target.exists() else 0
                if output or size != last_size:
                    last_progress, last_size, is_downloading = time.monotonic(), size, True
                if time.monotonic() - last_progress > (SILENCE_SECONDS if is_downloading else _START_SECONDS):
                    raise DataUnavailableError(
                        f"can't download MNIST: nothing arrived for {SILENCE_SECONDS:.0f} s. Check the network."
                    )
        finally:
            keras.kill()
    if not _is_complete(target):
        raise DataUnavailableError(
            "can't download MNIST: Keras's loader failed. Check the network, or set REGSEARCH_MNIST to an mnist.npz."
        )
