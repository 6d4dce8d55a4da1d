"""A study's own subdirectory of a directory that the user named for TensorBoard's files or for models."""

import os
import tempfile
from pathlib import Path

from ...studies.errors import InputError
from ...studies.files import TEMPORARY, write_durably

_MARK = ".regsearch-study"


def study_folder(parent: str | Path, option: str, study: str, study_uuid: str | None) -> Path:
    """Return the directory of a study's files, PARENT/STUDY, without creating it.

    Args:
        parent: an existing directory in which this process can write.
        option: the option that names `parent`, such as "--tensorboard"; messages begin with it.
        study: the study's name.
        study_uuid: distinguishes studies of the same name; None for a study that isn't started yet.

    Raises InputError if nothing can be written there, or if files are there that don't belong to this study.
    """
    if not os.path.isdir(parent):  # unlike Path.is_dir, it raises no error for a name that is too long
        raise InputError(f"{option}: there is no directory {parent}. Create it (mkdir -p), or name another one.")
    if study in (".", ".."):
        raise InputError(f"{option}: no directory can be called {study!r}, like this study. Choose another --name.")
    folder = Path(parent).absolute() / study
    try:
        exists = os.path.lexists(folder)
        names = [path.name for path in folder.iterdir()] if exists else []
        with tempfile.TemporaryFile(dir=folder if exists else parent):
            pass
        mark = (folder / _MARK).read_text(encoding="utf-8", errors="replace") if _MARK in names else None
    except OSError as error:
        raise _unwritable(folder, option, error) from error
    if (mark is None or mark != study_uuid) and any(not name.endswith(TEMPORARY) for name in names):
        raise InputError(
            f"{option}: {folder} has files that don't belong to this study. Remove these files, or name another "
            "directory."
        )
    return folder


def claim_folder(folder: Path, option: str, study_uuid: str) -> None:
    """Create the directory that `study_folder` returned, and mark it as the study's; raises InputError on failure."""
    try:
        folder.mkdir(exist_ok=True)
        write_durably(folder / _MARK, study_uuid.encode())
    except OSError as error:
        raise _unwritable(folder, option, error) from error


def _unwritable(folder: Path, option: str, error: OSError) -> InputError:
    return InputError(
        f"{option}: {folder} can't be written: {error.strerror}. Make room, get permission, or name another directory."
    )
