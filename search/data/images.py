"""Reads a directory of images with one sub-directory per class, as `keras.utils.image_dataset_from_directory` does."""

import hashlib
import math
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...studies.errors import InputError, reason_of
from ...studies.files import replacing
from .arrays import KEYS, Dataset, check_size, read_arrays
from .splits import stratified_split

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")

_FORMATS = ("BMP", "GIF", "JPEG", "PNG")
_GREY = ("1", "L", "LA")  # Pillow's modes of grey images
_PARTS = ("train", "test")
_TEST_SHARE, _TEST_SEED = 0.2, 0
_CACHE_VERSION = 1  # increase it if a change of the code gives other arrays for the same files


@dataclass(frozen=True, kw_only=True)
class _Listing:
    """The image files of the training or the test set, sorted by class and path, with labels and class names."""

    files: tuple[Path, ...]
    labels: tuple[int, ...]
    class_names: tuple[str, ...]


def has_parts(folder: Path) -> bool:
    """Return whether a directory has the sub-directories `train` and `test` with its training and test images.

    Raises InputError if only one of them exists, or if the directory can't be read.
    """
    parts = [name for name in _PARTS if name in _sub_folders(folder)]
    if len(parts) == 1:
        (missing,) = set(_PARTS) - set(parts)
        raise InputError(
            f"{folder} has a sub-directory {parts[0]}, but none called {missing}. Give both, each with one "
            "sub-directory per class, or give neither of them."
        )
    return bool(parts)


def read_images(folder: Path, size: tuple[int, int] | None = None) -> Dataset:
    """Read a directory of images as a data set, which is named after the directory.

    The sub-directories are the classes, sorted by name; the first one has the label 0. A sub-directory may have images
    at any depth. Names that start with a dot are skipped.

    If all images are grey, an example has the shape (height, width), otherwise (height, width, 3). Transparency is
    ignored, and so are all images of an animation after the first one.

    If there are no sub-directories `train` and `test`, the test set is a stratified fifth of the images. This fifth
    is always the same. The decoded arrays are cached (see `_cache_path`).

    Args:
        folder: the directory.
        size: the (height, width) to which images are resized, bilinearly. If it is None, all images must have the same
            size.

    Raises InputError if there are no images, if an image can't be decoded, or if the images don't fit together.
    """
    parts = [_listing(folder / part) for part in _PARTS] if has_parts(folder) else [_listing(folder)]
    class_names = parts[0].class_names
    if parts[-1].class_names != class_names:
        different = sorted(set(class_names) ^ set(parts[-1].class_names))
        raise InputError(
            f"{folder}: train and test must have the same classes, but only one of them has the class {different[0]}."
        )
    arrays = _cached_arrays(folder, parts, size)
    return Dataset(
        name=folder.absolute().name,
        class_names=class_names,
        held_out=None if len(parts) == 2 else _held_out_sentence(len(arrays["x_train"]), len(arrays["x_test"])),
        **arrays,
    )


def _held_out_sentence(n_train: int, n_test: int) -> str:
    return (
        f"it has no sub-directories train and test, so {n_test:,} of its {n_train + n_test:,} images are the test set. "
        "This stratified fifth is always the same."
    )


def _sub_folders(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise InputError(f"can't read {folder}: {error.strerror}") from error


def _listing(folder: Path) -> _Listing:
    files: list[Path] = []
    labels: list[int] = []
    class_names = _sub_folders(folder)
    for label, name in enumerate(class_names):
        images = list(_image_files(folder / name))
        if not images:
            raise InputError(
                f"{folder / name} has no images. Each sub-directory of {folder} is a class, and the names of its "
                f"images end in {', '.join(SUFFIXES)}."
            )
        files += images
        labels += [label] * len(images)
    if len(class_names) < 2:
        raise InputError(
            f"{folder} has {len(class_names)} sub-directories with images. It must have one per class, at least 2."
        )
    return _Listing(files=tuple(files), labels=tuple(labels), class_names=tuple(class_names))


def _image_files(folder: Path) -> Iterator[Path]:
    def raise_input_error(error: OSError) -> None:
        raise InputError(f"can't read {error.filename}: {error.strerror}") from error

    for path, sub_folders, names in os.walk(folder, onerror=raise_input_error):
        sub_folders[:] = sorted(name for name in sub_folders if not name.startswith("."))
        for name in sorted(names):
            if (
                name.lower().endswith(SUFFIXES)
                and not name.startswith(".")
                and os.path.isfile(file := f"{path}/{name}")
            ):
                yield Path(file)


def _cached_arrays(folder: Path, parts: Sequence[_Listing], size: tuple[int, int] | None) -> dict[str, Any]:
    """Return the four arrays from the cache. If they are not in the cache, decode the images and cache the arrays."""
    cache = _cache_path(folder, parts, size)
    if cache.is_file():
        with suppress(InputError):  # if the cache is damaged, decode the images again
            return read_arrays(cache)
    arrays = _decode(folder, parts, size)
    if _cache_path(folder, parts, size) == cache:  # no file has changed meanwhile
        _write_cache(cache, arrays)
    return arrays


def _cache_path(folder: Path, parts: Sequence[_Listing], size: tuple[int, int] | None) -> Path:
    """Return the path of the cache file with the arrays of these images, in the user's cache directory.

    The path depends on each file's path, label, length, inode, modification time and change time. Programs can't set
    the change time back, so every change of a file gives another path.
    """
    source = hashlib.sha256(os.fsencode(folder.absolute()) + repr(size).encode())
    state = hashlib.sha256(f"{_CACHE_VERSION}".encode())
    try:
        for part in parts:
            for file, label in zip(part.files, part.labels, strict=True):
                status = file.stat()
                attributes = (label, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
                state.update(os.fsencode(file.relative_to(folder)) + b"\0" + repr(attributes).encode() + b"\n")
    except OSError as error:
        raise InputError(f"can't read {error.filename}: {error.strerror}") from error
    caches = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    return caches / "regsearch" / f"{source.hexdigest()[:16]}-{state.hexdigest()[:32]}.npz"


def _write_cache(path: Path, arrays: dict[str, Any]) -> None:
    """Cache arrays, and remove older cached arrays of the same directory. Errors of the file system are ignored."""
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)
        for other in path.parent.glob(f"{path.name.partition('-')[0]}-*.npz"):
            if other != path:
                other.unlink(missing_ok=True)


def _decode(folder: Path, parts: Sequence[_Listing], size: tuple[int, int] | None) -> dict[str, Any]:
    shape = _example_shape(folder, [file for part in parts for file in part.files], size)
    x = [_pixels(part.files, shape) for part in parts]
    y = [np.array(part.labels, np.int32) for part in parts]
    if len(parts) == 2:
        return dict(zip(KEYS, (x[0], y[0], x[1], y[1]), strict=True))
    (images,), (labels,) = x, y
    train, test = stratified_split(labels, [round(_TEST_SHARE * len(labels))], _TEST_SEED)
    for part in (train, test):
        missing = np.setdiff1d(labels, labels[part])
        if len(missing):
            raise InputError(
                f"{folder}: the class {parts[0].class_names[missing[0]]} has {np.sum(labels == missing[0])} images, "
                "too few to use a fifth of them as the test set. Give more images, or sub-directories train and test."
            )
    return dict(zip(KEYS, (images[train], labels[train], images[test], labels[test]), strict=True))


def _example_shape(folder: Path, files: Sequence[Path], size: tuple[int, int] | None) -> tuple[int, ...]:
    """Return the shape of one example. This reads only the headers of the images."""
    sizes: Counter[tuple[int, int]] = Counter()
    is_grey = True
    for file in files:
        with _open(file) as image:
            if image.mode.startswith(("I", "F")):
                raise InputError(f"{file} has more than 8 bits per pixel and channel. Save the image with 8 bits.")
            sizes[image.height, image.width] += 1
            is_grey = is_grey and image.mode in _GREY
    if size is None and len(sizes) > 1:
        largest = ", ".join(f"{count:,} of {height}×{width}" for (height, width), count in sizes.most_common(3))
        raise InputError(
            f"{folder}: the images have {len(sizes):,} sizes ({largest}{', …' if len(sizes) > 3 else ''}; height × "
            "width), but must all have the same size. Resize them with data.image_size, such as --set "
            "'data.image_size=[64, 64]'."
        )
    shape = (*(size or next(iter(sizes))), *(() if is_grey else (3,)))
    check_size(f"{folder} ({len(files):,} images of the shape {shape})", len(files) * math.prod(shape))
    return shape


def _pixels(files: Sequence[Path], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Decode images into an array of the shape (n, *shape)."""
    pixels = np.empty((len(files), *shape), np.uint8)
    height, width, *_ = shape
    for row, file in zip(pixels, files, strict=True):
        with _open(file) as image:
            same_mode = image.convert("L" if len(shape) == 2 else "RGB")
            if same_mode.size != (width, height):  # resize it as `keras.utils.load_img` does
                same_mode = same_mode.resize((width, height), Image.Resampling.BILINEAR)
            row[...] = np.asarray(same_mode)
    return pixels


@contextmanager
def _open(file: Path) -> Iterator[Image.Image]:
    """Open an image. Pillow reads only its header until the pixels are needed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ignore warnings about odd files that can be decoded
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=_FORMATS) as image:
                yield image
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"can't read {file}: it does not fit into this machine's memory.") from error
    except Exception as error:
        raise InputError(f"can't read {file} as an image: {reason_of(error)}. Repair or remove it.") from error
