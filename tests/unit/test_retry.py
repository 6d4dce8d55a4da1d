"""Steps of a store are retried while its database is away; each step of the protocol is."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from regsearch.search.run import retry
from regsearch.search.run.retry import Retry, RetryingStore
from regsearch.search.run.store import Store
from regsearch.studies.errors import CommitInDoubtError, StorageUnavailableError

STEPS = sorted(name for name, value in vars(Store).items() if inspect.isfunction(value) and not name.startswith("_"))


class Flaky:
    """A store whose steps fail so often before they answer with their own arguments."""

    def __init__(self, failures: int, error: type[Exception] = StorageUnavailableError) -> None:
        self.failures, self.error, self.calls = failures, error, 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls <= self.failures:
                raise self.error("test.db is locked")
            return name, arguments, options

        return step


class Clock:
    def __init__(self) -> None:
        self.now, self.messages, self.is_stopping = 0.0, list[str](), False

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def retry(self) -> Retry:
        return Retry(
            study="smoke",
            is_stopping=lambda: self.is_stopping,
            message=self.messages.append,
            clock=lambda: self.now,
            sleep=self.sleep,
        )


def arguments_of(step: str) -> tuple[list[str], dict[str, bool]]:
    parameters = list(inspect.signature(getattr(Store, step)).parameters.values())[1:]
    options = {p.name: True for p in parameters if p.kind is p.KEYWORD_ONLY}
    return [p.name for p in parameters if p.name not in options], options


@pytest.mark.parametrize("step", [step for step in STEPS if step != "news"])
def test_each_step_is_retried_with_its_arguments_and_says_so_once(step: str) -> None:
    clock, store = Clock(), Flaky(3)
    arguments, options = arguments_of(step)
    answer = getattr(RetryingStore(store, clock.retry()), step)(*arguments, **options)  # type: ignore[arg-type]
    assert answer == (step, tuple(arguments), options)
    assert clock.now == 3 * retry.POLL_SECONDS
    assert clock.messages == ["test.db is locked. The run waits up to 3 minutes."]


def test_news_needs_no_database() -> None:
    assert RetryingStore(Flaky(0), Clock().retry()).news() == ("news", (), {})  # type: ignore[arg-type,comparison-overlap]


def test_after_three_minutes_or_a_stop_the_error_passes() -> None:
    clock, store = Clock(), Flaky(10_000)
    with pytest.raises(StorageUnavailableError):
        RetryingStore(store, clock.retry()).stop_requested()  # type: ignore[arg-type]
    assert clock.now == retry.RETRY_SECONDS
    clock.is_stopping, before = True, store.calls
    with pytest.raises(StorageUnavailableError):
        RetryingStore(store, clock.retry()).stop_requested()  # type: ignore[arg-type]
    assert store.calls == before + 1


def test_a_commit_in_doubt_is_not_retried() -> None:
    store = Flaky(1, CommitInDoubtError)
    with pytest.raises(CommitInDoubtError):
        RetryingStore(store, Clock().retry()).stop_requested()  # type: ignore[arg-type]
    assert store.calls == 1
