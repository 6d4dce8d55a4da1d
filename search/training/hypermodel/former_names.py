"""Supports former import names: users' code may still import `search`, `studies` and `storage` without `regsearch`.

While such code is loaded or called, these names refer to the modules of `regsearch` themselves, so that no module
is loaded twice. If a module with such a name lies beside the user's code, that module is imported instead.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

FORMER_NAMES = ("search", "storage", "studies")


class _Alias(importlib.abc.Loader):
    """Loads a module by returning an existing one."""

    def __init__(self, name: str) -> None:
        self._name = name

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module = importlib.import_module(self._name)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        module.__spec__ = self._spec  # the import system replaced the original spec


class _AliasFinder(importlib.abc.MetaPathFinder):
    """Finds modules by their former names, unless the user's directory has a module with that name."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        package = name.partition(".")[0]
        if package not in FORMER_NAMES or self._is_users_own(package):
            return None
        current_name = f"regsearch.{name}"
        try:
            if importlib.util.find_spec(current_name) is None:
                return None
        except ModuleNotFoundError:  # not even the package of the module exists
            return None
        return importlib.machinery.ModuleSpec(name, _Alias(current_name), is_package=True)

    def _is_users_own(self, package: str) -> bool:
        if self._folder is None or self._folder == PACKAGE:
            return False
        return (self._folder / f"{package}.py").exists() or (self._folder / package / "__init__.py").exists()


PACKAGE = Path(__file__).parents[3]
"""The directory of the package `regsearch`."""


@contextmanager
def former_names(folder: Path | None = None) -> Iterator[None]:
    """Allow imports of `search`, `studies` and `storage` while the block runs.

    Args:
        folder: the directory of the user's code; a module there with such a name is imported instead.

    Example:
        >>> with former_names():
        ...     from search import regularized
        >>> import regsearch
        >>> regularized is regsearch.regularized
        True
    """
    finder = _AliasFinder(folder)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] in FORMER_NAMES and sys.modules.get(f"regsearch.{name}") is module:
                del sys.modules[name]
