"""Handles Ctrl-C and SIGTERM: the first signal asks a search to stop, the second one ends the process at once."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequested(BaseException):
    """Ends the process: after a second signal, or if a search was stopped and its answer can't be read.

    Attributes:
        number: the number of the first signal.
        resume_command: the command that resumes the study.
        exit_code: 128 plus the number of the first signal.
    """

    def __init__(self, number: int, resume_command: str) -> None:
        super().__init__(number)
        self.number = number
        self.resume_command = resume_command
        self.exit_code = 128 + number


class StartupInterrupted(BaseException):
    """Ctrl-C came before a search started. This isn't KeyboardInterrupt, which typer would catch without a message."""

    exit_code = 130


class SignalState:
    """The signals that this process has received.

    Attributes:
        number: the number of the first signal; None if no signal came yet.
        count: how many signals came.
    """

    number: int | None = None
    count = 0


@contextmanager
def graceful_stop(stop: Callable[[], None], resume_command: str) -> Iterator[SignalState]:
    """Call `stop` at the first signal, and raise StopRequested at the second; for the main thread only.

    Later signals are ignored, because the process is ending. SIGHUP is not handled, so that `nohup` works.
    """
    received = SignalState()

    def handle(number: int, _frame: FrameType | None) -> None:
        received.count += 1
        if received.number is None:
            received.number = number
            stop()
        elif received.count == 2:
            raise StopRequested(received.number, resume_command)

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            # after a request to stop, the process is ending, and further signals are ignored
            signal.signal(number, handler if received.number is None else signal.SIG_IGN)


def raise_interrupted() -> None:
    """Let Ctrl-C raise StartupInterrupted, unless it is handled or ignored already; for the main thread only."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise StartupInterrupted

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)


def exit_on_signal() -> None:
    """Let the first signal end the process with code 128 plus its number; for the main thread only.

    Use it for commands that may end at any moment. It raises SystemExit, which `except Exception` doesn't catch.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
