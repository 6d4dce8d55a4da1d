"""Starts TensorFlow without its messages on stderr."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

QUIET_TENSORFLOW = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
"""Environment variables that make Keras run on TensorFlow and hide TensorFlow's log."""


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Discard what is written to file descriptor 2 (stderr) while the block runs.

    TensorFlow's libraries write to it directly, before they read their log level. Replacing `sys.stderr`
    doesn't stop them.

    Example:
        >>> import os
        >>> with quiet_stderr():
        ...     _ = os.write(2, b"from a library")
    """
    try:
        sys.stderr.flush()
        stderr = os.dup(2)
    except (OSError, ValueError, AttributeError):  # stderr is closed or missing
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
