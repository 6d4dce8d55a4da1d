"""The folder beside the database with the checkpoints of running trials, and with the weights of the best trials."""

from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from .files import TEMPORARY
from .trial import Purpose

CHECKPOINT, _ENDED, _WEIGHTS = ".checkpoint", ".ended", ".weights.npz"


class TrialFiles:
    """The files of one study's trials. The name of a file says which trial it belongs to.

    Args:
        folder: holds only these files.
        kind: the first word in the names of the files. It tells trials from finalists, which share the folder.
    """

    def __init__(self, folder: Path, kind: str = "trial") -> None:
        self.folder = folder
        self._kind = kind

    @classmethod
    def of(cls, folder: Path, purpose: Purpose) -> "TrialFiles":
        """Return the files for tasks with this purpose; a test evaluation uses the files of its finalist."""
        return cls(folder) if purpose == Purpose.SEARCH else cls(folder, "finalist")

    def checkpoint(self, number: int, epochs: int) -> Path:
        """Return the path of a trial's checkpoint after this number of epochs."""
        return self.folder / f"{self._kind}-{number}.{epochs}{CHECKPOINT}"

    def checkpoints(self, number: int) -> list[Path]:
        """Return the paths of a trial's existing checkpoints, the newest first; files with other names are ignored."""
        by_epochs = {
            int(epochs): path
            for path in self.folder.glob(f"{self._kind}-{number}.*{CHECKPOINT}")
            if (epochs := path.name.split(".")[1]).isdecimal() and path.name.count(".") == 2
        }
        return [by_epochs[epochs] for epochs in sorted(by_epochs, reverse=True)]

    def ended(self, number: int) -> Path:
        """Return the path of the file that says how a trial ended. It exists until the database says this too."""
        return self.folder / f"{self._kind}-{number}{_ENDED}"

    def weights(self, number: int) -> Path:
        """Return the path of a complete trial's weights. The file exists only while the trial's weights are kept."""
        return self.folder / f"{self._kind}-{number}{_WEIGHTS}"

    def of_trial(self, number: int) -> dict[str, bytes]:
        """Return the content of a trial's files, by file name. With it, another machine can continue the trial."""
        contents = {}
        for path in [*self.checkpoints(number), self.ended(number), self.weights(number)]:
            with suppress(OSError):
                contents[path.name] = path.read_bytes()
        return contents

    def forget(self, number: int) -> None:
        """Remove the files that a trial needed only while it ran."""
        self._remove([*self.checkpoints(number), self.ended(number)])

    def keep_weights(self, numbers: Collection[int]) -> None:
        """Keep the weights of these trials, and remove the weights of all other trials."""
        wanted = {self.weights(number) for number in numbers}
        self._remove(path for path in self.folder.glob(f"{self._kind}-*{_WEIGHTS}") if path not in wanted)

    def clean(self, running: Collection[int]) -> None:
        """Remove the files that no running trial needs; call it only while no worker trains."""
        prefixes = tuple(f"{self._kind}-{number}." for number in running)
        for suffix in (CHECKPOINT, _ENDED, TEMPORARY):
            found = self.folder.glob(f"{self._kind}-*{suffix}")
            self._remove(path for path in found if suffix == TEMPORARY or not path.name.startswith(prefixes))

    @staticmethod
    def _remove(paths: "Collection[Path] | Iterator[Path]") -> None:
        for path in paths:
            with suppress(OSError):  # a file that stays does no harm: the next run removes it
                path.unlink(missing_ok=True)
