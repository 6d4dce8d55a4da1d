"""Writes files that are complete or absent, even if the process is killed or the machine loses power."""

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError

TEMPORARY = ".tmp"
"""The suffix of a file that is still being written."""

_DIGEST_BYTES = hashlib.sha256().digest_size


class DamagedError(Exception):
    """A file's content is not what was written; the text tells why."""


def write_durably(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, replacing an earlier one; return when it is on the disk.

    Raises OSError if it can't be written; an earlier file then stays.
    """
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
    """Yield a temporary path to write to; when the block ends without an error, its file replaces the one at `path`.

    If the block fails, the temporary file is removed. Unlike `write_durably`, this does not wait until the file is on
    the disk.

    Args:
        path: the final path.
        temporary: the temporary path, on the same file system; by default a new name beside `path`.

    Raises OSError if the file can't be moved to `path`.
    """
    temporary = temporary or path.with_name(f"{path.name}.{secrets.token_hex(4)}{TEMPORARY}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, as 64 hexadecimal digits. Raises OSError if the file can't be read."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def save_report(path: str | Path, rendered: str) -> Path:
    """Write a report to a file, replacing an earlier one; raises InputError if it can't be written."""
    try:
        target = Path(path).absolute()
        if target.is_dir():
            raise InputError(
                f"{path or target} is a directory: name a file in it, such as {Path(path or target) / 'report.html'}"
            )
        write_durably(target, rendered.encode("utf-8", "backslashreplace"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"{path} can't be written: {reason}") from error
    return target


def append_checksum(content: bytes) -> bytes:
    """Return content followed by the 32 bytes of its SHA-256.

    Example:
        >>> from regsearch.studies.files import append_checksum, strip_checksum
        >>> strip_checksum(append_checksum(b"content"))
        b'content'
    """
    return content + hashlib.sha256(content).digest()


def strip_checksum(content: bytes) -> bytes:
    """Return the content in front of its checksum; raises DamagedError if the two don't match."""
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
