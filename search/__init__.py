"""Running: the command line, the Python functions, samplers, workers, training and export.

A user's code from before the package was called `regsearch` has `from search import regularized`; so the public names
can be had from here, too.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """Return a public name of `regsearch`."""
    import regsearch

    if name not in regsearch.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(regsearch, name)
