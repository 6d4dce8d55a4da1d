"""regsearch itself, as the command `regsearch run mnist --set …` runs it: its default trainer, a worker a core."""

import signal
import tempfile
import time

from benchmarks.peers.common import Recording, Request, serve

from regsearch.search import api
from regsearch.search.run.progress import LineProgress
from regsearch.search.workers.base import Handler
from regsearch.search.workers.processes import ProcessEngine
from regsearch.search.workers.protocol import EpochFinished, Event, TrialFinished


class _WatchedEngine(ProcessEngine):
    """The engine `processes`, with a clock: it stops the search as Ctrl-C would."""

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self.recording = recording
        self.stop_asked = False

    def wait(self, handler: Handler, timeout_seconds: float) -> None:
        def watched(event: Event) -> bool:
            if isinstance(event, EpochFinished):
                now = time.monotonic()
                self.recording.epoch_begins(now - event.metrics.seconds)
                self.recording.epoch_ended(event.number, now)
            go_on = handler(event)
            if isinstance(event, TrialFinished):
                self.recording.trial_ended(event.number, event.outcome.select_cross_entropy)
            elif isinstance(event, EpochFinished) and not go_on:
                self.recording.trial_ended(event.number, None)
            return go_on

        super().wait(watched, timeout_seconds)
        if self.recording.is_over and not self.stop_asked:
            self.stop_asked = True
            signal.raise_signal(signal.SIGTERM)


def study(request: Request) -> Recording:
    """Search until the window is over."""
    recording = Recording(seconds=request.seconds)
    settings = {
        "search.seed": request.seed,
        "training.batch_size": request.batch_size,
        "training.max_epochs": request.epochs,
        "search.recipes": "[]",  # the peers have none
    }
    with tempfile.TemporaryDirectory() as folder:
        api.run(
            "mnist",
            storage=f"sqlite:///{folder}/regsearch.db",
            trials=1_000_000,
            data="mnist",
            engine=_WatchedEngine(recording),
            settings=[f"{key}={value}" for key, value in settings.items()],
            confirm=False,
            progress=LineProgress(),
            handle_signals=True,
        )
    return recording


if __name__ == "__main__":
    serve(study)
