"""A folder of images with a sub-folder for each class, as `keras.utils.image_dataset_from_directory` takes it."""

import hashlib
import math
import os
import secrets
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

from regsearch.search.data.arrays import KEYS, Dataset, check_size, read_arrays
from regsearch.search.data.splits import stratified_split
from regsearch.studies.errors import InputError

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")

_FORMATS = ("BMP", "GIF", "JPEG", "PNG")
_GREY = ("1", "L", "LA")  # Pillow's modes
_PARTS = ("train", "test")
_TEST_SHARE, _TEST_SEED = 0.2, 0
_CACHE_VERSION = 1  # another one where the same files give other arrays


@dataclass(frozen=True, kw_only=True)
class _Listing:
    """The image files of one part, by class and then by path, their labels, and the classes' names."""

    files: tuple[Path, ...]
    labels: tuple[int, ...]
    class_names: tuple[str, ...]


def has_parts(folder: Path) -> bool:
    """Return whether a folder's training and test images lie in sub-folders `train` and `test`.

    Raises InputError where only one of them is there, or the folder can't be read.
    """
    found = [name for name in _PARTS if name in _sub_folders(folder)]
    if len(found) == 1:
        (missing,) = set(_PARTS) - set(found)
        raise InputError(
            f"{folder} has a sub-folder {found[0]}, but none called {missing}: give both, each with a sub-folder for "
            "each class, or the classes' folders alone"
        )
    return bool(found)


def read_images(folder: Path, size: tuple[int, int] | None = None) -> Dataset:
    """Read a folder of images; the data set is called as the folder, and what was decoded is kept, see `_cache`.

    Classes are the sub-folders by name, the first is label 0; images lie in them at any depth. Names that begin with a
    dot are passed over. If all images are grey, rows are (height, width), else (height, width, 3); transparency is
    dropped; of an animation the first image counts. Where there are no sub-folders `train` and `test`, a stratified
    fifth of the images is the test part, the same one each time.

    Args:
        folder: see above.
        size: (height, width) to which images are resized, bilinearly; None: they must all be of one size.

    Raises InputError where there are no images, one can't be decoded, or they don't fit together.
    """
    parts = [_listing(folder / part) for part in _PARTS] if has_parts(folder) else [_listing(folder)]
    class_names = parts[0].class_names
    if parts[-1].class_names != class_names:
        different = sorted(set(class_names) ^ set(parts[-1].class_names))
        raise InputError(f"{folder}: train and test must have the same classes; {different[0]} is in one of them only")
    arrays = _kept_arrays(folder, parts, size)
    return Dataset(
        name=folder.absolute().name,
        class_names=class_names,
        held_out=None if len(parts) == 2 else _held_out(len(arrays["x_train"]), len(arrays["x_test"])),
        **arrays,
    )


def _held_out(n_train: int, n_test: int) -> str:
    return (
        f"it has no folders train and test, so {n_test:,} of its {n_train + n_test:,} images, a stratified fifth that "
        "is always the same, are the test rows"
    )


def _sub_folders(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise InputError(f"{folder} can't be read: {error.strerror}") from error


def _listing(folder: Path) -> _Listing:
    files: list[Path] = []
    labels: list[int] = []
    class_names = _sub_folders(folder)
    for label, name in enumerate(class_names):
        found = list(_image_files(folder / name))
        if not found:
            raise InputError(
                f"{folder / name} has no images: each sub-folder of {folder} is a class, whose images end in "
                f"{', '.join(SUFFIXES)}"
            )
        files += found
        labels += [label] * len(found)
    if len(class_names) < 2:
        raise InputError(
            f"{folder} has {len(class_names)} sub-folders with images; it must have one for each class, and at least 2"
        )
    return _Listing(files=tuple(files), labels=tuple(labels), class_names=tuple(class_names))


def _image_files(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename} can't be read: {error.strerror}") from error

    for path, sub_folders, names in os.walk(folder, onerror=refuse):
        sub_folders[:] = sorted(name for name in sub_folders if not name.startswith("."))
        for name in sorted(names):
            if (
                name.lower().endswith(SUFFIXES)
                and not name.startswith(".")
                and os.path.isfile(file := f"{path}/{name}")
            ):
                yield Path(file)


def _kept_arrays(folder: Path, parts: Sequence[_Listing], size: tuple[int, int] | None) -> dict[str, Any]:
    """Return the four arrays: those that were kept when the same files were decoded before, else decoded and kept."""
    before = _cache(folder, parts, size)
    if before.is_file():
        with suppress(InputError):  # damaged: the images are still there
            return read_arrays(before)
    arrays = _decoded(folder, parts, size)
    if _cache(folder, parts, size) == before:  # nobody changed a file meanwhile
        _keep(before, arrays)
    return arrays


def _cache(folder: Path, parts: Sequence[_Listing], size: tuple[int, int] | None) -> Path:
    """Return the file, in the user's cache folder, that keeps what was decoded from files as they are now.

    They are told by path, length and times, of modification and of change, which nobody can set back.
    """
    source = hashlib.sha256(os.fsencode(folder.absolute()) + repr(size).encode())
    state = hashlib.sha256(f"{_CACHE_VERSION}".encode())
    try:
        for part in parts:
            for file, label in zip(part.files, part.labels, strict=True):
                found = file.stat()
                figures = (label, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
                state.update(os.fsencode(file.relative_to(folder)) + b"\0" + repr(figures).encode() + b"\n")
    except OSError as error:
        raise InputError(f"{error.filename} can't be read: {error.strerror}") from error
    caches = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    return caches / "regsearch" / f"{source.hexdigest()[:16]}-{state.hexdigest()[:32]}.npz"


def _keep(path: Path, arrays: dict[str, Any]) -> None:
    """Keep arrays, in place of what the same folder held before; where that can't be, they are decoded each time."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                np.savez(file, **arrays)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        for other in path.parent.glob(f"{path.name.partition('-')[0]}-*.npz"):
            if other != path:
                other.unlink(missing_ok=True)


def _decoded(folder: Path, parts: Sequence[_Listing], size: tuple[int, int] | None) -> dict[str, Any]:
    shape = _row_shape(folder, [file for part in parts for file in part.files], size)
    x = [_pixels(part.files, shape) for part in parts]
    y = [np.array(part.labels, np.int32) for part in parts]
    if len(parts) == 2:
        return dict(zip(KEYS, (x[0], y[0], x[1], y[1]), strict=True))
    (images,), (labels,) = x, y
    train, test = stratified_split(labels, [round(_TEST_SHARE * len(labels))], _TEST_SEED)
    for rows in (train, test):
        missing = np.setdiff1d(labels, labels[rows])
        if len(missing):
            raise InputError(
                f"{folder}: the class {parts[0].class_names[missing[0]]} has {np.sum(labels == missing[0])} images, "
                "too few to hold a fifth of them out as test rows: give more, or sub-folders train and test"
            )
    return dict(zip(KEYS, (images[train], labels[train], images[test], labels[test]), strict=True))


def _row_shape(folder: Path, files: Sequence[Path], size: tuple[int, int] | None) -> tuple[int, ...]:
    """Return the shape of one row, from the images' headers alone."""
    sizes: Counter[tuple[int, int]] = Counter()
    is_grey = True
    for file in files:
        with _opened(file) as image:
            if image.mode.startswith(("I", "F")):
                raise InputError(f"{file} has more than 8 bits a pixel; save it with 8")
            sizes[image.height, image.width] += 1
            is_grey = is_grey and image.mode in _GREY
    if size is None and len(sizes) > 1:
        some = ", ".join(f"{count:,} of {height}×{width}" for (height, width), count in sizes.most_common(3))
        raise InputError(
            f"{folder}: the images are of {len(sizes):,} sizes ({some}{', …' if len(sizes) > 3 else ''}; height × "
            "width), and must be of one: let them be resized by data.image_size, such as "
            "--set 'data.image_size=[64, 64]'"
        )
    shape = (*(size or next(iter(sizes))), *(() if is_grey else (3,)))
    check_size(f"{folder}, {len(files):,} images of the shape {shape},", len(files) * math.prod(shape))
    return shape


def _pixels(files: Sequence[Path], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Decode images into (n, *shape)."""
    pixels = np.empty((len(files), *shape), np.uint8)
    height, width, *_ = shape
    for row, file in zip(pixels, files, strict=True):
        with _opened(file) as image:
            same_mode = image.convert("L" if len(shape) == 2 else "RGB")
            if same_mode.size != (width, height):  # as `keras.utils.load_img` does
                same_mode = same_mode.resize((width, height), Image.Resampling.BILINEAR)
            row[...] = np.asarray(same_mode)
    return pixels


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    """Give an image, of which only the header is read yet."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is odd, but can be decoded
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=_FORMATS) as image:
                yield image
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{file} does not fit into this machine's memory") from error
    except Exception as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(f"{file} can't be read as an image ({reason}): repair or remove it") from error
