"""Write a study to the database: each start of a trial, each epoch and each end of a trial is one transaction."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import optuna
import sqlalchemy
from optuna.pruners import BasePruner, NopPruner, PercentilePruner
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import TrialState
from sqlalchemy import insert, update

from ..studies.configuration import configuration_of, technique_of
from ..studies.decision_log import log_decision
from ..studies.errors import InputError, SpaceExhaustedError, StorageError, one_line
from ..studies.recipes import DEFAULTS
from ..studies.records import DatasetInfo, StudyRecord
from ..studies.spec import CONTEST, StudySpec
from ..studies.trial import (
    Done,
    DoneReason,
    EpochDecision,
    EpochMetrics,
    Outcome,
    StudyProgress,
    Tally,
    TrialOutcome,
    TrialTask,
    Value,
)
from . import run_rows, study_sql
from .checks import trials
from .database import Database
from .new_study import create_study
from .optuna import lookback
from .optuna.study import OptunaStudy, suggest_value
from .study_proposals import StudyProposals, UnusableError, same_settings
from .tables import EpochRow, StudyRow, TrialRow
from .tried_configurations import BY_SETTINGS

_WEIGHTS_KEPT = 5  # the number of best complete trials whose weights are kept
MOST_ATTEMPTS = 3  # if its worker is lost, a trial is tried again at most twice

_ENTER_EPOCH = insert(EpochRow)


class StudyStore:
    """Writes one study to the database, for the study's coordinator.

    **Atomicity**: every step is one transaction, which is committed as a whole or not at all.
    **Ownership**: the coordinator holds the study's lock. Once another process has taken over, it can't write any more.

    **Crash behaviour**: after a kill, the database contains exactly the committed steps. The next coordinator gets the
    trials that were running from `unfinished`.

    Every method raises StorageError if its transaction fails, or if the study was deleted in the meantime.
    """

    def __init__(self, database: Database, name: str, study_uuid: str, spec: StudySpec) -> None:
        self.name = name
        self.spec = spec
        self._is_exhausted = False
        self._database = database
        self.study_uuid = study_uuid
        self._study_id = database.storage.get_study_id_from_name(name)
        self._sampler_for: Callable[[int, int], BaseSampler] = lambda number, _: RandomSampler(number)
        self._pruner: BasePruner = NopPruner()
        self._asking = self._asks(spec)
        self._needs_all_trials = True
        self._run_id: int | None = None

    @classmethod
    def create(
        cls, database: Database, spec: StudySpec, dataset: DatasetInfo, versions: Mapping[str, str]
    ) -> "StudyStore":
        """Create a study, in Optuna's tables and in those of regsearch.

        Raises InputError if another study has this name.
        """
        study_uuid = create_study(database, spec, dataset, versions)
        return cls(database, spec.study.name, study_uuid, spec)

    @classmethod
    def open(cls, database: Database, record: StudyRecord) -> "StudyStore":
        """Open an existing study."""
        return cls(database, record.name, record.study_uuid, record.spec)

    def begin_run(
        self,
        spec: StudySpec,
        *,
        sampler_for: Callable[[int, int], BaseSampler],
        pruner: BasePruner,
        needs_all_trials: bool,
        engine: str,
        workers: int,
        versions: Mapping[str, str],
    ) -> None:
        """Start a run, and store the definition of the study that this run uses.

        Args:
            spec: the definition of the study, with the sampler, pruner and budget of this run.
            sampler_for: takes the number of a trial, and how many proposals for the trial were not new; returns the
                sampler for the next proposal.
            pruner: decides after each epoch whether a trial is pruned.
            needs_all_trials: whether sampler and pruner must see all trials. If not, they see a part of a long study
                (`storage/optuna/lookback.py`).
            engine: the engine that trains, for the run's row.
            workers: the number of workers, for the run's row.
            versions: the versions of the installed packages, for the run's row.
        """
        self.spec, self._sampler_for, self._pruner = spec, sampler_for, pruner
        self._asking = self._asks(spec)
        self._needs_all_trials = needs_all_trials
        with self.transaction() as connection:
            trials.check_trials(self._database, connection, self._study_id, self.name)
            connection.execute(
                update(StudyRow).where(StudyRow.study_uuid == self.study_uuid).values(spec=spec.to_json())
            )
            self._run_id = run_rows.enter_run(
                connection, self.study_uuid, spec, engine=engine, workers=workers, versions=versions
            )
            study_sql.forget_trials_that_are_not_there(connection, self.study_uuid, self._study_id)
            self._ask_whether_sampler_is_exhausted(connection)

    def end_run(self, outcome: str) -> None:
        """Record how the run ended."""
        with self.transaction() as connection:
            run_rows.end_run(connection, self._run_id, outcome)

    def stop_requested(self) -> bool:
        """Return whether a user has asked this run to stop."""
        with self.transaction() as connection:
            return run_rows.is_stop_requested(connection, self._run_id)

    def progress(self) -> StudyProgress:
        """Return the study's progress: finished trials, planned trials, the best value and each technique's tally."""
        with self.transaction() as connection:
            finished = self._count(connection).finished
            try:
                best = self._database.storage.get_best_trial(self._study_id).value
            except ValueError:  # no trial is complete
                best = None
            techniques = self._techniques()
            return StudyProgress(finished=finished, total=self.spec.budget.trials, best=best, techniques=techniques)

    def _techniques(self) -> dict[str, Tally]:
        """Return each technique's tally (its finished trials and best value), in the order of their first trials."""
        tallies: dict[str, Tally] = {}
        for trial in self._database.storage.get_all_trials(self._study_id, deepcopy=False):
            technique = technique_of(trial.params) if trial.state.is_finished() else None
            if technique is not None:
                value = trial.value if trial.state == TrialState.COMPLETE else None
                known = tallies.get(technique, Tally())
                tallies[technique] = known.after(value, maximizes=self.spec.search.maximizes)
        return tallies

    def request_stop(self) -> None:
        """Ask the study's current run, in another process, to stop."""
        with self.transaction() as connection:
            run_rows.request_stop(connection, self.study_uuid)

    def unfinished(self) -> list[TrialTask]:
        """Return the trials that were running when the search was interrupted, ordered by number."""
        with self.transaction() as connection:
            running = study_sql.running_trials(connection, self.study_uuid, self._study_id)
            trials = [(self._database.storage.get_trial(row.trial_id), row.attempt) for row in running]
            return [TrialTask(number=trial.number, attempt=attempt, params=trial.params) for trial, attempt in trials]

    def ask(self) -> TrialTask | Done:
        """Start one more trial: an enqueued trial, else a recipe, else a proposal of the sampler.

        If the sampler raises an error, no trial is stored, and the caller gets the error.
        """
        while True:
            try:
                with self.transaction() as connection:
                    proposal = self._asking.ask(connection, is_exhausted=self._is_exhausted)
            except SpaceExhaustedError:
                return Done(DoneReason.EXHAUSTED)
            except UnusableError as unusable:
                with self.transaction() as connection:
                    self._asking.refuse(connection, unusable.number, str(unusable))
                refused = TrialTask(number=unusable.number, attempt=0, params={})
                log_decision(self.name, refused, "refused:", str(unusable))
            else:
                if isinstance(proposal, Done):
                    return proposal
                log_decision(self.name, proposal.task, "handed out:", proposal.origin)
                return proposal.task

    def suggest(self, task: TrialTask, name: str, distribution: str, default: Value) -> Value | None:
        """Return the value of a parameter that a trial asks for; None if the trial has ended already.

        A parameter keeps the value that it got first. Raises SearchSpaceChangedError if Optuna can't accept such a
        parameter in this study.
        """
        with self.transaction() as connection:
            trial_id = study_sql.running_trial_id(connection, self._study_id, task.number)
            if trial_id is None:
                return None
            fallback = default if study_sql.is_recipe(connection, self.study_uuid, task.number) else None
            return suggest_value(self._study(task.number), trial_id, name, distribution, fallback)

    def record_epoch(self, task: TrialTask, metrics: EpochMetrics) -> EpochDecision:
        """Record an epoch, and let the pruner decide whether the trial ends here. Some recipes are never pruned."""
        with self.transaction() as connection:
            recorded = study_sql.epoch(connection, self.study_uuid, task.number, metrics.epoch)
            if recorded is not None:
                same = all(getattr(metrics, name) == figure for name, figure in recorded._mapping.items())
                return EpochDecision.REPEATED if same else EpochDecision.DIFFERS
            trial_id = study_sql.running_trial_id(connection, self._study_id, task.number)
            if trial_id is None:
                return EpochDecision.ENDED
            if metrics.epoch == 0 and self._is_repeated(connection, task, trial_id):
                return EpochDecision.TRIED
            row = {"study_uuid": self.study_uuid, "number": task.number, **metrics.columns()}
            connection.execute(_ENTER_EPOCH, row)
            judged = metrics.value(self.spec.search.objective)
            if judged is None:
                return EpochDecision.RECORDED
            study_sql.report(connection, trial_id, metrics.epoch, judged)
            if isinstance(self._pruner, NopPruner) or self._is_spared(connection, task.number):
                return EpochDecision.RECORDED
            study = self._study(task.number)
            # such as the median pruner
            compares_with_finished = isinstance(self._pruner, PercentilePruner) or self.spec.search.pruner == CONTEST
            with self._database.reading_whole(trial_id) if compares_with_finished else nullcontext():
                study.trials_now = self._database.storage.get_all_trials(self._study_id, deepcopy=False)
            judged_now = next(trial for trial in reversed(study.trials_now) if trial.number == task.number)
            if not self._pruner.prune(study, judged_now):
                return EpochDecision.RECORDED
            study.trials_now = None
            self._set_trial_row(connection, task.number, epochs=metrics.epoch + 1)
            study.tell(task.number, state=TrialState.PRUNED)
            self._is_exhausted |= study.exhausted
            return EpochDecision.PRUNED

    def finish(self, task: TrialTask, outcome: Outcome) -> bool:
        """Record the result of a trial; return False if the trial has ended already."""
        assert isinstance(outcome, TrialOutcome)
        shown: dict[str, Any] = {
            "select accuracy": outcome.select_accuracy,
            "select cross-entropy": outcome.select_cross_entropy,
            "generalization gap": outcome.generalization_gap,
            "best epoch": outcome.best_epoch,
        }
        value = outcome.value(self.spec.search.objective)
        with self.transaction() as connection:
            trial_id = study_sql.running_trial_id(connection, self._study_id, task.number)
            if trial_id is not None:
                params = self._database.storage.get_trial(trial_id).params  # a HyperModel may have asked for more
                shown = {"regularization": str(configuration_of(params)), **shown}
            return self._end(connection, task, trial_id, TrialState.COMPLETE, value, shown, outcome.columns())

    def fail(self, task: TrialTask, reason: str, *, by_settings: bool = False) -> bool:
        """Record that a trial failed for good; return False if the trial has ended already.

        If its settings are the cause (`by_settings`), they are not tried again.
        """
        reason = one_line(reason)  # PostgreSQL refuses a NUL character
        with self.transaction() as connection:
            trial_id = study_sql.running_trial_id(connection, self._study_id, task.number)
            if trial_id is not None and by_settings and self.spec.search.rules >= 2:
                self._database.storage.set_trial_system_attr(trial_id, BY_SETTINGS, True)
            return self._end(connection, task, trial_id, TrialState.FAIL, None, {"reason": reason}, {"reason": reason})

    def trials_with_kept_weights(self) -> list[int]:
        """Return the numbers of the trials whose weights are kept: the best complete ones, the best first."""
        largest = self.spec.search.maximizes
        with self.transaction() as connection:
            return study_sql.best_trials(connection, self._study_id, largest=largest, limit=_WEIGHTS_KEPT)

    def news(self) -> list[str]:
        """Return an empty list: only a confirmation has decisions to announce."""
        return []

    def record_lost_worker(self, task: TrialTask) -> TrialTask | None:
        """Record that a trial's worker was lost; return the trial's next attempt, or None if no attempt is left."""
        if task.attempt + 1 >= MOST_ATTEMPTS:
            return None
        with self.transaction() as connection:
            self._set_trial_row(connection, task.number, attempt=task.attempt + 1)
            trial_id = study_sql.running_trial_id(connection, self._study_id, task.number)
            params = task.params if trial_id is None else self._database.storage.get_trial(trial_id).params
        return TrialTask(number=task.number, attempt=task.attempt + 1, params=params)

    def enqueue(self, params: Mapping[str, Any]) -> int:
        """Enqueue a trial with these settings and return its number. The sampler chooses all other parameters.

        Raises InputError if the settings fix all parameters and an earlier trial had the same settings.
        """
        with self.transaction() as connection:
            earlier = self._asking.trial_with(connection, params)
            if earlier is not None:
                raise InputError(self._was_tried(earlier))
            number: int = self._count(connection).all
            self._study(number).enqueue_trial(dict(params))
            return number

    def optuna_study(self) -> optuna.Study:
        """Return Optuna's own study, for use within a transaction."""
        return self._study(0)

    def delete(self) -> None:
        """Delete the study from Optuna's tables and from those of regsearch."""
        with self.transaction() as connection:
            with trials.corruption_as_storage_error(self._database, self.name):
                self._database.storage.delete_study(self._study_id)
            connection.execute(sqlalchemy.delete(StudyRow).where(StudyRow.study_uuid == self.study_uuid))

    def _is_spared(self, connection: sqlalchemy.Connection, number: int) -> bool:
        """Return whether a trial must not be pruned.

        This holds for trials of recipes. With the sampler `contest`, it holds only for the recipe of the defaults.
        """
        recipe = study_sql.recipe_of(connection, self.study_uuid, number)
        return recipe == DEFAULTS or (recipe is not None and self.spec.search.sampler != CONTEST)

    def _is_repeated(self, connection: sqlalchemy.Connection, task: TrialTask, trial_id: int) -> bool:
        """If an earlier trial had the same settings, let this trial of a HyperModel fail; return whether it fails."""
        earlier = self._asking.repeated(connection, task.number, trial_id)
        if earlier is None:
            return False
        reason = {"reason": same_settings(earlier)}
        return self._end(connection, task, trial_id, TrialState.FAIL, None, reason, reason)

    def _was_tried(self, number: int) -> str:
        """Return the message for a user who enqueues the settings of an earlier trial."""
        trial_id = self._database.storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
        trial = self._database.storage.get_trial(trial_id)
        if trial.state == TrialState.COMPLETE:
            gave = f"gave {self.spec.search.objective.replace('_', '-')} {trial.value:.4g}"
        elif trial.state == TrialState.FAIL:
            gave = f"failed ({trial.user_attrs.get('reason')})"
        else:
            gave = "was pruned" if trial.state == TrialState.PRUNED else "still runs"
        return f"nothing was enqueued: trial {number} has these settings already and {gave}. Give other settings."

    def _end(
        self,
        connection: sqlalchemy.Connection,
        task: TrialTask,
        trial_id: int | None,
        state: TrialState,
        value: float | None,
        shown: Mapping[str, Any],
        columns: Mapping[str, Any],
    ) -> bool:
        """Finish a running trial; return False if `trial_id` is None, since the trial is not running."""
        if trial_id is None:
            return False
        study_sql.set_user_attrs(connection, trial_id, shown)  # first, since Optuna changes no finished trial
        self._set_trial_row(connection, task.number, **columns)
        study = self._study(task.number)
        study.tell(task.number, value, state)
        self._is_exhausted |= study.exhausted
        return True

    def _asks(self, spec: StudySpec) -> StudyProposals:
        return StudyProposals(self._database, self.study_uuid, self._study_id, spec, self._study)

    def _study(self, number: int, retry: int = 0) -> OptunaStudy:
        """Return Optuna's study with a new sampler for one trial: no sampler keeps a state outside the database."""
        if not self._needs_all_trials:
            self._database.look_back(lookback.lookback_start(number))
        return OptunaStudy(self.name, self._database.storage, self._sampler_for(number, retry), self._pruner)

    def _ask_whether_sampler_is_exhausted(self, connection: sqlalchemy.Connection) -> None:
        """Ask the sampler of a finite space whether all points of the space were tried.

        An earlier run got this answer at the end of its last trial, but did not store it.
        """
        trial_id = study_sql.last_finished_trial(connection, self._study_id)
        if trial_id is not None:
            trial = self._database.storage.get_trial(trial_id)
            study = self._study(trial.number)
            study.sampler.after_trial(study, trial, trial.state, trial.values)
            self._is_exhausted = study.exhausted

    def _set_trial_row(self, connection: sqlalchemy.Connection, number: int, **columns: Any) -> None:
        connection.execute(
            update(TrialRow).where(TrialRow.study_uuid == self.study_uuid, TrialRow.number == number).values(**columns)
        )

    def _count(self, connection: sqlalchemy.Connection) -> Any:
        return study_sql.count(connection, self.study_uuid, self._study_id)

    @contextmanager
    def transaction(self) -> Iterator[sqlalchemy.Connection]:
        """Yield a transaction on this study; raises StorageError if the study was deleted or renamed."""
        with self._database.transaction() as connection:
            if self._database.uuid_of(connection, self._study_id) != self.study_uuid:
                raise StorageError(
                    f"the study {self.name} was deleted or renamed while it was open here. Nothing more was written."
                )
            if self._run_id is not None and not self._database.is_fenced:
                run_rows.check_newest_run(connection, self.study_uuid, self.name, self._run_id)
            yield connection
