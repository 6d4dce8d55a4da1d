"""Runs a study. It checks all input first, so that bad input creates and changes nothing."""

import shutil
from collections.abc import Callable
from contextlib import ExitStack, closing, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from ...storage import paths
from ...storage.checks.confirmation import check_confirmation
from ...storage.confirmation_results import count_seeds, read_conclusion
from ...storage.connect import is_new, open_for_reading, open_for_writing
from ...storage.database import Database
from ...storage.location import Location, as_option
from ...storage.queries import check_not_copied, count_trials, find_study, get_study, read_answer
from ...storage.study_store import StudyStore
from ...studies.commands import resume_command
from ...studies.contest.notes import notes, race_notes
from ...studies.errors import CommitInDoubtError, InputError, ModelError, RegsearchError, StorageUnavailableError
from ...studies.finite_space import count_points
from ...studies.recipes import contest_of, recipes_in_space, recipes_named
from ...studies.records import DatasetInfo, StudyRecord
from ...studies.spec import CONTEST, StudySpec
from ...studies.validation import parse_duration
from ..data.arrays import Dataset
from ..data.shared import shared
from ..data.splits import make_splits
from ..machine import versions
from ..result import RunResult
from ..samplers import make_pruner, sampler_factory
from ..samplers.factory import GRIDS
from ..training.hypermodel.code import resolve_hypermodel
from ..training.setup import TrainerSetup
from ..workers import engines
from ..workers.base import Engine
from .coordinator import StopReason
from .options import RunOptions
from .owned_folder import claim_folder, study_folder
from .progress import Progress
from .signals import SignalState, StopRequested, graceful_stop
from .study_checks import (
    changed_versions,
    check_fits,
    check_same_study,
    load_data,
    needs_all_trials,
)
from .study_run import StudyRun
from .tensorboard import EventFiles

_MOST_WORKERS = 1024
_LOCK_SECONDS = 10  # after so long, the coordinator prints that it waits for the lock of the database


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """The plan of a run. Nothing is written before it is complete.

    Attributes:
        spec: the study. For keys that the user didn't give, it has the values of the stored study.
        stored: the stored study at the time when the plan was made; None if there was none.
        info: the data set.
        engine: runs the trials on workers.
        workers: how many trials run at once.
        sampler_for, pruner: see `StudyStore.begin_run`.
        timeout_seconds: the time after which no more trials start; None means no limit.
        events, snapshots: the study's directories for TensorBoard's files and for models; None means that none are
            written.
    """

    spec: StudySpec
    stored: StudyRecord | None
    info: DatasetInfo
    engine: Engine
    workers: int
    sampler_for: Callable[[int, int], BaseSampler]
    pruner: BasePruner
    timeout_seconds: float | None
    events: Path | None
    snapshots: Path | None


def run_study(spec: StudySpec, options: RunOptions) -> RunResult:
    """Start or resume a study, search, and confirm the best; `search.api.run` lists the errors that it raises."""
    plan, dataset = _prepare(spec, options)
    location, name = options.location, plan.spec.study.name
    writable_database = open_for_writing(location, options.progress.message)
    with writable_database as database, database.study_lock(name), ExitStack() as stack:
        copy: str | None = None
        with suppress(OSError):  # if the shared copy can't be written, each worker reads the data itself
            copy = str(stack.enter_context(shared(dataset, paths.data_folder(location, name))))
        del dataset
        study_run = stack.enter_context(closing(_open_run(plan, options, database, copy)))
        try:
            return _run(study_run, options)
        except ModelError:
            study_run.close()
            _forget_study(plan, study_run)
            raise


def _forget_study(plan: _Plan, study_run: StudyRun) -> None:
    """Delete a study that has trained nothing, with all that this run has written for it."""
    study_run.store.delete()
    paths.remove_study_files(study_run.location, plan.spec.study.name)
    for folder in (plan.events, plan.snapshots):
        if folder is not None:  # `study_folder` has made sure that it had no files of others
            shutil.rmtree(folder, ignore_errors=True)


def _prepare(spec: StudySpec, options: RunOptions) -> tuple[_Plan, Dataset]:
    """Check all input before anything is written; return the plan of the run, and the data."""
    spec = resolve_hypermodel(spec, trusts_code=options.trust_code)
    stored = _find(options.location, spec.study.name)
    if stored is not None:
        spec = spec.inheriting_from(stored.spec, options.given)
    timeout_seconds = _checked_timeout(spec, options)
    engine = engines.make_engine(options.engine) if isinstance(options.engine, str) else options.engine
    workers = engine.planned_workers(_checked_workers(options.workers))
    sampler_for, _ = (
        sampler_factory(spec, searches=options.search),
        make_pruner(spec),
    )  # before the data are read, because these settings may be wrong
    if options.search:
        _show_plan(spec, options.progress)
    dataset, info = _examine(spec, stored, options)
    events, snapshots = _study_folders(spec.study.name, stored, options)
    plan = _Plan(
        spec=spec,
        stored=stored,
        info=info,
        engine=engine,
        workers=workers,
        sampler_for=sampler_for,
        pruner=make_pruner(spec, spec.data.train_rows(info.n_train)),
        timeout_seconds=timeout_seconds,
        events=events,
        snapshots=snapshots,
    )
    return plan, dataset


def _examine(spec: StudySpec, stored: StudyRecord | None, options: RunOptions) -> tuple[Dataset, DatasetInfo]:
    """Load the data, and check that they and the stored study suit the spec; return the data and their description."""
    dataset, source = load_data(spec, stored, options.progress)
    info = DatasetInfo(
        name=dataset.name, source=source, sha256=dataset.sha256, n_train=dataset.n_train, n_test=dataset.n_test
    )
    if stored is not None:
        check_same_study(spec, info, stored, options.location)
        if stored.versions != versions():
            options.progress.message(changed_versions(stored.versions, versions()))
    make_splits(dataset, spec.data, spec.search.seed)  # data that suffice for this seed suffice for all fresh seeds
    check_fits(spec, dataset)
    for note in (*dataset.notes, *race_notes(spec, info.n_train, info.n_test)):
        options.progress.message(note)
    return dataset, info


def _open_run(plan: _Plan, options: RunOptions, database: Database, copy: str | None) -> StudyRun:
    """Create or open the study and record that the run starts. This process must hold the study's lock.

    Args:
        copy: the path of the data that all workers of this machine share; None if there is no such copy.
    """
    spec, store, is_new = _open_study(plan, options, database)
    store.begin_run(
        spec,
        sampler_for=plan.sampler_for,
        pruner=plan.pruner,
        needs_all_trials=needs_all_trials(spec),
        engine=engines.describe(plan.engine),
        workers=plan.workers,
        versions=versions(),
    )
    for output, option in ((plan.events, "--tensorboard"), (plan.snapshots, "--checkpoints")):
        if output is not None:
            claim_folder(output, option, store.study_uuid)
    folder = paths.trials_folder(options.location, spec.study.name)
    with suppress(OSError):  # without it no trial can be saved, and each trial prints that
        folder.mkdir(mode=0o700, exist_ok=True)
    setup = TrainerSetup(
        spec=spec,
        source=plan.info.source,
        sha256=plan.info.sha256,
        shared=copy,
        files=str(folder),
        study_uuid=store.study_uuid,
        snapshots=None if plan.snapshots is None else str(plan.snapshots),
        trusts_code=options.trust_code,
    )
    return StudyRun(
        spec=spec,
        location=options.location,
        progress=options.progress,
        searches=options.search,
        confirms=options.confirm,
        database=database,
        store=store,
        engine=plan.engine,
        setup=setup,
        workers=plan.workers,
        events=_event_files(plan, options, database),
        timeout_seconds=plan.timeout_seconds,
        is_new=is_new,
    )


def _open_study(plan: _Plan, options: RunOptions, database: Database) -> tuple[StudySpec, StudyStore, bool]:
    """Create or open the study; return its spec for this run, its records, and whether it was created here.

    This reads the study again, because another process may have changed it before this process held the lock.
    """
    spec = plan.spec
    record = find_study(database, spec.study.name)
    if record is None:
        return spec, StudyStore.create(database, spec, plan.info, versions()), True
    if plan.stored is None and spec.inheriting_from(record.spec, options.given) != spec:
        raise InputError(f"another process started the study {spec.study.name} meanwhile. Run the command again.")
    check_not_copied(database, record)
    with database.read() as connection:
        check_confirmation(connection, record)
    check_same_study(spec, plan.info, record, options.location)
    spec = _with_total(spec, options, record, database)
    spec = _with_split(_with_seeds(spec, options, record, database), options, record, database)
    return spec, StudyStore.open(database, record), False


def _run(study_run: StudyRun, options: RunOptions) -> RunResult:
    """Run until the run ends or a signal stops it, and return its result."""
    database, spec, location = study_run.database, study_run.spec, options.location
    resume = resume_command(spec, "resume", *as_option(location))
    signals = graceful_stop(study_run.stop, resume) if options.handle_signals else nullcontext(SignalState())
    received = SignalState()
    try:
        with database.waiting(lock_seconds=_LOCK_SECONDS):
            with database.waiting(should_give_up=lambda: study_run.is_stopping), signals as received:
                reason = _run_and_record(study_run)
            study = get_study(database, spec.study.name)
            return RunResult(
                reason=reason,
                ended=_reason_in_words(reason, spec),
                signal=received.number,
                answer=read_answer(database, study),
                confirmation=read_conclusion(database, study),
                location=location,
            )
    except (StorageUnavailableError, CommitInDoubtError) as error:
        if received.number is not None:
            raise StopRequested(received.number, resume) from None  # the answer can be read later
        raise type(error)(
            f"{str(error).rstrip('.')}. Nothing that was trained is lost. Resume with `{resume}`."
        ) from error


def _study_folders(name: str, stored: StudyRecord | None, options: RunOptions) -> tuple[Path | None, Path | None]:
    """Check and return the study's directories for TensorBoard's files and for models; don't create them yet."""
    study_uuid = None if stored is None else stored.study_uuid
    events, snapshots = (
        None if parent is None else study_folder(parent, option, name, study_uuid)
        for parent, option in ((options.tensorboard, "--tensorboard"), (options.checkpoints, "--checkpoints"))
    )
    return events, snapshots


def _event_files(plan: _Plan, options: RunOptions, database: Database) -> Progress | None:
    """Return a progress that also writes TensorBoard's files; None if the user wants none."""
    if plan.events is None:
        return None
    from ...storage.tensorboard_data import RecordedEvents  # only this needs TensorBoard

    recorded = RecordedEvents(database, get_study(database, plan.spec.study.name))
    return EventFiles(options.progress, recorded, plan.events)


def _with_total(spec: StudySpec, options: RunOptions, record: StudyRecord, database: Database) -> StudySpec:
    """Return the spec with the total for this run. A total that was raised stays until the user gives another one."""
    counts = count_trials(database, record)
    started = counts.finished + counts.running
    if options.trials is not None:
        if spec.budget.trials < started:
            raise InputError(
                f"the total of {record.name} can't be {spec.budget.trials}: {started} trials have started already. "
                f"Give at least {started}, or start another study with --name."
            )
        return spec
    return spec.changed(budget={"trials": max(spec.budget.trials, record.spec.budget.trials, started)})


def _with_seeds(spec: StudySpec, options: RunOptions, record: StudyRecord, database: Database) -> StudySpec:
    """Return the spec with at least as many seeds as the study is already confirmed on.

    Otherwise finalists would not be compared on the same seeds.
    """
    requested, stored = spec.confirm.seeds, count_seeds(database, record)
    if not 0 < requested < stored:
        return spec
    if options.confirm:
        options.progress.message(
            f"{record.name} is confirmed on {stored} fresh seeds already. These seeds stay, although {requested} were "
            "asked for."
        )
    return spec.changed(confirm={"seeds": stored})


def _with_split(spec: StudySpec, options: RunOptions, record: StudyRecord, database: Database) -> StudySpec:
    """Return the spec; if the study is already confirmed, return it with the stored `confirm.split`.

    So all finalists are trained on the same examples.
    """
    requested, stored = spec.confirm.split, record.spec.confirm.split
    if requested == stored or not count_seeds(database, record):
        return spec
    if options.confirm:
        options.progress.message(
            f'{record.name} is confirmed with confirm.split = "{stored}" already. This value stays, although '
            f'"{requested}" was asked for.'
        )
    return spec.changed(confirm={"split": stored})


def _run_and_record(study_run: StudyRun) -> StopReason:
    outcome = "ended by an error"
    try:
        reason = study_run.run()
        outcome = _reason_in_words(reason, study_run.spec)
        return reason
    except (KeyboardInterrupt, StopRequested):
        outcome = StopReason.STOPPED.value
        raise
    finally:
        with suppress(RegsearchError):  # if the database is unavailable, the first error is the one to report
            study_run.store.end_run(outcome)


def _reason_in_words(reason: StopReason, spec: StudySpec) -> str:
    """Return why a run ended, in words. If the whole space was tried, the words include the number of points."""
    is_countable = spec.search.rules >= 2 and spec.model.hypermodel is None and spec.search.sampler not in GRIDS
    if reason is not StopReason.EXHAUSTED or not is_countable:
        return reason.value
    count = count_points(spec.space, spec.training.max_epochs)
    return reason.value if count is None else f"all {count:,} points of the space were tried"


def _checked_workers(workers: int | None) -> int | None:
    if workers is not None and not 1 <= workers <= _MOST_WORKERS:
        raise InputError(f"--workers must be from 1 to {_MOST_WORKERS}, but is {workers}. Give another number.")
    return workers


def _checked_timeout(spec: StudySpec, options: RunOptions) -> float | None:
    timeout = options.timeout if options.timeout is not None else spec.budget.timeout
    try:
        return None if timeout is None else parse_duration(timeout)
    except ValueError as error:
        raise InputError(f"--timeout: {error}") from error


def _show_plan(spec: StudySpec, progress: Progress) -> None:
    """Print what a contest can't decide, and which recipes are left out because they are outside the space."""
    if spec.model.hypermodel is not None:
        return  # the defaults of the HyperModel replace recipes
    if spec.search.sampler == CONTEST:
        for note in notes(contest_of(spec), spec.budget.trials):
            progress.message(note)
    inside = recipes_in_space(spec.search.recipes, spec.space)
    left_out = [recipe.name for recipe in recipes_named(spec.search.recipes) if recipe.name not in inside]
    if left_out:
        progress.message(f"recipes outside this study's space are left out: {', '.join(left_out)}")


def _find(location: Location, name: str) -> StudyRecord | None:
    """Return the stored study of this name; None if the study or the database doesn't exist."""
    if is_new(location):
        return None
    with open_for_reading(location, needs_studies=False) as database:
        return find_study(database, name)
