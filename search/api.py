"""The library that notebooks and the command line use: studies, storage and workers put together.

`search/__init__.py` offers the few of them that a script needs most.
"""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from regsearch.search.export.study_export import Export, export_study
from regsearch.search.result import ComparisonResult, RunResult, StudyResult
from regsearch.search.run.options import RunOptions
from regsearch.search.run.progress import Progress, progress_here
from regsearch.search.run.study_run import run_study
from regsearch.search.workers.base import Engine
from regsearch.storage import study_lock
from regsearch.storage.backup import back_up
from regsearch.storage.confirmation_results import read_conclusion
from regsearch.storage.connect import open_for_reading, open_for_writing
from regsearch.storage.database import Database
from regsearch.storage.enqueue import params_to_enqueue
from regsearch.storage.export_source import find_export_source
from regsearch.storage.location import command, location_of, usual_storage
from regsearch.storage.queries import best_trial, check_not_copied, get_study, list_trials, read_answer, study_names
from regsearch.storage.report_data import read_report_data, read_status
from regsearch.storage.study_comparison import read_comparison
from regsearch.storage.study_store import StudyStore
from regsearch.storage.upgrade import Upgrade
from regsearch.storage.upgrade import upgrade as upgrade_database
from regsearch.studies.analysis.conclusion import Conclusion
from regsearch.studies.errors import InputError, NoResultError
from regsearch.studies.records import Holder, StudyRecord, StudySummary, TrialRecord
from regsearch.studies.reports.data import ReportData
from regsearch.studies.reports.status import Status
from regsearch.studies.study_file import given_keys, read_study, with_options

_STOP_SECONDS, _STOP_POLL_SECONDS = 30, 0.3


def storage_url(storage: str | None = None) -> str:
    """Return the storage given, else $REGSEARCH_STORAGE, else regsearch.db in the current folder."""
    return storage or usual_storage()


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
    confirm: bool = True,
    progress: Progress | None = None,
    handle_signals: bool = False,
    tensorboard: str | Path | None = None,
    checkpoints: str | Path | None = None,
    trust_code: bool = False,
) -> RunResult:
    """Begin a study, or go on with it, search until its total, and confirm the best on fresh seeds.

    For example:
        >>> import regsearch
        >>> settings = ["training.max_epochs=2"]
        >>> result = regsearch.run("smoke", trials=4, storage="sqlite:///example.db", settings=settings)
        >>> result.best.metrics["epochs"] <= 2
        True

    It needs no `if __name__ == "__main__"` in a script: workers are processes of their own, which don't import it.

    Args:
        study: a ready study's name, or the path of a study file.
        storage: a URL, `sqlite:///FILE` or `postgresql+psycopg://USER@HOST/DATABASE`, or @ and the path of a file that
            holds one; see `storage_url`.
        name: the study's name in the database, if not the file's.
        trials: its total over all runs, at least 1; if not given, the file's, or what it was raised to.
        timeout: of this run, such as "30m", if not the file's.
        workers: how many trials may run at once, at least 1; one a core if not given, on a cluster all it has.
        data: auto, a data set's name, or the path of data of your own (see the README), if not the file's.
        engine: processes, inline or ray, or an engine that you made, such as
            `search.workers.ray.engine.RayEngine("auto")`.
        settings: "section.key=value" each, over the file's.
        confirm: whether the best are confirmed, where the study's `confirm.seeds` isn't 0.
        progress: told what happens. If not given, it is shown in the notebook's cell, on the terminal, or elsewhere as
            lines on stderr; `Progress()` is silent but for what needs the user.
        handle_signals: whether Ctrl-C and SIGTERM stop the search in good order.
        tensorboard: a folder in which TensorBoard's files are left, in TENSORBOARD/STUDY; see `search.run.tensorboard`.
        checkpoints: a folder in which each epoch of each trial leaves a Keras model, in CHECKPOINTS/STUDY; see
            `regsearch.search.training.snapshots`.
        trust_code: whether the code of the study's `model.hypermodel` may be run; it is never run without.

    Raises InputError for bad input or a study of that name that differs, StorageError where the database
    can't be used, NoResultError where nothing can be trained.
    """
    spec = with_options(read_study(study, settings), name=name, trials=trials, data=data)
    total = ["budget.trials"] if trials is not None else []
    return run_study(
        spec,
        RunOptions(
            location=location_of(storage_url(storage)),
            trials=trials,
            timeout=timeout,
            workers=workers,
            engine=engine,
            progress=progress or progress_here(),
            handle_signals=handle_signals,
            confirm=confirm,
            tensorboard=None if tensorboard is None else str(tensorboard),
            checkpoints=None if checkpoints is None else str(checkpoints),
            trust_code=trust_code,
            given=given_keys(study, settings).union(total),
        ),
    )


def resume(
    name: str,
    *,
    storage: str | None = None,
    trials: int | None = None,
    timeout: str | None = None,
    workers: int | None = None,
    data: str | None = None,
    engine: str | Engine = "processes",
    confirm: bool = True,
    progress: Progress | None = None,
    handle_signals: bool = False,
    tensorboard: str | Path | None = None,
    checkpoints: str | Path | None = None,
    trust_code: bool = False,
) -> RunResult:
    """Go on with a study to its own total; see `run` for the arguments and what is raised.

    For example:
        >>> import regsearch
        >>> result = regsearch.run("smoke", trials=3, storage="sqlite:///example.db")
        >>> regsearch.resume("smoke", trials=5, storage="sqlite:///example.db").answer.counts.finished
        5
    """
    with reading(storage) as database:
        record = get_study(database, name)
    spec = with_options(record.spec, trials=trials, data=data or record.dataset.source)
    total = ["budget.trials"] if trials is not None else []
    return run_study(
        spec,
        RunOptions(
            location=location_of(storage_url(storage)),
            trials=trials,
            timeout=timeout,
            workers=workers,
            engine=engine,
            progress=progress or progress_here(),
            handle_signals=handle_signals,
            confirm=confirm,
            tensorboard=None if tensorboard is None else str(tensorboard),
            checkpoints=None if checkpoints is None else str(checkpoints),
            trust_code=trust_code,
            given=frozenset(total),
        ),
    )


def confirm(
    name: str,
    *,
    storage: str | None = None,
    top: int | None = None,
    seeds: int | None = None,
    timeout: str | None = None,
    workers: int | None = None,
    data: str | None = None,
    engine: str | Engine = "processes",
    progress: Progress | None = None,
    handle_signals: bool = False,
    trust_code: bool = False,
) -> RunResult:
    """Train a study's finalists on fresh seeds, then show them the test rows once.

    For example:
        >>> import regsearch
        >>> result = regsearch.run("smoke", trials=4, storage="sqlite:///example.db")
        >>> regsearch.confirm("smoke", seeds=3, storage="sqlite:///example.db").confirmation.seeds
        3

    Args:
        top: how many of the best configurations are finalists, if not as the study says.
        seeds: on how many fresh seeds, at least 3, if not as the study says; where it is confirmed on more, on those.

    What was confirmed before stays; see `run` for the other arguments and what is raised. Raises InputError where no
    trial is complete.
    """
    with reading(storage) as database:
        record = get_study(database, name)
        if best_trial(database, record) is None:
            see = command(database.location, "status", name)
            raise InputError(f"no trial of {name} is complete, so there is nothing to confirm; see `{see}`")
    spec = with_options(record.spec, data=data or record.dataset.source, top=top, seeds=seeds)
    if not spec.confirm.seeds:
        raise InputError(f"the study {name} has confirm.seeds = 0: give --seeds, at least 3")
    return run_study(
        spec,
        RunOptions(
            location=location_of(storage_url(storage)),
            timeout=timeout,
            workers=workers,
            engine=engine,
            progress=progress or progress_here(),
            handle_signals=handle_signals,
            search=False,
            trust_code=trust_code,
            given=frozenset(
                key for key, value in (("confirm.top", top), ("confirm.seeds", seeds)) if value is not None
            ),
        ),
    )


def load(name: str, *, storage: str | None = None) -> StudyResult:
    """Return what is known of a stored study, without running it; another process may search it meanwhile.

    For example:
        >>> import regsearch
        >>> result = regsearch.run("smoke", trials=4, storage="sqlite:///example.db")
        >>> regsearch.load("smoke", storage="sqlite:///example.db").best == result.best
        True

    Raises InputError where there is no such study, StorageError where the database can't be used.
    """
    location = location_of(storage_url(storage))
    with open_for_reading(location) as database:
        study = get_study(database, name)
        return StudyResult(
            answer=read_answer(database, study), confirmation=read_conclusion(database, study), location=location
        )


def answer(name: str, *, storage: str | None = None) -> StudySummary:
    """Return a study's counts and its best configuration so far."""
    with reading(storage) as database:
        return read_answer(database, get_study(database, name))


def conclusion(name: str, *, storage: str | None = None) -> Conclusion | None:
    """Return what a study's confirmation says; None where it is not confirmed."""
    with reading(storage) as database:
        return read_conclusion(database, get_study(database, name))


def status(name: str, *, storage: str | None = None) -> Status:
    """Return how a study goes."""
    with reading(storage) as database:
        return read_status(database, get_study(database, name))


def statuses(*, storage: str | None = None) -> list[Status]:
    """Return how every study goes, by name."""
    with reading(storage) as database:
        return [read_status(database, get_study(database, name)) for name in study_names(database)]


@contextmanager
def trials(name: str, *, storage: str | None = None) -> Iterator[tuple[StudyRecord, Iterator[TrialRecord]]]:
    """Give a study and its trials by number; they are read while the block goes through them."""
    with reading(storage) as database:
        record = get_study(database, name)
        yield record, list_trials(database, record)


def enqueue(name: str, settings: Sequence[str], *, storage: str | None = None) -> tuple[int, StudyRecord]:
    """Let settings of the user's own be tried next; return the trial's number and the study.

    Args:
        settings: "name=value" each, such as "l2=1e-4"; the sampler chooses what isn't given. A HyperModel's are
            those that an earlier trial asked for.

    Raises InputError for a name or a value outside the study's space, and for settings that a trial had.
    """
    with reading(storage) as database:
        record = get_study(database, name)
        params = params_to_enqueue(database, record, settings)
    with writing(storage) as database:
        return StudyStore.open(database, record).enqueue(params), record


def stop(name: str, *, storage: str | None = None) -> Holder | None:
    """Ask a study's coordinator to stop and wait for it; return who it was, None where nobody searched.

    Raises NoResultError where it still runs after half a minute.
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
                raise NoResultError(f"{holder} still searches {name}, {_STOP_SECONDS} s after it was asked to stop")
            StudyStore.open(database, record).request_stop()
            time.sleep(_STOP_POLL_SECONDS)
    return holder


def delete(name: str, *, storage: str | None = None) -> None:
    """Delete a study with all its trials and logs; refused while it is searched."""
    location = location_of(storage_url(storage))
    with reading(storage) as database:
        get_study(database, name)
    with writing(storage) as database, database.study_lock(name):
        record = get_study(database, name)
        check_not_copied(database, record)
        StudyStore.open(database, record).delete()
        study_lock.remove_logs(location, name)
        for folder in (study_lock.data_folder(location, name), study_lock.trials_folder(location, name)):
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
    """Write a trained network into a folder, as a Keras model, with what belongs to it.

    Args:
        folder: isn't there yet, or is empty.
        trial: a complete trial's number. If not given, the winner as it was trained in the confirmation, on the seed
            with the median select cross-entropy; before a confirmation, the best trial.
        force: replace the files of an export in a folder that isn't empty; others stay.
        progress: told where the weights are not kept, so that they are trained again, in this process.
        trust_code: see `run`.

    Raises InputError for a trial that isn't complete, and a folder or data that can't be used; NoResultError where
    no trial is complete.
    """
    with reading(storage) as database:
        study = get_study(database, name)
        training = find_export_source(database, study, trial)
    target = Path(folder).absolute()
    return export_study(study, training, target, force=force, progress=progress or Progress(), trusts_code=trust_code)


def report(name: str, *, storage: str | None = None) -> ReportData:
    """Return everything that a study's report is made of, as the study is now."""
    with reading(storage) as database:
        return read_report_data(database, get_study(database, name))


def compare(*names: str, storage: str | None = None) -> ComparisonResult:
    """Return studies side by side, the fewest training rows first; `print` shows it, and so does a notebook.

    Studies of one size that differ in their sampler, pruner, recipes or network show which way of searching finds more.

    For example:
        >>> import regsearch
        >>> result = regsearch.run("smoke", trials=3, storage="sqlite:///example.db")
        >>> result = regsearch.run(
        ...     "smoke", name="half", trials=3, storage="sqlite:///example.db", settings=["data.train_size=100"]
        ... )
        >>> [study.train_rows for study in regsearch.compare("smoke", "half", storage="sqlite:///example.db").studies]
        [100, 200]

    Raises InputError for fewer than two studies, and for one that isn't there.
    """
    with reading(storage) as database:
        comparison = read_comparison(database, names)
    return ComparisonResult(studies=comparison.studies, differences=comparison.differences)


def backup(file: str | Path, *, storage: str | None = None) -> Path:
    """Copy the database, also while a study is searched, to a file that isn't there yet; return its path.

    Raises InputError where it is there already or its folder is not, StorageError where it can't be written.
    """
    target = Path(file).absolute()
    back_up(location_of(storage_url(storage)), target)
    return target


def upgrade(*, storage: str | None = None) -> Upgrade:
    """Bring a database of an earlier version to this one's schemas, and say what was done.

    Raises InputError while a study of it is searched, StorageError for one of a later version.
    """
    return upgrade_database(location_of(storage_url(storage)))


@contextmanager
def reading(storage: str | None) -> Iterator[Database]:
    """Open a database that must be there, unable to write."""
    with open_for_reading(location_of(storage_url(storage))) as database:
        yield database


@contextmanager
def writing(storage: str | None) -> Iterator[Database]:
    """Open a database for writing, and create what it lacks."""
    with open_for_writing(location_of(storage_url(storage))) as database:
        yield database
