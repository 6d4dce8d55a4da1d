"""Check the place of a database: its file system, its permissions and the free space on its disk."""

import os
import shutil
from pathlib import Path

_MOUNTS = Path("/proc/self/mounts")  # Linux only; other systems don't recognize a network file system here
_ON_A_NETWORK = ("9p", "afs", "beegfs", "ceph", "cifs", "davfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4",
                 "smb3", "smbfs", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs")  # fmt: skip
_LEAST_FREE_BYTES = 100_000_000
_COPIES = 3  # of the database, which an upgrade needs at the same time


def filesystem_warnings(path: Path) -> list[str]:
    """Return a warning, with a remedy, for each problem of a database's place. The file must exist."""
    return [trouble for trouble in (_network(path), _permission(path), _room(path)) if trouble]


def _network(path: Path) -> str | None:
    kind = _file_system(path.resolve())
    if kind not in _ON_A_NETWORK:
        return None
    return (
        f"{path} is on a network file system ({kind}). If its locks fail, the database may be damaged: "
        "search on a local disk, and copy the result with `regsearch backup`"
    )


def _file_system(path: Path) -> str | None:
    """Return the type of the file system that holds a path; None if the type is unknown."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    found: tuple[int, str | None] = (0, None)
    for line in lines:
        _, point, kind, *_ = line.split(" ")
        mount = Path(point.encode("utf-8", "surrogateescape").decode("unicode_escape"))  # a space is stored as \040
        if path.is_relative_to(mount) and len(mount.parts) >= found[0]:  # a later mount covers an earlier one
            found = (len(mount.parts), kind)
    return found[1]


def _permission(path: Path) -> str | None:
    for place in (path.parent, path):
        if not os.access(place, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            return (
                f"you may not write to {place}, so you can read studies but not search: change the permissions, "
                "or search in a copy made with `regsearch backup`"
            )
    return None


def _room(path: Path) -> str | None:
    free, wanted = shutil.disk_usage(path.parent).free, max(_LEAST_FREE_BYTES, _COPIES * path.stat().st_size)
    if free >= wanted:
        return None
    return (
        f"only {free / 1e6:,.0f} MB are free on the disk of {path}, but {wanted / 1e6:,.0f} MB may be needed: free "
        "some space. A full disk ends a search, but no stored result is lost"
    )
