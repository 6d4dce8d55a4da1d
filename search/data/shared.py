"""Shares one copy of a data set between all processes of a machine: its arrays are memory-mapped files."""

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
    """Write the arrays of a data set into a directory, and remove the directory when the block ends.

    An existing directory is replaced. If another process replaces the directory meanwhile, the new directory stays.
    Raises OSError if the directory can't be written.

    Args:
        dataset: the data set. Its memory is freed while the block runs, unless the caller has a reference to it.
        folder: the path of the directory; its parent must exist.
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
    """Write each array of a data set to a file with the name of the array's key. Raises OSError if that fails."""
    for key, array in arrays.items():
        np.save(folder / f"{key}.npy", array, allow_pickle=False)


def read_shared(folder: Path, name: str) -> Dataset:
    """Return the data set whose arrays `shared` wrote. The files of the arrays are mapped into memory.

    However many processes read a page, it is in memory only once. The mapping is copy-on-write: if a process changes an
    array, the other processes don't see the change.

    Raises OSError or ValueError if the files are missing or damaged.
    """
    arrays: dict[str, Any] = {
        key: np.asarray(np.load(folder / f"{key}.npy", mmap_mode="c", allow_pickle=False)) for key in KEYS
    }
    return Dataset(name=name, **arrays)
