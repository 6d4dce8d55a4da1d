"""A data set in memory, checked: rows of any shape, integer labels, and the fingerprint of both."""

import hashlib
import zipfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from regsearch.search.machine import memory_bytes
from regsearch.studies.errors import InputError

KEYS = ("x_train", "y_train", "x_test", "y_test")
_LARGEST_BYTES = 8_000_000_000  # of all arrays of a data set; more is a mistake or a zip bomb
_FARTHEST = 10  # from 0, of floats that were scaled or standardized


class DataUnavailableError(InputError):
    """A data set can be neither found nor fetched on this machine."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Rows and labels of a training and a test part; making one checks them.

    Attributes:
        name: how answers call it, such as "mnist".
        x_train, x_test: (n, features), (n, height, width), (n, height, width, channels) or more dimensions; uint8,
            which networks scale to [0, 1], or finite float32, which they take as it is.
        y_train, y_test: (n,), int32 labels 0…C−1.
        class_names: of the labels, in their order; () where they have none.
        held_out: how the test part was made, in words, where the data came without one.
        class_count: C, at least 2.

    Raises InputError, naming what was found and what is expected.
    """

    name: str
    x_train: NDArray[Any]
    y_train: NDArray[Any]
    x_test: NDArray[Any]
    y_test: NDArray[Any]
    class_names: tuple[str, ...] = ()
    held_out: str | None = None
    class_count: int = field(init=False)

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            rows, labels = getattr(self, f"x_{part}"), getattr(self, f"y_{part}")
            object.__setattr__(self, f"x_{part}", _checked_rows(rows, f"{self.name}: x_{part}"))
            object.__setattr__(self, f"y_{part}", _checked_labels(labels, f"{self.name}: y_{part}"))
            if len(rows) != len(labels):
                raise InputError(
                    f"{self.name}: x_{part} has {len(rows):,} rows and y_{part} {len(labels):,} labels; "
                    "there must be as many of both"
                )
        if self.x_train.shape[1:] != self.x_test.shape[1:] or self.x_train.dtype != self.x_test.dtype:
            raise InputError(
                f"{self.name}: rows of the two parts must be alike; x_train has {self.x_train.shape[1:]} "
                f"{self.x_train.dtype}, x_test {self.x_test.shape[1:]} {self.x_test.dtype}"
            )
        object.__setattr__(self, "class_count", self._count_classes())

    def _count_classes(self) -> int:
        classes = np.unique(self.y_train)
        if len(classes) < 2:
            raise InputError(f"{self.name}: y_train has one class only ({classes[0]}); at least 2 are needed")
        if classes[0] != 0 or classes[-1] != len(classes) - 1:
            raise InputError(
                f"{self.name}: labels must be the whole numbers 0…C−1, each of them in y_train; "
                f"found {len(classes)} different ones from {classes[0]} to {classes[-1]}: number the classes anew"
            )
        if len(different := np.setxor1d(self.y_test, classes)):
            raise InputError(
                f"{self.name}: every one of the {len(classes)} classes must be in y_test, and no other; "
                f"{_listed(different)} {'is' if len(different) == 1 else 'are'} in one part only"
            )
        return len(classes)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of a row as a HyperModel gets it: an image of one channel has an axis for that."""
        shape = self.x_train.shape[1:]
        return (*shape, 1) if len(shape) == 2 else shape

    @property
    def n_train(self) -> int:
        """Number of training rows, before the stop and the select part are held back."""
        return len(self.x_train)

    @property
    def n_test(self) -> int:
        """Number of test rows."""
        return len(self.x_test)

    @cached_property
    def sha256(self) -> str:
        """The fingerprint over the four arrays: names, types, shapes and every byte."""
        digest = hashlib.sha256()
        for key in KEYS:
            array = getattr(self, key)
            digest.update(f"{key} {array.dtype.str} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def __str__(self) -> str:
        """Return it in words, as the first line of every answer."""
        return f"{self.name} ({self.n_train:,} training and {self.n_test:,} test rows, sha256 {self.sha256[:12]}…)"

    @property
    def notes(self) -> list[str]:
        """What whoever begins a study on it should know, a line each."""
        return [f"{self.name}: {note}" for note in (self.held_out, self.values_note) if note is not None]

    @property
    def values_note(self) -> str | None:
        """That training values are far from what networks learn well from; None where they aren't."""
        low, high = self.x_train.min(), self.x_train.max()
        if self.x_train.dtype == np.uint8 or max(-low, high) <= _FARTHEST:
            return None
        return (
            f"values from {low:g} to {high:g} are used as they are, and networks learn badly from what is far from "
            "0 to 1: give pixels as uint8, which is scaled, and standardize other features"
        )


def check_size(what: str, n_bytes: int) -> None:
    """Raise InputError for data that unpack to more bytes than a search can hold."""
    largest = min(_LARGEST_BYTES, memory_bytes() or _LARGEST_BYTES)
    if n_bytes > largest:
        raise InputError(
            f"{what} unpacks to {n_bytes:,} bytes; at most {largest:,} fit a search in this machine's memory"
        )


def read_npz(path: Path, name: str | None = None) -> Dataset:
    """Read the four Keras keys of an .npz file as a data set.

    Raises InputError where the file can't be read or its arrays can't be used.
    """
    return Dataset(name=name or path.stem, **read_arrays(path))


def read_arrays(path: Path) -> dict[str, Any]:
    """Read the four Keras keys of an .npz file, not yet checked; nothing in it is unpickled.

    Raises InputError where the file can't be read.
    """
    try:
        with path.open("rb") as opened:
            if not zipfile.is_zipfile(opened):  # of which NumPy says how to have it run code
                raise InputError(f"{path} is no readable .npz file of plain arrays: it is no zip archive, or cut off")
            opened.seek(0)
            return _arrays_of(path, opened)
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror or 'it is no .npz file'}") from error
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{path} does not fit into this machine's memory") from error
    except Exception as error:
        raise InputError(f"{path} is no readable .npz file of plain arrays ({' '.join(str(error).split())})") from error


def _arrays_of(path: Path, opened: BinaryIO) -> dict[str, NDArray[Any]]:
    with np.load(opened, allow_pickle=False) as file:
        missing = [key for key in KEYS if key not in file.files]
        if missing:
            raise InputError(
                f"{path} has no array {missing[0]}; an .npz file needs {', '.join(KEYS)}, as Keras's mnist.npz"
            )
        check_size(str(path), sum(member.file_size for member in file.zip.infolist()))
        arrays = {key: file[key] for key in KEYS}
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            raise ValueError("a member is no array")
        return arrays


def _checked_rows(rows: NDArray[Any], what: str) -> NDArray[Any]:
    if rows.ndim < 2 or 0 in rows.shape:
        raise InputError(
            f"{what} has the shape {rows.shape}; rows are (n, features), (n, height, width) or "
            "(n, height, width, channels), none of them 0"
        )
    if rows.dtype == np.uint8:
        return rows
    if rows.dtype.kind in "iu" and rows.ndim > 2:
        if rows.min() < 0 or rows.max() > 255:
            raise InputError(
                f"{what} ranges from {rows.min()} to {rows.max()}; pixels that are whole numbers go from 0 to 255: "
                "give others as floats"
            )
        return rows.astype(np.uint8)
    if rows.dtype.kind not in "iuf":
        raise InputError(f"{what} is of type {rows.dtype}; rows are uint8, which is scaled to 0…1, or floats")
    with np.errstate(over="ignore"):
        rows = rows.astype(np.float32, copy=False)
    if not np.isfinite(rows).all():
        raise InputError(f"{what} has values that are NaN or infinite as float32; remove or repair those rows")
    return rows


def _checked_labels(labels: NDArray[Any], what: str) -> NDArray[Any]:
    if labels.ndim != 1 or len(labels) == 0:
        raise InputError(f"{what} has the shape {labels.shape}; labels are (n,), one whole number a row")
    if labels.dtype.kind not in "iu":
        raise InputError(f"{what} is of type {labels.dtype}; labels are whole numbers 0…C−1")
    if labels.min() < 0 or labels.max() >= 1_000_000:
        raise InputError(f"{what} ranges from {labels.min()} to {labels.max()}; labels are whole numbers 0…C−1")
    return labels.astype(np.int32, copy=False)


def _listed(labels: NDArray[Any]) -> str:
    return ", ".join(map(str, labels[:5])) + (", …" if len(labels) > 5 else "")
