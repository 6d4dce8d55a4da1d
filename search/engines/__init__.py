"""Where workers live: one module an engine, found by its name; it has an `ENGINE` class."""

import importlib
import pkgutil

from search.engines.base import Engine
from studies.errors import InputError


def engine_names() -> list[str]:
    """Return the names of the engines: the modules here that define `ENGINE`."""
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return [name for name in modules if hasattr(importlib.import_module(f"{__name__}.{name}"), "ENGINE")]


def make_engine(name: str) -> Engine:
    """Return a new engine; raises InputError for an unknown name."""
    if name not in engine_names():
        raise InputError(f"no engine is called {name!r}: there are {', '.join(engine_names())}")
    engine: Engine = importlib.import_module(f"{__name__}.{name}").ENGINE()
    return engine
