"""Where workers live: one module an engine, found by its name; it has an `ENGINE` class."""

import importlib
import inspect
import pkgutil
from collections.abc import Collection
from typing import Any

from search.engines.base import Engine
from studies.errors import InputError


def engine_names() -> list[str]:
    """Return the names of the engines: the modules here that define `ENGINE`."""
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return [name for name in modules if hasattr(importlib.import_module(f"{__name__}.{name}"), "ENGINE")]


def make_engine(name: str, **options: Any) -> Engine:
    """Return a new engine, made with these options.

    Raises InputError for an unknown name, and for an option that this engine hasn't.
    """
    if name not in engine_names():
        raise InputError(f"no engine is called {name!r}: there are {', '.join(engine_names())}")
    make = importlib.import_module(f"{__name__}.{name}").ENGINE
    for option in options.keys() - set(_parameters(name)):
        others = [other for other in engine_names() if option in _parameters(other)]
        raise InputError(
            f"--{option.replace('_', '-')} is nothing that the engine {name} knows; give --engine {' or '.join(others)}"
        )
    engine: Engine = make(**options)
    return engine


def described(engine: Engine) -> str:
    """Return an engine in one line, with the options that it was made with, as a run's record has it."""
    options = getattr(engine, "options", {})
    name = type(engine).__name__
    return f"{name}({', '.join(f'{option}={value}' for option, value in options.items())})" if options else name


def _parameters(name: str) -> Collection[str]:
    return inspect.signature(importlib.import_module(f"{__name__}.{name}").ENGINE).parameters
