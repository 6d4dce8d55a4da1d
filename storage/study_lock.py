"""One coordinator per study: a lock on a file, which the kernel releases when the process that holds it dies."""

import fcntl
import json
import os
import socket
import time
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from ..studies.errors import InputError, StorageError
from ..studies.files import open_own_file
from ..studies.records import Holder
from .errors import translate_errors
from .location import Location, command
from .paths import lock_file

_TRIES, _PAUSE_SECONDS = 10, 0.05  # a process that reads the name of the holder takes the lock for a moment


class StudyLock:
    """The lock of one study, on a file; a context manager that the study's coordinator holds from start to end.

    **Ownership**: at most one process holds the lock. A process on another machine sees the lock only if the file
    system shares locks between machines.

    **Crash behaviour**: the kernel releases the lock when the process ends, however it ends. The file stays until
    the study is deleted.

    Raises InputError if another process holds the lock, and StorageError if the file can't be written.
    """

    def __init__(self, database: Path, study: str) -> None:
        self._path = lock_file(database, study)
        self._database, self._study = database, study
        self._file: TextIO | None = None

    def __enter__(self) -> "StudyLock":
        try:
            with translate_errors(self._path):
                self._take()
        except StorageError:
            with suppress(OSError):  # what can't be written can't be flushed either
                self.__exit__()
            raise
        return self

    def _take(self) -> None:
        holder: Holder | None = None
        for _ in range(_TRIES):
            self._file = open(self._path, "a+", encoding="utf-8", opener=open_own_file)  # noqa: SIM115
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_in_place():
                    break
            except BlockingIOError:
                time.sleep(_PAUSE_SECONDS)
                holder = _read_holder(self._file)
            self._file.close()
        else:
            raise held_error(self._database, self._study, holder)
        me = Holder(host=socket.gethostname(), pid=os.getpid(), since=datetime.now(UTC).isoformat(timespec="seconds"))
        self._file.truncate(0)
        self._file.write(json.dumps(asdict(me)))
        self._file.flush()

    def _is_in_place(self) -> bool:
        """Return whether the open file is still at its path: another process may have deleted it with the study."""
        assert self._file is not None
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), os.lstat(self._path))
        except FileNotFoundError:
            return False

    def __exit__(self, *exception: object) -> None:
        if self._file is not None:
            self._file.close()


def held_error(location: Location, study: str, holder: Holder | None) -> InputError:
    """Return the error to raise if another process has locked the study."""
    return InputError(
        f"the study {study} is being searched by {holder or 'another process'}. "
        f"Wait for it, or stop it with `{command(location, 'stop', study)}`."
    )


def holder(database: Path, study: str) -> Holder | None:
    """Return the process that searches a study now, or None; raises StorageError if the lock can't be read."""
    with translate_errors(database):
        try:
            file = open(lock_file(database, study), encoding="utf-8", opener=open_own_file)  # noqa: SIM115
        except FileNotFoundError:
            return None
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _read_holder(file) or Holder(host="unknown", pid=0, since="unknown")
    return None


def _read_holder(file: TextIO) -> Holder | None:
    file.seek(0)
    try:
        return Holder(**json.loads(file.read()))
    except (ValueError, TypeError):
        return None
