"""Writes the directory of an export, so that the export appears as a whole or not at all.

A new directory is renamed into place. In an existing directory, configuration.json is removed first and written last.
This file contains the SHA-256 of the other files. An export without this file is incomplete.
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
    """The path and the SHA-256 of a file that was written."""

    path: Path
    sha256: str


def check_folder(folder: Path, force: bool) -> None:
    """Raise InputError if a directory can't be used for an export.

    Args:
        folder: the directory, which does not exist yet or is empty.
        force: whether the directory may have content. Files of an earlier export are replaced, and other files stay.
    """
    try:
        if not os.path.lexists(folder):
            if not folder.parent.is_dir():
                raise InputError(
                    f"can't export to {folder}: there is no directory {folder.parent}. Create it, or give another path."
                )
        elif not folder.is_dir():
            raise InputError(f"can't export to {folder}: it is not a directory. Give another path.")
        elif any(folder.iterdir()) and not force:
            raise InputError(
                f"can't export to {folder}: the directory is not empty. Give another one, or add --force to replace "
                "an earlier export in it."
            )
    except (OSError, ValueError) as error:
        raise _write_error(folder, error) from error


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """Yield a new directory on the same file system as the export, and remove it when the block ends.

    Raises InputError if this directory can't be written.
    """
    try:
        parent = folder if folder.is_dir() else folder.parent
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name[:50]}-", suffix=".tmp", dir=parent))
        try:
            (staged := temporary / "export").mkdir()  # has the user's usual permissions, unlike a directory of mkdtemp
            yield staged
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise _write_error(folder, error) from error


def publish(staged: Path, folder: Path, names: Sequence[str]) -> None:
    """Move the staged files to the export's directory, and flush them to the disk.

    Args:
        staged: the directory from `staging`.
        folder: the export's directory.
        names: the names of the files, in the order in which they are moved. The last file completes the export.
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


def _write_error(folder: Path, error: Exception) -> InputError:
    return InputError(
        f"can't write the export to {folder}: {reason_of(error)}. Free disk space, change the permissions, or give "
        "another directory."
    )
