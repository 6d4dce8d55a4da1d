"""TensorFlow starts without writing to stderr, and stderr is there again afterwards."""

import os

import pytest

from regsearch.search.quiet_tensorflow import quiet_stderr


def test_what_a_library_writes_to_stderr_is_discarded(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_stderr():
        os.write(2, b"from a library\n")
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "afterwards\n"


def test_stderr_is_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ImportError), quiet_stderr():
        raise ImportError
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "afterwards\n"


def test_a_process_without_stderr_starts_too() -> None:
    stderr = os.dup(2)
    os.close(2)
    try:
        with quiet_stderr():
            imported = True
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
    assert imported
