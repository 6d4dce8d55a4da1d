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
    """The keyword arguments of every function that trains; `RunOptions` describes them."""

    timeout: str | None
    workers: int | None
    engine: str | Engine
    progress: Progress | None
    handle_signals: bool
    trust_code: bool
    log: str | Path | None


class SearchKeywords(TrainingKeywords, total=False):
    """The keyword arguments of a function that searches; `RunOptions` describes them."""

    trials: int | None
    confirm: bool
    tensorboard: str | Path | None
    checkpoints: str | Path | None


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The options of one run of a study.

    Attributes:
        location: the database.
        trials: the total number of trials over all runs of the study, at least 1. None means that the user gave no
            total. Then the stored total stays, if it is larger than the total in the study file.
        timeout: how long this run may start new trials, such as "30m"; None means the study's `budget.timeout`.
        workers: how many trials run at once, at least 1. None means one per core; on a Ray cluster, as
            many as the cluster can run.
        engine: "processes", "inline" or "ray", or an engine object.
        search: whether the run searches. If not, it only confirms.
        confirm: whether the run confirms the best configurations. A study with `confirm.seeds = 0` is never confirmed.
        progress: shows the user what happens.
        handle_signals: whether the first Ctrl-C or SIGTERM stops the workers and lets the run return a result.
        tensorboard: an existing directory for TensorBoard's files; None means that none are written.
        checkpoints: an existing directory for a Keras model of each epoch; None means that none are written.
        trust_code: whether the Python code of the study's HyperModel may run.
        log: a file to which one line for each decision is appended; None means no log.
        given: the keys of the study that the user gave, each as "section.key". A stored study keeps its values of all
            other keys.
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
        """Return the options for a user's keyword arguments. If `progress` is None, `progress_here` chooses one."""
        progress = keywords.get("progress") or progress_here()
        return cls(location=location, **{**keywords, "progress": progress}, **others)


def with_listed_keywords(function: Callable[P, T]) -> Callable[P, T]:
    """Let `help()` and notebooks list each keyword of a function's `**options: Unpack[...]`.

    Any other keyword raises TypeError.
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
    checked.__signature__ = complete  # type: ignore[attr-defined]  # `inspect.signature` reads it
    return checked
