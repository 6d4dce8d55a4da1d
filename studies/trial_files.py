"""The folder beside the database in which trials under way keep their states, and the best ones their weights."""

from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from .files import TEMPORARY
from .trial import Purpose

CHECKPOINT, _ENDED, _WEIGHTS = ".checkpoint", ".ended", ".weights.npz"


class TrialFiles:
    """The files of one study's trials; whose they are follows from their names.

    Args:
        folder: theirs alone.
        kind: what their names begin with: those of the search's trials and of finalists lie side by side.
    """

    def __init__(self, folder: Path, kind: str = "trial") -> None:
        self.folder = folder
        self._kind = kind

    @classmethod
    def of(cls, folder: Path, purpose: Purpose) -> "TrialFiles":
        """Return the files of tasks of that purpose; a test look has those of what it looks with."""
        return cls(folder) if purpose == Purpose.SEARCH else cls(folder, "finalist")

    def checkpoint(self, number: int, epochs: int) -> Path:
        """Return where a trial's state after so many epochs lies."""
        return self.folder / f"{self._kind}-{number}.{epochs}{CHECKPOINT}"

    def checkpoints(self, number: int) -> list[Path]:
        """Return a trial's checkpoints that are there, the newest first; what somebody else put there is none."""
        by_epochs = {
            int(epochs): path
            for path in self.folder.glob(f"{self._kind}-{number}.*{CHECKPOINT}")
            if (epochs := path.name.split(".")[1]).isdecimal() and path.name.count(".") == 2
        }
        return [by_epochs[epochs] for epochs in sorted(by_epochs, reverse=True)]

    def ended(self, number: int) -> Path:
        """Return where it is written how a trial ended, until the database has it."""
        return self.folder / f"{self._kind}-{number}{_ENDED}"

    def weights(self, number: int) -> Path:
        """Return where the weights of a complete trial lie, if they are kept."""
        return self.folder / f"{self._kind}-{number}{_WEIGHTS}"

    def of_trial(self, number: int) -> dict[str, bytes]:
        """Return what is kept of a trial, by its file's name: what a worker elsewhere needs to go on."""
        kept = {}
        for path in [*self.checkpoints(number), self.ended(number), self.weights(number)]:
            with suppress(OSError):
                kept[path.name] = path.read_bytes()
        return kept

    def forget(self, number: int) -> None:
        """Remove what a trial needed while it was under way."""
        self._remove([*self.checkpoints(number), self.ended(number)])

    def keep_weights(self, numbers: Collection[int]) -> None:
        """Remove the weights of all other trials."""
        kept = {self.weights(number) for number in numbers}
        self._remove(path for path in self.folder.glob(f"{self._kind}-*{_WEIGHTS}") if path not in kept)

    def clean(self, running: Collection[int]) -> None:
        """Remove what no trial under way needs; while nobody trains."""
        prefixes = tuple(f"{self._kind}-{number}." for number in running)
        for suffix in (CHECKPOINT, _ENDED, TEMPORARY):
            found = self.folder.glob(f"{self._kind}-*{suffix}")
            self._remove(path for path in found if suffix == TEMPORARY or not path.name.startswith(prefixes))

    @staticmethod
    def _remove(paths: "Collection[Path] | Iterator[Path]") -> None:
        with suppress(OSError):  # a file too many does no harm, and the next run removes it
            for path in paths:
                path.unlink(missing_ok=True)
