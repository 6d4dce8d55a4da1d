"""Copy a database to a file while other processes use it. The file gets its final name when it is complete."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import sqlalchemy

from ..studies.errors import InputError, StorageError
from ..studies.files import sync_folder
from . import sqlite
from .connect import open_for_reading
from .errors import RESTORE, first_line, translate_errors
from .location import Location, Server
from .optuna.tables import OPTUNA_TABLES
from .tables import Base

_PAGE = 1000  # rows that are copied at a time
_VERSIONS = "version_info"
_SOURCE_ERRORS = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CORRUPT", "SQLITE_NOTADB")


def back_up(location: Location, target: Path) -> None:
    """Copy a database to a new SQLite file that only the current user can read.

    A search may run meanwhile; the copy holds all results that were stored before.

    Raises InputError if the target exists already or if its directory is missing. Raises StorageError if the database
    or the target can't be used.
    """
    if isinstance(location, Server):
        _copy_from_server(location, target)
        return
    open_for_reading(location, needs_studies=False).close()
    # open it for writing: the pragma `query_only` would forbid `vacuum`
    with translate_errors(location), closing(sqlite.connector(location, writing=True)()) as source:
        write_copy(source, location, target)


def write_copy(source: sqlite3.Connection, path: Path, target: Path) -> None:
    """Copy the database at `path` through an open connection to a new file; see `back_up`.

    One read transaction makes the whole copy. So the copy shows the database at one moment. Other processes may have
    to wait until the copy is complete before they can write.
    """
    _check_is_free(target)
    found = source.execute("pragma integrity_check").fetchone()[0]
    if found != "ok":
        raise StorageError(f"{path} is damaged ({found.splitlines()[-1]}), so no copy was made. {RESTORE}")
    try:
        with _new_file(target) as file:
            source.execute("vacuum into ?", (str(file),))
    except sqlite3.Error as error:
        if error.sqlite_errorname.startswith(_SOURCE_ERRORS):
            raise
        raise StorageError(_unwritable(target, str(error))) from error


def _copy_from_server(server: Server, target: Path) -> None:
    """Copy all rows of Optuna's and regsearch's tables, as they are at one moment, to a new file."""
    _check_is_free(target)
    with open_for_reading(server, needs_studies=False) as source, _new_file(target) as file:
        sqlite.create_tables(file)
        engine = sqlite.make_engine(file, writing=True)
        try:
            with source.read() as reading, engine.begin() as writing:
                existing = set(sqlalchemy.inspect(reading).get_table_names()) - {
                    _VERSIONS
                }  # the new file has its own rows there
                for table in (*OPTUNA_TABLES, *Base.metadata.sorted_tables):
                    if table.name not in existing:
                        continue
                    rows = reading.execution_options(yield_per=_PAGE).execute(sqlalchemy.select(table))
                    for page in rows.mappings().partitions():
                        writing.execute(sqlalchemy.insert(table), [dict(row) for row in page])
        except (sqlite3.Error, sqlalchemy.exc.DBAPIError) as error:
            if isinstance(getattr(error, "orig", error), sqlite3.Error):
                raise StorageError(_unwritable(target, first_line(error))) from error
            raise
        finally:
            engine.dispose()


def _check_is_free(target: Path) -> None:
    if os.path.lexists(target):
        raise InputError(f"{target} exists already, and a backup overwrites nothing. Name another file.")
    if not target.parent.is_dir():
        raise InputError(f"there is no directory {target.parent} for the backup. Create it, or name another file.")


@contextmanager
def _new_file(target: Path) -> Iterator[Path]:
    """Yield an empty temporary file beside the target, and rename it to the target when the block has ended."""
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".regsearch-backup-")
        try:
            yield Path(name)
            os.fsync(handle)
            _rename_to_new(Path(name), target)
            sync_folder(target.parent)
        finally:
            os.close(handle)
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(_unwritable(target, str(error.strerror))) from error


def _unwritable(target: Path, reason: str) -> str:
    return f"the backup {target} can't be written: {reason}. Free disk space, get permission, or name a file elsewhere."


def _rename_to_new(name: Path, target: Path) -> None:
    """Give a file its final name; raises InputError if another process has just taken that name."""
    try:
        os.link(name, target)  # unlike a rename, this fails if the target exists
    except FileExistsError:
        raise InputError(f"{target} was just created by another process. Name another file.") from None
    except OSError:  # a file system without hard links, as on many USB sticks
        if target.exists():
            raise
        name.rename(target)
