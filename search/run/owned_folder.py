"""A folder of the user's in which runs leave files of their studies, each study's in a folder of its own."""

import os
import tempfile
from pathlib import Path

from regsearch.studies.errors import InputError
from regsearch.studies.files import TEMPORARY, write_durably

_MARK = ".regsearch-study"


def study_folder(given: str | Path, option: str, study: str, study_uuid: str | None) -> Path:
    """Return where a study's files go, GIVEN/STUDY; nothing is made yet.

    Args:
        given: must be there, and be writable.
        option: by which it was given, for messages.
        study: its name.
        study_uuid: tells it from others of the same name; None for one that isn't begun yet.

    Raises InputError where nothing can be written, or the files there are not this study's.
    """
    if not os.path.isdir(given):  # unlike Path.is_dir, it takes any name
        raise InputError(f"{option}: there is no folder {given}; make it (mkdir -p), or name another one")
    if study in (".", ".."):
        raise InputError(f"{option}: a study called {study!r} can't have a folder of its own; begin one with --name")
    folder = Path(given).absolute() / study
    try:
        is_there = os.path.lexists(folder)
        found = [path.name for path in folder.iterdir()] if is_there else []
        with tempfile.TemporaryFile(dir=folder if is_there else given):
            pass
        mark = (folder / _MARK).read_text(encoding="utf-8", errors="replace") if _MARK in found else None
    except OSError as error:
        raise _unwritable(folder, option, error) from error
    if (mark is None or mark != study_uuid) and any(not name.endswith(TEMPORARY) for name in found):
        raise InputError(
            f"{option}: {folder} holds files, and not of this study; name another folder, or remove what isn't needed"
        )
    return folder


def claim_folder(folder: Path, option: str, study_uuid: str) -> None:
    """Make what `study_folder` returned, and mark it as that study's; raises InputError where that can't be."""
    try:
        folder.mkdir(exist_ok=True)
        write_durably(folder / _MARK, study_uuid.encode())
    except OSError as error:
        raise _unwritable(folder, option, error) from error


def _unwritable(folder: Path, option: str, error: OSError) -> InputError:
    return InputError(
        f"{option}: {folder} can't be written ({error.strerror}): make room or get permission, or name another"
    )
