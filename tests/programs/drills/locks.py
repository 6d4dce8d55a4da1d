"""Others at the same database: a second coordinator, and a process that locks it for long."""

import os
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

import invariants
from drills.figure import Figure, none_of
from helpers import start, wait_for


def races(rounds: int = 30) -> list[Figure]:
    """Let two coordinators begin the same new study at once, again and again; then go on with it at once."""
    wrong, broken = [], []
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            storage = f"sqlite:///{folder}/regsearch.db"
            for trials in ("8", "16"):  # the first time the database is new as well
                ends = _race(Path(folder), trials)
                if sorted(code for code, _ in ends) != [0, 2]:
                    wrong.append(f"round {number}: {ends}")
                if found := invariants.violations(storage, is_fake=True, total=int(trials)):
                    broken.append(f"round {number}: {found}")
            with closing(sqlite3.connect(f"{folder}/regsearch.db")) as connection:
                (runs,) = connection.execute("select count(*) from regsearch_runs").fetchone()
            if runs != 2:
                wrong.append(f"round {number}: {runs} runs")
    for text in wrong + broken:
        print(text, flush=True)
    return [
        Figure(name="races of two coordinators", measured=str(2 * rounds)),
        none_of("races: not exactly one that searched and one that was refused", wrong),
        none_of("races: broken invariants", broken),
    ]


def _race(folder: Path, trials: str) -> list[tuple[int, str]]:
    go = folder / "go"
    go.unlink(missing_ok=True)
    arguments = ("run", "smoke", "--trials", trials, "--workers", "1", "--quiet")
    both = [start(folder, *arguments, FAKE_GO=str(go), FAKE_EPOCH_SECONDS="0.1") for _ in range(2)]
    time.sleep(3)  # both have imported what they need
    go.touch()
    ends = []
    for process in both:
        with process:
            _, err = process.communicate()
        ends.append((process.returncode, err))
    return ends


def locks(times: int = 3, seconds: float = 30.0) -> list[Figure]:
    """Lock the database of a search, exclusively, so many times for so long."""
    with tempfile.TemporaryDirectory() as folder:
        storage = f"sqlite:///{folder}/regsearch.db"
        reader = invariants.Reader(storage)
        with start(Path(folder), "run", "smoke", "--trials", "30", "--workers", "2", "--quiet") as process:
            for _ in range(times):
                before = reader.finished

                def has_gone_on(before: int = before) -> bool:
                    reader.look()
                    return reader.finished > before

                wait_for(has_gone_on)
                with closing(sqlite3.connect(f"{folder}/regsearch.db", timeout=60, isolation_level=None)) as other:
                    other.execute("begin exclusive")
                    time.sleep(seconds)
                    other.execute("rollback")
            _, err = process.communicate()
        found = invariants.violations(storage, reader=reader, is_fake=True)
    for text in found:
        print(text, flush=True)
    waits = sum("The run waits up to" in line for line in err.splitlines())
    return [
        Figure(name=f"locked for {seconds:g} s", measured=f"{times} times; it said so {waits} times"),
        Figure(
            name="locked: the search went on to its end",
            measured=f"exit {process.returncode}",
            asked="exit 0",
            is_met=process.returncode == os.EX_OK,
        ),
        none_of("locked: broken invariants", found),
    ]
