"""Folders on a node of a cluster: gone when nobody uses them any more, however their users ended."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_PREFIX, _LOCK, _FILLING, _WHOLE = "regsearch-node-", ".lock", ".filling", ".whole"


class SharedFolder:
    """A folder in the node's temporary one, readable by its owner only; its users hold a lock on it.

    Args:
        name: shared by all who give it; None: a folder of one's own.
        fill: what the first of them puts into it.
    """

    def __init__(self, name: str | None = None, fill: Callable[[Path], None] = lambda folder: None) -> None:
        _remove_abandoned()
        while True:
            self.path = _made(name)
            with suppress(FileNotFoundError):  # whoever used it last removed it a moment ago
                self._lock = os.open(self.path / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
                try:
                    if self._filled(fill):
                        return
                except BaseException:
                    os.close(self._lock)
                    raise
                os.close(self._lock)

    def leave(self) -> None:
        """Use it no more; the last one removes it."""
        _remove_unused(self.path, self._lock)
        os.close(self._lock)

    def _filled(self, fill: Callable[[Path], None]) -> bool:
        """Return whether the folder is whole, and stays while our lock is held; not where it was removed meanwhile."""
        fcntl.flock(self._lock, fcntl.LOCK_SH)  # waits for nobody but who removes the folder
        if not self._is_there():
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

    def _is_there(self) -> bool:
        return (self.path / _LOCK).exists() and os.path.samestat(os.fstat(self._lock), os.stat(self.path / _LOCK))


def _made(name: str | None) -> Path:
    if name is None:
        return Path(tempfile.mkdtemp(prefix=_PREFIX))
    path = Path(tempfile.gettempdir()) / f"{_PREFIX}{os.getuid()}-{name}"
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    if path.stat().st_uid != os.getuid() or path.is_symlink():  # somebody else's trap, or a mistake
        return Path(tempfile.mkdtemp(prefix=_PREFIX))
    return path


def _remove_abandoned() -> None:
    """Remove what killed processes left here."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC)
            _remove_unused(path, lock)
            os.close(lock)


def _remove_unused(path: Path, lock: int) -> None:
    with suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
