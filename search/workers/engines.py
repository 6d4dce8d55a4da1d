"""The engines by name: where workers live. Only the module of the engine that is asked for is imported."""

import inspect
from collections.abc import Collection
from importlib import import_module
from typing import Any

from regsearch.search.workers.base import Engine
from regsearch.studies.errors import InputError

_MODULES = {
    "inline": "regsearch.search.workers.inline",
    "processes": "regsearch.search.workers.processes",
    "ray": "regsearch.search.workers.ray.engine",
}


def engine_names() -> list[str]:
    """Return the names of the engines.

    Example:
        >>> engine_names()
        ['inline', 'processes', 'ray']
    """
    return list(_MODULES)


def make_engine(name: str, **options: Any) -> Engine:
    """Return a new engine, made with these options.

    Raises InputError for an unknown name, and for an option that this engine hasn't.
    """
    if name not in _MODULES:
        raise InputError(f"no engine is called {name!r}: there are {', '.join(_MODULES)}")
    for option in options.keys() - set(_parameters(name)):
        others = [other for other in _MODULES if option in _parameters(other)]
        raise InputError(
            f"--{option.replace('_', '-')} is nothing that the engine {name} knows; give --engine {' or '.join(others)}"
        )
    engine: Engine = import_module(_MODULES[name]).ENGINE(**options)
    return engine


def describe(engine: Engine) -> str:
    """Return an engine in one line, with the options that it was made with, as a run's record has it."""
    options = getattr(engine, "options", {})
    name = type(engine).__name__
    return f"{name}({', '.join(f'{option}={value}' for option, value in options.items())})" if options else name


def _parameters(name: str) -> Collection[str]:
    return inspect.signature(import_module(_MODULES[name]).ENGINE).parameters
