"""Copies a database while others use it: a copy is whole under its name, or not there at all."""

import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from storage.database import RESTORE, connector, open_for_reading, translated_errors
from studies.errors import InputError, StorageError

_ABOUT_THE_SOURCE = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CORRUPT", "SQLITE_NOTADB")


def back_up(path: Path, target: Path) -> None:
    """Copy a database as it is now to a new file, readable by its owner only.

    A search may go on meanwhile; the copy holds all that was acknowledged before. Raises InputError where
    the target is there already or its folder is not, StorageError where either file can't be used.
    """
    open_for_reading(path, needs_studies=False).close()
    with translated_errors(path), closing(connector(path, writing=True)()) as source:  # query_only forbids `vacuum`
        write_copy(source, path, target)


def write_copy(source: sqlite3.Connection, path: Path, target: Path) -> None:
    """Write what a connection to `path` reads to a new file; see `back_up`.

    It is one read transaction, so that it sees one moment, and writers wait for its end.
    """
    if os.path.lexists(target):
        raise InputError(f"{target} is there already, and a backup overwrites nothing: name another file")
    if not target.parent.is_dir():
        raise InputError(f"there is no folder {target.parent} for the backup: make it, or name another file")
    found = source.execute("pragma integrity_check").fetchone()[0]
    if found != "ok":
        raise StorageError(f"{path} is damaged ({found.splitlines()[-1]}), so that no copy was made: {RESTORE}")
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".regsearch-backup-")
        try:
            source.execute("vacuum into ?", (name,))
            os.fsync(handle)
            _rename_to_new(Path(name), target)
            _sync_folder(target.parent)
        finally:
            os.close(handle)
            Path(name).unlink(missing_ok=True)
    except sqlite3.Error as error:
        if error.sqlite_errorname.startswith(_ABOUT_THE_SOURCE):
            raise
        raise StorageError(_unwritable(target, str(error))) from error
    except OSError as error:
        raise StorageError(_unwritable(target, str(error.strerror))) from error


def _unwritable(target: Path, reason: str) -> str:
    return (
        f"the backup {target} can't be written ({reason}): make room or get permission there, or name a file elsewhere"
    )


def _rename_to_new(name: Path, target: Path) -> None:
    """Give a file its name; raises InputError where another file took it in the meantime."""
    try:
        os.link(name, target)  # unlike a rename, it fails where the target is there
    except FileExistsError:
        raise InputError(f"{target} was just made by another process: name another file") from None
    except OSError:  # a file system without hard links, such as a USB stick's
        if target.exists():
            raise
        name.rename(target)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
