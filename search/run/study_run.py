"""The phases of one run: it searches until the total of trials is reached, then it confirms the best."""

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
    """A confirmation that is ready to start: the database has its finalists and their first trainings.

    Attributes:
        store: the records of the confirmation.
        look: at the end of this confirmation, the test set is evaluated for the first time (1), the second time (2), …
        conclusion: the conclusion from earlier evaluations on the test set; None before the first one.
        progress: how many trainings of this confirmation are finished, and how many there are.
    """

    store: ConfirmationStore
    look: int
    conclusion: Conclusion | None
    progress: StudyProgress


@dataclass(kw_only=True)
class StudyRun:
    """One run of a study: it searches, then it confirms. Both phases use the same workers.

    Attributes:
        spec: the study.
        location: the location of the database.
        progress: shows the user what happens.
        searches, confirms: whether the run searches, and whether it confirms.
        database, store: the database, open for writing, and the study's records in it.
        engine: runs the trials on workers.
        setup: what workers must know before their first trial.
        workers: how many trials may run at once.
        events: a progress that also writes TensorBoard's files during the search; None if the user wants none.
        timeout_seconds: the time after which no more trials start; None means no limit.
        is_new: whether this run started the study.
        is_stopping: whether a stop was requested.
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
    is_new: bool = False
    is_stopping: bool = False

    def __post_init__(self) -> None:
        self._started = time.monotonic()
        self._coordinators: list[Coordinator] = []
        self._started_workers = 0
        self._forecast: Forecast | None = None
        self._retry = Retry(
            study=self.spec.study.name, is_stopping=lambda: self.is_stopping, message=self.progress.message
        )

    def stop(self) -> None:
        """Ask the run to stop within a second. A signal handler may call this."""
        self.is_stopping = True
        for coordinator in self._coordinators:
            coordinator.stop()

    def run(self) -> StopReason:
        """Search and confirm, and return why the run ended.

        Raises StorageUnavailableError or CommitInDoubtError if the database was unavailable for too long, and
        StorageError if another coordinator has taken over the study.
        """
        try:
            reason = self._run()
            # the next lines remove files; this call raises StorageError if another coordinator uses them by now
            self._retry(self.store.stop_requested)
        except (StorageUnavailableError, CommitInDoubtError):
            if self.is_stopping:  # the stop ended the wait for the database
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
            confirm_reason = self._confirm()
            if confirm_reason is StopReason.TOTAL and self._forecast is not None:
                self._forecast.compare(time.monotonic() - self._started)
            return confirm_reason if confirm_reason in (StopReason.STOPPED, StopReason.TIMEOUT) else reason
        if not self.is_stopping:
            self._retry(self._publish_new_counts)
        return StopReason.STOPPED if self.is_stopping else reason

    def _confirm(self) -> StopReason:
        plan = self._retry(self._plan_confirmation)
        if plan is None:
            return StopReason.TOTAL
        self._show_confirmation(plan)
        name, seeds = self.spec.study.name, self.spec.confirm.seeds
        what = f"confirming {name} on {seeds} fresh seeds"
        if self.spec.confirm.method == "race":
            what = f"confirming {name}, up to {seeds} fresh seeds"
        reason = self._coordinate(what, plan.store, Purpose.CONFIRM)
        if reason is StopReason.TOTAL:
            self._retry(publish_answer, self.database, self.store)
        return reason

    def _plan_confirmation(self) -> "_PlannedConfirmation | None":
        """Choose the finalists and store their first trainings; return None if there is no finalist."""
        study = get_study(self.database, self.spec.study.name)
        finalists = choose(list_trials(self.database, study), self.spec)
        if not finalists:
            return None
        conclusion = read_conclusion(self.database, study)
        store = ConfirmationStore(self.store, lambda seed: fresh_seed(self.spec.search.seed, seed))
        look = store.plan(finalists, self.spec.confirm.seeds, () if conclusion is None else conclusion.unsettled)
        return _PlannedConfirmation(store=store, look=look, conclusion=conclusion, progress=store.progress())

    def _show_confirmation(self, plan: "_PlannedConfirmation") -> None:
        """Tell the user if nothing is left to train, or if finalists were evaluated on the test set before."""
        seeds, conclusion = self.spec.confirm.seeds, plan.conclusion
        is_over = plan.progress.finished == plan.progress.total
        if is_over and conclusion is not None and conclusion.seeds < seeds:
            self.progress.note(
                f"nothing is left to train: the race ended after {conclusion.seeds} of {seeds} seeds. To continue the "
                "race, give another number of seeds."
            )
        elif plan.look > 1 and not is_over:
            self.progress.message(
                f"finalists were evaluated on the test set before. This is evaluation {plan.look}: its new finalists "
                "and seeds were chosen when earlier results were known. All evaluations share one risk of a wrong "
                "claim, so intervals are wider."
            )

    def _publish_new_counts(self) -> None:
        """If the study is confirmed, publish its answer again, because the answer's counts of trials have changed."""
        if read_conclusion(self.database, get_study(self.database, self.spec.study.name)) is not None:
            publish_answer(self.database, self.store)

    def _coordinate(self, what: str, store: Store, purpose: Purpose) -> StopReason:
        elapsed = time.monotonic() - self._started
        seconds_left = None if self.timeout_seconds is None else self.timeout_seconds - elapsed
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
            timeout_seconds=seconds_left,
            forecast=self._forecast,
            is_new_study=self.is_new and purpose == Purpose.SEARCH,
        )
        self._coordinators.append(coordinator)
        if self.is_stopping:  # the stop came before this coordinator was in the list
            self._coordinators.pop()  # it must not remove files, because it doesn't know the unfinished trials yet
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
        """Start `count` workers, unless the previous phase has left at least `count` workers."""
        if self._started_workers >= count:
            return
        self.close()
        self._started_workers = count
        self.engine.start(self.setup, count, paths.log_prefix(self.location, self.spec.study.name))

    def close(self) -> None:
        """End all workers, even in the middle of a trial."""
        self._started_workers = 0
        self.engine.stop()
