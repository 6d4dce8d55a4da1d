"""One copy of a data set for all processes of a machine: its arrays are files that are mapped into memory."""

import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from .arrays import KEYS, Dataset


@contextmanager
def shared(dataset: Dataset, folder: Path) -> Iterator[Path]:
    """Write the arrays into a directory, in place of whatever it contained; remove it when the block ends.

    It stays if another process has replaced it meanwhile. Raises OSError if it can't be written.

    Args:
        dataset: is not kept in memory while the block runs, unless the caller keeps it.
        folder: the directory; its parent exists.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    owner, own_id = folder / "owner", uuid.uuid4().hex
    try:
        owner.write_text(own_id, encoding="ascii")
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    try:
        write_arrays({key: getattr(dataset, key) for key in KEYS}, folder)
        del dataset  # while others read the copy, this process does not need the original
        yield folder
    finally:
        with suppress(OSError):  # the directory is gone, or another process is replacing it
            if owner.read_text(encoding="ascii") == own_id:
                shutil.rmtree(folder, ignore_errors=True)


def write_arrays(arrays: Mapping[str, Any], folder: Path) -> None:
    """Write the arrays of a data set, by their keys, where `read_shared` finds them. Raises OSError if that fails."""
    for key, array in arrays.items():
        np.save(folder / f"{key}.npy", array, allow_pickle=False)


def read_shared(folder: Path, name: str) -> Dataset:
    """Map the arrays that `shared` wrote; each page is in memory once, however many processes read it.

    The mapping is copy-on-write: a process that changes an array does not change it for the others.
    Raises OSError or ValueError if the files are missing or damaged.
    """
    arrays: dict[str, Any] = {
        key: np.asarray(np.load(folder / f"{key}.npy", mmap_mode="c", allow_pickle=False)) for key in KEYS
    }
    return Dataset(name=name, **arrays)
