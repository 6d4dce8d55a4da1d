"""Runs studies: the command line, the Python functions, samplers, workers, training and export.

A user's code that was written for an earlier version may contain `from search import regularized`. So the public names
of `regsearch` can be imported from here, too.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """Return the function or class of `regsearch` that has this name."""
    import regsearch

    if name not in regsearch.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(regsearch, name)
