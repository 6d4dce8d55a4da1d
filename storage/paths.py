"""The paths of a study's files beside the database: logs of workers, a copy of the data, and files of trials."""

import re
from pathlib import Path

from ..studies.trial import Purpose
from ..studies.trial_files import TrialFiles
from .location import Location, files_folder


def log_prefix(location: Location, study: str) -> Path:
    """Return what the paths of a study's worker logs start with."""
    return files_folder(location) / f"study-{study}-worker-"


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


def remove_logs(location: Location, study: str) -> None:
    """Remove a deleted study's logs. Its lock file stays, since another process may wait for that very file."""
    prefix = log_prefix(location, study)
    for path in prefix.parent.glob("*.log"):
        if path.name.startswith(prefix.name) and re.fullmatch(r"\d+|ray", path.stem.removeprefix(prefix.name)):
            path.unlink(missing_ok=True)
