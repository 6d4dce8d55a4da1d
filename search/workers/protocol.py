"""What happens while trials train: said by workers, line by line, and heard by the coordinator."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from regsearch.studies.trial import EpochMetrics, TestEvaluation, TrialOutcome, Value


@dataclass(frozen=True, kw_only=True)
class EpochFinished:
    """One epoch of one attempt is trained; the worker waits for an answer: go on, or stop."""

    number: int
    attempt: int
    metrics: EpochMetrics


@dataclass(frozen=True, kw_only=True)
class SuggestRequest:
    """A trial asks for the value of a parameter that its HyperModel has come to; the worker waits for a `SuggestReply`.

    Attributes:
        name: the parameter's.
        distribution: what it is drawn from, as Optuna writes it in JSON.
        default: the HyperModel's own value.
    """

    number: int
    attempt: int
    name: str
    distribution: str
    default: Value


@dataclass(frozen=True, kw_only=True)
class SuggestReply:
    """The answer to a `SuggestRequest`: a value, or why there is none, in one line."""

    value: Value | None = None
    refusal: str | None = None


Reply = bool | SuggestReply
"""What a worker hears: whether to go on, and where it asked for a value and goes on, that."""


@dataclass(frozen=True, kw_only=True)
class TrialFinished:
    """A trial trained to its end."""

    number: int
    attempt: int
    outcome: TrialOutcome


@dataclass(frozen=True, kw_only=True)
class LookFinished:
    """A finalist was evaluated on the test rows."""

    number: int
    attempt: int
    outcome: TestEvaluation


@dataclass(frozen=True, kw_only=True)
class TrialFailed:
    """A trial can't be trained, and would fail again.

    Attributes:
        reason: one line.
        log: the path of its worker's log; the engine knows it.
        by_settings: whether its settings are the cause (they diverge, need too much memory, or make no network).
    """

    number: int
    attempt: int
    reason: str
    log: str = ""
    by_settings: bool = False


@dataclass(frozen=True, kw_only=True)
class WorkerLost:
    """A worker died over a trial; the reason is one line that names the worker's log file."""

    number: int
    attempt: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class TrialNotice:
    """Something that a user should know of a trial that goes on; one line."""

    number: int
    attempt: int
    text: str


@dataclass(frozen=True, kw_only=True)
class EngineNotice:
    """Something that a user should know of the machines that train; one line."""

    text: str


TaskResult = TrialFinished | LookFinished | TrialFailed
WorkerMessage = EpochFinished | SuggestRequest | TaskResult | TrialNotice
Event = WorkerMessage | WorkerLost | EngineNotice

_SAID_BY_WORKERS: dict[str, Any] = {
    "EpochFinished": (EpochFinished, {"metrics": EpochMetrics}),
    "SuggestRequest": (SuggestRequest, {}),
    "TrialFinished": (TrialFinished, {"outcome": TrialOutcome}),
    "LookFinished": (LookFinished, {"outcome": TestEvaluation}),
    "TrialFailed": (TrialFailed, {}),
    "TrialNotice": (TrialNotice, {}),
}


def to_line(event: WorkerMessage) -> str:
    """Return an event as one line of JSON; every float comes back with the same bits."""
    return json.dumps({"event": type(event).__name__, **dataclasses.asdict(event)}) + "\n"


def from_line(line: str) -> WorkerMessage:
    """Read back what to_line wrote."""
    document = json.loads(line)
    event, parts = _SAID_BY_WORKERS[document.pop("event")]
    for name, part in parts.items():
        document[name] = part(**document[name])
    said: WorkerMessage = event(**document)
    return said


def answer_to_line(answer: Reply) -> str:
    """Return an answer as one line of JSON."""
    return json.dumps(answer if isinstance(answer, bool) else dataclasses.asdict(answer)) + "\n"


def answer_from_line(line: str) -> Reply:
    """Read back what answer_to_line wrote."""
    document = json.loads(line)
    return document if isinstance(document, bool) else SuggestReply(**document)
