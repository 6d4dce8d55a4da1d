"""A data set in memory, checked: images, integer labels, and the fingerprint of both."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studies.errors import InputError

KEYS = ("x_train", "y_train", "x_test", "y_test")
_LARGEST_BYTES = 8_000_000_000  # of all arrays of a file, unpacked; more is a mistake or a zip bomb


class DataUnavailableError(InputError):
    """A data set can be neither found nor fetched on this machine."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Images and labels of a training and a test part; making one checks them.

    Attributes:
        name: how answers call it, such as "mnist".
        x_train, x_test: (n, height, width), uint8 in [0, 255] or float32 in [0, 1].
        y_train, y_test: (n,), int32 labels 0…C−1.
        class_count: C, at least 2.

    Raises InputError, naming what was found and what is expected.
    """

    name: str
    x_train: NDArray[Any]
    y_train: NDArray[Any]
    x_test: NDArray[Any]
    y_test: NDArray[Any]
    class_count: int = field(init=False)

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            images, labels = getattr(self, f"x_{part}"), getattr(self, f"y_{part}")
            object.__setattr__(self, f"x_{part}", _checked_images(images, f"{self.name}: x_{part}"))
            object.__setattr__(self, f"y_{part}", _checked_labels(labels, f"{self.name}: y_{part}"))
            if len(images) != len(labels):
                raise InputError(
                    f"{self.name}: x_{part} has {len(images):,} images and y_{part} {len(labels):,} labels; "
                    "there must be as many of both"
                )
        if self.x_train.shape[1:] != self.x_test.shape[1:] or self.x_train.dtype != self.x_test.dtype:
            raise InputError(
                f"{self.name}: images of the two parts must be alike; x_train has {self.x_train.shape[1:]} "
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
                f"found {len(classes)} different ones from {classes[0]} to {classes[-1]}"
            )
        if not np.array_equal(np.unique(self.y_test), classes):
            raise InputError(f"{self.name}: every one of the {len(classes)} classes must be in y_test, and no other")
        return len(classes)

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


def read_npz(path: Path, name: str | None = None) -> Dataset:
    """Read the four Keras keys of an .npz file; nothing in it is unpickled.

    Raises InputError where the file can't be read or its arrays can't be used.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            missing = [key for key in KEYS if key not in file.files]
            if missing:
                raise InputError(
                    f"{path} has no array {missing[0]}; an .npz file needs {', '.join(KEYS)}, as Keras's mnist.npz"
                )
            unpacked = sum(member.file_size for member in file.zip.infolist())
            if unpacked > _LARGEST_BYTES:
                raise InputError(
                    f"{path} unpacks to {unpacked:,} bytes; at most {_LARGEST_BYTES:,} fit a search in memory"
                )
            arrays: Mapping[str, NDArray[Any]] = {key: file[key] for key in KEYS}
            if not all(isinstance(array, np.ndarray) for array in arrays.values()):
                raise ValueError("a member is no array")
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror or 'it is no .npz file'}") from error
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{path} does not fit into this machine's memory") from error
    except Exception as error:
        raise InputError(f"{path} is no readable .npz file of plain arrays ({' '.join(str(error).split())})") from error
    return Dataset(name=name or path.stem, **arrays)


def _checked_images(images: NDArray[Any], what: str) -> NDArray[Any]:
    if images.ndim != 3 or 0 in images.shape:
        raise InputError(f"{what} has the shape {images.shape}; images are (n, height, width), none of them 0")
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind in "iu":
        if images.min() < 0 or images.max() > 255:
            raise InputError(f"{what} ranges from {images.min()} to {images.max()}; whole numbers go from 0 to 255")
        return images.astype(np.uint8)
    if images.dtype.kind != "f":
        raise InputError(f"{what} is of type {images.dtype}; images are uint8, or floats from 0 to 1")
    if not np.isfinite(images).all():
        raise InputError(f"{what} has pixels that are NaN or infinite; remove or repair those images")
    if images.min() < 0 or images.max() > 1:
        raise InputError(f"{what} ranges from {images.min():g} to {images.max():g}; floats go from 0 to 1")
    return images.astype(np.float32, copy=False)


def _checked_labels(labels: NDArray[Any], what: str) -> NDArray[Any]:
    if labels.ndim != 1 or len(labels) == 0:
        raise InputError(f"{what} has the shape {labels.shape}; labels are (n,), one whole number a row")
    if labels.dtype.kind not in "iu":
        raise InputError(f"{what} is of type {labels.dtype}; labels are whole numbers 0…C−1")
    if labels.min() < 0 or labels.max() >= 1_000_000:
        raise InputError(f"{what} ranges from {labels.min()} to {labels.max()}; labels are whole numbers 0…C−1")
    return labels.astype(np.int32, copy=False)
