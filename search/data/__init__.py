"""Loads data sets: built-in ones, and the user's files and directories.

Each module in this package with a function `load() -> Dataset` is a built-in data set.
"""

import difflib
import importlib
import os
import pkgutil
from pathlib import Path
from typing import Literal

from ...studies.errors import InputError
from .arrays import Dataset, read_npz
from .idx import is_idx_name, read_idx
from .images import has_parts, read_images

SourceKind = Literal["built-in", "npz", "idx", "classes", "parts"]
"""The kinds of sources: a built-in data set, an .npz file, IDX files, and two kinds of image directories.

`classes` is a directory of images with one sub-directory per class. `parts` is a directory with two sub-directories,
`train` and `test`; each of these has one sub-directory per class."""

_PATH_KINDS = (
    "an .npz file, a directory of MNIST's IDX files, or a directory of images with one sub-directory per class"
)


def dataset_names() -> list[str]:
    """Return the names of the built-in data sets: the modules of this package that define `load`.

    Example:
        >>> dataset_names()
        ['digits', 'mnist']
    """
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return [name for name in modules if hasattr(importlib.import_module(f"{__name__}.{name}"), "load")]


def source_kind(source: str) -> SourceKind:
    """Return the kind of a data source. Raises InputError if the source is not a data set.

    Example:
        >>> source_kind("digits"), source_kind("mine.npz")
        ('built-in', 'npz')
    """
    if source in dataset_names():
        return "built-in"
    if Path(source).suffix == ".npz":
        return "npz"
    if is_idx_name(Path(source).name):
        return "idx"
    if os.path.isdir(source):  # unlike Path.is_dir, it accepts any string
        try:
            names = os.listdir(source)
        except OSError as error:
            raise InputError(f"can't read {source}: {error.strerror}") from error
        if any(is_idx_name(name) for name in names):
            return "idx"
        return "parts" if has_parts(Path(source)) else "classes"
    if os.path.lexists(source) or os.sep in source:
        cause = "it is not a data set" if os.path.exists(source) else "there is no such file"
        raise InputError(f"can't read {source}: {cause}. Give {', '.join(dataset_names())}, {_PATH_KINDS}.")
    near = difflib.get_close_matches(source, dataset_names(), n=1)
    hint = f"Did you mean {near[0]}?" if near else f"The built-in ones are {', '.join(dataset_names())}."
    raise InputError(f"no data set is called {source!r}. {hint} You can also give the path of {_PATH_KINDS}.")


def located(source: str) -> str:
    """Return a data source in a form that is valid in every directory: a built-in name, or an absolute path.

    Example:
        >>> located("digits"), located("/data/mine.npz")
        ('digits', '/data/mine.npz')
    """
    return source if source in dataset_names() else str(Path(source).absolute())


def load_dataset(source: str, image_size: tuple[int, int] | None = None) -> Dataset:
    """Load and check a built-in data set by its name, or the user's data by its path.

    Args:
        source: the name of a built-in data set, or a path of one of the kinds in `SourceKind`. If a directory has the
            name of a built-in data set, the built-in data set is loaded.
        image_size: see `DataSpec.image_size`.

    Raises InputError if there is no such data set or its arrays can't be used. Raises DataUnavailableError, which is
    an InputError, if a built-in data set can be neither found nor downloaded.

    Example:
        >>> str(load_dataset("digits"))
        'digits (1,437 training and 360 test examples, sha256 8975837f7fa4…)'
    """
    kind = source_kind(source)
    if kind in ("classes", "parts"):
        return read_images(Path(source), image_size)
    if image_size is not None:
        raise InputError(
            f"data.image_size is only for directories of images, and {source} is not such a directory. Leave "
            "data.image_size out."
        )
    if kind == "npz":
        return read_npz(Path(source))
    if kind == "idx":
        return read_idx(Path(source))
    dataset: Dataset = importlib.import_module(f"{__name__}.{source}").load()
    return dataset
