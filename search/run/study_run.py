"""One run of a study: everything is checked first, so that bad input creates and changes nothing."""

import itertools
import math
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path

from regsearch.search.data import load_dataset, located
from regsearch.search.data.arrays import Dataset, DataUnavailableError
from regsearch.search.data.shared import shared
from regsearch.search.data.splits import make_splits
from regsearch.search.machine import memory_bytes, versions
from regsearch.search.result import RunResult
from regsearch.search.run.coordinator import StopReason
from regsearch.search.run.options import RunOptions
from regsearch.search.run.owned_folder import claim_folder, study_folder
from regsearch.search.run.phases import Phases
from regsearch.search.run.progress import Progress
from regsearch.search.run.signals import SignalState, StopRequested, graceful_stop
from regsearch.search.run.tensorboard import EventFiles
from regsearch.search.samplers.pruners import make_pruner
from regsearch.search.samplers.samplers import GRIDS, sampler_factory
from regsearch.search.training.hypermodel.code import resolve_hypermodel
from regsearch.search.training.setup import TrainerSetup
from regsearch.search.workers import engines
from regsearch.search.workers.kept import KeptEngine
from regsearch.storage import study_lock
from regsearch.storage.checks.confirmation import check_confirmation
from regsearch.storage.confirmation_results import count_seeds, read_conclusion
from regsearch.storage.connect import is_new, open_for_reading, open_for_writing
from regsearch.storage.database import Database
from regsearch.storage.location import Location, as_option
from regsearch.storage.queries import check_not_copied, count_trials, find_study, get_study, read_answer
from regsearch.storage.study_store import StudyStore
from regsearch.studies.commands import resume_command
from regsearch.studies.contest.notes import notes, race_notes
from regsearch.studies.errors import CommitInDoubtError, InputError, RegsearchError, StorageUnavailableError
from regsearch.studies.finite_space import count_points
from regsearch.studies.recipes import contest_of, recipes_in_space, recipes_named
from regsearch.studies.records import DatasetInfo, StudyRecord
from regsearch.studies.spec import CONTEST, StudySpec, differing_keys
from regsearch.studies.validation import parse_duration

_MOST_WORKERS = 1024
_MANY_TRIALS = 100  # as many complete ones are in each part
_WEIGHT_BYTES = 4  # float32
_LOCK_SECONDS = 10  # after which the coordinator says that it waits


def run_study(spec: StudySpec, options: RunOptions) -> RunResult:
    """Begin a study, or go on with it, search until it ends and confirm it; see `search.api.run` for what is raised."""
    location, name = options.location, spec.study.name
    spec = resolve_hypermodel(spec, trusts_code=options.trust_code)
    if (stored := _find(location, name)) is not None:
        spec = spec.inheriting_from(stored.spec, options.given)
    timeout = _checked_timeout(spec, options)
    engine = engines.make_engine(options.engine) if isinstance(options.engine, str) else options.engine
    workers = engine.planned_workers(_checked_workers(options.workers))
    sampler_for, _ = sampler_factory(spec), make_pruner(spec)  # before the data are read: they may be wrong
    if options.search:
        _tell_of_plan(spec, options.progress)
    dataset, info = _examine(spec, options)
    pruner = make_pruner(spec, spec.data.train_rows(info.n_train))
    events, snapshots = _study_folders(name, options)
    with open_for_writing(location) as database, database.study_lock(name), ExitStack() as stack:
        database.on_wait = options.progress.message
        copy: str | None = None
        with suppress(OSError):  # without a copy for all, each worker reads its own
            copy = str(stack.enter_context(shared(dataset, study_lock.data_folder(location, name))))
        del dataset
        record = find_study(database, name)  # again: now nobody else can begin or change it
        if record is not None:
            if stored is None and spec.inheriting_from(record.spec, options.given) != spec:
                raise InputError(f"another process began the study {name} meanwhile: run the command again")
            check_not_copied(database, record)
            with database.read() as connection:
                check_confirmation(connection, record)
            _check_same(spec, info, record, location)
            spec = _with_total(spec, options, record, database)
            spec = _with_split(_with_seeds(spec, options, record, database), options, record, database)
            store = StudyStore.open(database, record)
        else:
            store = StudyStore.create(database, spec, info, versions())
        store.begin_run(
            spec,
            sampler_for=sampler_for,
            pruner=pruner,
            needs_all_trials=_needs_all_trials(spec),
            engine=engines.describe(engine),
            workers=workers,
            versions=versions(),
        )
        folder = study_lock.trials_folder(location, name)
        for output, option in ((events, "--tensorboard"), (snapshots, "--checkpoints")):
            if output is not None:
                claim_folder(output, option, store.study_uuid)
        with suppress(OSError):  # without it no trial can be saved, and each says so
            folder.mkdir(mode=0o700, exist_ok=True)
        kept = KeptEngine(engine)
        stack.callback(kept.close)
        phases = Phases(
            spec=spec,
            location=location,
            progress=options.progress,
            searches=options.search,
            confirms=options.confirm,
            database=database,
            store=store,
            engine=kept,
            setup=TrainerSetup(
                spec=spec,
                source=info.source,
                sha256=info.sha256,
                shared=copy,
                files=str(folder),
                study_uuid=store.study_uuid,
                snapshots=None if snapshots is None else str(snapshots),
                trusts_code=options.trust_code,
            ),
            workers=workers,
            events=None if events is None else _with_events(database, name, options.progress, events),
            timeout_seconds=timeout,
        )
        database.should_give_up = lambda: phases.is_stopping
        database.lock_seconds = _LOCK_SECONDS
        resume = resume_command(spec, "resume", *as_option(location))
        handled = graceful_stop(phases.stop, resume) if options.handle_signals else None
        received = SignalState()
        try:
            with handled or nullcontext(received) as received:
                reason = _run_and_record(phases, store)
            database.should_give_up = lambda: False
            study = get_study(database, name)
            return RunResult(
                reason=reason,
                ended=_ended(reason, spec),
                signal=received.number,
                answer=read_answer(database, study),
                confirmation=read_conclusion(database, study),
                location=location,
            )
        except (StorageUnavailableError, CommitInDoubtError) as error:
            if received.number is not None:
                raise StopRequested(received.number, resume) from None  # the answer can wait, too
            raise type(error)(f"{error}; nothing that was trained is lost, go on with `{resume}`") from error


def _examine(spec: StudySpec, options: RunOptions) -> tuple[Dataset, DatasetInfo]:
    """Hold data and stored study against what is asked, before anything is written; return the data."""
    record = _find(options.location, spec.study.name)
    dataset, source = _load_data(spec, record, options.progress)
    info = DatasetInfo(
        name=dataset.name, source=source, sha256=dataset.sha256, n_train=dataset.n_train, n_test=dataset.n_test
    )
    if record is not None:
        _check_same(spec, info, record, options.location)
        if record.versions != versions():
            options.progress.message(_changed_versions(record.versions, versions()))
    make_splits(dataset, spec.data, spec.search.seed)  # what suffices on this seed suffices on all fresh ones
    _check_fits(spec, dataset)
    notes_of_data = [*dataset.notes, *race_notes(spec, info.n_train, info.n_test)]
    for note in notes_of_data:
        options.progress.message(note)
    return dataset, info


def _study_folders(name: str, options: RunOptions) -> tuple[Path | None, Path | None]:
    """Return where TensorBoard's files and the snapshots of a study go, held against what is there."""
    if options.tensorboard is None and options.checkpoints is None:
        return None, None
    record = _find(options.location, name)
    study_uuid = None if record is None else record.study_uuid
    events, snapshots = (
        None if given is None else study_folder(given, option, name, study_uuid)
        for given, option in ((options.tensorboard, "--tensorboard"), (options.checkpoints, "--checkpoints"))
    )
    return events, snapshots


def _with_events(database: Database, name: str, progress: Progress, folder: Path) -> Progress:
    from regsearch.storage.tensorboard_data import RecordedEvents  # TensorBoard comes with it, which only this needs

    return EventFiles(progress, RecordedEvents(database, get_study(database, name)), folder)


def _with_total(spec: StudySpec, options: RunOptions, record: StudyRecord, database: Database) -> StudySpec:
    """Return the spec with the total that holds: a raised one stays until another is asked for."""
    counts = count_trials(database, record)
    begun = counts.finished + counts.running
    if options.trials is not None:
        if spec.budget.trials < begun:
            raise InputError(
                f"{begun} trials of {record.name} are begun already, so its total can't be {spec.budget.trials}; "
                f"give at least {begun}, or begin another study with --name"
            )
        return spec
    return spec.changed(budget={"trials": max(spec.budget.trials, record.spec.budget.trials, begun)})


def _with_seeds(spec: StudySpec, options: RunOptions, record: StudyRecord, database: Database) -> StudySpec:
    """Return the spec with the seeds of what is confirmed, if they are more: finalists are compared on common ones."""
    asked, there = spec.confirm.seeds, count_seeds(database, record)
    if not 0 < asked < there:
        return spec
    if options.confirm:
        options.progress.message(
            f"{record.name} is confirmed on {there} fresh seeds already: it stays at those, {asked} were asked for"
        )
    return spec.changed(confirm={"seeds": there})


def _with_split(spec: StudySpec, options: RunOptions, record: StudyRecord, database: Database) -> StudySpec:
    """Return the spec with `confirm.split` of what is confirmed: finalists are compared on common rows."""
    asked, there = spec.confirm.split, record.spec.confirm.split
    if asked == there or not count_seeds(database, record):
        return spec
    if options.confirm:
        options.progress.message(
            f'{record.name} is confirmed with confirm.split = "{there}" already: it stays at that, "{asked}" was '
            "asked for"
        )
    return spec.changed(confirm={"split": there})


def _needs_all_trials(spec: StudySpec) -> bool:
    """Return whether a part of a long study (`storage/optuna/lookback.py`) doesn't do for its sampler or its pruner.

    It does where both only compare trials; one that visits each point once, or waits for many trials, needs all.
    """
    chosen = spec.search
    numbers = [*chosen.sampler_options.values(), *chosen.pruner_options.values()]
    return (
        chosen.sampler not in ("tpe", "random", "keras-tuner:bayesian")
        or chosen.pruner not in ("median", "hyperband", "none")
        or any(isinstance(number, int | float) and number > _MANY_TRIALS for number in numbers)
    )


def _run_and_record(phases: Phases, store: StudyStore) -> StopReason:
    outcome = "ended by an error"
    try:
        reason = phases.run()
        outcome = _ended(reason, phases.spec)
        return reason
    except (KeyboardInterrupt, StopRequested):
        outcome = StopReason.STOPPED.value
        raise
    finally:
        with suppress(RegsearchError):  # where the database is the trouble, the first error says so
            store.end_run(outcome)


def _ended(reason: StopReason, spec: StudySpec) -> str:
    """Return why a run ended, in words; of a space that was tried up, how many points it has."""
    is_whole = spec.search.rules >= 2 and spec.model.hypermodel is None and spec.search.sampler not in GRIDS
    if reason is not StopReason.EXHAUSTED or not is_whole:
        return reason.value
    count = count_points(spec.space, spec.training.max_epochs)
    return reason.value if count is None else f"all {count:,} points of the space were tried"


def _checked_workers(workers: int | None) -> int | None:
    if workers is not None and not 1 <= workers <= _MOST_WORKERS:
        raise InputError(f"workers are from 1 to {_MOST_WORKERS}; given was {workers}")
    return workers


def _checked_timeout(spec: StudySpec, options: RunOptions) -> float | None:
    timeout = options.timeout if options.timeout is not None else spec.budget.timeout
    try:
        return None if timeout is None else parse_duration(timeout)
    except ValueError as error:
        raise InputError(f"--timeout: {error}") from error


def _check_fits(spec: StudySpec, dataset: Dataset) -> None:
    """Raise InputError for a network whose weights and their gradients alone take more than this machine's memory."""
    if spec.model.hypermodel is not None:
        return  # its size is known once it is built
    units = [math.prod(dataset.x_train.shape[1:]), *spec.model.hidden, dataset.class_count]
    weights = sum(before * after for before, after in itertools.pairwise(units))
    memory = memory_bytes()
    if memory is not None and 2 * _WEIGHT_BYTES * weights > memory:
        raise InputError(
            f"model.hidden = {list(spec.model.hidden)} makes more weights than fit, with their gradients, into the "
            f"{memory / 1e9:.0f} GB of this machine: give fewer units"
        )


def _tell_of_plan(spec: StudySpec, progress: Progress) -> None:
    """Say what a contest can't decide, and which recipes lie outside the study's space and are left out."""
    if spec.model.hypermodel is not None:
        return  # its own defaults take their place
    if spec.search.sampler == CONTEST:
        for note in notes(contest_of(spec), spec.budget.trials):
            progress.message(note)
    inside = recipes_in_space(spec.search.recipes, spec.space)
    left_out = [recipe.name for recipe in recipes_named(spec.search.recipes) if recipe.name not in inside]
    if left_out:
        progress.message(f"recipes left out, since they lie outside this study's space: {', '.join(left_out)}")


def _find(location: Location, name: str) -> StudyRecord | None:
    """Return the study of that name, None where there is none or not even a database."""
    if is_new(location):
        return None
    with open_for_reading(location, needs_studies=False) as database:
        return find_study(database, name)


def _load_data(spec: StudySpec, record: StudyRecord | None, progress: Progress) -> tuple[Dataset, str]:
    """Return the data and their source; a study that was begun on `auto` goes on with what that was then."""
    source = spec.data.source
    if source == "auto" and record is not None:
        source = record.dataset.source
    if source == "auto":
        try:
            return load_dataset("mnist", spec.data.image_size), "mnist"
        except DataUnavailableError as error:
            progress.message(
                f"WARNING: {error}. MNIST is not here, so this study is about scikit-learn's 1,797 digits instead."
            )
            source = "digits"
    return load_dataset(source, spec.data.image_size), located(source)


def _check_same(spec: StudySpec, dataset: DatasetInfo, record: StudyRecord, location: Location) -> None:
    """Raise InputError unless a stored study asks the same question of the same data."""
    different = differing_keys(record.spec, spec)
    if len(different) == 1 and different[0].startswith("model.hypermodel_sha256"):
        raise InputError(
            f"the code of {spec.model.hypermodel} is not that which the study {record.name} was begun with (SHA-256 "
            f"{record.spec.model.hypermodel_sha256}, now {spec.model.hypermodel_sha256}): undo the change, or begin "
            "another study with --name"
        )
    if different:
        raise InputError(
            f"the study {record.name} was begun with other settings ({'; '.join(different)}): go on with it by "
            f"`{resume_command(record.spec, 'resume', *as_option(location))}`, or begin another with --name"
        )
    if dataset.sha256 != record.dataset.sha256:
        raise InputError(
            f"the study {record.name} was begun on other data: {record.dataset.name} with fingerprint "
            f"{record.dataset.sha256}, now {dataset.name} with {dataset.sha256}; begin another study with --name"
        )


def _changed_versions(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    changed = [f"{name} {then.get(name)} → {now.get(name)}" for name in now if then.get(name) != now.get(name)]
    return f"the study was begun with other versions ({', '.join(changed)}): figures may differ in their last digits"
