"""Searches the regularization of Keras networks; what scripts and notebooks use is here, and loaded when it is used.

For example:
    >>> import search
    >>> result = search.run("smoke", trials=4, storage="sqlite:///example.db")
    >>> result.best.state
    'complete'
    >>> search.load("smoke", storage="sqlite:///example.db").answer.counts.finished
    4
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.api import compare, confirm, load, resume, run
    from search.progress import Progress
    from search.result import RunResult, StudyResult
    from search.training.regularized import regularized
    from studies.errors import RegsearchError

__all__ = [
    "Progress",
    "RegsearchError",
    "RunResult",
    "StudyResult",
    "compare",
    "confirm",
    "load",
    "regularized",
    "resume",
    "run",
]

_HOMES = {
    "Progress": "search.progress",
    "RegsearchError": "studies.errors",
    "RunResult": "search.result",
    "StudyResult": "search.result",
    "regularized": "search.training.regularized",
}


def __getattr__(name: str) -> Any:
    """Load what is asked for: `--help` needs none of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES.get(name, "search.api")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
