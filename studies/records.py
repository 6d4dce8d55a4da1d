"""The values that storage and reports share: studies, trials and runs as they are stored, and what is known of them."""

from collections.abc import Mapping
from dataclasses import dataclass as plain_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from .spec import StudySpec

_STRICT = ConfigDict(strict=True)  # a damaged file may hold anything anywhere: a record of it raises ValueError


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class DatasetInfo:
    """Which data a study is about.

    Attributes:
        name: how answers call it.
        source: a built-in data set's name, or the absolute path of the user's own.
        sha256: the fingerprint over its arrays.
        n_train, n_test: rows of its training and its test part.
    """

    name: str
    source: str
    sha256: str
    n_train: int
    n_test: int


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Counts:
    """How many trials of a study are in each state."""

    complete: int = 0
    pruned: int = 0
    failed: int = 0
    running: int = 0
    waiting: int = 0

    @property
    def finished(self) -> int:
        """Those that count to the total."""
        return self.complete + self.pruned + self.failed


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class StudyRecord:
    """One study as it is stored."""

    name: str
    study_id: int
    study_uuid: str
    created_at: datetime
    spec: StudySpec
    dataset: DatasetInfo
    versions: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class TrialRecord:
    """One trial as it is stored.

    Attributes:
        state: complete, pruned, failed, running or waiting.
        value: the objective; of a complete trial only, since a pruned one's is no result.
        metrics: what it gave, by the names of `regsearch.studies.trial.TrialOutcome`, as far as it got.
        reason: why it failed.
        weights_sha256: of the file with its weights, where one was written.
        started_at, ended_at: UTC.
        recipe: the known setting that it was, by its name.
    """

    number: int
    state: str
    value: float | None
    params: Mapping[str, Any]
    metrics: Mapping[str, int | float]
    reason: str | None
    weights_sha256: str | None
    started_at: datetime | None
    ended_at: datetime | None
    recipe: str | None = None


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class RunRecord:
    """One run of a study's coordinator.

    Attributes:
        started_at, ended_at: UTC; it has no end while it runs, and where it was killed.
        outcome: why it ended; None while it runs.
        finished_trials: how many trials finished in it.
        last_finished_at: when the last of them did, UTC; None where none did.
    """

    host: str
    pid: int
    engine: str
    workers: int
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    finished_trials: int
    last_finished_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class StudySummary:
    """A study's counts, and its best trial so far.

    Attributes:
        weights: the file with the best trial's weights, an .npz in the order of Keras's `set_weights`, whose SHA-256
            was held against the database; None where it isn't there.
    """

    study: StudyRecord
    counts: Counts
    best: TrialRecord | None
    weights: Path | None = None


@plain_dataclass(frozen=True, kw_only=True)
class Holder:
    """Who searches a study: host, process id, and since when (UTC, ISO 8601)."""

    host: str
    pid: int
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"


@plain_dataclass(frozen=True, kw_only=True)
class ConfirmationProgress:
    """How many trainings of finalists are planned, complete and failed, and how many were shown the test rows.

    Attributes:
        left: how many are still to be trained or shown the test rows; none of a finalist that failed.
    """

    planned: int
    trained: int
    failed: int
    looked: int
    left: int
