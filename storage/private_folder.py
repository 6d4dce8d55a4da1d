"""A directory that only this user can change, so that no other user can plant files or symbolic links in it."""

import os
import pwd
import shlex
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from ..studies.errors import InputError

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


def make_private_folder(folder: Path) -> None:
    """Create a directory with mode 0700, or check the directory that exists already.

    Raises InputError if the path is a symbolic link or no directory, if the directory belongs to another user, or if
    others may write to it. Raises OSError if it can't be created.

    Example:
        >>> import os, tempfile
        >>> from pathlib import Path
        >>> from regsearch.storage.private_folder import make_private_folder
        >>> with tempfile.TemporaryDirectory() as parent:
        ...     make_private_folder(folder := Path(parent) / "mine")
        ...     oct(folder.stat().st_mode & 0o777)
        '0o700'
    """
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True)
        return
    status = os.lstat(folder)
    if stat.S_ISLNK(status.st_mode):
        raise InputError(
            f"{folder} can't be used: it is a symbolic link, which regsearch does not follow here. Remove the link, or "
            "move its target here."
        )
    if not stat.S_ISDIR(status.st_mode):
        raise InputError(f"{folder} can't be used: it is not a directory. Move it away.")
    expected_user, allowed = os.geteuid(), 0
    if status.st_uid != expected_user or status.st_mode & _OTHERS_MAY_WRITE:
        expected_user, allowed = _owner_and_mode_in(folder)
    if status.st_uid != expected_user:
        raise InputError(
            f"{folder} can't be used: it belongs to {_user_name(status.st_uid)}, who could change its files. "
            "Work as that user, or move the directory away."
        )
    if status.st_mode & _OTHERS_MAY_WRITE & ~allowed:
        raise InputError(
            f"{folder} can't be used: other users may write to it. Run `chmod go-w {shlex.quote(str(folder))}` if you "
            "trust its files, else move the directory away."
        )


def _owner_and_mode_in(folder: Path) -> tuple[int, int]:
    """Return the owner and the mode that a new private directory gets inside `folder`.

    Some file systems store no permissions or no owners (FAT, mounts of a virtual machine, NFS as root).
    """
    try:
        probe = tempfile.mkdtemp(prefix=".regsearch-", dir=folder)
    except OSError:  # this user can't write to it
        return os.geteuid(), 0
    try:
        status = os.lstat(probe)
        return status.st_uid, status.st_mode
    finally:
        os.rmdir(probe)


def _user_name(number: int) -> str:
    try:
        return f"the user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"the user with the id {number}"
