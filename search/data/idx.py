"""MNIST's own format, which others share: four IDX files of images and labels, plain or gzipped.

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

from regsearch.search.data.arrays import Dataset, check_size
from regsearch.studies.errors import InputError

_NAME = re.compile(r"(?:train|t10k)-(?:images[-.]idx3|labels[-.]idx1)-ubyte(?:\.gz)?")
_GZIP = b"\x1f\x8b"
_MOST_DEFLATED = 1032  # bytes out of one, https://zlib.net/zlib_tech.html


def is_idx_name(name: str) -> bool:
    """Return whether a file is called as one of MNIST's four."""
    return _NAME.fullmatch(name) is not None


def read_idx(path: Path) -> Dataset:
    """Read the four files of a folder; the data set is called as the folder.

    Args:
        path: the folder, or one of the files.

    Raises InputError where a file is missing, can't be read, or holds anything but what its header says.
    """
    folder, names = path, [""]
    if not path.is_dir():
        folder, names = path.parent, [path.name]
        if not path.is_file():
            raise InputError(f"{path} can't be read: there is no such file")
    try:
        names += sorted(os.listdir(folder))
    except OSError as error:
        raise InputError(f"{folder} can't be read: {error.strerror}") from error
    arrays: dict[str, Any] = {}
    for key, part, kind, dimensions in (
        ("x_train", "train", "images", 3),
        ("y_train", "train", "labels", 1),
        ("x_test", "t10k", "images", 3),
        ("y_test", "t10k", "labels", 1),
    ):
        meant = re.compile(rf"{part}-{kind}[-.]idx{dimensions}-ubyte(?:\.gz)?")
        # the file that was named, else the plain one before the gzipped one
        found = next((folder / name for name in names if meant.fullmatch(name) and (folder / name).is_file()), None)
        if found is None:
            raise InputError(
                f"{folder} has no {part}-{kind}-idx{dimensions}-ubyte, plain or with .gz: IDX data are four files, "
                "the images and labels of train and t10k"
            )
        arrays[key] = _read(found, dimensions)
    return Dataset(name=folder.absolute().name, **arrays)


def _read(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read one file of unsigned bytes; memory is taken only for what a file of its size can hold."""
    try:
        with _opened(path) as (file, most_bytes):
            header = file.read(4 * (1 + dimensions))
            magic = bytes((0, 0, 8, dimensions))
            if header[:4] != magic:
                raise InputError(
                    f"{path} begins with the bytes {header[:4].hex(' ') or '(none)'}, an IDX file of this name with "
                    f"{magic.hex(' ')}: it is another kind of file"
                )
            shape = tuple(np.frombuffer(header[4 : len(header) // 4 * 4], ">u4").tolist())
            size = math.prod(shape)
            if len(shape) < dimensions or len(header) + size > most_bytes:
                raise InputError(f"{path} is cut off: it is too small for what its header says {shape}")
            check_size(str(path), size)
            array = np.empty(size, np.uint8)
            view, filled = array.data, 0
            while filled < size and (count := file.readinto(view[filled:])):
                filled += count
            if filled < size or file.read(1):  # to the end, where gzip checks its sum
                end = f"ends after {filled:,} of" if filled < size else "goes on after"
                raise InputError(f"{path} is damaged: it {end} the {size:,} bytes that its header says {shape}")
            return array.reshape(shape)
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror or error}") from error
    except MemoryError as error:
        raise InputError(f"{path} does not fit into this machine's memory") from error
    except InputError:
        raise
    except Exception as error:  # of gzip: EOFError, zlib.error
        raise InputError(f"{path} is damaged ({' '.join(str(error).split())}): get it anew") from error


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BufferedIOBase, int]]:
    """Give what a file holds, unpacked if its content is gzipped, and how many bytes that is at most."""
    with path.open("rb") as raw:
        is_packed, size = raw.read(2) == _GZIP, os.fstat(raw.fileno()).st_size
        raw.seek(0)
        if not is_packed:
            yield raw, size
            return
        with gzip.open(raw) as unpacked:
            yield unpacked, size * _MOST_DEFLATED
