"""One read-only copy of a data set for all processes of a machine: its arrays as files that are mapped into memory."""

import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from regsearch.search.data.arrays import KEYS, Dataset


@contextmanager
def shared(dataset: Dataset, folder: Path) -> Iterator[Path]:
    """Write the arrays into a folder of their own, whatever it held before; it is removed when the block ends.

    Unless another process has taken its place meanwhile. Raises OSError where it can't be written.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    owner, mine = folder / "owner", uuid.uuid4().hex
    try:
        owner.write_text(mine, encoding="ascii")
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    try:
        write_arrays({key: getattr(dataset, key) for key in KEYS}, folder)
        del dataset  # while others read the copy, nobody needs the original
        yield folder
    finally:
        with suppress(OSError):  # it is gone, or being taken over
            if owner.read_text(encoding="ascii") == mine:
                shutil.rmtree(folder, ignore_errors=True)


def write_arrays(arrays: Mapping[str, Any], folder: Path) -> None:
    """Write the arrays of a data set, by their keys, where `read_shared` finds them; raises OSError."""
    for key, array in arrays.items():
        np.save(folder / f"{key}.npy", array, allow_pickle=False)


def read_shared(folder: Path, name: str) -> Dataset:
    """Map the arrays that `shared` wrote; a page is in memory once, however many processes read it.

    The mapping is copy-on-write: whoever changes an array changes it for himself alone.
    Raises OSError or ValueError where they are not there or not whole.
    """
    arrays: dict[str, Any] = {
        key: np.asarray(np.load(folder / f"{key}.npy", mmap_mode="c", allow_pickle=False)) for key in KEYS
    }
    return Dataset(name=name, **arrays)
