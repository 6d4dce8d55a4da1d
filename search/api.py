"""The functions that notebooks and the command line use; they put studies, storage and workers together.

The package `regsearch` offers those that a script needs most.
"""

import shutil
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
from .run.study_run import run_study

_STOP_SECONDS, _STOP_POLL_SECONDS = 30, 0.3


def storage_url(storage: str | None = None) -> str:
    """Return the given storage, else $REGSEARCH_STORAGE, else regsearch.db in the current directory."""
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
    """Start a study, or resume it, search until its total of trials, and confirm the best on fresh seeds.

    Example:
        >>> import regsearch
        >>> settings = ["training.max_epochs=2"]
        >>> result = regsearch.run("smoke", trials=4, storage="sqlite:///example.db", settings=settings)
        >>> result.best.metrics["epochs"] <= 2
        True

    A script needs no `if __name__ == "__main__"`: the workers are separate processes, which don't import it.

    Args:
        study: the name of a ready study, or the path of a study file.
        storage: a URL, `sqlite:///FILE` or `postgresql+psycopg://USER@HOST/DATABASE`, or @ and the path of a file that
            holds one. Default: see `storage_url`.
        name: the study's name in the database. Default: the file's.
        data: auto, the name of a data set, or the path of your own data (see the README). Default: the file's.
        settings: "section.key=value" each; they replace values of the file.
        trials: the study's total over all runs, at least 1. Default: the file's, or what it was raised to.
        timeout: of this run, such as "30m". Default: the file's.
        workers: how many trials run at once, at least 1. Default: one per core, and all of a cluster.
        engine: processes, inline or ray, or an engine that you made, such as
            `regsearch.search.workers.ray.engine.RayEngine("auto")`.
        confirm: whether to confirm the best configurations, unless the study's `confirm.seeds` is 0.
        progress: shows what happens. Default: a display in the notebook's cell or on the terminal, otherwise lines on
            stderr. `Progress()` prints only what needs the user.
        handle_signals: whether Ctrl-C and SIGTERM stop the search in good order.
        tensorboard: an existing directory; TensorBoard's files are written to TENSORBOARD/STUDY. See
            `regsearch.search.run.tensorboard`.
        checkpoints: an existing directory; a Keras model of each epoch of each trial is written to CHECKPOINTS/STUDY.
            See `regsearch.search.training.snapshots`.
        trust_code: whether the code of the study's `model.hypermodel` may run. It never runs without.
        log: a file to which one line for each decision is appended; see `regsearch.search.run.log`.

    Raises InputError for bad input and if the stored study of that name differs, StorageError if the database can't be
    used, NoResultError if nothing can be trained.
    """
    spec = with_options(read_study(study, settings), name=name, trials=options.get("trials"), data=data)
    location = location_of(storage_url(storage))
    return _run("run", spec, location, options, given_keys(study, settings))


@with_listed_keywords
def resume(
    name: str, *, storage: str | None = None, data: str | None = None, **options: Unpack[SearchKeywords]
) -> RunResult:
    """Resume a study and search until its total of trials.

    Example:
        >>> import regsearch
        >>> result = regsearch.run("smoke", trials=3, storage="sqlite:///example.db")
        >>> regsearch.resume("smoke", trials=5, storage="sqlite:///example.db").answer.counts.finished
        5

    Args:
        name: the study's name in the database.
        data: as for `run`. Default: the source of the data that the study is stored with.
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

    What was confirmed before stays.

    Example:
        >>> import regsearch
        >>> result = regsearch.run("smoke", trials=4, storage="sqlite:///example.db")
        >>> regsearch.confirm("smoke", seeds=3, storage="sqlite:///example.db").confirmation.seeds
        3

    Args:
        name: the study's name in the database.
        top: how many of the best configurations are finalists. Default: what the study says.
        seeds: the number of fresh seeds, at least 3. Default: what the study says. A study that is already confirmed
            on more seeds stays at those.
        data: as for `run`. Default: the source of the data that the study is stored with.
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
    asked = {"confirm.top": top, "confirm.seeds": seeds}
    given = frozenset(key for key, value in asked.items() if value is not None)
    return _run("confirm", spec, location_of(storage_url(storage)), options, given)


def _run(
    command: str,
    spec: StudySpec,
    location: Location,
    keywords: TrainingKeywords,
    given: frozenset[str] = frozenset(),
) -> RunResult:
    """Run a study with a user's keyword arguments, of which a total of trials is a given key of the study, too."""
    total = {"budget.trials"} if keywords.get("trials") is not None else set()
    options = RunOptions.from_keywords(location, keywords, given=given | total, search=command != "confirm")
    with run_log(options.log, spec.study.name, location, options.progress.message), quiet_optuna():
        return logged(command, location, lambda: run_study(spec, options))


def load(name: str, *, storage: str | None = None) -> StudyResult:
    """Return what is stored of a study, without running it; another process may search it meanwhile.

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
    """Return the status of every study, by name."""
    with reading(storage) as database:
        return [read_status(database, get_study(database, name)) for name in study_names(database)]


@contextmanager
def trials(name: str, *, storage: str | None = None) -> Iterator[tuple[StudyRecord, Iterator[TrialRecord]]]:
    """Yield a study and an iterator of its trials by number, which is read lazily inside the block."""
    with reading(storage) as database:
        record = get_study(database, name)
        yield record, list_trials(database, record)


def enqueue(name: str, params: Sequence[str], *, storage: str | None = None) -> tuple[int, StudyRecord]:
    """Let a configuration of the user be tried next; return the number of its trial, and the study.

    Args:
        name: the study's name in the database.
        params: "name=value" each, such as "l2=1e-4"; the sampler chooses the other values. Names of a HyperModel's
            hyperparameters are those that an earlier trial asked for.
        storage: see `run`.

    Raises InputError for a name or a value outside the study's space, and for a configuration that a trial had.
    """
    with reading(storage) as database:
        record = get_study(database, name)
        values = params_to_enqueue(database, record, params)
    with writing(storage) as database:
        return StudyStore.open(database, record).enqueue(values), record


def stop(name: str, *, storage: str | None = None) -> Holder | None:
    """Ask a study's coordinator to stop, and wait until it has; return that process, or None if there was none.

    Raises NoResultError if it still runs after 30 seconds.
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
                raise NoResultError(f"{name} still runs after {_STOP_SECONDS} s: {holder}. Try again later.")
            StudyStore.open(database, record).request_stop()
            time.sleep(_STOP_POLL_SECONDS)
    return holder


def delete(name: str, *, storage: str | None = None) -> None:
    """Delete a study with all its trials and logs; raises InputError while a process searches it."""
    location = location_of(storage_url(storage))
    with reading(storage) as database:
        get_study(database, name)
    with writing(storage) as database, database.study_lock(name):
        record = get_study(database, name)
        check_not_copied(database, record)
        StudyStore.open(database, record).delete()
        paths.remove_logs(location, name)
        for folder in (paths.data_folder(location, name), paths.trials_folder(location, name)):
            shutil.rmtree(folder, ignore_errors=True)


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
    """Write a trained network as a Keras model into a directory, with a script, its configuration and a model card.

    Args:
        name: the study's name in the database.
        folder: a directory that is empty or doesn't exist yet.
        trial: the number of a complete trial. Default: the confirmed winner, as it was trained on the seed with the
            median cross-entropy on the selection split; before a confirmation, the best trial.
        force: whether to replace the files of an earlier export; other files stay.
        storage, trust_code: see `run`.
        progress: shows a message if the weights are not stored, and so are trained again in this process.

    Raises InputError if the trial isn't complete, or if the directory or the data can't be used; NoResultError if no
    trial is complete.
    """
    with reading(storage) as database:
        study = get_study(database, name)
        training = find_export_source(database, study, trial)
    target = Path(folder).absolute()
    return export_study(study, training, target, force=force, progress=progress or Progress(), trusts_code=trust_code)


def report(name: str, *, storage: str | None = None) -> ReportData:
    """Return the data of a study's report, as the study is now."""
    with reading(storage) as database:
        return read_report_data(database, get_study(database, name))


def compare(*names: str, storage: str | None = None) -> ComparisonResult:
    """Compare two or more studies, sorted by their number of training examples; `print` shows the comparison.

    Studies of one size that differ in their sampler, pruner, recipes or network show which search method finds more.

    Example:
        >>> import regsearch
        >>> result = regsearch.run("smoke", trials=3, storage="sqlite:///example.db")
        >>> result = regsearch.run(
        ...     "smoke", name="half", trials=3, storage="sqlite:///example.db", settings=["data.train_size=100"]
        ... )
        >>> [study.train_rows for study in regsearch.compare("smoke", "half", storage="sqlite:///example.db").studies]
        [100, 200]

    Raises InputError for fewer than two studies, and if one doesn't exist.
    """
    with reading(storage) as database:
        comparison = read_comparison(database, names)
    return ComparisonResult(studies=comparison.studies, differences=comparison.differences)


def backup(file: str | Path, *, storage: str | None = None) -> Path:
    """Copy the database to a new file, even while a search runs; return the file's absolute path.

    Raises InputError if the file exists or its directory doesn't, StorageError if it can't be written.
    """
    target = Path(file).absolute()
    back_up(location_of(storage_url(storage)), target)
    return target


def upgrade(*, storage: str | None = None) -> Upgrade:
    """Upgrade a database of an earlier version to the schema of this one; return the steps and the backup.

    Raises InputError while one of its studies is searched, StorageError for a database of a later version.
    """
    return upgrade_database(location_of(storage_url(storage)))


@contextmanager
def reading(storage: str | None) -> Iterator[Database]:
    """Open an existing database, read-only."""
    with open_for_reading(location_of(storage_url(storage))) as database:
        yield database


@contextmanager
def writing(storage: str | None) -> Iterator[Database]:
    """Open a database for writing; a missing file or table is created."""
    with quiet_optuna(), open_for_writing(location_of(storage_url(storage))) as database:
        yield database
