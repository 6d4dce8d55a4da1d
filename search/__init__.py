"""Runs studies: the command line, the Python functions, samplers, workers, training and export.

Users' code may still contain `from search import regularized`, from before the package was called `regsearch`. So the
public names can be imported from here, too.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """Return a public name of `regsearch`."""
    import regsearch

    if name not in regsearch.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(regsearch, name)
