"""Ctrl-C and SIGTERM: for a search, the first asks for an orderly stop, the second ends it at once."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequested(BaseException):
    """A signal ended a search whose answer can't be read, or a second one came: whatever is under way is given up."""

    def __init__(self, number: int, to_go_on: str) -> None:
        super().__init__(number)
        self.number = number
        self.to_go_on = to_go_on  # the command
        self.exit_code = 128 + number


class StartupInterrupted(BaseException):
    """Ctrl-C before a search is under way: a KeyboardInterrupt would be typer's, which says nothing."""

    exit_code = 130


class SignalState:
    """The first signal that came, or None."""

    number: int | None = None
    count = 0


@contextmanager
def graceful_stop(stop: Callable[[], None], to_go_on: str) -> Iterator[SignalState]:
    """Call `stop` at the first signal and raise StoppedBySignal at the second; main thread only.

    Whatever comes later is ignored: the process is ending. SIGHUP keeps its meaning: `nohup` works.
    """
    received = SignalState()

    def handle(number: int, _frame: FrameType | None) -> None:
        received.count += 1
        if received.number is None:
            received.number = number
            stop()
        elif received.count == 2:
            raise StopRequested(received.number, to_go_on)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            # once a stop was asked for, the process is on its way out, and more signals don't change how
            signal.signal(number, handler if received.number is None else signal.SIG_IGN)


def raise_interrupted() -> None:
    """Let Ctrl-C raise Interrupted, unless somebody else handles or ignores it; main thread only."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise StartupInterrupted

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)


def exit_on_signal() -> None:
    """Let the first end the process, with 128 plus its number: for a command that leaves nothing half done.

    Main thread only. SystemExit it is because no `except Exception` on the way swallows that.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
