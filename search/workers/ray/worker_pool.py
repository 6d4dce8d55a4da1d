"""The workers on a Ray cluster, seen from the gateway: which there are, what each trains, and what was lost."""

import dataclasses
import itertools
import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regsearch.search.machine import processor, versions
from regsearch.search.training.checkpoints import KEPT_STATES
from regsearch.search.workers.protocol import (
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
from regsearch.search.workers.ray.node import SNAPSHOTS, NodeInfo, NodeSetup, NodeWorker, WorkerOutput
from regsearch.search.workers.worker_process import START_TRIES
from regsearch.studies.errors import NoResultError, one_line
from regsearch.studies.files import write_durably
from regsearch.studies.trial import TrialTask
from regsearch.studies.trial_files import TrialFiles

_MOST_PLACES_LOST = 3  # by a trial that doesn't get ahead meanwhile: then it may be the trial that ends them
_CLOSE_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """How many trials may be submitted in all, and the numbers of those that wait for a worker."""

    count: int
    waiting: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class GatewayConfig:
    """What the gateway must know.

    Attributes:
        address: of the cluster; None: a Ray of our own is started, and ended.
        folder: of that Ray's own files.
        workers: how many at most.
        log_prefix: worker n's log is `{log_prefix}{n}.log`.
        node: what each node must know.
        cpus, gpus: of each worker.
        answer_seconds: for how long a cluster may take to let this one in.
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
    """A trial under way, wherever it is."""

    task: TrialTask
    epochs: int = -1  # the last one heard of
    places_lost: int = 0  # since then
    is_told: bool = False  # that its files can't be written


@dataclass(kw_only=True, eq=False)
class _Slot:
    """An actor, and the trial that it has."""

    slot: int
    actor: Any
    log: Path
    is_there: bool = False  # on a node
    is_ready: bool = False
    is_called: bool = True  # one of its methods has not returned yet
    training: _Training | None = None
    question: tuple[int, str] | None = None  # that it waits with: its number, and the name of the value asked for


@dataclass(frozen=True, kw_only=True)
class PendingReply:
    """Something that a worker says and waits with, and the number that its answer must have."""

    event: EpochFinished | SuggestRequest
    number: int


class RayWorkers:
    """As many workers as there is room for; one thread calls its methods.

    Args:
        begin: what was asked.
        say: tells the coordinator.
        later: lets one of the methods here be called, by its name, by that thread.
    """

    def __init__(self, begin: GatewayConfig, say: Callable[[Any], None], later: Callable[..., None]) -> None:
        self._begin, self._say, self._later = begin, say, later
        self._places: list[_Slot] = []
        self._closing: list[Any] = []  # actors
        self._queue: deque[_Training] = deque()
        self._questions = itertools.count()
        self._failed_starts = 0  # in a row
        self._data: Sequence[Any] = ()
        self._room = 0
        self._told: set[str] = set()

    def begin(self, data: Sequence[Any]) -> None:
        """Remember the reference to the data; Ray is there now."""
        self._data = data

    def count(self) -> int:
        """Return how many workers there are, those that start included."""
        return len(self._places)

    def waiting(self) -> tuple[int, ...]:
        """Return the numbers of the trials that wait for a worker."""
        return tuple(training.task.number for training in self._queue)

    def tick(self, room: int) -> None:
        """Have as many workers as there is room for."""
        import ray

        for actor in self._closing:
            ray.kill(actor)
        self._closing.clear()
        self._room = min(room, self._begin.workers)
        if self._room == 0:
            needs = f"{self._begin.cpus:g} CPU" + f" and {self._begin.gpus:g} GPU" * bool(self._begin.gpus)
            self._tell(f"no node of the Ray cluster has {needs} for a worker: the search waits until one joins")
        self._fill()

    def submit(self, task: TrialTask) -> None:
        """Train a trial as soon as a worker is free."""
        self._queue.append(_Training(task=task))
        self._assign()

    def answer(self, trial: int, question: int, answer: Reply) -> None:
        """Hand over the coordinator's answer to a question of a trial's."""
        place = next((place for place in self._places if place.question and place.question[0] == question), None)
        if place is None:  # lost meanwhile, and the trial waits for another worker
            if not answer:
                self._queue = deque(training for training in self._queue if training.task.number != trial)
            return
        assert place.training is not None
        assert place.question is not None
        if isinstance(answer, SuggestReply) and answer.value is not None:
            task = place.training.task
            params = {**task.params, place.question[1]: answer.value}
            place.training.task = dataclasses.replace(task, params=params)
        place.question = None
        if answer:
            self._call(place, "answer", reply_to_line(answer))
        else:
            place.training = None
            self._call(place, "tell", reply_to_line(answer))

    def kill_worker_of(self, trial: int, attempt: int, reason: str) -> None:
        """End the worker that has this trial, whatever it does."""
        for place in self._places:
            training = place.training
            if training is not None and (training.task.number, training.task.attempt) == (trial, attempt):
                self._remove(place)
                self._lose(training, reason, place)
                self._fill()
                return

    def returned(self, place: _Slot, future: Any) -> None:
        """One of a worker's methods returned, or its actor is gone."""
        if place not in self._places:
            return
        place.is_called = False
        error = future.exception()
        result = None if error is not None else future.result()
        if error is not None:
            self._gone(place, error)
        elif isinstance(result, NodeInfo):
            place.is_there = True
            self._compare(result)
            self._call(place, "listen")
        elif isinstance(result, WorkerOutput):
            self._hear(place, result)
        self._assign()

    def close(self) -> None:
        """End all workers."""
        import ray

        ended = [place.actor.close.remote() for place in self._places if place.is_there]
        if ended:
            with suppress(ray.exceptions.RayError):
                ray.wait(ended, num_returns=len(ended), timeout=_CLOSE_SECONDS)
        for actor in [*self._closing, *(place.actor for place in self._places)]:
            ray.kill(actor)
        self._places.clear()

    def _fill(self) -> None:
        """Begin workers where there is room for more; end those that wait for a node that is gone."""
        starting = [place for place in self._places if not place.is_there]
        for place in starting[: max(len(self._places) - self._room, 0)]:
            self._remove(place)
        for _ in range(self._room - len(self._places)):
            self._places.append(self._new_place())

    def _new_place(self) -> _Slot:
        import ray

        slot = min(set(range(len(self._places) + 1)) - {place.slot for place in self._places})
        actors = ray.remote(NodeWorker).options(
            num_cpus=self._begin.cpus, num_gpus=self._begin.gpus, max_concurrency=2, max_restarts=0
        )
        actor = actors.remote(self._begin.node, self._data)
        place = _Slot(slot=slot, actor=actor, log=Path(f"{self._begin.log_prefix}{slot}.log"))
        self._call(place, "about")
        return place

    def _call(self, place: _Slot, method: str, *arguments: Any) -> None:
        place.is_called = True
        future = getattr(place.actor, method).remote(*arguments).future()
        future.add_done_callback(lambda done: self._later("returned", place, done))

    def _remove(self, place: _Slot) -> None:
        """Let a worker leave nothing on its node; the next tick ends it in any case."""
        self._places.remove(place)
        if place.is_there:
            place.actor.close.remote()
        self._closing.append(place.actor)

    def _assign(self) -> None:
        for place in self._places:
            if self._queue and place.is_ready and not place.is_called and place.training is None:
                place.training = self._queue.popleft()
                task = place.training.task
                node = self._begin.node
                goes_as_value = node.setup.files is not None and not node.is_here
                kept = self._files(task).of_trial(task.number) if goes_as_value else {}
                self._call(place, "begin", task, kept)

    def _hear(self, place: _Slot, heard: WorkerOutput) -> None:
        if heard.log:
            with place.log.open("ab") as log:
                log.write(heard.log)
        events = [from_line(line) for line in heard.lines if line + "\n" != READY_LINE]
        if len(events) < len(heard.lines):
            place.is_ready, self._failed_starts = True, 0
        if heard.ending is not None:
            self._ended(place, heard, heard.ending)
            return
        training, may_wait = place.training, bool(events) and isinstance(events[-1], EpochFinished)
        if not may_wait:  # how a trial ended is on disk before it is said
            self._save(place, training, heard)
        for event in events:
            self._hand_on(place, event)
        if may_wait:
            self._save(place, training, heard)
        if place.question is None and (place.training is not None or not place.is_ready):
            self._call(place, "listen")

    def _hand_on(self, place: _Slot, event: WorkerMessage) -> None:
        if isinstance(event, TrialNotice):
            self._say(event)
        elif isinstance(event, EpochFinished | SuggestRequest):
            assert place.training is not None
            if isinstance(event, EpochFinished) and event.metrics.epoch > place.training.epochs:
                place.training.epochs, place.training.places_lost = event.metrics.epoch, 0
            place.question = next(self._questions), event.name if isinstance(event, SuggestRequest) else ""
            self._say(PendingReply(event=event, number=place.question[0]))
        else:
            place.training = None
            self._say(dataclasses.replace(event, log=str(place.log)) if isinstance(event, TrialFailed) else event)

    def _save(self, place: _Slot, training: _Training | None, heard: WorkerOutput) -> None:
        """Write what is new of a trial where a worker of this machine would have written it."""
        setup = self._begin.node.setup
        if training is None or setup.files is None or not heard.files:
            return
        files, number = self._files(training.task), training.task.number
        try:
            for where, content in heard.files.items():
                kind, name = where.split("/")
                if kind == SNAPSHOTS and setup.snapshots is not None:
                    temporary = Path(setup.snapshots) / f".{name}"
                    temporary.write_bytes(content)
                    os.replace(temporary, Path(setup.snapshots) / name)
                elif kind != SNAPSHOTS:
                    write_durably(files.folder / name, content)
            for old in files.checkpoints(number)[KEPT_STATES:]:
                old.unlink(missing_ok=True)
        except OSError as error:
            if not training.is_told:
                text = f"what it saves could not be written here ({error.strerror or one_line(str(error))})"
                self._say(TrialNotice(number=number, attempt=training.task.attempt, text=text))
            training.is_told = True

    def _files(self, task: TrialTask) -> TrialFiles:
        assert self._begin.node.setup.files is not None
        return TrialFiles.of(Path(self._begin.node.setup.files), task.purpose)

    def _ended(self, place: _Slot, heard: WorkerOutput, ending: str) -> None:
        """The process of a worker ended by itself: what it trained may be the cause."""
        self._remove(place)
        if not place.is_ready:
            self._start_failed(f"{ending}): {heard.last_words}; their log is {place.log}")
        if place.training is not None:
            self._save(place, place.training, heard)
            self._lose(place.training, ending, place)
        self._fill()

    def _gone(self, place: _Slot, error: BaseException) -> None:
        """An actor is gone, with its node as a rule; its trial isn't the cause, unless that happens again and again."""
        reason = _last_line(error)
        place.is_there = False
        self._remove(place)
        if not place.is_ready:
            self._start_failed(f"{reason}); regsearch {versions()['regsearch']} must be installed on every node")
        training = place.training
        if training is not None:
            training.places_lost += 1
            if training.places_lost >= _MOST_PLACES_LOST:
                self._lose(training, reason, place)
            else:
                text = f"the worker that had it is gone ({reason}); it goes on from its last epoch on another one"
                self._say(TrialNotice(number=training.task.number, attempt=training.task.attempt, text=text))
                self._queue.appendleft(training)
        self._fill()

    def _lose(self, training: _Training, ending: str, place: _Slot) -> None:
        reason = f"its worker was lost ({ending}); its log is {place.log}"
        self._say(WorkerLost(number=training.task.number, attempt=training.task.attempt, reason=reason))

    def _start_failed(self, how: str) -> None:
        self._failed_starts += 1
        if self._failed_starts >= START_TRIES and not any(place.is_ready for place in self._places):
            raise NoResultError(f"workers can't start ({how}")

    def _compare(self, node: NodeInfo) -> None:
        """Tell where other figures must be expected; raises NoResultError where regsearch itself is another one."""
        here = versions()
        if node.versions["regsearch"] != here["regsearch"]:
            raise NoResultError(
                f"{node.host} has regsearch {node.versions['regsearch']}, this machine {here['regsearch']}: "
                "install the same on every node"
            )
        others = [f"{name} {node.versions.get(name)}, here {here[name]}" for name in here]
        different = [text for name, text in zip(here, others, strict=True) if node.versions.get(name) != here[name]]
        if node.processor != processor():
            different.append(f"the processor {node.processor}, here {processor()}")
        if different:
            self._tell(f"{node.host} has {'; '.join(different)}: figures from there may differ in their last digits")

    def _tell(self, text: str) -> None:
        """Tell the user something, once."""
        if text not in self._told:
            self._told.add(text)
            self._say(EngineNotice(text=text))


def _last_line(error: BaseException) -> str:
    """Return what of an error of Ray's, which may be a traceback, says most."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return one_line(lines[-1] if lines else type(error).__name__)[:300]
