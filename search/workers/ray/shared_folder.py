"""Directories on a node of a cluster that disappear with their last user, even if it was killed."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_PREFIX, _LOCK, _FILLING, _WHOLE = "regsearch-node-", ".lock", ".filling", ".whole"


class SharedFolder:
    """A directory in the node's temporary directory that only its owner can read; each user holds a lock on it.

    Args:
        name: shared by all users that give it; None: for this user alone.
        fill: called by the first user with the path, to put files into it.
    """

    def __init__(self, name: str | None = None, fill: Callable[[Path], None] = lambda folder: None) -> None:
        _remove_abandoned()
        while True:
            self.path = _make_folder(name)
            with suppress(FileNotFoundError):  # its last user removed it a moment ago
                self._lock = os.open(self.path / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
                try:
                    if self._ensure_filled(fill):
                        return
                except BaseException:
                    os.close(self._lock)
                    raise
                os.close(self._lock)

    def leave(self) -> None:
        """Stop using it; the last user removes it."""
        _remove_unused(self.path, self._lock)
        os.close(self._lock)

    def _ensure_filled(self, fill: Callable[[Path], None]) -> bool:
        """Fill the directory if need be; return False if it was removed meanwhile. It stays while our lock is held."""
        fcntl.flock(self._lock, fcntl.LOCK_SH)  # waits only for a process that removes the directory
        if not self._exists():
            return False
        filling = os.open(self.path / _FILLING, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(filling, fcntl.LOCK_EX)
            if not (self.path / _WHOLE).exists():
                fill(self.path)
                (self.path / _WHOLE).touch()
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
    if path.stat().st_uid != os.getuid() or path.is_symlink():  # another user's, by mistake or as a trap
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
