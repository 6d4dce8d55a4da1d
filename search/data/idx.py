"""The IDX format of MNIST and similar data sets: four files of images and labels, plain or gzipped.

Source: http://yann.lecun.com/exdb/mnist, "File formats for the MNIST database".
"""

import gzip
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...studies.errors import InputError, reason_of
from .arrays import Dataset, check_size

_NAME = re.compile(r"(?:train|t10k)-(?:images[-.]idx3|labels[-.]idx1)-ubyte(?:\.gz)?")
_GZIP = b"\x1f\x8b"
_MOST_DEFLATED = 1032  # bytes from one compressed byte at most, https://zlib.net/zlib_tech.html


def is_idx_name(name: str) -> bool:
    """Return whether a file has the name of one of MNIST's four files.

    Example:
        >>> is_idx_name("train-images-idx3-ubyte.gz"), is_idx_name("cat.png")
        (True, False)
    """
    return _NAME.fullmatch(name) is not None


def read_idx(path: Path) -> Dataset:
    """Read the four files in a directory as a data set, which is named after the directory.

    Args:
        path: the directory, or one of the files.

    Raises InputError if a file is missing, can't be read, or does not match its header.
    """
    folder, names = path, [""]
    if not path.is_dir():
        folder, names = path.parent, [path.name]
        if not path.is_file():
            raise InputError(f"can't read {path}: there is no such file")
    try:
        names += sorted(os.listdir(folder))
    except OSError as error:
        raise InputError(f"can't read {folder}: {error.strerror}") from error
    arrays: dict[str, Any] = {}
    for key, part, kind, dimensions in (
        ("x_train", "train", "images", 3),
        ("y_train", "train", "labels", 1),
        ("x_test", "t10k", "images", 3),
        ("y_test", "t10k", "labels", 1),
    ):
        pattern = re.compile(rf"{part}-{kind}[-.]idx{dimensions}-ubyte(?:\.gz)?")
        # the file that the user named comes first, then a plain one, then a gzipped one
        file = next((folder / name for name in names if pattern.fullmatch(name) and (folder / name).is_file()), None)
        if file is None:
            raise InputError(
                f"{folder} has no file {part}-{kind}-idx{dimensions}-ubyte, plain or with .gz. IDX data are four "
                "files: images and labels for training (train) and for testing (t10k)."
            )
        arrays[key] = _read(file, dimensions)
    return Dataset(name=folder.absolute().name, **arrays)


def _read(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes. Reserve memory only if the file can hold the shape in its header."""
    try:
        with _open(path) as (file, most_bytes):
            header = file.read(4 * (1 + dimensions))
            magic = bytes((0, 0, 8, dimensions))
            if header[:4] != magic:
                raise InputError(
                    f"{path} starts with the bytes {header[:4].hex(' ') or '(none)'}, but an IDX file of this name "
                    f"starts with {magic.hex(' ')}. It is another kind of file."
                )
            shape = tuple(np.frombuffer(header[4 : len(header) // 4 * 4], ">u4").tolist())
            size = math.prod(shape)
            if len(shape) < dimensions or len(header) + size > most_bytes:
                raise InputError(f"{path} is cut off: it is too small for the shape {shape} in its header.")
            check_size(str(path), size)
            array = np.empty(size, np.uint8)
            view, filled = array.data, 0
            while filled < size and (count := file.readinto(view[filled:])):
                filled += count
            if filled < size or file.read(1):  # read to the end, because gzip checks its checksum there
                end = f"ends after {filled:,} of" if filled < size else "continues after"
                raise InputError(
                    f"{path} is damaged: it {end} the {size:,} bytes for the shape {shape} in its header. Get it again."
                )
            return array.reshape(shape)
    except OSError as error:
        raise InputError(f"can't read {path}: {error.strerror or error}") from error
    except MemoryError as error:
        raise InputError(f"can't read {path}: it does not fit into this machine's memory.") from error
    except InputError:
        raise
    except Exception as error:  # gzip raises EOFError and zlib.error, for example
        raise InputError(f"{path} is damaged: {reason_of(error)}. Get it again.") from error


@contextmanager
def _open(path: Path) -> Iterator[tuple[BufferedIOBase, int]]:
    """Open a file, and unpack it if it is gzipped. Yield the open file and the largest size of its content in bytes."""
    with path.open("rb") as raw:
        is_gzipped, size = raw.read(2) == _GZIP, os.fstat(raw.fileno()).st_size
        raw.seek(0)
        if not is_gzipped:
            yield raw, size
            return
        with gzip.open(raw) as unpacked:
            yield unpacked, size * _MOST_DEFLATED
