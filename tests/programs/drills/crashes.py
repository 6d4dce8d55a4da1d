"""Every crash point of a small study: killed there and resumed, it ends as one that ran through."""

import random
from pathlib import Path

import invariants
from crashing import LAYERS, STATEMENTS, Ended, ForkServer
from drills.figure import Figure
from helpers import folder_in_memory, rows
from postgres import files_in, new_storage


def crashes(every: int = 1, doubles: int = 40, statements: int = 40, seed: int = 0) -> list[Figure]:
    """Kill a study at every k-th commit, write, fsync, rename and removal, or at each `every`-th of them.

    And at so many statements within transactions, and `doubles` times at a point and again while it goes on.
    """
    generator = random.Random(seed)
    with ForkServer() as forks, folder_in_memory() as whole:
        passed = forks.small_study(whole).points
        wanted = rows(f"sqlite:///{whole}/regsearch.db")
        figures = []
        for layer in LAYERS:
            points = Points(forks, wanted)
            at = 1
            while points.kill((layer, at)):
                at += every
            figures.append(points.figure(f"crash points: {layer}, {passed[layer]} points"))
        points = Points(forks, wanted)
        for at in sorted(generator.sample(range(1, passed[STATEMENTS] + 1), statements)):
            points.kill((STATEMENTS, at))
        figures.append(points.figure(f"crash points: {STATEMENTS}, a sample of {passed[STATEMENTS]}"))
        points = Points(forks, wanted)
        while len(points.ends) < doubles:
            layers = generator.choices(LAYERS, k=2)
            points.kill(*((layer, generator.randint(1, passed[layer])) for layer in layers))
        figures.append(points.figure("crash points: and again while it goes on"))
    return figures


class Points:
    """Kills at points of one kind, and counts those after which the study ended as it should; on a server, if given."""

    def __init__(self, forks: ForkServer, wanted: object, server: str | None = None) -> None:
        self._forks, self._wanted, self._server = forks, wanted, server
        self.ends: list[bool] = []

    def kill(self, *points: tuple[str, int]) -> bool:
        """Return whether it was killed at all of them; only then it counts."""
        kind = "sqlite" if self._server is None else "postgres"
        with folder_in_memory() as folder, files_in(folder), new_storage(kind, folder, self._server) as storage:
            reader = invariants.Reader(storage)
            where = []
            for at in points:
                ended = self._forks.small_study(folder, at=at, storage=storage)
                reader.look()
                if not ended.was_killed:
                    assert ended.code == 0, ended
                    return False
                where.append(f"{at}: {ended.where}")
            wrong = self._go_on(folder, storage, reader)
            for text in wrong:
                print(f"{', then '.join(where)}: {text}", flush=True)
            self.ends.append(not wrong)
            return True

    def figure(self, name: str) -> Figure:
        good, all_ = sum(self.ends), len(self.ends)
        return Figure(name=name, measured=f"{good} of {all_} bit-equal", asked="all", is_met=0 < good == all_)

    def _go_on(self, folder: Path, storage: str, reader: invariants.Reader) -> list[str]:
        ended: Ended = self._forks.small_study(folder, storage=storage)
        if ended.code != 0:
            return [f"it doesn't go on: {ended}"]
        found = [str(one) for one in invariants.violations(storage, is_fake=True, reader=reader)]
        return found + (["other rows"] if rows(storage) != self._wanted else [])
