"""Files that are whole or not there, whenever the process, the machine or its power goes away."""

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regsearch.studies.errors import InputError

TEMPORARY = ".tmp"
"""How the names of files end that are still being written."""

_DIGEST_BYTES = hashlib.sha256().digest_size


class DamagedError(Exception):
    """A file isn't what was written; the text says why."""


def write_durably(path: Path, content: bytes) -> None:
    """Write a file, readable by its owner only, that replaces what was there; on disk when this returns.

    Raises OSError where that can't be; what was there then stays.
    """
    # two machines that share a disk may have processes of one number
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
    """Give a name to write a file under; the file replaces the one at `path` when the block ends without an error.

    It is gone if the block fails. Unlike `write_durably`, this does not wait until the file is on disk.

    Args:
        path: of the file.
        temporary: the name, on the same file system; by default a new one beside `path`.

    Raises OSError if the file can't be moved to its place.
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
    """Write a report to a file, in place of an earlier one; raises InputError where that can't be."""
    try:
        target = Path(path).absolute()
        if target.is_dir():
            raise InputError(
                f"{path or target} is a folder: name a file in it, such as {Path(path or target) / 'report.html'}"
            )
        write_durably(target, rendered.encode("utf-8", "backslashreplace"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"{path} can't be written: {reason}") from error
    return target


def append_checksum(content: bytes) -> bytes:
    """Return content with its SHA-256 behind it."""
    return content + hashlib.sha256(content).digest()


def strip_checksum(content: bytes) -> bytes:
    """Return bytes without their checksum; raises DamagedError where a bit of it is another one now."""
    inner, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    if hashlib.sha256(inner).digest() != digest:
        raise DamagedError("its SHA-256 is not that of its content")
    return inner


def sync_folder(folder: Path) -> None:
    """Let a rename be on disk too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
