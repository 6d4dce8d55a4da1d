"""The gateway's pool of workers on a Ray cluster: it starts workers, gives them trials and replaces lost ones."""

import dataclasses
import itertools
import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....studies.errors import NoResultError, one_line
from ....studies.files import open_own_file, write_durably
from ....studies.trial import TrialTask
from ....studies.trial_files import TrialFiles
from ...machine import processor, versions
from ...training.checkpoints import KEPT_STATES
from ..protocol import (
    READY_LINE,
    EngineNotice,
    EpochFinished,
    Reply,
    SuggestReply,
    SuggestRequest,
    TrialFailed,
    TrialNotice,
    WorkerLost,
    WorkerMessage,
    from_line,
    reply_to_line,
)
from ..worker_process import START_TRIES
from .node import SNAPSHOTS, NodeInfo, NodeSetup, NodeWorker, WorkerOutput

_MOST_ACTORS_LOST = 3  # while a trial trains no further epoch; the trial may then be the cause
_CLOSE_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """How many trials can be submitted at the same time, and the numbers of the trials that wait for a worker."""

    count: int
    waiting: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class GatewayConfig:
    """What the gateway must know.

    Attributes:
        address: the address of the cluster; None: the gateway starts and ends a Ray of its own.
        folder: the directory for the files of a Ray that the gateway starts.
        workers: the largest number of workers.
        log_prefix: worker n has the log `{log_prefix}{n}.log`.
        node: what each node must know.
        cpus, gpus: the number of CPUs and GPUs for each worker.
        answer_seconds: how long a cluster may take to accept the gateway.
    """

    address: str | None
    folder: str
    workers: int
    log_prefix: str
    node: NodeSetup
    cpus: float
    gpus: float
    answer_seconds: float


@dataclass(kw_only=True)
class _Training:
    """A trial that a worker trains, or that waits for a worker."""

    task: TrialTask
    last_epoch: int = -1  # the last epoch that the worker reported
    actors_lost: int = 0  # how many actors were lost since that epoch
    is_warned: bool = False  # whether the user knows that the trial's files can't be written


@dataclass(kw_only=True, eq=False)
class _Slot:
    """An actor and the trial that it trains."""

    index: int
    actor: Any
    log: Path
    is_on_node: bool = False
    is_ready: bool = False
    is_called: bool = True  # one of its methods has not returned yet
    training: _Training | None = None
    pending: tuple[int, str] | None = None  # number of the awaited reply, requested parameter


@dataclass(frozen=True, kw_only=True)
class PendingReply:
    """An event for which a worker waits for a reply, and the number of that reply."""

    event: EpochFinished | SuggestRequest
    number: int


class WorkerPool:
    """Runs as many workers as the cluster has room for. Only one thread may call its methods.

    Args:
        config: the gateway's configuration.
        report: sends a message to the coordinator.
        call_later: takes the name and the arguments of a method of the pool. The pool's thread then calls this method.
    """

    def __init__(self, config: GatewayConfig, report: Callable[[Any], None], call_later: Callable[..., None]) -> None:
        self._config, self._report, self._call_later = config, report, call_later
        self._slots: list[_Slot] = []
        self._removed_actors: list[Any] = []  # they may still be deleting their files
        self._queue: deque[_Training] = deque()
        self._reply_numbers = itertools.count()
        self._failed_starts = 0  # how many starts in a row have failed
        self._data: Sequence[Any] = ()
        self._room = 0
        self._notices: set[str] = set()

    def set_data(self, data: Sequence[Any]) -> None:
        """Store a reference to the data in Ray's object store. Each new worker gets this reference."""
        self._data = data

    def count(self) -> int:
        """Return the number of workers, including those that are still starting."""
        return len(self._slots)

    def waiting(self) -> tuple[int, ...]:
        """Return the numbers of the trials that wait for a worker."""
        return tuple(training.task.number for training in self._queue)

    def set_room(self, room: int) -> None:
        """Set how many workers the cluster has room for, and start or end workers accordingly."""
        import ray

        for actor in self._removed_actors:
            ray.kill(actor)
        self._removed_actors.clear()
        self._room = min(room, self._config.workers)
        if self._room == 0:
            needs = f"{self._config.cpus:g} CPU" + f" and {self._config.gpus:g} GPU" * bool(self._config.gpus)
            self._notice_once(
                f"no node of the Ray cluster has {needs} for a worker: the search waits until such a node joins"
            )
        self._fill()

    def submit(self, task: TrialTask) -> None:
        """Train a trial as soon as a worker is free."""
        self._queue.append(_Training(task=task))
        self._assign()

    def reply(self, trial: int, number: int, reply: Reply) -> None:
        """Pass the coordinator's reply to the worker that waits for it."""
        slot = next((slot for slot in self._slots if slot.pending and slot.pending[0] == number), None)
        if slot is None:  # this worker was lost, and the trial waits for another worker
            if not reply:
                self._queue = deque(training for training in self._queue if training.task.number != trial)
            return
        assert slot.training is not None
        assert slot.pending is not None
        if isinstance(reply, SuggestReply) and reply.value is not None:
            task = slot.training.task
            params = {**task.params, slot.pending[1]: reply.value}
            slot.training.task = dataclasses.replace(task, params=params)
        slot.pending = None
        if reply:
            self._call(slot, "reply_and_listen", reply_to_line(reply))
        else:
            slot.training = None
            self._call(slot, "reply", reply_to_line(reply))

    def kill_worker_of(self, trial: int, attempt: int, reason: str) -> None:
        """End the worker that trains this trial, even if it hangs."""
        for slot in self._slots:
            training = slot.training
            if training is not None and (training.task.number, training.task.attempt) == (trial, attempt):
                self._remove(slot)
                self._report_lost(training, reason, slot)
                self._fill()
                return

    def take_return(self, slot: _Slot, future: Any) -> None:
        """Process the return value of a worker's method, or the loss of its actor."""
        if slot not in self._slots:
            return
        slot.is_called = False
        error = future.exception()
        result = None if error is not None else future.result()
        if error is not None:
            self._take_actor_loss(slot, error)
        elif isinstance(result, NodeInfo):
            slot.is_on_node = True
            self._check_node(result)
            self._call(slot, "listen")
        elif isinstance(result, WorkerOutput):
            self._take_output(slot, result)
        self._assign()

    def close(self) -> None:
        """End all workers."""
        import ray

        calls = [slot.actor.close.remote() for slot in self._slots if slot.is_on_node]
        if calls:
            with suppress(ray.exceptions.RayError):
                ray.wait(calls, num_returns=len(calls), timeout=_CLOSE_SECONDS)
        for actor in [*self._removed_actors, *(slot.actor for slot in self._slots)]:
            ray.kill(actor)
        self._slots.clear()

    def _fill(self) -> None:
        """Start workers while there is room. If there are too many workers, end some that still wait for a node."""
        starting = [slot for slot in self._slots if not slot.is_on_node]
        for slot in starting[: max(len(self._slots) - self._room, 0)]:
            self._remove(slot)
        for _ in range(self._room - len(self._slots)):
            self._slots.append(self._new_slot())

    def _new_slot(self) -> _Slot:
        import ray

        index = min(set(range(len(self._slots) + 1)) - {slot.index for slot in self._slots})
        actors = ray.remote(NodeWorker).options(
            num_cpus=self._config.cpus, num_gpus=self._config.gpus, max_concurrency=2, max_restarts=0
        )
        actor = actors.remote(self._config.node, self._data)
        slot = _Slot(index=index, actor=actor, log=Path(f"{self._config.log_prefix}{index}.log"))
        self._call(slot, "info")
        return slot

    def _call(self, slot: _Slot, method: str, *arguments: Any) -> None:
        slot.is_called = True
        future = getattr(slot.actor, method).remote(*arguments).future()
        future.add_done_callback(lambda done: self._call_later("take_return", slot, done))

    def _remove(self, slot: _Slot) -> None:
        """Remove a worker from the pool, and let it delete its files. The next `set_room` kills it in any case."""
        self._slots.remove(slot)
        if slot.is_on_node:
            slot.actor.close.remote()
        self._removed_actors.append(slot.actor)

    def _assign(self) -> None:
        """Give waiting trials to free workers."""
        for slot in self._slots:
            if self._queue and slot.is_ready and not slot.is_called and slot.training is None:
                slot.training = self._queue.popleft()
                task = slot.training.task
                node = self._config.node
                are_sent = node.setup.files is not None and not node.is_here
                files = self._files(task).of_trial(task.number) if are_sent else {}
                self._call(slot, "train", task, files)

    def _take_output(self, slot: _Slot, output: WorkerOutput) -> None:
        if output.log:
            with open(slot.log, "ab", opener=open_own_file) as log:
                log.write(output.log)
        events = [from_line(line) for line in output.lines if line + "\n" != READY_LINE]
        if len(events) < len(output.lines):
            slot.is_ready, self._failed_starts = True, 0
        if output.ending is not None:
            self._take_end(slot, output, output.ending)
            return
        training, is_epoch = slot.training, bool(events) and isinstance(events[-1], EpochFinished)
        if not is_epoch:  # a result is on disk before the coordinator gets it
            self._save(training, output)
        for event in events:
            self._forward(slot, event)
        if is_epoch:  # an epoch's reply need not wait for the disk
            self._save(training, output)
        if slot.pending is None and (slot.training is not None or not slot.is_ready):
            self._call(slot, "listen")

    def _forward(self, slot: _Slot, event: WorkerMessage) -> None:
        """Send an event to the coordinator."""
        if isinstance(event, TrialNotice):
            self._report(event)
        elif isinstance(event, EpochFinished | SuggestRequest):
            assert slot.training is not None
            if isinstance(event, EpochFinished) and event.metrics.epoch > slot.training.last_epoch:
                slot.training.last_epoch, slot.training.actors_lost = event.metrics.epoch, 0
            slot.pending = next(self._reply_numbers), event.name if isinstance(event, SuggestRequest) else ""
            self._report(PendingReply(event=event, number=slot.pending[0]))
        else:
            slot.training = None
            self._report(dataclasses.replace(event, log=str(slot.log)) if isinstance(event, TrialFailed) else event)

    def _save(self, training: _Training | None, output: WorkerOutput) -> None:
        """Write a trial's new files to the directory in which a worker on this machine would write them."""
        setup = self._config.node.setup
        if training is None or setup.files is None or not output.files:
            return
        files, number = self._files(training.task), training.task.number
        try:
            for path, content in output.files.items():
                kind, name = path.split("/")
                if kind == SNAPSHOTS and setup.snapshots is not None:
                    temporary = Path(setup.snapshots) / f".{name}"
                    temporary.write_bytes(content)
                    os.replace(temporary, Path(setup.snapshots) / name)
                elif kind != SNAPSHOTS:
                    write_durably(files.folder / name, content)
            for old in files.checkpoints(number)[KEPT_STATES:]:
                old.unlink(missing_ok=True)
        except OSError as error:
            if not training.is_warned:
                text = f"its files could not be saved on this machine ({error.strerror or one_line(str(error))})"
                self._report(TrialNotice(number=number, attempt=training.task.attempt, text=text))
            training.is_warned = True

    def _files(self, task: TrialTask) -> TrialFiles:
        assert self._config.node.setup.files is not None
        return TrialFiles.of(Path(self._config.node.setup.files), task.purpose)

    def _take_end(self, slot: _Slot, output: WorkerOutput, ending: str) -> None:
        """Replace a worker whose process has ended. Report its trial as lost, since the trial may be the cause."""
        self._remove(slot)
        if not slot.is_ready:
            self._count_failed_start(f"{ending}): {output.last_words}; their log is {slot.log}")
        if slot.training is not None:
            self._save(slot.training, output)
            self._report_lost(slot.training, ending, slot)
        self._fill()

    def _take_actor_loss(self, slot: _Slot, error: BaseException) -> None:
        """Replace an actor that is gone, usually because its node is gone. Its trial resumes on another worker.

        If the same trial loses several actors, the trial may be the cause. It is then reported as lost.
        """
        reason = _last_line(error)
        slot.is_on_node = False
        self._remove(slot)
        if not slot.is_ready:
            self._count_failed_start(f"{reason}); regsearch {versions()['regsearch']} must be installed on every node")
        training = slot.training
        if training is not None:
            training.actors_lost += 1
            if training.actors_lost >= _MOST_ACTORS_LOST:
                self._report_lost(training, reason, slot)
            else:
                text = f"its worker is gone ({reason}); the trial resumes from its last epoch on another worker"
                self._report(TrialNotice(number=training.task.number, attempt=training.task.attempt, text=text))
                self._queue.appendleft(training)
        self._fill()

    def _report_lost(self, training: _Training, ending: str, slot: _Slot) -> None:
        reason = f"its worker was lost ({ending}); its log is {slot.log}"
        self._report(WorkerLost(number=training.task.number, attempt=training.task.attempt, reason=reason))

    def _count_failed_start(self, cause: str) -> None:
        self._failed_starts += 1
        if self._failed_starts >= START_TRIES and not any(slot.is_ready for slot in self._slots):
            raise NoResultError(f"workers can't start ({cause}")

    def _check_node(self, node: NodeInfo) -> None:
        """Warn if a node may give other results; raise NoResultError if it has another version of regsearch."""
        here = versions()
        if node.versions["regsearch"] != here["regsearch"]:
            raise NoResultError(
                f"{node.host} has regsearch {node.versions['regsearch']}, but this machine has {here['regsearch']}. "
                "Install the same version on every node."
            )
        differences = [
            f"{name} {node.versions.get(name)}, here {here[name]}"
            for name in here
            if node.versions.get(name) != here[name]
        ]
        if node.processor != processor():
            differences.append(f"the processor {node.processor}, here {processor()}")
        if differences:
            self._notice_once(
                f"{node.host} has {'; '.join(differences)}: results from there may differ in their last digits"
            )

    def _notice_once(self, text: str) -> None:
        """Send a notice to the user, unless the same notice was sent before."""
        if text not in self._notices:
            self._notices.add(text)
            self._report(EngineNotice(text=text))


def _last_line(error: BaseException) -> str:
    """Return the last line of Ray's error, which may be a traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return one_line(lines[-1] if lines else type(error).__name__)[:300]
