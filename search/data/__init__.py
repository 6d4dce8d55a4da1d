"""The data sets: built-in ones, a module each that has a `load() -> Dataset`, and the user's own files and folders."""

import difflib
import importlib
import os
import pkgutil
from pathlib import Path
from typing import Literal

from regsearch.search.data.arrays import Dataset, read_npz
from regsearch.search.data.idx import is_idx_name, read_idx
from regsearch.search.data.images import has_parts, read_images
from regsearch.studies.errors import InputError

SourceKind = Literal["built-in", "npz", "idx", "classes", "parts"]
"""What a source is: a built-in data set, an .npz file, IDX files, or a folder of images: of a sub-folder for each
class, or of `train` and `test` that have those."""

_OWN = "an .npz file, a folder of MNIST's IDX files, or a folder of images with a sub-folder for each class"


def dataset_names() -> list[str]:
    """Return the names of the built-in data sets: the modules here that define `load`."""
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return [name for name in modules if hasattr(importlib.import_module(f"{__name__}.{name}"), "load")]


def source_kind(source: str) -> SourceKind:
    """Return what a source is; raises InputError where it is nothing of that."""
    if source in dataset_names():
        return "built-in"
    if Path(source).suffix == ".npz":
        return "npz"
    if is_idx_name(Path(source).name):
        return "idx"
    if os.path.isdir(source):  # unlike Path.is_dir, it takes any name
        try:
            names = os.listdir(source)
        except OSError as error:
            raise InputError(f"{source} can't be read: {error.strerror}") from error
        if any(is_idx_name(name) for name in names):
            return "idx"
        return "parts" if has_parts(Path(source)) else "classes"
    if os.path.lexists(source) or os.sep in source:
        what = "is no data" if os.path.exists(source) else "is not there"
        raise InputError(f"{source} {what}: give {', '.join(dataset_names())}, {_OWN}")
    near = difflib.get_close_matches(source, dataset_names(), n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(dataset_names())}"
    raise InputError(f"no data set is called {source!r}: {hint} (or give the path of {_OWN})")


def located(source: str) -> str:
    """Return a source as other processes, in other folders, find it too: a file's or a folder's absolute path."""
    return source if source in dataset_names() else str(Path(source).absolute())


def load_dataset(source: str, image_size: tuple[int, int] | None = None) -> Dataset:
    """Load a built-in data set by its name, or one of the user's own by its path; checked.

    Args:
        source: see `SourceKind`; a built-in name comes before a folder of that name.
        image_size: see `DataSpec.image_size`.

    Raises InputError where there is no such data set or its arrays can't be used, and
    DataUnavailableError (an InputError) where a built-in one can be neither found nor fetched.
    """
    kind = source_kind(source)
    if kind in ("classes", "parts"):
        return read_images(Path(source), image_size)
    if image_size is not None:
        raise InputError(f"data.image_size is for folders of images, and {source} is none: leave it out")
    if kind == "npz":
        return read_npz(Path(source))
    if kind == "idx":
        return read_idx(Path(source))
    dataset: Dataset = importlib.import_module(f"{__name__}.{source}").load()
    return dataset
