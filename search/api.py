"""The functions that notebooks and the command line call; they connect studies, storage and workers.

The functions that a script needs most can be imported from `regsearch`.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Unpack

from ..storage import paths
from ..storage.backup import back_up
from ..storage.confirmation_results import read_conclusion
from ..storage.connect import open_for_reading, open_for_writing
from ..storage.database import Database
from ..storage.enqueue import params_to_enqueue
from ..storage.export_source import find_export_source
from ..storage.location import Location, command, location_of, usual_storage
from ..storage.queries import best_trial, check_not_copied, get_study, list_trials, read_answer, study_names
from ..storage.report_data import read_report_data, read_status
from ..storage.study_comparison import read_comparison
from ..storage.study_store import StudyStore
from ..storage.upgrade import Upgrade
from ..storage.upgrade import upgrade as upgrade_database
from ..studies.analysis.study_status import Status
from ..studies.errors import InputError, NoResultError
from ..studies.records import Holder, StudyRecord, TrialRecord
from ..studies.reports.data import ReportData
from ..studies.spec import StudySpec
from ..studies.study_file import given_keys, read_study, with_options
from .export.study_export import Export, export_study
from .result import ComparisonResult, RunResult, StudyResult
from .run.log import logged, quiet_optuna, run_log
from .run.options import RunOptions, SearchKeywords, TrainingKeywords, with_listed_keywords
from .run.progress import Progress
from .run.run_study import run_study

_STOP_SECONDS, _STOP_POLL_SECONDS = 30, 0.3


def storage_url(storage: str | None = None) -> str:
    """Return the given storage; by default $REGSEARCH_STORAGE, or else regsearch.db in the current directory."""
    return storage or usual_storage()


@with_listed_keywords
def run(
    study: str = "mnist",
    *,
    storage: str | None = None,
    name: str | None = None,
    data: str | None = None,
    settings: Sequence[str] = (),
    **options: Unpack[SearchKeywords],
) -> RunResult:
    """Start or resume a study: search until its total of trials is reached, then confirm the best on fresh seeds.

    Example:
        >>> import regsearch
        >>> settings = ["training.max_epochs=2"]
        >>> result = regsearch.run("smoke", trials=4, storage="sqlite:///example.db", settings=settings)
        >>> result.best.metrics["epochs"] <= 2
        True

    A script needs no `if __name__ == "__main__"`, because the worker processes don't import the script.

    Args:
        study: the name of a ready study, or the path of a study file.
        storage: the database's URL, `sqlite:///FILE` or `postgresql+psycopg://USER@HOST/DATABASE`; or @ and the path of
            a file that contains this URL. Default: see `storage_url`.
        name: the study's name in the database. Default: the name in the study file.
        data: "auto", the name of a data set, or the path of your own data (see the README). Default: `data.source` of
            the study file.
        settings: strings "section.key=value"; each replaces a value of the study file.
        trials: the total number of trials over all runs of the study, at least 1. Default: the total in the study file,
            or a larger total that an earlier run was given.
        timeout: how long this run may start new trials, such as "30m". Default: `budget.timeout` of the study file.
        workers: how many trials run at once, at least 1. Default: one per core; on a Ray cluster, as many
            as the cluster can run.
        engine: "processes", "inline" or "ray"; or an engine object, such as
            `regsearch.search.workers.ray.engine.RayEngine("auto")`.
        confirm: whether to confirm the best configurations. A study with `confirm.seeds = 0` is never confirmed.
        progress: an object that shows the run. Default: a display in the notebook's cell or on the terminal, otherwise
            lines on stderr. `Progress()` prints only messages that you should read.
        handle_signals: whether Ctrl-C and SIGTERM stop the workers and let this function return a result. By default,
            Ctrl-C raises KeyboardInterrupt.
        tensorboard: an existing directory. The run writes files for TensorBoard to its subdirectory STUDY; see
            `regsearch.search.run.tensorboard`.
        checkpoints: an existing directory. The run writes a Keras model after each epoch to its subdirectory STUDY; see
            `regsearch.search.training.snapshots`.
        trust_code: whether the study's own Python code (`model.hypermodel`) may run. By default, a study with such
            code is refused.
        log: a file to which one line for each decision is appended; see `regsearch.search.run.log`.

    Raises InputError for bad input, and if the stored study of that name has other settings or data. Raises
    StorageError if the database can't be used, and NoResultError if nothing can be trained.
    """
    spec = with_options(read_study(study, settings), name=name, trials=options.get("trials"), data=data)
    location = location_of(storage_url(storage))
    return _run("run", spec, location, options, given_keys(study, settings))


@with_listed_keywords
def resume(
    name: str, *, storage: str | None = None, data: str | None = None, **options: Unpack[SearchKeywords]
) -> RunResult:
    """Resume a study: search until its total of trials is reached, then confirm the best on fresh seeds.

    Example:
        >>> import regsearch
        >>> result = regsearch.run("smoke", trials=3, storage="sqlite:///example.db")
        >>> regsearch.resume("smoke", trials=5, storage="sqlite:///example.db").answer.counts.finished
        5

    Args:
        name: the study's name in the database.
        data: as for `run`. Default: the data that the study was started with.
        storage, trials, timeout, workers, engine, confirm, progress, handle_signals, tensorboard, checkpoints,
            trust_code, log: as for `run`.

    Raises what `run` raises, and InputError if there is no such study.
    """
    with reading(storage) as database:
        record = get_study(database, name)
    spec = with_options(record.spec, trials=options.get("trials"), data=data or record.dataset.source)
    return _run("resume", spec, location_of(storage_url(storage)), options)


@with_listed_keywords
def confirm(
    name: str,
    *,
    storage: str | None = None,
    top: int | None = None,
    seeds: int | None = None,
    data: str | None = None,
    **options: Unpack[TrainingKeywords],
) -> RunResult:
    """Train a study's finalists on fresh seeds, then evaluate them on the test set once.

    Results of an earlier confirmation are kept.

    Example:
        >>> import regsearch
        >>> result = regsearch.run("smoke", trials=4, storage="sqlite:///example.db")
        >>> regsearch.confirm("smoke", seeds=3, storage="sqlite:///example.db").confirmation.seeds
        3

    Args:
        name: the study's name in the database.
        top: how many of the best configurations become finalists. Default: the study's `confirm.top`.
        seeds: the number of fresh seeds, at least 3. Default: the study's `confirm.seeds`. A study that is already
            confirmed on more seeds stays at this larger number.
        data: as for `run`. Default: the data that the study was started with.
        storage, timeout, workers, engine, progress, handle_signals, trust_code, log: as for `run`.

    Raises what `run` raises, and InputError if there is no such study or none of its trials is complete.
    """
    with reading(storage) as database:
        record = get_study(database, name)
        if best_trial(database, record) is None:
            see = command(database.location, "status", name)
            raise InputError(f"can't confirm {name}: none of its trials is complete. See `{see}`.")
    spec = with_options(record.spec, data=data or record.dataset.source, top=top, seeds=seeds)
    if not spec.confirm.seeds:
        raise InputError(f"can't confirm {name}: its confirm.seeds is 0. Give --seeds, at least 3.")
    values = {"confirm.top": top, "confirm.seeds": seeds}
    given = frozenset(key for key, value in values.items() if value is not None)
    return _run("confirm", spec, location_of(storage_url(storage)), options, given)


def _run(
    command: str,
    spec: StudySpec,
    location: Location,
    keywords: TrainingKeywords,
    given: frozenset[str] = frozenset(),
) -> RunResult:
    """Run a study with the user's keyword arguments.

    `given` has the keys of the study that the user gave. The argument `trials` adds the key `budget.trials` to them.
    """
    total = {"budget.trials"} if keywords.get("trials") is not None else set()
    options = RunOptions.from_keywords(location, keywords, given=given | total, search=command != "confirm")
    with run_log(options.log, spec.study.name, location, options.progress.message), quiet_optuna():
        return logged(command, location, lambda: run_study(spec, options))


def load(name: str, *, storage: str | None = None) -> StudyResult:
    """Return a stored study's answer without running the study. Another process may search it at the same time.

    Example:
        >>> import regsearch
        >>> result = regsearch.run("smoke", trials=4, storage="sqlite:///example.db")
        >>> regsearch.load("smoke", storage="sqlite:///example.db").best == result.best
        True

    Raises InputError if there is no such study, StorageError if the database can't be used.
    """
    with reading(storage) as database:
        study = get_study(database, name)
        return StudyResult(
            answer=read_answer(database, study),
            confirmation=read_conclusion(database, study),
            location=database.location,
        )


def status(name: str, *, storage: str | None = None) -> Status:
    """Return the status of a study: its counts, pace and time left."""
    with reading(storage) as database:
        return read_status(database, get_study(database, name))


def statuses(*, storage: str | None = None) -> list[Status]:
    """Return the status of every study in the database."""
    with reading(storage) as database:
        return [read_status(database, get_study(database, name)) for name in study_names(database)]


@contextmanager
def trials(name: str, *, storage: str | None = None) -> Iterator[tuple[StudyRecord, Iterator[TrialRecord]]]:
    """Yield a study and an iterator over its trials, in the order of their numbers.

    The iterator reads from the database, so use it inside the `with` block.
    """
    with reading(storage) as database:
        record = get_study(database, name)
        yield record, list_trials(database, record)


def enqueue(name: str, params: Sequence[str], *, storage: str | None = None) -> tuple[int, StudyRecord]:
    """Make the next trial use values that the user chose; return the number of that trial, and the study.

    Args:
        name: the study's name in the database.
        params: strings "name=value", such as "l2=1e-4". The sampler chooses the other values. A hyperparameter of a
            HyperModel can be named only if an earlier trial has used it.
        storage: see `run`.

    Raises InputError for a name or a value outside the study's space, and if an earlier trial had this configuration.
    """
    with reading(storage) as database:
        record = get_study(database, name)
        values = params_to_enqueue(database, record, params)
    with writing(storage) as database:
        return StudyStore.open(database, record).enqueue(values), record


def stop(name: str, *, storage: str | None = None) -> Holder | None:
    """Ask the coordinator of a study to stop, and wait until it has stopped.

    Returns the process that was stopped, or None if no process ran the study. Raises NoResultError if the process still
    runs after 30 seconds.
    """
    with reading(storage) as database:
        record = get_study(database, name)
        holder = database.holder(name)
    if holder is None:
        return None
    deadline = time.monotonic() + _STOP_SECONDS
    with writing(storage) as database:
        while database.holder(name) == holder:
            if time.monotonic() > deadline:
                raise NoResultError(
                    f"{name} still runs, {_STOP_SECONDS} s after the request to stop: {holder}. Try again later."
                )
            StudyStore.open(database, record).request_stop()
            time.sleep(_STOP_POLL_SECONDS)
    return holder


def delete(name: str, *, storage: str | None = None) -> list[str]:
    """Delete a study with all its trials and files; return "PATH: REASON" for each file that can't be removed.

    Raises InputError while a process searches the study.
    """
    location = location_of(storage_url(storage))
    with reading(storage) as database:
        get_study(database, name)
    with writing(storage) as database, database.study_lock(name):
        record = get_study(database, name)
        check_not_copied(database, record)
        StudyStore.open(database, record).delete()
        return paths.remove_study_files(location, name)


def export(
    name: str,
    folder: str | Path,
    *,
    trial: int | None = None,
    force: bool = False,
    storage: str | None = None,
    progress: Progress | None = None,
    trust_code: bool = False,
) -> Export:
    """Write a trained network as a Keras model into a directory.

    The directory also gets the configuration, a model card, and a Keras script that trains the model.

    Args:
        name: the study's name in the database.
        folder: a directory that is empty or doesn't exist yet.
        trial: the number of a complete trial. Default: the confirmed winner, or the best trial if the study is not
            confirmed. Of the winner's trainings, the one with the median cross-entropy on the selection split is taken.
        force: whether to replace the files of an earlier export. Other files in the directory are kept.
        storage, trust_code: see `run`.
        progress: shows a message if this process must train the network again because its weights were not kept.

    Raises InputError if the trial isn't complete, or if the directory or the data can't be used. Raises NoResultError
    if no trial is complete.
    """
    with reading(storage) as database:
        study = get_study(database, name)
        training = find_export_source(database, study, trial)
    target = Path(folder).absolute()
    return export_study(study, training, target, force=force, progress=progress or Progress(), trusts_code=trust_code)


def report(name: str, *, storage: str | None = None) -> ReportData:
    """Return the data of a study's report, from what is stored now."""
    with reading(storage) as database:
        return read_report_data(database, get_study(database, name))


def compare(*names: str, storage: str | None = None) -> ComparisonResult:
    """Compare two or more studies; `print` shows the comparison.

    The studies are sorted by their number of training examples. If they have the same number, but differ in sampler,
    pruner, recipes or network, the comparison shows which search method finds better configurations.

    Example:
        >>> import regsearch
        >>> result = regsearch.run("smoke", trials=3, storage="sqlite:///example.db")
        >>> result = regsearch.run(
        ...     "smoke", name="half", trials=3, storage="sqlite:///example.db", settings=["data.train_size=100"]
        ... )
        >>> [study.train_rows for study in regsearch.compare("smoke", "half", storage="sqlite:///example.db").studies]
        [100, 200]

    Raises InputError for fewer than two studies, and for a study that doesn't exist.
    """
    with reading(storage) as database:
        comparison = read_comparison(database, names)
    return ComparisonResult(studies=comparison.studies, differences=comparison.differences)


def backup(file: str | Path, *, storage: str | None = None) -> Path:
    """Copy the database to a new file, even while a search runs; return the file's absolute path.

    Raises InputError if the file exists or its directory doesn't exist, and StorageError if the file can't be written.
    """
    target = Path(file).absolute()
    back_up(location_of(storage_url(storage)), target)
    return target


def upgrade(*, storage: str | None = None) -> Upgrade:
    """Upgrade a database of an earlier version to this version; return the steps and the path of the backup.

    Raises InputError while a process searches a study of the database. Raises StorageError for a database of a later
    version.
    """
    return upgrade_database(location_of(storage_url(storage)))


@contextmanager
def reading(storage: str | None) -> Iterator[Database]:
    """Open an existing database for reading, while the `with` block runs."""
    with open_for_reading(location_of(storage_url(storage))) as database:
        yield database


@contextmanager
def writing(storage: str | None) -> Iterator[Database]:
    """Open a database for writing, while the `with` block runs; create it if it doesn't exist."""
    with quiet_optuna(), open_for_writing(location_of(storage_url(storage))) as database:
        yield database
