"""Ctrl-C and SIGTERM: the first asks for an orderly stop, the second ends it at once."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class StoppedBySignal(BaseException):
    """A second signal came; whatever is under way is given up."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
        self.study: str | None = None  # set by whoever knows what was under way


class Received:
    """The first signal that came, or None."""

    number: int | None = None


@contextmanager
def graceful_stop(stop: Callable[[], None]) -> Iterator[Received]:
    """Call `stop` at the first signal and raise StoppedBySignal at the second; main thread only."""
    received = Received()

    def handle(number: int, _frame: FrameType | None) -> None:
        if received.number is not None:
            raise StoppedBySignal(received.number)
        received.number = number
        stop()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
