"""Retries steps of a database that is away for a while: locked, its disk full, or its server not reachable."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from ...studies.decision_log import log_decision
from ...studies.errors import StorageUnavailableError
from ...studies.trial import EpochDecision, EpochMetrics, NextStep, Outcome, StudyProgress, TrialTask, Value
from .store import Store

P = ParamSpec("P")
T = TypeVar("T")

RETRY_SECONDS = 180.0
POLL_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Retry:
    """Calls one step of a database again and again, for minutes, while the database is away.

    A commit in doubt is not retried here: the step may have been done already.

    Attributes:
        study: the study's name, for the log.
        is_stopping: whether a stop was asked for, which ends the wait.
        message: shows the user a line, once a wait.
        clock: seconds on a clock that never goes back.
        sleep: waits for so many seconds of that clock.
    """

    study: str
    is_stopping: Callable[[], bool]
    message: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def __call__(self, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the step returns.

        Raises StorageUnavailableError if the database stays away for `RETRY_SECONDS`, or if a stop is asked for.
        """
        deadline = self.clock() + RETRY_SECONDS
        retries = 0
        while True:
            try:
                answer = step(*args, **kwargs)
            except StorageUnavailableError as error:
                if self.is_stopping() or self.clock() >= deadline:
                    raise
                if retries == 0:
                    self.message(f"{str(error).rstrip('.')}. The search waits up to {RETRY_SECONDS / 60:.0f} minutes.")
                    self._log("retry:", step, f"failed: {error}")
                retries += 1
                self.sleep(POLL_SECONDS)
            else:
                if retries:
                    self._log("retried:", step, f"succeeded after {retries} retries")
                return answer

    def _log(self, action: str, step: Callable[..., object], outcome: str) -> None:
        name = getattr(step, "__name__", "a step")
        log_decision(self.study, None, action, f"{name} {outcome}", level=logging.WARNING)


class RetryingStore:
    """A store that retries each step of another one while the database is away; see `Retry` for what is raised.

    Args:
        store: the records.
        retry: how long it waits, and whom it tells.
    """

    def __init__(self, store: Store, retry: Retry) -> None:
        self._store, self._retry = store, retry

    def progress(self) -> StudyProgress:
        """Return how far the study is."""
        return self._retry(self._store.progress)

    def unfinished(self) -> list[TrialTask]:
        """Return what ran when the last run was interrupted."""
        return self._retry(self._store.unfinished)

    def ask(self) -> NextStep:
        """Return the next task, or why there is none."""
        return self._retry(self._store.ask)

    def suggest(self, task: TrialTask, name: str, distribution: str, default: Value) -> Value | None:
        """Return the value of a parameter that a trial asks for."""
        return self._retry(self._store.suggest, task, name, distribution, default)

    def record_epoch(self, task: TrialTask, metrics: EpochMetrics) -> EpochDecision:
        """Record an epoch and return what follows from it."""
        return self._retry(self._store.record_epoch, task, metrics)

    def finish(self, task: TrialTask, outcome: Outcome) -> bool:
        """Record what a task gave."""
        return self._retry(self._store.finish, task, outcome)

    def fail(self, task: TrialTask, reason: str, *, by_settings: bool = False) -> bool:
        """Record that a task failed for good."""
        return self._retry(self._store.fail, task, reason, by_settings=by_settings)

    def record_lost_worker(self, task: TrialTask) -> TrialTask | None:
        """Record that a task's worker was lost and return its next attempt."""
        return self._retry(self._store.record_lost_worker, task)

    def trials_with_kept_weights(self) -> list[int]:
        """Return the numbers whose weights are kept."""
        return self._retry(self._store.trials_with_kept_weights)

    def news(self) -> list[str]:
        """Return what was decided since the last call, a line each; it needs no database."""
        return self._store.news()

    def stop_requested(self) -> bool:
        """Return whether somebody asked this run to stop."""
        return self._retry(self._store.stop_requested)
