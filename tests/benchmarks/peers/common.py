"""How bench.py speaks with a peer: lines of JSON, one request and one answer for each study.

A peer stays alive between its turns, so that the start of TensorFlow is not part of what is measured.
"""

import json
import math
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from typing import Any

READY_LINE = "ready\n"


@dataclass(frozen=True, kw_only=True)
class Request:
    """One study: trials one after the other, until the window is over.

    Attributes:
        seed: of the split and of the sampler.
        seconds: the window's length, from the start of its first epoch.
        batch_size: rows of a training step.
        epochs: of a trial that nothing ends earlier.
        setting: what a peer may choose for itself, beyond that.
    """

    seed: int
    seconds: float
    batch_size: int
    epochs: int
    setting: dict[str, Any] = field(default_factory=dict)


class WindowOverError(BaseException):
    """The window is over; no tool takes it for a failure of the trial."""


@dataclass(kw_only=True)
class Recording:
    """What happened in one study, in seconds on the clock that all processes of a machine share.

    Attributes:
        seconds: the window's length.
        began: when the first epoch began; infinite before it.
        epochs: (end, trial's number) of each.
        trials: (end, trial's number, select cross-entropy or None where it was pruned) of each.
    """

    seconds: float
    began: float = math.inf
    epochs: list[tuple[float, int]] = field(default_factory=list)
    trials: list[tuple[float, int, float | None]] = field(default_factory=list)

    def epoch_begins(self, at: float | None = None) -> None:
        """Open the window, if this is the first epoch."""
        self.began = min(self.began, time.monotonic() if at is None else at)

    def epoch_ended(self, trial: int, at: float | None = None) -> None:
        """Enter an epoch."""
        self.epochs.append((time.monotonic() if at is None else at, trial))

    def trial_ended(self, trial: int, select_cross_entropy: float | None) -> None:
        """Enter a trial that is complete or pruned."""
        self.trials.append((time.monotonic(), trial, select_cross_entropy))

    @property
    def is_over(self) -> bool:
        """Whether the window is over."""
        return time.monotonic() >= self.began + self.seconds

    def answer(self) -> dict[str, Any]:
        """Return what lies in the window, in seconds since it began."""
        end = self.began + self.seconds
        return {
            "epochs": [[at - self.began, trial] for at, trial in sorted(self.epochs) if at <= end],
            "trials": [
                {
                    "seconds": at - self.began,
                    "trial": trial,
                    "state": "pruned" if value is None else "complete",
                    "epochs": sum(number == trial for _, number in self.epochs),
                    "select_cross_entropy": value,
                }
                for at, trial, value in sorted(self.trials, key=lambda ended: ended[0])
                if at <= end
            ],
        }


def merged(recordings: list[Recording]) -> Recording:
    """Return what several processes did at the same time."""
    return Recording(
        seconds=recordings[0].seconds,
        began=min(recording.began for recording in recordings),
        epochs=[epoch for recording in recordings for epoch in recording.epochs],
        trials=[trial for recording in recordings for trial in recording.trials],
    )


def serve(study: Callable[[Request], Recording]) -> None:
    """Answer requests until stdin ends; what libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    print(READY_LINE, end="", file=answers, flush=True)
    for line in sys.stdin:
        recording = study(Request(**json.loads(line)))
        print(json.dumps(recording.answer()), file=answers, flush=True)


Prepare = Callable[[Request, int], Callable[[], Recording]]
"""Given a request and the process's number, gets ready, and returns what is measured."""


class Workers:
    """Processes with a TensorFlow of so many threads each, which do the same at the same time."""

    def __init__(self, prepare: Prepare, processes: int, threads: int) -> None:
        context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
        self._processes, self._connections = [], []
        for number in range(processes):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, prepare, number, threads), daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)
            self._connections.append(ours)

    def run(self, request: Request) -> Recording:
        """Let all of them serve a request; raises EOFError where one died."""
        for connection in self._connections:
            connection.send(asdict(request))
        for connection in self._connections:
            connection.recv()
        for connection in self._connections:
            connection.send("go")
        return merged([connection.recv() for connection in self._connections])

    def close(self) -> None:
        """End them."""
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            process.join()


def _work(connection: Connection, prepare: Prepare, number: int, threads: int) -> None:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    while True:
        try:
            request = Request(**connection.recv())
        except EOFError:
            return
        measured = prepare(request, number)
        connection.send("prepared")
        connection.recv()
        connection.send(measured())
