"""The options of a run, declared once for the Python functions and the command line."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, ParamSpec, Self, TypedDict, TypeVar, get_args

from ...storage.location import Location
from ..workers.base import Engine
from .progress import Progress, progress_here

P = ParamSpec("P")
T = TypeVar("T")


class TrainingKeywords(TypedDict, total=False):
    """The keyword arguments of everything that trains; `RunOptions` describes them."""

    timeout: str | None
    workers: int | None
    engine: str | Engine
    progress: Progress | None
    handle_signals: bool
    trust_code: bool
    log: str | Path | None


class SearchKeywords(TrainingKeywords, total=False):
    """The keyword arguments of a search; `RunOptions` describes them."""

    trials: int | None
    confirm: bool
    tensorboard: str | Path | None
    checkpoints: str | Path | None


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a run is started with, beside its study.

    Attributes:
        location: the database.
        trials: the study's total over all runs, at least 1, if the user asked for one. With None, a larger total that
            is stored stays.
        timeout: of this run, such as "30m"; None means the study's own.
        workers: how many trials run at once, at least 1. None means one per core, and all of a cluster.
        engine: "processes", "inline" or "ray", or an engine that is made already.
        search: whether it searches; otherwise it only confirms.
        confirm: whether it confirms the best configurations, unless the study's `confirm.seeds` is 0.
        progress: shows what happens.
        handle_signals: whether Ctrl-C and SIGTERM stop the run in good order.
        tensorboard: an existing directory for TensorBoard's files; None writes none.
        checkpoints: an existing directory for a Keras model of each epoch; None writes none.
        trust_code: whether the code of the study's HyperModel may run.
        log: a file to which one line per decision is appended; None writes none.
        given: the keys "section.key" that the user gave. A stored study keeps its own values of the others.
    """

    location: Location
    trials: int | None = None
    timeout: str | None = None
    workers: int | None = None
    engine: str | Engine = "processes"
    search: bool = True
    confirm: bool = True
    progress: Progress
    handle_signals: bool = False
    tensorboard: str | Path | None = None
    checkpoints: str | Path | None = None
    trust_code: bool = False
    log: str | Path | None = None
    given: frozenset[str] = frozenset()

    @classmethod
    def from_keywords(cls, location: Location, keywords: Mapping[str, Any], **others: Any) -> Self:
        """Return options with a user's keyword arguments; a progress of None becomes one that suits the place."""
        progress = keywords.get("progress") or progress_here()
        return cls(location=location, **{**keywords, "progress": progress}, **others)


def with_listed_keywords(function: Callable[P, T]) -> Callable[P, T]:
    """Let `help()` and notebooks list each keyword of a function's `**options: Unpack[...]`, and refuse all others.

    The names and types come from the TypedDict, the defaults from `RunOptions`.
    """
    signature = inspect.signature(function)
    *own, options = signature.parameters.values()
    (keywords,) = get_args(options.annotation)
    defaults = {option.name: None if option.default is MISSING else option.default for option in fields(RunOptions)}
    listed = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=annotation)
        for name, annotation in inspect.get_annotations(keywords).items()
    ]

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        complete.bind(*args, **kwargs)  # raises TypeError for a name that isn't listed
        return function(*args, **kwargs)

    complete = signature.replace(parameters=[*own, *listed])
    checked.__signature__ = complete  # type: ignore[attr-defined]  # what `inspect.signature` asks for
    return checked
