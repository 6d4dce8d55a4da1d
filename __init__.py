"""Finds the regularization that a Keras network needs: functions and classes for scripts and notebooks.

Each name is imported when it is first used, so that `import regsearch` is quick.

Example:
    >>> import regsearch
    >>> result = regsearch.run("smoke", trials=4, storage="sqlite:///example.db")
    >>> result.best.state
    'complete'
    >>> regsearch.load("smoke", storage="sqlite:///example.db").answer.counts.finished
    4
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .search.api import compare, confirm, load, resume, run
    from .search.result import RunResult, StudyResult
    from .search.run.progress import Progress
    from .search.training.regularized import regularized
    from .studies.errors import RegsearchError

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

_API = "regsearch.search.api"
_MODULES = {
    "Progress": "regsearch.search.run.progress",
    "RegsearchError": "regsearch.studies.errors",
    "RunResult": "regsearch.search.result",
    "StudyResult": "regsearch.search.result",
    "regularized": "regsearch.search.training.regularized",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `regsearch --help` is quick."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES.get(name, _API)), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
