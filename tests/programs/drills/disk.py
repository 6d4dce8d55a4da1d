"""A disk that is full after so many bytes, and then has room again."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import invariants
from crashing import Ended, ForkServer
from drills.figure import Figure, none_of

_PATIENCE_SECONDS = 0.2
_ROOM = 64 * 1024 * 1024
_KNOWN = ("its state could not be saved", "its weights could not be saved", "its result could not be saved")


def full_disk(step: int = 16384, trials: int = 8) -> list[Figure]:
    """Search on a disk of 0, `step`, 2 `step`, … bytes until that suffices, and go on each time where there is room.

    The disk is a tmpfs of that size; where none may be mounted, no file may be larger than that.
    """
    unclear, broken, codes, steps, size = [], [], {0: 0, 3: 0}, 0, 0
    with ForkServer() as forks, tempfile.TemporaryDirectory() as place:
        is_done, by_mount = False, _may_mount(Path(place))
        while not is_done:
            with _disk(Path(place), size, by_mount) as folder:
                arguments = ("run", "smoke", "--trials", str(trials), "--quiet", "--workers", "1")
                options = {} if by_mount else {"file_bytes": size}
                ended = forks.command(folder, *arguments, patience_seconds=_PATIENCE_SECONDS, **options)
                reader = invariants.Reader(f"sqlite:///{folder}/regsearch.db")
                reader.look()
                codes[ended.code] = codes.get(ended.code, 0) + 1
                if not _is_clear(ended):
                    unclear.append(f"{size}: {ended}")
                is_done = ended == Ended(0, None, ended.points, "")
                if by_mount:
                    subprocess.run(["mount", "-o", f"remount,size={_ROOM}", str(folder)], check=True)
                again = forks.command(folder, *arguments)
                found = invariants.violations(f"sqlite:///{folder}/regsearch.db", reader=reader, is_fake=True)
                if again.code != 0 or found:
                    broken.append(f"{size}: {again}, {found}")
            steps, size = steps + 1, size + (0 if is_done else step)
    for text in unclear + broken:
        print(text, flush=True)
    ends = ", ".join(f"{count} × exit {code}" for code, count in codes.items())
    how = "tmpfs" if by_mount else "limit on files"
    return [
        Figure(name=f"disk full ({how}): sizes in steps of {step} bytes, to {size}", measured=f"{steps}: {ends}"),
        none_of("disk full: neither done nor exit 3 with one line", unclear),
        none_of("disk full: something lost or broken after room was made", broken),
    ]


def _is_clear(ended: Ended) -> bool:
    """Whether it was done, or said in one last line what the matter is, after lines that nobody could spare."""
    lines = [line for line in ended.err.splitlines() if not any(known in line for known in _KNOWN)]
    if ended.code == 0:
        return all("The run waits up to" in line for line in lines)
    *before, last = lines or [""]
    return ended.code == 3 and "can't be" in last and all("The run waits up to" in line for line in before)


def _may_mount(place: Path) -> bool:
    try:
        with _disk(place, 4096, True):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


@contextmanager
def _disk(place: Path, size: int, by_mount: bool) -> Iterator[Path]:
    """Give a folder on a disk of so many bytes; of size 0, it has room for the folder itself and nothing else."""
    with tempfile.TemporaryDirectory(dir=place) as temporary:
        (folder := Path(temporary) / "study").mkdir()
        if not by_mount:
            yield folder
            return
        # a tmpfs of size 0 has no limit, and a page is the least
        command = ["mount", "-t", "tmpfs", "-o", f"size={max(size, 4096)}", "tmpfs", str(folder)]
        subprocess.run(command, check=True, capture_output=True)
        try:
            yield folder
        finally:
            subprocess.run(["umount", str(folder)], check=True)
