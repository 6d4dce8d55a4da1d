"""The messages between coordinator and worker, each one line of JSON on a pipe.

The standard library writes and reads the JSON: NaN, infinite floats, integers of any size and paths that are not UTF-8
survive it, which they do not in pydantic's own JSON. pydantic checks the fields and makes the values.
"""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from ...studies.spec import StudySpec
from ...studies.trial import EpochMetrics, TestEvaluation, TrialOutcome, TrialTask, Value
from ..training.setup import TrainerSetup

READY_LINE = '{"event": "Ready"}\n'
"""What a worker writes when its trainer is made."""


@dataclass(frozen=True, kw_only=True)
class TaskMessage:
    """A message about one attempt at one task.

    Attributes:
        number: of the task, as in `TrialTask`.
        attempt: of the task, counted from 0.
    """

    number: int
    attempt: int


@dataclass(frozen=True, kw_only=True)
class EpochFinished(TaskMessage):
    """One epoch is trained; the worker waits for a `Reply`: continue or stop.

    Example:
        >>> metrics = EpochMetrics(
        ...     epoch=0, train_loss=0.5, stop_loss=0.4, stop_cross_entropy=0.4, stop_accuracy=0.9, seconds=1.2
        ... )
        >>> message = EpochFinished(number=7, attempt=0, metrics=metrics)
        >>> from_line(to_line(message)) == message
        True
    """

    metrics: EpochMetrics
    event: Literal["EpochFinished"] = "EpochFinished"


@dataclass(frozen=True, kw_only=True)
class SuggestRequest(TaskMessage):
    """A HyperModel asks for the value of one parameter; the worker waits for a `SuggestReply`.

    Attributes:
        name: of the parameter.
        distribution: what the value is drawn from, in Optuna's JSON.
        default: the value that the HyperModel gives it.
    """

    name: str
    distribution: str
    default: Value
    event: Literal["SuggestRequest"] = "SuggestRequest"


@dataclass(frozen=True, kw_only=True)
class SuggestReply:
    """The reply to a `SuggestRequest`: a value, or the reason why there is none, in one line."""

    value: Value | None = None
    refusal: str | None = None


Reply = bool | SuggestReply
"""What a worker gets: whether to continue; if it asked for a value and may continue, that value."""


@dataclass(frozen=True, kw_only=True)
class TrialFinished(TaskMessage):
    """A trial is trained to its end."""

    outcome: TrialOutcome
    event: Literal["TrialFinished"] = "TrialFinished"


@dataclass(frozen=True, kw_only=True)
class LookFinished(TaskMessage):
    """A finalist was evaluated on the test set."""

    outcome: TestEvaluation
    event: Literal["LookFinished"] = "LookFinished"


@dataclass(frozen=True, kw_only=True)
class TrialFailed(TaskMessage):
    """A trial can't be trained and would fail again.

    Attributes:
        reason: one line.
        log: the path of its worker's log; the engine fills it in.
        by_settings: whether its settings are the cause (they diverge, need too much memory, or make no network).
    """

    reason: str
    log: str = ""
    by_settings: bool = False
    event: Literal["TrialFailed"] = "TrialFailed"


@dataclass(frozen=True, kw_only=True)
class WorkerLost(TaskMessage):
    """A worker died while it had a task; the reason is one line that names the worker's log file."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class TrialNotice(TaskMessage):
    """Something that a user should know about a trial that continues; one line."""

    text: str
    event: Literal["TrialNotice"] = "TrialNotice"


@dataclass(frozen=True, kw_only=True)
class EngineNotice:
    """Something that a user should know about the machines that train; one line."""

    text: str


TaskResult = TrialFinished | LookFinished | TrialFailed
WorkerMessage = EpochFinished | SuggestRequest | TaskResult | TrialNotice
Event = WorkerMessage | WorkerLost | EngineNotice

_T = TypeVar("_T")

_CONFIG = ConfigDict(extra="forbid")
_WORKER_MESSAGE: TypeAdapter[WorkerMessage] = TypeAdapter(
    Annotated[WorkerMessage, Field(discriminator="event")], config=_CONFIG
)
_REPLY: TypeAdapter[Reply] = TypeAdapter(Reply, config=_CONFIG)
_TASK: TypeAdapter[TrialTask] = TypeAdapter(TrialTask)


def to_line(message: WorkerMessage) -> str:
    """Return a message as one line of JSON; every float comes back with the same bits."""
    return _line(_WORKER_MESSAGE.dump_python(message, warnings=False))


def from_line(line: str) -> WorkerMessage:
    """Return the message that `to_line` wrote; raises ValueError for any other line."""
    return _read(_WORKER_MESSAGE, line)


def reply_to_line(reply: Reply) -> str:
    """Return a reply as one line of JSON."""
    return _line(_REPLY.dump_python(reply, warnings=False))


def reply_from_line(line: str) -> Reply:
    """Return the reply that `reply_to_line` wrote; raises ValueError for any other line."""
    return _read(_REPLY, line)


def task_to_line(task: TrialTask) -> str:
    """Return a task as one line of JSON."""
    return _line(_TASK.dump_python(task, warnings=False))


def task_from_line(line: str) -> TrialTask:
    """Return the task that `task_to_line` wrote; raises ValueError for any other line."""
    return _read(_TASK, line)


def setup_to_line(setup: TrainerSetup) -> str:
    """Return a setup as one line of JSON; its spec is text, which has a version."""
    return _line({**vars(setup), "spec": setup.spec.to_json()})


def setup_from_line(line: str) -> TrainerSetup:
    """Return the setup that `setup_to_line` wrote."""
    document = json.loads(line)
    return TrainerSetup(**{**document, "spec": StudySpec.from_json(document["spec"])})


def _line(document: Any) -> str:
    return json.dumps(document) + "\n"


def _read(adapter: TypeAdapter[_T], line: str) -> _T:
    try:
        return adapter.validate_python(json.loads(line))
    except ValidationError as error:
        cause = error.errors(include_url=False)[0]
        field = ".".join(map(str, cause["loc"])) or "line"
        raise ValueError(f"not a message: {field}: {cause['msg']}") from None
