"""What happens while trials train: said by workers, line by line, and heard by the coordinator."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from studies.trial import EpochMetrics, LookOutcome, TrialOutcome


@dataclass(frozen=True, kw_only=True)
class EpochFinished:
    """One epoch of one attempt is trained; the worker waits for an answer: go on, or stop."""

    number: int
    attempt: int
    metrics: EpochMetrics


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
    outcome: LookOutcome


@dataclass(frozen=True, kw_only=True)
class TrialFailed:
    """A trial can't be trained, and would fail again.

    Attributes:
        reason: one line.
        log: the path of its worker's log; the engine knows it.
    """

    number: int
    attempt: int
    reason: str
    log: str = ""


@dataclass(frozen=True, kw_only=True)
class WorkerLost:
    """A worker died over a trial; the reason is one line that names the worker's log file."""

    number: int
    attempt: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class TrialRemark:
    """Something that a user should know of a trial that goes on; one line."""

    number: int
    attempt: int
    text: str


Ended = TrialFinished | LookFinished | TrialFailed
SaidByWorker = EpochFinished | Ended | TrialRemark
Event = SaidByWorker | WorkerLost

_SAID_BY_WORKERS: dict[str, Any] = {
    "EpochFinished": (EpochFinished, {"metrics": EpochMetrics}),
    "TrialFinished": (TrialFinished, {"outcome": TrialOutcome}),
    "LookFinished": (LookFinished, {"outcome": LookOutcome}),
    "TrialFailed": (TrialFailed, {}),
    "TrialRemark": (TrialRemark, {}),
}


def to_line(event: SaidByWorker) -> str:
    """Return an event as one line of JSON; every float comes back with the same bits."""
    return json.dumps({"event": type(event).__name__, **dataclasses.asdict(event)}) + "\n"


def from_line(line: str) -> SaidByWorker:
    """Read back what to_line wrote."""
    document = json.loads(line)
    event, parts = _SAID_BY_WORKERS[document.pop("event")]
    for name, part in parts.items():
        document[name] = part(**document[name])
    said: SaidByWorker = event(**document)
    return said
