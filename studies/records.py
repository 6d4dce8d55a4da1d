"""The values that storage and reports share: studies, trials and runs as they are stored, and their progress."""

from collections.abc import Mapping
from dataclasses import dataclass as plain_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from .spec import StudySpec

_STRICT = ConfigDict(strict=True)  # a damaged database may hold values of other types: their record raises ValueError


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class DatasetInfo:
    """The data set of a study.

    Attributes:
        name: its name in answers.
        source: the name of a built-in data set, or the absolute path of the user's own data.
        sha256: the fingerprint of its arrays.
        n_train, n_test: how many training and test examples it has.
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
        """How many trials count to the study's total: those that are complete, pruned or failed."""
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
        value: the objective of a complete trial; None in all other states. A pruned trial did not train to its end.
        metrics: the figures that the trial has so far, by their names in `regsearch.studies.trial.TrialOutcome`.
        reason: why the trial failed, if it did.
        weights_sha256: the SHA-256 of the file with its weights, if one was written.
        started_at, ended_at: in UTC.
        recipe: the name of the recipe that it tried, if it tried one.
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
        started_at, ended_at: in UTC; `ended_at` is None while the run goes on, and if the coordinator was killed.
        outcome: why the run ended; None while it goes on.
        finished_trials: how many trials finished in this run.
        last_finished_at: when the last of these trials finished, in UTC; None if none has finished.
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
        weights: the .npz file with the best trial's weights, in the order of Keras's `set_weights`. None if the file is
            missing, or if its SHA-256 differs from the one in the database.
    """

    study: StudyRecord
    counts: Counts
    best: TrialRecord | None
    weights: Path | None = None


@plain_dataclass(frozen=True, kw_only=True)
class Holder:
    """The process that searches a study: its host, its process id, and when it started (UTC, ISO 8601)."""

    host: str
    pid: int
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}"


@plain_dataclass(frozen=True, kw_only=True)
class ConfirmationProgress:
    """How far a confirmation is, counted in trainings of finalists.

    Attributes:
        planned, trained, failed: how many trainings are planned, complete and failed.
        looked: how many of the trained networks were evaluated on the test set.
        left: how many trainings must still be completed or evaluated on the test set. If a finalist failed, its
            trainings don't count.
    """

    planned: int
    trained: int
    failed: int
    looked: int
    left: int
