"""The data sets: one module each, found by its name; it has a `load() -> Dataset`."""

import difflib
import importlib
import pkgutil
from pathlib import Path

from search.data.arrays import Dataset, read_npz
from studies.errors import InputError


def dataset_names() -> list[str]:
    """Return the names of the built-in data sets: the modules here that define `load`."""
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return [name for name in modules if hasattr(importlib.import_module(f"{__name__}.{name}"), "load")]


def load_dataset(source: str) -> Dataset:
    """Load a built-in data set by its name, or an .npz file by its path; checked.

    Raises InputError where there is no such data set or its arrays can't be used, and
    DataUnavailableError (an InputError) where a built-in one can be neither found nor fetched.
    """
    if source in dataset_names():
        dataset: Dataset = importlib.import_module(f"{__name__}.{source}").load()
        return dataset
    if Path(source).suffix == ".npz":
        return read_npz(Path(source))
    near = difflib.get_close_matches(source, dataset_names(), n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(dataset_names())}"
    raise InputError(f"no data set is called {source!r}: {hint} (or give the path of an .npz file)")
