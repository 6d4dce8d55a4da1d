"""The directory of an export: it appears as a whole, or not at all.

A new directory is renamed into place. In an existing one, configuration.json is removed first and written last. It
has the SHA-256 of the other files; without it the export is not whole.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...studies.errors import InputError, reason_of
from ...studies.files import sync_folder


@dataclass(frozen=True, kw_only=True)
class ExportedFile:
    """A file that was written, and its SHA-256."""

    path: Path
    sha256: str


def check_folder(folder: Path, force: bool) -> None:
    """Raise InputError if an export can't go to a directory.

    Args:
        folder: does not exist yet, or is empty.
        force: allows a directory that is not empty; files of an earlier export will be replaced, others stay.
    """
    try:
        if not os.path.lexists(folder):
            if not folder.parent.is_dir():
                raise InputError(
                    f"can't export to {folder}: there is no directory {folder.parent}. Create it, or give another one."
                )
        elif not folder.is_dir():
            raise InputError(f"can't export to {folder}: it is not a directory. Give another path.")
        elif any(folder.iterdir()) and not force:
            raise InputError(
                f"can't export to {folder}: the directory is not empty. Give another one, or add --force to replace "
                "an earlier export in it."
            )
    except (OSError, ValueError) as error:
        raise _unwritable(folder, error) from error


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """Give a new directory to write in, on the file system of the export; it is removed when the block ends.

    Raises InputError if it can't be written.
    """
    try:
        parent = folder if folder.is_dir() else folder.parent
        outer = Path(tempfile.mkdtemp(prefix=f".{folder.name[:50]}-", suffix=".tmp", dir=parent))
        try:
            (inner := outer / "export").mkdir()  # with the user's own permissions, unlike what mkdtemp makes
            yield inner
        finally:
            shutil.rmtree(outer, ignore_errors=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def publish(staged: Path, folder: Path, names: Sequence[str]) -> None:
    """Move staged files to the directory of the export, durably.

    Args:
        staged: the directory that `staging` gave.
        folder: the export's.
        names: of the files; the last one makes the export whole.
    """
    for name in names:
        with (staged / name).open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(staged)
    if not folder.is_dir():
        os.rename(staged, folder)
        sync_folder(folder.parent)
        return
    (folder / names[-1]).unlink(missing_ok=True)
    sync_folder(folder)
    for name in names:
        os.replace(staged / name, folder / name)
    sync_folder(folder)


def _unwritable(folder: Path, error: Exception) -> InputError:
    return InputError(
        f"can't write the export to {folder}: {reason_of(error)}. Free disk space, change the permissions, or give "
        "another directory."
    )
