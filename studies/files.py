"""Writes files that are complete or absent, even if the process is killed or the machine loses power."""

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError

TEMPORARY = ".tmp"
"""The suffix of a file that is still being written."""

_DIGEST_BYTES = hashlib.sha256().digest_size


class DamagedError(Exception):
    """A file's content is not what was written. The text of the error says why."""


def write_durably(path: Path, content: bytes) -> None:
    """Write or replace a file that only its owner can read, and return when the content is on the disk.

    Raises OSError if this fails. The earlier file then stays. A device, a FIFO or a socket is never replaced.
    """
    check_replaceable(path)
    # a random name: two machines that share a disk may have processes with the same id
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}{TEMPORARY}")
    try:
        descriptor = os.open(temporary, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextmanager
def replacing(path: Path, temporary: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path to write to. When the block ends without an error, move the file from there to `path`.

    If the block fails, the temporary file is removed. Unlike `write_durably`, this does not wait until the file is on
    the disk.

    Args:
        path: the final path.
        temporary: the temporary path, on the same file system; by default a new name beside `path`.

    Raises OSError if the file can't be moved to `path`. A device, a FIFO or a socket is never replaced.
    """
    check_replaceable(path)
    temporary = temporary or path.with_name(f"{path.name}.{secrets.token_hex(4)}{TEMPORARY}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_replaceable(path: Path) -> None:
    """Raise FileExistsError if the path names a device, a FIFO, a socket or a directory. No file may replace these."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:  # it doesn't exist; if it can't be reached, writing says so
        return
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        raise FileExistsError(errno.EEXIST, f"it is {_kind(mode)}, and only a file can be replaced", str(path))


def open_own_file(path: str, flags: int) -> int:
    """Open one of regsearch's own files; pass this function to `open` as its argument `opener`.

    Only the owner can read a new file. Raises OSError if the path names anything but a regular file, such as a symbolic
    link.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from regsearch.studies.files import open_own_file
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     (link := Path(folder, "link")).symlink_to("/dev/null")
        ...     open(link, "a", opener=open_own_file)
        Traceback (most recent call last):
            ...
        OSError: [Errno 40] it is a symbolic link, and regsearch follows none here: ...
    """
    try:
        # without O_NONBLOCK, opening a FIFO waits for a process at its other end
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise FileExistsError(errno.EEXIST, "it is a FIFO, a socket or a device and not a file", path) from None
        if error.errno != errno.ELOOP:
            raise
        raise OSError(errno.ELOOP, "it is a symbolic link, and regsearch follows none here", path) from None
    if not stat.S_ISREG(mode := os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileExistsError(errno.EEXIST, f"it is {_kind(mode)} and not a file", path)
    return descriptor


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, as 64 hexadecimal digits. Raises OSError if the file can't be read."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def save_report(path: str | Path, rendered: str) -> Path:
    """Write a report to a file and return the file's absolute path.

    An existing file is replaced. If the path is a symbolic link, the file to which it points is replaced. If the path
    names a terminal, a pipe or a FIFO, the report is written into that. Raises InputError if the report can't be
    written.
    """
    content = rendered.encode("utf-8", "backslashreplace")
    try:
        target = Path(path).absolute()
        mode = target.stat().st_mode if target.exists() else stat.S_IFREG
        if stat.S_ISDIR(mode):
            raise InputError(
                f"{path or target} is a directory: name a file in it, such as {Path(path or target) / 'report.html'}"
            )
        if stat.S_ISREG(mode):
            write_durably(Path(os.path.realpath(target)), content)
        elif stat.S_ISCHR(mode) or stat.S_ISFIFO(mode):
            _write_into(target, content)
        else:
            raise InputError(f"{path} can't be written: it is {_kind(mode)}. Name a file.")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"{path} can't be written: {reason}") from error
    return target


def _write_into(target: Path, content: bytes) -> None:
    """Write to a terminal, another character device, or a FIFO; raise OSError if no process reads the FIFO."""
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(errno.ENXIO, "no process reads from it") from None
        raise
    os.set_blocking(descriptor, True)
    with open(descriptor, "wb") as file:
        file.write(content)


def append_checksum(content: bytes) -> bytes:
    """Return content followed by the 32 bytes of its SHA-256.

    Example:
        >>> from regsearch.studies.files import append_checksum, strip_checksum
        >>> strip_checksum(append_checksum(b"content"))
        b'content'
    """
    return content + hashlib.sha256(content).digest()


def strip_checksum(content: bytes) -> bytes:
    """Return the content without the checksum at its end; raises DamagedError if the checksum is wrong."""
    inner, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    if hashlib.sha256(inner).digest() != digest:
        raise DamagedError("its SHA-256 is not that of its content")
    return inner


def sync_folder(folder: Path) -> None:
    """Write a directory to the disk, so that a rename in it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
