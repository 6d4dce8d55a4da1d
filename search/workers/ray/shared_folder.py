"""Directories on a cluster's node that several processes share; they are removed when no process uses them."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_PREFIX, _LOCK, _FILL_LOCK, _COMPLETE_MARK = "regsearch-node-", ".lock", ".filling", ".whole"


class SharedFolder:
    """A private directory in the node's temporary directory; each process that uses it holds a lock on it.

    Args:
        name: processes that give the same name share a directory; None: only this process uses the directory.
        fill: takes the path of the directory, and writes files into it. Only the first process calls `fill`.
    """

    def __init__(self, name: str | None = None, fill: Callable[[Path], None] = lambda folder: None) -> None:
        _remove_abandoned()
        while True:
            self.path = _make_folder(name)
            with suppress(FileNotFoundError):  # another process has just removed it
                self._lock = os.open(self.path / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
                try:
                    if self._ensure_filled(fill):
                        return
                except BaseException:
                    os.close(self._lock)
                    raise
                os.close(self._lock)

    def leave(self) -> None:
        """Release the directory; remove it if no other process uses it."""
        _remove_unused(self.path, self._lock)
        os.close(self._lock)

    def _ensure_filled(self, fill: Callable[[Path], None]) -> bool:
        """Lock the directory, and fill it unless it is complete. Return False if another process has removed it."""
        fcntl.flock(self._lock, fcntl.LOCK_SH)  # this waits only while another process removes the directory
        if not self._exists():
            return False
        filling = os.open(self.path / _FILL_LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(filling, fcntl.LOCK_EX)
            if not (self.path / _COMPLETE_MARK).exists():
                fill(self.path)
                (self.path / _COMPLETE_MARK).touch()
        finally:
            os.close(filling)
        return True

    def _exists(self) -> bool:
        return (self.path / _LOCK).exists() and os.path.samestat(os.fstat(self._lock), os.stat(self.path / _LOCK))


def _make_folder(name: str | None) -> Path:
    if name is None:
        return Path(tempfile.mkdtemp(prefix=_PREFIX))
    path = Path(tempfile.gettempdir()) / f"{_PREFIX}{os.getuid()}-{name}"
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    if path.stat().st_uid != os.getuid() or path.is_symlink():  # it belongs to another user, by mistake or as an attack
        return Path(tempfile.mkdtemp(prefix=_PREFIX))
    return path


def _remove_abandoned() -> None:
    """Remove the directories of processes that were killed."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC)
            _remove_unused(path, lock)
            os.close(lock)


def _remove_unused(path: Path, lock: int) -> None:
    with suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
