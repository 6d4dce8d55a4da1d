"""A database that is locked, whose disk is full or whose server is away is waited for."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from regsearch.studies.errors import StorageUnavailableError

P = ParamSpec("P")
T = TypeVar("T")

RETRY_SECONDS = 180.0
POLL_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Retry:
    """Calls something of a store; while the database is away, again and again for minutes.

    Attributes:
        is_stopping: whether a stop was asked for, which ends the wait.
        message: tells the user, once a wait.
        clock: seconds on a clock that never goes back.
        sleep: lets so many of its seconds go by.
    """

    is_stopping: Callable[[], bool]
    message: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def __call__(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the call returns; raises UnavailableError when the time, or the wish to wait, is over."""
        deadline = self.clock() + RETRY_SECONDS
        is_told = False
        while True:
            try:
                return call(*args, **kwargs)
            except StorageUnavailableError as error:
                if self.is_stopping() or self.clock() >= deadline:
                    raise
                if not is_told:
                    self.message(f"{error}; the search waits for it up to {RETRY_SECONDS / 60:.0f} minutes")
                    is_told = True
                self.sleep(POLL_SECONDS)
