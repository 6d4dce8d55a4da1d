"""A checked data set in memory: examples of any shape, integer labels, and a fingerprint of both."""

import hashlib
import zipfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ...studies.errors import InputError, reason_of
from ..machine import memory_bytes

KEYS = ("x_train", "y_train", "x_test", "y_test")
_LARGEST_BYTES = 8_000_000_000  # of all arrays together; a larger file is a mistake or a zip bomb
_FARTHEST = 10  # the largest distance from 0 of values that were scaled or standardized


class DataUnavailableError(InputError):
    """A data set can be neither found nor downloaded on this machine."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """The examples and labels of a training and a test set. The constructor checks them.

    Attributes:
        name: the name that answers use, such as "mnist".
        x_train, x_test: the examples, an array of the shape (n, features), (n, height, width), (n, height, width,
            channels), or with more dimensions. Networks scale uint8 values to [0, 1], and use float32 values unchanged.
        y_train, y_test: the labels, whole numbers from 0 to C − 1, an int32 array of the shape (n,).
        class_names: the names of the classes in the order of their labels; () if they have none.
        held_out: a sentence that says how the test set was made; None if the data came with a test set.
        class_count: C, the number of classes, at least 2.

    Raises InputError if the arrays can't be used. Its message says what was found and what is expected.

    Example:
        >>> x, y = np.zeros((4, 2)), np.array([0, 1, 0, 1])
        >>> dataset = Dataset(name="tiny", x_train=x, y_train=y, x_test=x, y_test=y)
        >>> dataset.class_count, str(dataset.x_train.dtype)
        (2, 'float32')
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
            examples, labels = getattr(self, f"x_{part}"), getattr(self, f"y_{part}")
            object.__setattr__(self, f"x_{part}", _check_examples(examples, f"{self.name}: x_{part}"))
            object.__setattr__(self, f"y_{part}", _check_labels(labels, f"{self.name}: y_{part}"))
            if len(examples) != len(labels):
                raise InputError(
                    f"{self.name}: x_{part} has {len(examples):,} examples, but y_{part} has {len(labels):,} labels. "
                    "Give one label per example."
                )
        if self.x_train.shape[1:] != self.x_test.shape[1:] or self.x_train.dtype != self.x_test.dtype:
            raise InputError(
                f"{self.name}: training and test examples must have the same shape and type, but x_train has "
                f"{self.x_train.shape[1:]} {self.x_train.dtype}, and x_test has {self.x_test.shape[1:]} "
                f"{self.x_test.dtype}."
            )
        object.__setattr__(self, "class_count", self._count_classes())

    def _count_classes(self) -> int:
        classes = np.unique(self.y_train)
        if len(classes) < 2:
            raise InputError(f"{self.name}: y_train has only the class {classes[0]}. Give at least 2 classes.")
        if classes[0] != 0 or classes[-1] != len(classes) - 1:
            raise InputError(
                f"{self.name}: y_train has {len(classes)} different labels from {classes[0]} to {classes[-1]}, but "
                "labels must be the whole numbers 0…C−1 without gaps. Number the classes again."
            )
        if len(different := np.setxor1d(self.y_test, classes)):
            raise InputError(
                f"{self.name}: y_train and y_test must have the same classes, but {_join_labels(different)} "
                f"{'is' if len(different) == 1 else 'are'} in only one of them."
            )
        return len(classes)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """The shape of one example as a HyperModel gets it. For a grey image, a last axis of length 1 is added."""
        shape = self.x_train.shape[1:]
        return (*shape, 1) if len(shape) == 2 else shape

    @property
    def n_train(self) -> int:
        """The number of training examples, including those of the stopping and the selection split."""
        return len(self.x_train)

    @property
    def n_test(self) -> int:
        """The number of test examples."""
        return len(self.x_test)

    @cached_property
    def sha256(self) -> str:
        """The fingerprint of the four arrays: the SHA-256 of their keys, types, shapes and bytes, in hexadecimal."""
        digest = hashlib.sha256()
        for key in KEYS:
            array = getattr(self, key)
            digest.update(f"{key} {array.dtype.str} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def __str__(self) -> str:
        """Return the name, the sizes and the start of the fingerprint."""
        return f"{self.name} ({self.n_train:,} training and {self.n_test:,} test examples, sha256 {self.sha256[:12]}…)"

    @property
    def notes(self) -> list[str]:
        """What a user should know about the data before a study starts, one line each."""
        return [f"{self.name}: {note}" for note in (self.held_out, self.values_note) if note is not None]

    @property
    def values_note(self) -> str | None:
        """A warning if training values are so far from 0 that networks learn badly; otherwise None."""
        low, high = self.x_train.min(), self.x_train.max()
        if self.x_train.dtype == np.uint8 or max(-low, high) <= _FARTHEST:
            return None
        return (
            f"values from {low:g} to {high:g} are used as they are, but networks learn badly if values are far "
            "outside 0 to 1. Give pixels as uint8, which is scaled, and standardize other features."
        )


def check_size(what: str, n_bytes: int) -> None:
    """Raise InputError if `n_bytes`, the size of the unpacked data, is above 8 GB or above this machine's memory."""
    largest = min(_LARGEST_BYTES, memory_bytes() or _LARGEST_BYTES)
    if n_bytes > largest:
        limit = "are allowed" if largest == _LARGEST_BYTES else "fit into this machine's memory"
        raise InputError(
            f"{what} unpacks to {n_bytes:,} bytes, but at most {largest:,} {limit}. Give fewer or smaller examples."
        )


def read_npz(path: Path, name: str | None = None) -> Dataset:
    """Read an .npz file with Keras's four keys as a data set. By default, the data set is named after the file.

    Raises InputError if the file can't be read or its arrays can't be used.
    """
    return Dataset(name=name or path.stem, **read_arrays(path))


def read_arrays(path: Path) -> dict[str, Any]:
    """Return the arrays of an .npz file with Keras's four keys. The arrays are neither checked nor unpickled.

    Raises InputError if the file can't be read.
    """
    try:
        with path.open("rb") as stream:
            if not zipfile.is_zipfile(stream):  # NumPy's own message would explain how to run code from the file
                raise InputError(f"can't read {path}: it is not a zip archive, or it is cut off.")
            stream.seek(0)
            return _load_arrays(path, stream)
    except OSError as error:
        raise InputError(f"can't read {path}: {error.strerror or 'it is not an .npz file'}") from error
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"can't read {path}: it does not fit into this machine's memory.") from error
    except Exception as error:
        raise InputError(f"can't read {path}: it is not an .npz file of plain arrays ({reason_of(error)}).") from error


def _load_arrays(path: Path, stream: BinaryIO) -> dict[str, NDArray[Any]]:
    with np.load(stream, allow_pickle=False) as file:
        missing = [key for key in KEYS if key not in file.files]
        if missing:
            raise InputError(
                f"{path} has no array {missing[0]}. An .npz file needs {', '.join(KEYS)}, as Keras's mnist.npz has."
            )
        check_size(str(path), sum(member.file_size for member in file.zip.infolist()))
        arrays = {key: file[key] for key in KEYS}
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            raise ValueError("a member is not an array")
        return arrays


def _check_examples(examples: NDArray[Any], what: str) -> NDArray[Any]:
    """Return examples as uint8 or float32; raise InputError if they can't be used."""
    if examples.ndim < 2 or 0 in examples.shape:
        raise InputError(
            f"{what} has the shape {examples.shape}. Examples must have the shape (n, features), (n, height, width) "
            "or (n, height, width, channels), and no dimension may be 0."
        )
    if examples.dtype == np.uint8:
        return examples
    if examples.dtype.kind in "iu" and examples.ndim > 2:
        if examples.min() < 0 or examples.max() > 255:
            raise InputError(
                f"{what} ranges from {examples.min()} to {examples.max()}, but whole numbers in images must be pixels "
                "from 0 to 255. Give other values as floats."
            )
        return examples.astype(np.uint8)
    if examples.dtype.kind not in "iuf":
        raise InputError(f"{what} has the type {examples.dtype}. Give uint8, which is scaled to 0…1, or floats.")
    with np.errstate(over="ignore"):
        examples = examples.astype(np.float32, copy=False)
    if not np.isfinite(examples).all():
        raise InputError(f"{what} has values that are NaN or infinite as float32. Remove or repair those examples.")
    return examples


def _check_labels(labels: NDArray[Any], what: str) -> NDArray[Any]:
    """Return labels as int32; raise InputError if they can't be used."""
    if labels.ndim != 1 or len(labels) == 0:
        raise InputError(
            f"{what} has the shape {labels.shape}. Labels must have the shape (n,): one whole number per example."
        )
    if labels.dtype.kind not in "iu":
        raise InputError(f"{what} has the type {labels.dtype}. Labels must be whole numbers 0…C−1.")
    if labels.min() < 0 or labels.max() >= 1_000_000:
        raise InputError(f"{what} ranges from {labels.min()} to {labels.max()}. Labels must be whole numbers 0…C−1.")
    return labels.astype(np.int32, copy=False)


def _join_labels(labels: NDArray[Any]) -> str:
    return ", ".join(map(str, labels[:5])) + (", …" if len(labels) > 5 else "")
