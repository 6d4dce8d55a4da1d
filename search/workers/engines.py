"""Creates an engine from its name; imports the module of an engine only when it is needed."""

import inspect
from collections.abc import Collection
from importlib import import_module
from typing import Any

from ...studies.errors import InputError
from .base import Engine

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
    """Create an engine with these options.

    Raises InputError for an unknown name, and for an option that this engine doesn't have.

    Example:
        >>> type(make_engine("inline")).__name__
        'InlineEngine'
    """
    if name not in _MODULES:
        raise InputError(f"unknown engine {name!r}. Use {', '.join(_MODULES)}.")
    for option in options.keys() - set(_parameters(name)):
        others = [other for other in _MODULES if option in _parameters(other)]
        raise InputError(
            f"--{option.replace('_', '-')} is not supported by the engine {name}. Use --engine {' or '.join(others)}."
        )
    engine: Engine = import_module(_MODULES[name]).ENGINE(**options)
    return engine


def describe(engine: Engine) -> str:
    """Return the class and the options of an engine as one line, which is stored with each run.

    Example:
        >>> describe(make_engine("processes", gpus_per_worker=0))
        'ProcessEngine(gpus_per_worker=0)'
    """
    options = getattr(engine, "options", {})
    name = type(engine).__name__
    return f"{name}({', '.join(f'{option}={value}' for option, value in options.items())})" if options else name


def _parameters(name: str) -> Collection[str]:
    return inspect.signature(import_module(_MODULES[name]).ENGINE).parameters
