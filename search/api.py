"""The library that notebooks and the command line use: studies, storage and workers put together.

from search import api
result = api.run("digits", storage="sqlite:///my.db", trials=10)
print(result.answer.best.params)
"""

import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from search.coordinator import Coordinator, StopReason
from search.data import load_dataset
from search.data.arrays import Dataset, DataUnavailableError
from search.data.splits import make_splits
from search.engines import make_engine
from search.engines.base import Engine
from search.progress import Progress
from search.pruners import make_pruner
from search.samplers import sampler_factory
from search.signals import Received, StoppedBySignal, graceful_stop
from search.training.trainer import TrainerSetup
from storage import lock
from storage.database import Database, database_path, open_for_reading, open_for_writing
from storage.queries import (
    DatasetInfo,
    StudyRecord,
    TrialRecord,
    best_trial,
    count_trials,
    find_study,
    get_study,
    list_runs,
    list_trials,
    study_names,
)
from storage.reports.answer import Answer
from storage.reports.status import Status
from storage.schema import NoStudiesError
from storage.store import StudyStore, utc_now
from studies.errors import InputError, NoResultError, RegsearchError
from studies.space import settings_to_enqueue
from studies.spec import StudySpec, differing_keys, parse_duration, read_study

DEFAULT_STORAGE = "sqlite:///regsearch.db"

_STOP_SECONDS = 30
_MOST_WORKERS = 1024


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """How a run ended, and the study's best configuration then.

    Attributes:
        reason: why it ended.
        signal: the number of the signal that stopped it, if one did.
    """

    reason: StopReason
    signal: int | None
    answer: Answer


def storage_url(storage: str | None = None) -> str:
    """Return the storage given, else $REGSEARCH_STORAGE, else regsearch.db in the current folder."""
    return storage or os.environ.get("REGSEARCH_STORAGE") or DEFAULT_STORAGE


def run(
    study: str = "mnist",
    *,
    storage: str | None = None,
    name: str | None = None,
    trials: int | None = None,
    timeout: str | None = None,
    workers: int | None = None,
    data: str | None = None,
    engine: str | Engine = "processes",
    settings: Sequence[str] = (),
    progress: Progress | None = None,
    handle_signals: bool = False,
) -> RunResult:
    """Begin a study, or go on with it, and search until its total.

    Args:
        study: a ready study's name, or the path of a study file.
        storage: a URL, `sqlite:///FILE`; see `storage_url`.
        name: the study's name in the database, if not the file's.
        trials: its total over all runs, at least 1, if not the file's.
        timeout: of this run, such as "30m", if not the file's.
        workers: how many trials may run at once, at least 1; one a core if not given.
        data: auto, a data set's name, or the path of an .npz file, if not the file's.
        engine: processes or inline, or an engine of your own.
        settings: "section.key=value" each, over the file's.
        progress: told what happens.
        handle_signals: whether Ctrl-C and SIGTERM stop the search in good order.

    Raises InputError for bad input or a study of that name that differs, StorageError where the database
    can't be used, NoResultError where nothing can be trained.
    """
    spec = _with_options(read_study(study, settings), name=name, trials=trials, timeout=timeout, data=data)
    return _search(spec, _Options(storage, workers, data, engine, progress or Progress(), handle_signals))


def resume(
    name: str,
    *,
    storage: str | None = None,
    trials: int | None = None,
    timeout: str | None = None,
    workers: int | None = None,
    data: str | None = None,
    engine: str | Engine = "processes",
    progress: Progress | None = None,
    handle_signals: bool = False,
) -> RunResult:
    """Go on with a study to its own total; see `run` for the arguments and what is raised."""
    with reading(storage) as database:
        record = get_study(database, name)
    spec = _with_options(record.spec, trials=trials, timeout=timeout)
    return _search(spec, _Options(storage, workers, data, engine, progress or Progress(), handle_signals))


def answer(name: str, *, storage: str | None = None) -> Answer:
    """Return a study's counts and its best configuration so far."""
    with reading(storage) as database:
        return _answer(database, get_study(database, name))


def status(name: str, *, storage: str | None = None) -> Status:
    """Return how a study goes."""
    with reading(storage) as database:
        return _status(database, get_study(database, name))


def statuses(*, storage: str | None = None) -> list[Status]:
    """Return how every study goes, by name."""
    with reading(storage) as database:
        return [_status(database, get_study(database, name)) for name in study_names(database)]


@contextmanager
def trials(name: str, *, storage: str | None = None) -> Iterator[tuple[StudyRecord, Iterator[TrialRecord]]]:
    """Give a study and its trials by number; they are read while the block goes through them."""
    with reading(storage) as database:
        record = get_study(database, name)
        yield record, list_trials(database, record)


def enqueue(name: str, settings: Sequence[str], *, storage: str | None = None) -> tuple[int, StudyRecord]:
    """Let settings of the user's own be tried next; return the trial's number and the study.

    Args:
        settings: "name=value" each, such as "l2=1e-4"; the sampler chooses what isn't given.
    """
    with reading(storage) as database:
        record = get_study(database, name)
    if not settings:
        raise InputError("give at least one setting, such as --param l2=1e-4")
    params = settings_to_enqueue(settings, record.spec.space)
    with writing(storage) as database:
        return _store(database, record).enqueue(params), record


def stop(name: str, *, storage: str | None = None) -> lock.Holder | None:
    """Ask a study's coordinator to stop and wait for it; return who it was, None where nobody searched.

    Raises NoResultError where it still runs after half a minute.
    """
    path = database_path(storage_url(storage))
    with reading(storage) as database:
        record = get_study(database, name)
    holder = lock.holder(path, name)
    if holder is None:
        return None
    with writing(storage) as database:
        _store(database, record).request_stop()
    deadline = time.monotonic() + _STOP_SECONDS
    while lock.holder(path, name) == holder:
        if time.monotonic() > deadline:
            raise NoResultError(f"{name} is still searched by {holder} after {_STOP_SECONDS} s; it was asked to stop")
        time.sleep(0.2)
    return holder


def delete(name: str, *, storage: str | None = None) -> None:
    """Delete a study with all its trials, locks and logs; refused while it is searched."""
    path = database_path(storage_url(storage))
    with reading(storage) as database:
        get_study(database, name)
    with writing(storage) as database, lock.StudyLock(path, name):
        _store(database, get_study(database, name)).delete()
        lock.remove_files(path, name)


@contextmanager
def reading(storage: str | None) -> Iterator[Database]:
    """Open a database that must be there, unable to write."""
    with open_for_reading(database_path(storage_url(storage))) as database:
        yield database


@contextmanager
def writing(storage: str | None) -> Iterator[Database]:
    """Open a database for writing, and create what it lacks."""
    with open_for_writing(database_path(storage_url(storage))) as database:
        yield database


def core_count() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Return the versions that results depend on."""
    packages = ("tensorflow", "keras", "optuna", "numpy", "regsearch")
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}


def _with_options(spec: StudySpec, **options: Any) -> StudySpec:
    """Apply the options of a command line that stand for keys of the study file."""
    places = {
        "name": ("study", "name"),
        "trials": ("budget", "trials"),
        "timeout": ("budget", "timeout"),
        "data": ("data", "source"),
    }
    for option, value in options.items():
        if value is not None:
            section, key = places[option]
            spec = spec.changed(**{section: {key: value}})
    return spec


@dataclass(frozen=True)
class _Options:
    """What a run is begun with, beside its study."""

    storage: str | None
    workers: int | None
    data: str | None
    engine: str | Engine
    progress: Progress
    handle_signals: bool


def _search(spec: StudySpec, options: _Options) -> RunResult:
    """Check everything first: bad input creates and changes nothing. Then search."""
    path = database_path(storage_url(options.storage))
    workers = _checked_workers(options.workers)
    engine = make_engine(options.engine) if isinstance(options.engine, str) else options.engine
    sampler_for, pruner = sampler_factory(spec), make_pruner(spec)
    _note_what_is_missing(spec, options.progress)
    record = _find(path, spec.study.name)
    dataset, source = _load_data(spec, record, options)
    if record is not None:
        _check_same(spec, dataset, record)
        if record.versions != versions():
            options.progress.message(_changed_versions(record.versions, versions()))
    make_splits(dataset, spec.data, spec.search.seed)
    info = DatasetInfo(
        name=dataset.name, source=source, sha256=dataset.sha256, n_train=dataset.n_train, n_test=dataset.n_test
    )
    del dataset  # workers load it themselves
    with open_for_writing(path) as database, lock.StudyLock(path, spec.study.name):
        record = find_study(database, spec.study.name)  # again: now nobody else can begin it
        if record is not None:
            store = _store(database, record)
        else:
            store = StudyStore.create(database, spec, info, versions())
        store.begin_run(spec, type(engine).__name__, workers, versions())
        coordinator = Coordinator(
            spec=spec,
            store=store,
            engine=engine,
            setup=TrainerSetup(spec=spec, source=source, sha256=info.sha256),
            workers=workers,
            log_prefix=lock.log_prefix(path, spec.study.name),
            sampler_for=sampler_for,
            pruner=pruner,
            progress=options.progress,
            timeout_seconds=None if spec.budget.timeout is None else parse_duration(spec.budget.timeout),
        )
        stopping = graceful_stop(coordinator.stop) if options.handle_signals else nullcontext(Received())
        with stopping as received:
            reason = _run_and_record(coordinator, store)
        return RunResult(
            reason=reason, signal=received.number, answer=_answer(database, get_study(database, spec.study.name))
        )


def _run_and_record(coordinator: Coordinator, store: StudyStore) -> StopReason:
    outcome = "ended by an error"
    try:
        reason = coordinator.run()
        outcome = reason.value
        return reason
    except StoppedBySignal as stopped:
        outcome, stopped.study = StopReason.STOPPED.value, store.name
        raise
    except KeyboardInterrupt:
        outcome = StopReason.STOPPED.value
        raise
    finally:
        with suppress(RegsearchError):  # where the database is the trouble, the first error says so
            store.end_run(outcome)


def _checked_workers(workers: int | None) -> int:
    if workers is None:
        return core_count()
    if not 1 <= workers <= _MOST_WORKERS:
        raise InputError(f"workers are from 1 to {_MOST_WORKERS}; given was {workers}")
    return workers


def _note_what_is_missing(spec: StudySpec, progress: Progress) -> None:
    if spec.model.hypermodel is not None:
        raise InputError(
            "model.hypermodel is not available yet; leave it out to search the built-in network of model.hidden"
        )
    if spec.search.recipes:
        progress.message("search.recipes is not available yet: the sampler proposes every trial")
    if spec.confirm is not None:
        progress.message("[confirm] is not available yet: the best configuration is not confirmed on fresh seeds")


def _find(path: Path, name: str) -> StudyRecord | None:
    """Return the study of that name, None where there is none or not even a database."""
    if not path.exists() or (path.is_file() and path.stat().st_size == 0):
        return None
    try:
        with open_for_reading(path) as database:
            return find_study(database, name)
    except NoStudiesError:
        return None


def _load_data(spec: StudySpec, record: StudyRecord | None, options: _Options) -> tuple[Dataset, str]:
    """Return the data and the source that a study keeps; what was begun on some data goes on with those."""
    source = spec.data.source
    if record is not None and (source == "auto" or options.data is None):
        source = record.dataset.source
    if source == "auto":
        try:
            return load_dataset("mnist"), "mnist"
        except DataUnavailableError as error:
            options.progress.message(
                f"WARNING: {error}. MNIST is not here, so this study is about scikit-learn's 1,797 digits instead."
            )
            source = "digits"
    if source.endswith(".npz"):
        source = str(Path(source).absolute())
    return load_dataset(source), source


def _check_same(spec: StudySpec, dataset: Dataset, record: StudyRecord) -> None:
    """Raise InputError unless a stored study asks the same question of the same data."""
    different = differing_keys(record.spec, spec)
    if different:
        raise InputError(
            f"the study {record.name} was begun with other settings ({'; '.join(different)}): go on with it by "
            f"`regsearch resume {record.name}`, or begin another with --name"
        )
    if dataset.sha256 != record.dataset.sha256:
        raise InputError(
            f"the study {record.name} was begun on other data: {record.dataset.name} with fingerprint "
            f"{record.dataset.sha256}, now {dataset.name} with {dataset.sha256}; begin another study with --name"
        )


def _changed_versions(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    changed = [f"{name} {then.get(name)} → {now.get(name)}" for name in now if then.get(name) != now.get(name)]
    return f"the study was begun with other versions ({', '.join(changed)}): figures may differ in their last digits"


def _store(database: Database, record: StudyRecord) -> StudyStore:
    return StudyStore(database, record.name, record.study_uuid, record.spec)


def _answer(database: Database, record: StudyRecord) -> Answer:
    return Answer(study=record, counts=count_trials(database, record), best=best_trial(database, record))


def _status(database: Database, record: StudyRecord) -> Status:
    return Status(
        answer=_answer(database, record),
        holder=lock.holder(database.path, record.name),
        runs=list_runs(database, record),
        now=utc_now(),
    )
