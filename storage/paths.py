"""The paths of a study's files beside the database: logs of workers, a copy of the data, and files of trials."""

import re
import shutil
from pathlib import Path

from ..studies.errors import reason_of
from ..studies.trial import Purpose
from ..studies.trial_files import TrialFiles
from .location import Location, files_folder


def log_prefix(location: Location, study: str) -> Path:
    """Return the first part of the paths of a study's worker logs."""
    return files_folder(location) / f"study-{study}-worker-"


def lock_file(location: Location, study: str) -> Path:
    """Return the path of the file that a study's coordinator locks; a study on a server has no such file."""
    return files_folder(location) / f"study-{study}.lock"


def data_folder(location: Location, study: str) -> Path:
    """Return the directory for a study's copy of the data on this machine; it exists only while a run lasts."""
    return files_folder(location) / f"study-{study}-data"


def trials_folder(location: Location, study: str) -> Path:
    """Return the directory for the states of a study's trials, and for the weights of the best ones."""
    return files_folder(location) / f"study-{study}-trials"


def weights_file(location: Location, study: str, number: int) -> Path:
    """Return the path of a complete trial's weights; the file exists only if the weights are kept."""
    return TrialFiles.of(trials_folder(location, study), Purpose.SEARCH).weights(number)


def finalist_weights_file(location: Location, study: str, number: int) -> Path:
    """Return the path of a finalist's weights on one fresh seed; the file exists only if the weights are kept."""
    return TrialFiles.of(trials_folder(location, study), Purpose.CONFIRM).weights(number)


def remove_study_files(location: Location, study: str) -> list[str]:
    """Remove a deleted study's files beside the database; return "PATH: REASON" for each that can't be removed.

    Call it only while this process holds the study's lock.
    """
    prefix = log_prefix(location, study)
    logs = [
        path
        for path in prefix.parent.glob("*.log")
        if path.name.startswith(prefix.name) and re.fullmatch(r"\d+|ray", path.stem.removeprefix(prefix.name))
    ]
    problems: list[str] = []

    def note(_: object, path: str, error: tuple[type[BaseException], BaseException, object]) -> None:
        if not isinstance(error[1], FileNotFoundError):
            problems.append(f"{path}: {reason_of(error[1])}")

    for folder in (data_folder(location, study), trials_folder(location, study)):
        shutil.rmtree(folder, onerror=note)
    for path in (*sorted(logs), lock_file(location, study)):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            problems.append(f"{path}: {reason_of(error)}")
    return problems
