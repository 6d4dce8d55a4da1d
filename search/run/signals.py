"""Ctrl-C and SIGTERM: the first one asks a search for an orderly stop, the second one ends it at once."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequested(BaseException):
    """A second signal came, or a search was stopped and its answer can't be read: everything is given up.

    Attributes:
        number: the number of the first signal.
        resume_command: the command that resumes the study.
        exit_code: 128 plus the number.
    """

    def __init__(self, number: int, resume_command: str) -> None:
        super().__init__(number)
        self.number = number
        self.resume_command = resume_command
        self.exit_code = 128 + number


class StartupInterrupted(BaseException):
    """Ctrl-C before a search runs; typer would catch a KeyboardInterrupt and print nothing."""

    exit_code = 130


class SignalState:
    """The number of the first signal that came, or None, and how many came."""

    number: int | None = None
    count = 0


@contextmanager
def graceful_stop(stop: Callable[[], None], resume_command: str) -> Iterator[SignalState]:
    """Call `stop` at the first signal and raise StopRequested at the second; main thread only.

    Later signals are ignored, because the process is ending. SIGHUP keeps its meaning, so that `nohup` works.
    """
    received = SignalState()

    def handle(number: int, _frame: FrameType | None) -> None:
        received.count += 1
        if received.number is None:
            received.number = number
            stop()
        elif received.count == 2:
            raise StopRequested(received.number, resume_command)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            # after a request to stop, the process is ending, and more signals change nothing
            signal.signal(number, handler if received.number is None else signal.SIG_IGN)


def raise_interrupted() -> None:
    """Let Ctrl-C raise StartupInterrupted, unless it is handled or ignored already; main thread only."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise StartupInterrupted

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)


def exit_on_signal() -> None:
    """Let the first signal end the process with code 128 plus its number; main thread only.

    It is for commands that leave nothing half done. It raises SystemExit, which no `except Exception` catches.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
