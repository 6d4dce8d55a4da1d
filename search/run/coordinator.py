"""The coordinator: the only part of a run that gives tasks to an engine and records their results."""

import enum
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from ...studies.configuration import technique_of
from ...studies.decision_log import log_decision
from ...studies.errors import ModelError, NoResultError, SearchSpaceChangedError
from ...studies.spec import StudySpec
from ...studies.trial import (
    Done,
    DoneReason,
    EpochDecision,
    EpochMetrics,
    Outcome,
    Purpose,
    Tally,
    TrialTask,
    Value,
    Wait,
)
from ...studies.trial_files import TrialFiles
from ..workers.base import Engine
from ..workers.protocol import (
    EngineNotice,
    EpochFinished,
    Event,
    LookFinished,
    Reply,
    SuggestReply,
    SuggestRequest,
    TrialFailed,
    TrialFinished,
    TrialNotice,
    WorkerLost,
)
from .forecast import Forecast
from .hang_detector import HangDetector
from .progress import FinishedTrial, Progress
from .retry import POLL_SECONDS, Retry, RetryingStore
from .store import Store

_MOST_FAILURES_IN_A_ROW = 10
_LOGGED_DECISIONS = {
    EpochDecision.PRUNED: ("pruned", "after epoch {}"),
    EpochDecision.TRIED: ("stopped:", "an earlier trial has the same configuration"),
    EpochDecision.REPEATED: ("already recorded:", "epoch {}"),
    EpochDecision.DIFFERS: ("already recorded:", "epoch {}, with other figures"),
}
"""The decisions about an epoch that get a line in the log: for each decision, the line's action and detail."""


class StopReason(enum.Enum):
    """Why a run ended."""

    TOTAL = "the study's total is reached"
    EXHAUSTED = "every point of the space was tried"
    TIMEOUT = "its time was over"
    STOPPED = "it was stopped"


@dataclass(kw_only=True)
class Coordinator:
    """Trains all trials of one phase of a run. A phase is a search or a confirmation.

    The phase ends when its total is reached, when its timeout is over, or when a stop is requested.

    Attributes:
        spec: the study.
        what: the name of the phase in messages, such as "study mnist".
        store: the records of the phase. While it runs, only this coordinator writes them.
        engine: runs the trials on workers.
        start_workers: starts at least the given number of workers; returns before they are ready.
        workers: how many trials may run at once.
        files: the checkpoints and the weights of trials.
        progress: shows the user what happens.
        timeout_seconds: the time after which no more trials start; None means no limit.
        forecast: estimates how long the run will take; None means no estimate.
        is_new_study: whether this run started the study. If so, a HyperModel that can't be searched raises ModelError
            before the first epoch.
        clock: returns the seconds of a clock that never goes back.
        sleep: waits for the given number of seconds on the same clock.
    """

    spec: StudySpec
    what: str
    store: Store
    engine: Engine
    start_workers: Callable[[int], None]
    workers: int
    files: TrialFiles
    progress: Progress
    timeout_seconds: float | None = None
    forecast: Forecast | None = None
    is_new_study: bool = False
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        self._stop_requested = False
        self._running: dict[int, TrialTask] = {}
        self._started_at: dict[int, float] = {}
        self._suggested: dict[int, dict[str, Value]] = {}
        self._waiting: deque[TrialTask] = deque()
        self._ending: StopReason | None = None
        self._failures_in_a_row = 0
        self._best: float | None = None
        self._has_epochs = False
        self._techniques: dict[str, Tally] = {}
        self._hang_detector = HangDetector(self.spec.budget.epoch_timeout)
        retry = Retry(
            study=self.spec.study.name,
            is_stopping=lambda: self._stop_requested,
            message=self.progress.message,
            clock=self.clock,
            sleep=self.sleep,
        )
        self.store = RetryingStore(self.store, retry)

    def stop(self) -> None:
        """Ask the phase to stop within a second. A signal handler may call this."""
        self._stop_requested = True

    @property
    def is_stopping(self) -> bool:
        """Whether a stop was requested."""
        return self._stop_requested

    def run(self) -> StopReason:
        """Run the phase and return why it ended. After the end no worker has a task, unless the phase was stopped.

        Raises NoResultError if ten trials in a row failed or workers can't start, and StorageUnavailableError if the
        database was unavailable for too long.
        """
        try:
            progress = self.store.progress()
            self._best = progress.best
            self._techniques = dict(progress.techniques)
            self.progress.begin(self.what, progress.finished, progress.total, progress.best)
            self.progress.techniques_changed(self._techniques)
            remaining = progress.total - progress.finished
            if self.forecast is not None and self.forecast.trials is None:
                self.forecast.trials = remaining
            self._waiting.extend(self.store.unfinished())
            self._remove_stale_files()
            # if no trial remains, TensorFlow needn't start
            return self._train(min(self.workers, remaining)) if remaining > 0 else StopReason.TOTAL
        finally:
            self.progress.end()

    def _train(self, workers: int) -> StopReason:
        self._started = self._polled = self.clock()
        self.start_workers(workers)
        return self._search()

    def remove_finished_files(self) -> None:
        """Remove the checkpoints of trials that have ended. Call it only after all workers have ended."""
        self.files.clean([*self._running, *(task.number for task in self._waiting)])

    def _remove_stale_files(self) -> None:
        """Remove the files that a killed run left behind."""
        unfinished = [task.number for task in self._waiting]
        self.files.clean(unfinished)
        self.files.keep_weights({*self.store.trials_with_kept_weights(), *unfinished})

    def _search(self) -> StopReason:
        while not self._stop_requested:
            self._check_deadlines_and_stop()
            self._fill_workers()
            if self._ending is not None and not self._running and not self._may_retry_trials():
                return self._ending
            self.engine.wait(self._handle, POLL_SECONDS)
        return StopReason.STOPPED

    def _may_retry_trials(self) -> bool:
        """Return whether a trial that waits for a new worker may still start; after the timeout, none may."""
        return bool(self._waiting) and self._ending is not StopReason.TIMEOUT

    def _check_deadlines_and_stop(self) -> None:
        """Check the timeout and the hang detector; once a second, check whether a stop was requested."""
        now = self.clock()
        if self.timeout_seconds is not None and now - self._started >= self.timeout_seconds:
            if self._ending is None and self._running:
                self.progress.message(
                    f"the time is over: no more trials start. The run ends when the running trials "
                    f"({len(self._running)}) have ended."
                )
            self._ending = self._ending or StopReason.TIMEOUT
        if now - self._polled >= POLL_SECONDS:
            self._polled = now
            self._stop_requested |= self.store.stop_requested()
        for number, silence in self._hang_detector.hung(now, self.engine.tasks_waiting_for_startup()):
            task, reason = self._running[number], f"its worker was stuck: no epoch in {silence:.0f} s"
            self._log(task, "hang:", f"no epoch in {silence:.0f} s", level=logging.WARNING)
            self.engine.kill_worker_of(task, reason)

    def _fill_workers(self) -> None:
        while self.engine.free_workers():
            task = self._next_task()
            if task is None:
                return
            self._running[task.number] = task
            self._hang_detector.beat(task.number, None)
            self._started_at.setdefault(task.number, self.clock())
            self.progress.trial_began(task)
            self.engine.submit(task)

    def _next_task(self) -> TrialTask | None:
        if self._ending is StopReason.TIMEOUT:
            return None
        if self._waiting:
            task = self._waiting.popleft()
            self._log(task, "handed out:", "again")
            return task
        if self._ending is not None:
            return None
        match self.store.ask():
            case TrialTask() as task:
                return task
            case Done(reason):
                self._ending = StopReason.EXHAUSTED if reason is DoneReason.EXHAUSTED else StopReason.TOTAL
            case Wait():
                pass
        return None

    def _handle(self, event: Event) -> Reply:
        """Record a worker's event. Return the value that the trial asked for, or else whether the trial continues."""
        if isinstance(event, EngineNotice):
            self.progress.message(event.text)
            return False
        task = self._running.get(event.number)
        if task is None or task.attempt != event.attempt:
            return False  # the event is from an earlier attempt, which was declared lost
        match event:
            case EpochFinished():
                return self._record(task, event.metrics)
            case SuggestRequest():
                return self._suggest(task, event)
            case TrialFinished() | LookFinished():
                self._record_completed(task, event.outcome)
            case TrialFailed() if event.by_model and self.is_new_study and not self._has_epochs:
                raise ModelError(f"{event.reason.rstrip('.')}. The study was not started.")
            case TrialFailed():
                remark = f"{event.reason}; its log is {event.log}"
                self._record_failed(task, event.reason, remark, by_settings=event.by_settings)
            case TrialNotice():
                self.progress.message(f"{task}: {event.text}")
            case WorkerLost():
                self._record_lost(task, event.reason)
        return False

    def _suggest(self, task: TrialTask, event: SuggestRequest) -> Reply:
        self._hang_detector.beat(task.number, None)
        if self._stop_requested:
            return False
        try:
            value = self.store.suggest(task, event.name, event.distribution, event.default)
        except SearchSpaceChangedError as error:
            return SuggestReply(refusal=str(error))
        if value is None:
            self._forget_ended_elsewhere(task)
            return False
        self._suggested.setdefault(task.number, {})[event.name] = value
        self.progress.trial_began(self._with_suggested_params(task))
        return SuggestReply(value=value)

    def _with_suggested_params(self, task: TrialTask) -> TrialTask:
        """Return the task with all its parameters, also with the parameters that were suggested while the trial ran."""
        suggested = self._suggested.get(task.number)
        return task if suggested is None else replace(task, params={**task.params, **suggested})

    def _record(self, task: TrialTask, metrics: EpochMetrics) -> bool:
        self._has_epochs = True
        self._hang_detector.beat(task.number, metrics.seconds)
        decision = self.store.record_epoch(task, metrics)
        if decision in _LOGGED_DECISIONS:
            action, detail = _LOGGED_DECISIONS[decision]
            self._log(task, action, detail.format(metrics.epoch + 1))
        if decision is EpochDecision.PRUNED:
            self._finish(task, "PRUNED", None, f"epoch {metrics.epoch + 1}")
            return False
        if decision is EpochDecision.TRIED:
            self._finish(task, "FAIL", None, "an earlier trial had the same settings")
            return False
        if decision is EpochDecision.ENDED:
            self._forget_ended_elsewhere(task)
            return False
        if decision is EpochDecision.DIFFERS:
            self.progress.message(
                f"{task}, epoch {metrics.epoch + 1}: the figures differ from those before the interruption, "
                "perhaps because of another processor or library version. The first figures are kept."
            )
        self.progress.epoch_finished(self._with_suggested_params(task), metrics)
        if self.forecast is not None:
            self.forecast.add_epoch(metrics.seconds)
        self._check_deadlines_and_stop()
        if self._stop_requested:
            self._log(task, "stopped", f"after epoch {metrics.epoch + 1}")
        return not self._stop_requested

    def _record_completed(self, task: TrialTask, outcome: Outcome) -> None:
        value = outcome.value(self.spec.search.objective)
        if not self.store.finish(task, outcome):
            self._forget_ended_elsewhere(task)
            return
        if self._best is None or (value > self._best) == self.spec.search.maximizes:
            self._best = value
        # the log must not reveal results on the test set
        self._log(task, "complete", "" if task.purpose == Purpose.TEST else f"with {value:.6g}")
        self._finish(task, "COMPLETE", value, "")
        # a running trial may have written its weights a moment ago
        self.files.keep_weights({*self.store.trials_with_kept_weights(), *self._running})

    def _record_lost(self, task: TrialTask, reason: str) -> None:
        next_attempt = self.store.record_lost_worker(task)
        if next_attempt is None:
            self._record_failed(task, f"{reason} (attempt {task.attempt + 1}, the last)", reason)
            return
        self._log(task, "lost worker:", f"{reason}; attempt {next_attempt.attempt} follows", level=logging.WARNING)
        self.progress.message(f"{task}: {reason}. It is tried again.")
        del self._running[task.number]
        self._hang_detector.forget(task.number)
        self._waiting.appendleft(next_attempt)

    def _record_failed(self, task: TrialTask, reason: str, remark: str, *, by_settings: bool = False) -> None:
        if not self.store.fail(task, reason, by_settings=by_settings):
            self._forget_ended_elsewhere(task)
            return
        self._log(task, "failed:", reason)
        self._finish(task, "FAIL", None, remark)
        is_search = task.purpose == Purpose.SEARCH
        if by_settings and is_search and self.spec.search.rules >= 2 and self._best is not None:
            return  # other configurations train well, and the sampler will avoid this one
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= _MOST_FAILURES_IN_A_ROW:
            raise NoResultError(
                f"{self._failures_in_a_row} trials in a row failed. The last one failed because {remark}"
            )

    def _forget_ended_elsewhere(self, task: TrialTask) -> None:
        self._log(task, "not ours:", "something else ended it")
        self._forget(task)
        del self._started_at[task.number]
        self.progress.message(f"{task} was ended by another tool, perhaps the dashboard. It stays as it is.")

    def _finish(self, task: TrialTask, state: str, value: float | None, remark: str) -> None:
        self._forget(task)
        if state != "FAIL":
            self._failures_in_a_row = 0
        seconds = self.clock() - self._started_at.pop(task.number)
        complete_task = self._with_suggested_params(task)
        self._suggested.pop(task.number, None)
        finished = FinishedTrial(task=complete_task, state=state, value=value, remark=remark, seconds=seconds)
        self._tally(complete_task, value)
        self.progress.trial_finished(finished, self._best)
        self._show_news()

    def _show_news(self) -> None:
        """Show the store's new decisions, such as finalists that a race drops, and then the total."""
        news = self.store.news()
        for text in news:
            self.progress.note(text)
        if news:
            self.progress.total_changed(self.store.progress().total)

    def _tally(self, task: TrialTask, value: float | None) -> None:
        technique = technique_of(task.params) if task.purpose == Purpose.SEARCH else None
        if technique is not None:
            tally = self._techniques.get(technique, Tally())
            self._techniques[technique] = tally.after(value, maximizes=self.spec.search.maximizes)
            self.progress.techniques_changed(self._techniques)

    def _log(self, task: TrialTask, action: str, detail: str = "", *, level: int = logging.INFO) -> None:
        log_decision(self.spec.study.name, task, action, detail, level=level)

    def _forget(self, task: TrialTask) -> None:
        """Forget a trial that has ended; its records are in the database."""
        del self._running[task.number]
        self._hang_detector.forget(task.number)
        self.files.forget(task.number)
