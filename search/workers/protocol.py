"""The messages between coordinator and worker; each message is one line of JSON on a pipe.

The standard library writes and reads the JSON, because it keeps NaN, infinite floats, integers of any size and paths
that are not UTF-8. The JSON of pydantic would lose them. pydantic only checks the fields and creates the objects.
"""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from ...studies.spec import StudySpec
from ...studies.trial import EpochMetrics, TestEvaluation, TrialOutcome, TrialTask, Value
from ..training.setup import TrainerSetup

READY_LINE = '{"event": "Ready"}\n'
"""The line that a worker writes when its trainer is ready."""


@dataclass(frozen=True, kw_only=True)
class TaskMessage:
    """A message about one attempt at one task.

    Attributes:
        number: the number of the task, as in `TrialTask`.
        attempt: the number of the attempt, counted from 0.
    """

    number: int
    attempt: int


@dataclass(frozen=True, kw_only=True)
class EpochFinished(TaskMessage):
    """Reports an epoch that was trained. The worker then waits for a `Reply` that says whether the trial continues.

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
    """Asks for the value of one parameter of a HyperModel; the worker then waits for a `SuggestReply`.

    Attributes:
        name: the name of the parameter.
        distribution: the distribution from which Optuna draws the value, as Optuna's JSON.
        default: the default value in the HyperModel.
    """

    name: str
    distribution: str
    default: Value
    event: Literal["SuggestRequest"] = "SuggestRequest"


@dataclass(frozen=True, kw_only=True)
class SuggestReply:
    """The reply to a `SuggestRequest`: the value, or one line that says why the coordinator gives no value."""

    value: Value | None = None
    refusal: str | None = None


Reply = bool | SuggestReply
"""The reply to an event: whether the trial continues; after a `SuggestRequest`, False or a `SuggestReply`."""


@dataclass(frozen=True, kw_only=True)
class TrialFinished(TaskMessage):
    """Reports the outcome of a trial that was trained to its end."""

    outcome: TrialOutcome
    event: Literal["TrialFinished"] = "TrialFinished"


@dataclass(frozen=True, kw_only=True)
class LookFinished(TaskMessage):
    """Reports the evaluation of a finalist on the test set."""

    outcome: TestEvaluation
    event: Literal["LookFinished"] = "LookFinished"


@dataclass(frozen=True, kw_only=True)
class TrialFailed(TaskMessage):
    """Reports that a trial failed, and would fail again if it were repeated.

    Attributes:
        reason: the cause in one line.
        log: the path of the worker's log; the engine fills it in.
        by_settings: whether the trial's settings are the cause: training diverges, memory is too small, or the network
            can't be built.
        by_model: whether the HyperModel itself is the cause, so that trials with other settings would fail, too.
    """

    reason: str
    log: str = ""
    by_settings: bool = False
    by_model: bool = False
    event: Literal["TrialFailed"] = "TrialFailed"


@dataclass(frozen=True, kw_only=True)
class WorkerLost(TaskMessage):
    """Reports that a worker died while it had a task; the reason is one line that names the worker's log file."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class TrialNotice(TaskMessage):
    """Gives the user one line of information about a trial that continues."""

    text: str
    event: Literal["TrialNotice"] = "TrialNotice"


@dataclass(frozen=True, kw_only=True)
class EngineNotice:
    """Gives the user one line of information about the machines that train."""

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
    """Return a message as one line of JSON, from which `from_line` restores every float exactly."""
    return _line(_WORKER_MESSAGE.dump_python(message, warnings=False))


def from_line(line: str) -> WorkerMessage:
    """Return the message in a line that `to_line` wrote; raise ValueError for any other line."""
    return _read(_WORKER_MESSAGE, line)


def reply_to_line(reply: Reply) -> str:
    """Return a reply as one line of JSON."""
    return _line(_REPLY.dump_python(reply, warnings=False))


def reply_from_line(line: str) -> Reply:
    """Return the reply in a line that `reply_to_line` wrote; raise ValueError for any other line."""
    return _read(_REPLY, line)


def task_to_line(task: TrialTask) -> str:
    """Return a task as one line of JSON."""
    return _line(_TASK.dump_python(task, warnings=False))


def task_from_line(line: str) -> TrialTask:
    """Return the task in a line that `task_to_line` wrote; raise ValueError for any other line."""
    return _read(_TASK, line)


def setup_to_line(setup: TrainerSetup) -> str:
    """Return a setup as one line of JSON, in which the study's spec is a text with a version number of its own."""
    return _line({**vars(setup), "spec": setup.spec.to_json()})


def setup_from_line(line: str) -> TrainerSetup:
    """Return the setup in a line that `setup_to_line` wrote."""
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
