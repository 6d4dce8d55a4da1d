"""What one run does with a study that is open: it searches until the total, then it confirms the best."""

import time
from dataclasses import dataclass
from pathlib import Path

from ...storage import paths
from ...storage.confirmation_results import read_conclusion
from ...storage.confirmation_store import ConfirmationStore
from ...storage.dashboard_note import publish_answer
from ...storage.database import Database
from ...storage.location import Location
from ...storage.queries import get_study, list_trials
from ...storage.study_store import StudyStore
from ...studies.analysis.conclusion import Conclusion
from ...studies.analysis.finalists import choose
from ...studies.decision_log import log_decision
from ...studies.errors import CommitInDoubtError, StorageUnavailableError
from ...studies.spec import StudySpec
from ...studies.trial import Purpose, StudyProgress
from ...studies.trial_files import TrialFiles
from ..seeds import fresh_seed
from ..training.setup import TrainerSetup
from ..workers.base import Engine
from .coordinator import Coordinator, StopReason
from .forecast import Forecast
from .progress import Progress
from .retry import Retry
from .store import Store


@dataclass(frozen=True, kw_only=True)
class _PlannedConfirmation:
    """A confirmation whose first trainings are entered.

    Attributes:
        store: its records.
        look: the look at the test set that the trainings belong to, counted from 1.
        conclusion: what earlier looks gave; None before the first.
        progress: how far it is.
    """

    store: ConfirmationStore
    look: int
    conclusion: Conclusion | None
    progress: StudyProgress


@dataclass(kw_only=True)
class StudyRun:
    """One run of a study: it searches, then it confirms. It owns the workers, which live on between the two.

    Attributes:
        spec: the study.
        location: of the database.
        progress: what the user sees.
        searches, confirms: what is done.
        database, store: the study's, opened for writing.
        engine, setup, workers: where trials train, what workers must know, and how many may train at once.
        events: progress that leaves TensorBoard's files of the search's trials, if they are asked for.
        timeout_seconds: after which nothing more is begun; None: never.
        is_stopping: whether a stop was asked for.
    """

    spec: StudySpec
    location: Location
    progress: Progress
    searches: bool
    confirms: bool
    database: Database
    store: StudyStore
    engine: Engine
    setup: TrainerSetup
    workers: int
    events: Progress | None
    timeout_seconds: float | None
    is_stopping: bool = False

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self._coordinators: list[Coordinator] = []
        self._started_workers = 0
        self._forecast: Forecast | None = None
        self._retry = Retry(
            study=self.spec.study.name, is_stopping=lambda: self.is_stopping, message=self.progress.message
        )

    def stop(self) -> None:
        """Ask for a stop within a second; may be called from a signal handler."""
        self.is_stopping = True
        for coordinator in self._coordinators:
            coordinator.stop()

    def run(self) -> StopReason:
        """Return why the run ended.

        Raises UnavailableError or InDoubtError where the database stays away, StorageError where another coordinator
        took over.
        """
        try:
            reason = self._run()
            # the next lines remove files: they may be another's by now, which a step of the store tells
            self._retry(self.store.stop_requested)
        except (StorageUnavailableError, CommitInDoubtError):
            if self.is_stopping:  # it gave up waiting for the database
                return StopReason.STOPPED
            raise
        self.close()
        for coordinator in self._coordinators:
            coordinator.remove_finished_files()
        return reason

    def _run(self) -> StopReason:
        reason = StopReason.TOTAL
        if self.searches:
            self._forecast = Forecast(
                spec=self.spec,
                workers=self.workers,
                confirms=self.confirms and self.spec.confirm.seeds > 0,
                message=self.progress.note,
            )
            reason = self._coordinate(f"study {self.spec.study.name}", self.store, Purpose.SEARCH)
        is_over = reason in (StopReason.TOTAL, StopReason.EXHAUSTED) and not self.is_stopping
        if is_over and self.confirms and self.spec.confirm.seeds:
            confirmed = self._confirm()
            if confirmed is StopReason.TOTAL and self._forecast is not None:
                self._forecast.compare(time.monotonic() - self._began)
            return confirmed if confirmed in (StopReason.STOPPED, StopReason.TIMEOUT) else reason
        if not self.is_stopping:
            self._retry(self._publish_new_counts)
        return StopReason.STOPPED if self.is_stopping else reason

    def _confirm(self) -> StopReason:
        planned = self._retry(self._plan_confirmation)
        if planned is None:
            return StopReason.TOTAL
        self._show_confirmation(planned)
        name, seeds = self.spec.study.name, self.spec.confirm.seeds
        what = f"confirming {name} on {seeds} fresh seeds"
        if self.spec.confirm.method == "race":
            what = f"confirming {name} on up to {seeds} fresh seeds, round by round"
        reason = self._coordinate(what, planned.store, Purpose.CONFIRM)
        if reason is StopReason.TOTAL:
            self._retry(publish_answer, self.database, self.store)
        return reason

    def _plan_confirmation(self) -> "_PlannedConfirmation | None":
        """Enter the finalists and their trainings; return None if the search gave no finalist."""
        study = get_study(self.database, self.spec.study.name)
        finalists = choose(list_trials(self.database, study), self.spec)
        if not finalists:
            return None
        conclusion = read_conclusion(self.database, study)
        store = ConfirmationStore(self.store, lambda seed: fresh_seed(self.spec.search.seed, seed))
        look = store.plan(finalists, self.spec.confirm.seeds, () if conclusion is None else conclusion.unsettled)
        return _PlannedConfirmation(store=store, look=look, conclusion=conclusion, progress=store.progress())

    def _show_confirmation(self, planned: "_PlannedConfirmation") -> None:
        """Tell the user if nothing is left to train, or if test figures were known before."""
        seeds, conclusion = self.spec.confirm.seeds, planned.conclusion
        is_over = planned.progress.finished == planned.progress.total
        if is_over and conclusion is not None and conclusion.seeds < seeds:
            self.progress.note(
                f"nothing is left to train: the race of up to {seeds} seeds ended after {conclusion.seeds}. Another "
                "number of seeds continues it."
            )
        elif planned.look > 1 and not is_over:
            self.progress.message(
                f"this is look {planned.look} at the test rows: what it adds was chosen when earlier test figures were "
                "known. All looks share the risk, so the intervals are wider"
            )

    def _publish_new_counts(self) -> None:
        """Publish the answer again if there is one: its counts have changed."""
        if read_conclusion(self.database, get_study(self.database, self.spec.study.name)) is not None:
            publish_answer(self.database, self.store)

    def _coordinate(self, what: str, store: Store, purpose: Purpose) -> StopReason:
        left = None if self.timeout_seconds is None else self.timeout_seconds - (time.monotonic() - self._began)
        assert self.setup.files is not None
        coordinator = Coordinator(
            spec=self.spec,
            what=what,
            store=store,
            engine=self.engine,
            start_workers=self._start_workers,
            workers=self.workers,
            files=TrialFiles.of(Path(self.setup.files), purpose),
            progress=(purpose == Purpose.SEARCH and self.events) or self.progress,
            timeout_seconds=left,
            forecast=self._forecast,
        )
        self._coordinators.append(coordinator)
        if self.is_stopping:  # asked for a moment ago
            self._coordinators.pop()  # it doesn't know which trials are under way
            return StopReason.STOPPED
        log_decision(self.spec.study.name, None, "phase started:", what)
        try:
            reason = coordinator.run()
            log_decision(self.spec.study.name, None, "phase ended:", f"{what}; {reason.value}")
            return reason
        finally:
            if self._started_workers and self.engine.is_busy():  # idle workers wait for the next phase
                self.close()

    def _start_workers(self, count: int) -> None:
        """Start that many workers, unless as many are left of the phase before."""
        if self._started_workers >= count:
            return
        self.close()
        self._started_workers = count
        self.engine.start(self.setup, count, paths.log_prefix(self.location, self.spec.study.name))

    def close(self) -> None:
        """End all workers, whatever they do."""
        self._started_workers = 0
        self.engine.stop()
