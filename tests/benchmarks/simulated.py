"""Workers that only pretend to train, on a clock that skips what they would take: an engine for `scale.py`.

The coordinator's own work is real, and so is its time; the epochs of its workers are events on that clock. So a
thousand workers with epochs of five seconds take minutes, and they wait for the coordinator as they would in truth.
"""

import heapq
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sampler_forms import NOISE, true_value

from regsearch.search.training.early_stopping import EarlyStopping
from regsearch.search.training.setup import TrainerSetup
from regsearch.search.workers.base import Handler
from regsearch.search.workers.protocol import (
    EpochFinished,
    TrialFinished,
    from_line,
    reply_to_line,
    task_to_line,
    to_line,
)
from regsearch.studies.configuration import Regularization
from regsearch.studies.trial import EpochMetrics, TrialOutcome, TrialTask
from regsearch.studies.trial_files import TrialFiles

EVALUATION = 0.3  # of an epoch: what follows a trial's last one
# how much longer a training step takes than without regularization (tests/benchmarks/README.md)
STEP = {"l1": 0.18, "l2": 0.12, "dropout": 0.06, "none": 0.0, "before_activation": 0.15, "after_activation": 0.15}


class Clock:
    """Seconds since `began` in which this thread worked, or waited for its database; and those that were skipped.

    Those in which another process had its core count nothing, where the kernel tells them (Linux). It is made, and
    read, by the thread that works.
    """

    def __init__(self, began: float | None = None) -> None:
        try:
            self._delays: int | None = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        except OSError:
            self._delays = None
        self.skipped = 0.0
        self._paused = 0.0
        self._began = self._own() if began is None else began

    def __call__(self) -> float:
        return self._own() - self._began - self._paused + self.skipped

    def _own(self) -> float:
        delayed = 0 if self._delays is None else int(os.pread(self._delays, 100, 0).split()[1])
        return time.perf_counter() - delayed / 1e9

    def skip(self, seconds: float) -> None:
        """Let the coordinator wait for its workers."""
        self.skipped += seconds

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stand still meanwhile: what the simulation itself does is nobody's time."""
        began = self._own()
        yield
        self._paused += self._own() - began


@dataclass(kw_only=True)
class Curve:
    """What a trial would say, epoch by epoch, and how long each takes."""

    metrics: list[EpochMetrics]
    seconds: list[float]
    outcome: TrialOutcome


def curve(params: Mapping[str, object], number: int, epochs: int, epoch_seconds: float) -> Curve:
    """Return the curve of settings on the surrogate of `sampler_forms.py`; the trial's number decides its luck."""
    setting = Regularization.from_params(params)
    luck = np.random.default_rng(number)
    value = true_value(setting) + NOISE * luck.standard_normal()
    relative = 0.87 * (1 + STEP["l1"] * bool(setting.l1) + STEP["l2"] * bool(setting.l2))
    relative *= 1 + STEP["dropout"] * bool(setting.dropout) + STEP[setting.batch_norm]
    stopping = EarlyStopping(patience=setting.patience)
    metrics, seconds = [], []
    for epoch in range(epochs):
        loss = float(value + 0.12 * np.exp(-epoch / 1.5) + 0.3 * NOISE * luck.standard_normal())
        took = float(epoch_seconds * relative * luck.lognormal(0, 0.05))
        metrics.append(
            EpochMetrics(
                epoch=epoch,
                train_loss=loss / 2,
                stop_loss=loss,
                stop_cross_entropy=loss,
                stop_accuracy=1 - loss / 4,
                seconds=took,
            )
        )
        seconds.append(took)
        stopping = stopping.after(epoch, loss)
        if stopping.is_over:
            break
    outcome = TrialOutcome(
        best_epoch=stopping.best_epoch or 0,
        epochs=len(metrics),
        select_cross_entropy=value,
        select_accuracy=1 - value / 4,
        train_cross_entropy=value / 2,
        train_accuracy=1 - value / 8,
        near_zero_share=0.1,
        seconds=sum(seconds),
    )
    return Curve(metrics=metrics, seconds=seconds, outcome=outcome)


@dataclass
class Slot:
    """One worker: its task, how many of its epochs are trained or under way, and from when to when it trains."""

    task: TrialTask | None = None
    curve: Curve | None = None
    epochs: int = 0
    evaluates: bool = False
    since: float = 0.0
    until: float = 0.0
    ready_at: float = 0.0


@dataclass(kw_only=True)
class Log:
    """What happened, in seconds of the clock.

    Attributes:
        trained: when workers trained, from and to.
        waits: when a worker had to wait for an answer, and for how long.
        ended: when trials ended.
        submitted: when workers were given trials.
        back: when trials that were interrupted trained on, or ended by what had waited for its answer.
    """

    trained: list[tuple[float, float]] = field(default_factory=list)
    waits: list[tuple[float, float]] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    submitted: list[float] = field(default_factory=list)
    back: list[float] = field(default_factory=list)


class SimulatedEngine:
    """An engine of pretended workers.

    Args:
        clock: that of the coordinator.
        epoch_seconds: what an epoch takes on average.
        start_seconds: what a worker takes to start.
        trained: how many epochs of a trial are trained, of those that were interrupted.
        look: called after each turn.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        epoch_seconds: float,
        start_seconds: float = 0.0,
        trained: Mapping[int, int] | None = None,
        look: Callable[["SimulatedEngine"], None] = lambda engine: None,
    ) -> None:
        self.clock = clock
        self.log = Log()
        self.slots: list[Slot] = []
        self._epoch_seconds, self._start_seconds = epoch_seconds, start_seconds
        self._trained = dict(trained or {})
        self._look = look
        self._due: list[tuple[float, int]] = []  # when which worker has something to say
        self._setup: TrainerSetup | None = None

    def start(self, setup: TrainerSetup, workers: int, log_prefix: Path) -> None:
        """Let the workers start."""
        self._setup = setup
        self.slots = [Slot(ready_at=self.clock() + self._start_seconds) for _ in range(workers)]

    def free_workers(self) -> int:
        """Return how many have no task; in as many steps as the engine of processes."""
        return sum(slot.task is None for slot in self.slots)

    def planned_workers(self, asked: int | None) -> int:
        """Return what was asked for."""
        return asked or 1

    def is_busy(self) -> bool:
        """Return whether a worker has a task."""
        return any(slot.task is not None for slot in self.slots)

    def tasks_waiting_for_startup(self) -> list[int]:
        """Return none: they start when they are told to."""
        return []

    def submit(self, task: TrialTask) -> None:
        """Give a task to a free worker."""
        at = next(at for at, slot in enumerate(self.slots) if slot.task is None)
        task_to_line(task)
        with self.clock.paused():
            slot = self.slots[at]
            assert self._setup is not None
            epochs = self._setup.spec.training.max_epochs
            slot.task, slot.epochs, slot.evaluates = task, 0, False
            slot.curve = curve(task.params, task.number, epochs, self._epoch_seconds)
            self.log.submitted.append(self.clock())
            for epoch in (1, 2):
                self._files.checkpoint(task.number, epoch).touch()
            self._go_on(at, max(self.clock(), slot.ready_at))

    def wait(self, handler: Handler, timeout_seconds: float) -> None:
        """Let workers say what is due; where nothing is, the time goes by until then."""
        with self.clock.paused():
            self._look(self)
            now = self.clock()
            due = self._due[0][0] if self._due else now + timeout_seconds
            if due > now:
                self.clock.skip(min(due - now, timeout_seconds))
            due, now = [], self.clock()
            while self._due and self._due[0][0] <= now:
                due.append(heapq.heappop(self._due))
        for since, at in due:
            self._hear(since, at, handler)

    def kill_worker_of(self, task: TrialTask, reason: str) -> None:
        """Do nothing: none of them hangs."""
        raise AssertionError(reason)

    def stop(self) -> None:
        """End all workers."""
        self.slots, self._due = [], []

    def under_way(self) -> tuple[dict[int, int], list[float]]:
        """Return how many epochs of each trial under way are trained, and for how long each worker trains the next."""
        now, trained, since = self.clock(), {}, []
        for slot in self.slots:
            if slot.task is not None:
                is_training = slot.until > now and not slot.evaluates
                trained[slot.task.number] = slot.epochs - is_training
                since.append(max(now - slot.since, 0) if slot.until > now else 0.0)
        return trained, since

    def _hear(self, since: float, at: int, handler: Handler) -> None:
        slot = self.slots[at]
        task, its = slot.task, slot.curve
        assert task is not None
        assert its is not None
        with self.clock.paused():
            number = {"number": task.number, "attempt": task.attempt}
            line = to_line(
                TrialFinished(**number, outcome=its.outcome)
                if slot.evaluates
                else EpochFinished(**number, metrics=its.metrics[slot.epochs - 1])
            )
            if slot.evaluates:
                self._files.weights(task.number).touch()
        answer = handler(from_line(line))
        reply_to_line(answer)
        with self.clock.paused():
            now = self.clock()
            self.log.waits.append((now, now - since))
            if answer:
                self._go_on(at, now)
            else:
                slot.task = None
                self.log.ended.append(now)
                if self._trained.pop(task.number, None) is not None:  # by an epoch that waited for its answer
                    self.log.back.append(now)

    def _go_on(self, at: int, now: float) -> None:
        """Let a worker train its next epoch, or evaluate after the last."""
        slot = self.slots[at]
        task, its = slot.task, slot.curve
        assert task is not None
        assert its is not None
        repeated = slot.epochs < self._trained.get(task.number, 0)
        slot.evaluates = slot.epochs == len(its.metrics)
        if slot.evaluates:
            took = EVALUATION * self._epoch_seconds
        else:
            took = 0.0 if repeated else its.seconds[slot.epochs]
            slot.epochs += 1
        if not repeated and self._trained.pop(task.number, None) is not None:
            self.log.back.append(now)
        slot.since, slot.until = now, now + took
        self.log.trained.append((now, slot.until))
        heapq.heappush(self._due, (slot.until, at))

    @property
    def _files(self) -> TrialFiles:
        assert self._setup is not None
        assert self._setup.files is not None
        return TrialFiles(Path(self._setup.files))
