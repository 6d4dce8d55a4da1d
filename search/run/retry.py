"""Repeats database calls while the database is unavailable: locked, on a full disk, or on a server that is down."""

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
    """Calls a function again and again while the database is unavailable, for up to three minutes.

    If it isn't known whether a commit succeeded, the function isn't called again. Its work may be done already.

    Attributes:
        study: the study's name, for the log.
        is_stopping: returns whether a stop was requested; a stop ends the wait.
        message: shows the user one line for each wait.
        clock: returns the seconds of a clock that never goes back.
        sleep: waits for the given number of seconds on the same clock.
    """

    study: str
    is_stopping: Callable[[], bool]
    message: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def __call__(self, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `step`, if necessary several times, and return its result.

        Raises StorageUnavailableError if the database is unavailable for `RETRY_SECONDS`, or if a stop is requested.
        """
        deadline = self.clock() + RETRY_SECONDS
        retries = 0
        while True:
            try:
                result = step(*args, **kwargs)
            except StorageUnavailableError as error:
                if self.is_stopping() or self.clock() >= deadline:
                    raise
                if retries == 0:
                    self.message(f"{str(error).rstrip('.')}. The run waits up to {RETRY_SECONDS / 60:.0f} minutes.")
                    self._log("retry:", step, f"failed: {error}")
                retries += 1
                self.sleep(POLL_SECONDS)
            else:
                if retries:
                    self._log("retried:", step, f"succeeded after {retries} retries")
                return result

    def _log(self, action: str, step: Callable[..., object], outcome: str) -> None:
        name = getattr(step, "__name__", "a step")
        log_decision(self.study, None, action, f"{name} {outcome}", level=logging.WARNING)


class RetryingStore:
    """Passes each call on to another store, and repeats it while the database is unavailable.

    Each method can raise the errors that `Retry` raises.

    Args:
        store: the store that does the work.
        retry: repeats the calls.
    """

    def __init__(self, store: Store, retry: Retry) -> None:
        self._store, self._retry = store, retry

    def progress(self) -> StudyProgress:
        """Return how many tasks are finished, how many there are, and the best value."""
        return self._retry(self._store.progress)

    def unfinished(self) -> list[TrialTask]:
        """Return the tasks that ran when the last run was interrupted."""
        return self._retry(self._store.unfinished)

    def ask(self) -> NextStep:
        """Return the next task; `Wait` if there may be one later; or `Done`, with the reason, if there are no more."""
        return self._retry(self._store.ask)

    def suggest(self, task: TrialTask, name: str, distribution: str, default: Value) -> Value | None:
        """Return the value of a parameter that a trial asks for; None if the trial was ended by another tool."""
        return self._retry(self._store.suggest, task, name, distribution, default)

    def record_epoch(self, task: TrialTask, metrics: EpochMetrics) -> EpochDecision:
        """Record an epoch, and return the decision whether its trial continues."""
        return self._retry(self._store.record_epoch, task, metrics)

    def finish(self, task: TrialTask, outcome: Outcome) -> bool:
        """Record the result of a task; return False if another tool has ended the task."""
        return self._retry(self._store.finish, task, outcome)

    def fail(self, task: TrialTask, reason: str, *, by_settings: bool = False) -> bool:
        """Record that a task failed and isn't retried; return False if another tool has ended the task."""
        return self._retry(self._store.fail, task, reason, by_settings=by_settings)

    def record_lost_worker(self, task: TrialTask) -> TrialTask | None:
        """Record that a task lost its worker; return its next attempt, or None if this was the last one."""
        return self._retry(self._store.record_lost_worker, task)

    def trials_with_kept_weights(self) -> list[int]:
        """Return the numbers of the trials that keep a file with their weights."""
        return self._retry(self._store.trials_with_kept_weights)

    def news(self) -> list[str]:
        """Return one line for each decision of the store since the last call, without waiting for the database."""
        return self._store.news()

    def stop_requested(self) -> bool:
        """Return whether `regsearch stop` has asked this run to stop."""
        return self._retry(self._store.stop_requested)
