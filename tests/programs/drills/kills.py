"""kill -9 of workers and of the coordinator at random moments, and how the search goes on.

What a victim did when it died is read from its state (tests/support/probe.py), which outlives it; which epochs were
trained, and trained again, from the workers' log.
"""

import random
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import invariants
import psutil
from drills.figure import Figure, at_most, none_of
from helpers import rows, start
from postgres import folder_of_files, new_storage
from probe import FOLDER, Line, kill, read_log, state_of

_COORDINATORS = 0.3  # of all kills
_LONG = ["--set", "training.max_epochs=60", "--set", "space.patience=off", "--set", "data.train_size=1000"]
_MOST_WORKERS_KILLED = 2  # of a study with one worker: a trial that loses three is given up, and the rows differ
_UNPRUNED = ["--set", "search.pruner=none", "--set", "search.pruner_options={}"]
_SEARCHES: dict[str, tuple[int, list[str], float]] = {  # how many trials, of what, the longest pause before a kill
    "fake": (40, [], 0.4),
    "real": (24, [*_LONG, *_UNPRUNED], 1.5),
}
_SAMPLERS = ("tpe", "random")  # of the studies with one worker


@dataclass
class Tally:
    """What was counted; of kills, by who died and what it did then."""

    phases: Counter[tuple[str, str]] = field(default_factory=Counter)
    violations: list[invariants.Violation] = field(default_factory=list)
    orphans: list[int] = field(default_factory=list)
    trained_again: list[int] = field(default_factory=list)  # whole epochs, for each kill over a trial
    resumed_seconds: list[float] = field(default_factory=list)  # from a worker's kill until its trial trains again
    loading_seconds: list[float] = field(default_factory=list)  # of these, until the new worker was ready
    given_up: int = 0  # trials that lost three workers

    def kills_of(self, who: str) -> int:
        return sum(count for (victim, _), count in self.phases.items() if victim == who)


def kills(count: int = 500, real: int = 20, seed: int = 0) -> list[Figure]:
    """Kill so many times over fake trials, and so many times over real training."""
    fake_tally, real_tally = Tally(), Tally()
    kill_at_random(fake_tally, "fake", count=count, seed=seed)
    kill_at_random(real_tally, "real", count=real, seed=seed)
    figures = []
    for name, tally in (("fake trials", fake_tally), ("real training", real_tally)):
        total = sum(tally.phases.values())
        phases = ", ".join(f"{who} {phase} {n}" for (who, phase), n in sorted(tally.phases.items()))
        figures.append(Figure(name=f"kills, {name}", measured=f"{total}: {phases}"))
        if not total:
            continue
        kinds = [violation.kind for violation in tally.violations]
        for kind in ("lost", "changed", "duplicated", "twice"):
            figures.append(none_of(f"kills, {name}: {kind}", [one for one in kinds if one == kind]))
        others = [kind for kind in kinds if kind not in ("lost", "changed", "duplicated", "twice")]
        figures.append(none_of(f"kills, {name}: other broken invariants", others))
        figures.append(none_of(f"kills, {name}: orphans after 5 s", tally.orphans))
        most = max(tally.trained_again, default=0)
        figures.append(
            Figure(
                name=f"kills, {name}: most whole epochs trained again per kill and worker",
                measured=f"{most} (on average {statistics.fmean(tally.trained_again or [0]):.2f})",
                asked="<= 1",
                is_met=most <= 1,
            )
        )
        what = f"kills, {name}: trials given up after three lost workers"
        figures.append(Figure(name=what, measured=str(tally.given_up)))
        if tally.resumed_seconds:
            median, longest = statistics.median(tally.resumed_seconds), max(tally.resumed_seconds)
            loading = statistics.median(tally.loading_seconds)
            what = f"kills, {name}: a killed worker's trial trains again after"
            shown = f"median {median:.2f} s, longest {longest:.2f} s; of it a new worker's start {loading:.2f} s"
            figures.append(Figure(name=what, measured=shown))
            pairs = zip(tally.resumed_seconds, tally.loading_seconds, strict=True)
            once_loaded = max(resumed - loaded for resumed, loaded in pairs)
            figures.append(at_most(f"{what}, once TensorFlow is loaded", once_loaded, 5, "s"))
    return figures


def kills_alone(count: int = 50, real: int = 4, seed: int = 0) -> list[Figure]:
    """Kill studies with one worker: they end with the rows of studies that ran through."""
    figures = []
    for sampler in _SAMPLERS:
        for trainer, asked in (("fake", count), ("real", real)):
            tally, studies = Tally(), 0
            while (kills_so_far := sum(tally.phases.values())) < asked and not tally.violations:
                kill_alone(tally, trainer, sampler, count=min(asked, kills_so_far + 4), seed=seed + studies)
                studies += 1
            what = f"kills of one worker, {trainer}, {sampler}: broken invariants and other rows in {studies} studies"
            figures.append(none_of(what, tally.violations))
    return figures


def kill_alone(tally: Tally, trainer: str, sampler: str, *, count: int, seed: int) -> None:
    """Search a study with one worker, killed until the tally has so many kills.

    Rows that differ from those of a study that ran through are a violation in the tally.
    """
    options = ["--set", f"search.sampler={sampler}"]
    options += ["--set", "search.sampler_options={}"] if sampler != "tpe" else []
    if sampler == "contest":  # prunes among equals, and has enough trials for combinations
        for setting in ("search.pruner=contest", "search.pruner_options={}", 'search.recipes=["course"]'):
            options += ["--set", setting]
        options += ["--trials", "34"]
    generator = random.Random(seed)
    with folder_of_files() as folder, new_storage("sqlite", folder, None) as storage:
        (whole := folder / "whole").mkdir()
        environment = _environment(trainer, whole, "sqlite:///whole.db")
        with start(whole, *_command(trainer, 1, options), **environment) as process:
            _, err = process.communicate()
        if process.returncode != 0:
            tally.violations.append(invariants.Violation("wrong", f"exit code {process.returncode}: {err}"))
        _one_study(tally, trainer, folder, storage, generator, count, options, workers=1)
        if rows(storage) != rows(f"sqlite:///{whole}/whole.db"):
            tally.violations.append(
                invariants.Violation("changed", "other rows than those of a study that ran through")
            )


def kill_at_random(
    tally: Tally, trainer: str, *, count: int, seed: int, trials: int | None = None, server: str | None = None
) -> None:
    """Search study after study, of so many trials, until there were so many kills, or one broke an invariant."""
    generator, kind = random.Random(seed), "sqlite" if server is None else "postgres"
    while sum(tally.phases.values()) < count and not tally.violations:
        with folder_of_files() as folder, new_storage(kind, folder, server) as storage:
            _one_study(tally, trainer, folder, storage, generator, count, ["--trials", str(trials)] if trials else [])
        print(f"{trainer}: {sum(tally.phases.values())} kills, {len(tally.violations)} violations", flush=True)


@dataclass(frozen=True)
class _Kill:
    seconds: float
    who: str
    pid: int


def _command(trainer: str, workers: int, options: Sequence[str]) -> list[str]:
    trials, usual, _ = _SEARCHES[trainer]
    return ["run", "smoke", "--trials", str(trials), *usual, "--workers", str(workers), "--quiet", *options]


def _environment(trainer: str, probe: Path, storage: str) -> dict[str, str]:
    seconds = {"FAKE_WORKER": trainer, "FAKE_EPOCH_SECONDS": "0.03"}
    return {FOLDER: str(probe), "REGSEARCH_STORAGE": storage, **seconds}


def _one_study(
    tally: Tally,
    trainer: str,
    folder: Path,
    storage: str,
    generator: random.Random,
    count: int,
    options: Sequence[str] = (),
    workers: int = 2,
) -> None:
    probe = folder / "probe"
    probe.mkdir()
    reader, done = invariants.Reader(storage), []
    command, environment = _command(trainer, workers, options), _environment(trainer, probe, storage)
    *_, pause = _SEARCHES[trainer]
    with reader.looking():
        code: int | None = None
        while code is None:
            with start(folder, *command, **environment) as process:
                while process.poll() is None:
                    _wait_for_news(process, probe)
                    _wait(process, generator.random() * pause)
                    spared = workers == 1 and sum(one.who == "worker" for one in done) >= _MOST_WORKERS_KILLED
                    if sum(tally.phases.values()) >= count:
                        _wait(process, 600)
                    elif spared or generator.random() < _COORDINATORS:
                        if (at := _kill_coordinator(tally, process)) is not None:
                            tally.phases["coordinator", state_of(probe, process.pid)] += 1
                            done.append(_Kill(at, "coordinator", process.pid))
                    elif (victim := _kill_worker(process, probe, generator)) is not None:
                        tally.phases["worker", state_of(probe, victim.pid)] += 1
                        done.append(victim)
                _, err = process.communicate()
            code = None if process.returncode == -9 else process.returncode
    if code != 0:
        tally.violations.append(invariants.Violation("wrong", f"exit code {code}: {err}"))
    tally.violations += invariants.violations(storage, reader=reader, is_fake=trainer == "fake")
    tally.given_up += sum(reason.endswith("the last)") for reason in reader.reasons)
    _read_the_log(tally, reader, read_log(probe), done)


def _wait(process: "subprocess.Popen[str]", seconds: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def _wait_for_news(process: "subprocess.Popen[str]", probe: Path) -> None:
    """Wait until a worker did something, so that every kill interrupts a search that had gone on."""
    known = len(read_log(probe))
    while process.poll() is None and len(read_log(probe)) == known:
        time.sleep(0.02)


def _kill_coordinator(tally: Tally, process: "subprocess.Popen[str]") -> float | None:
    """Kill the coordinator; None where it had ended by itself."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return None
    process.kill()
    at = time.monotonic()
    process.wait()
    _, left = psutil.wait_procs(children, timeout=5)
    for orphan in left:
        tally.orphans.append(orphan.pid)
        orphan.kill()
    return at if process.returncode == -9 else None


def _kill_worker(process: "subprocess.Popen[str]", probe: Path, generator: random.Random) -> _Kill | None:
    """Kill a worker that was ready; None where there is none."""
    ready = {line.pid for line in read_log(probe) if line.what == "ready"}
    try:
        workers = [child.pid for child in psutil.Process(process.pid).children() if child.pid in ready]
    except psutil.NoSuchProcess:
        return None
    if not workers:
        return None
    victim = psutil.Process(generator.choice(workers))
    if victim.status() == psutil.STATUS_ZOMBIE:
        return None
    kill(victim.pid)
    return _Kill(time.monotonic(), "worker", victim.pid)


def _read_the_log(tally: Tally, reader: invariants.Reader, log: list[Line], done: list[_Kill]) -> None:
    highest: dict[int, int] = {}
    begun: dict[int, Any] = {}  # by process: the line with which it began what it does
    for line in log:
        if line.what == "begin":
            begun[line.pid] = line
        elif line.what == "trained":
            if begun[line.pid] is not None:  # its first epoch since
                before = highest.get(line.number, 0)
                if before:
                    tally.trained_again.append(max(before - (line.epochs - 1), 0))
                begun[line.pid] = None
            highest[line.number] = max(highest.get(line.number, 0), line.epochs)
            shown = reader.finished_at.get(line.number)
            if shown is not None and line.seconds > shown:
                tally.violations.append(invariants.Violation("twice", f"trial {line.number} was trained when finished"))
    for one in done:
        if one.who == "worker":
            _read_how_it_went_on(tally, one, log, done)


def _read_how_it_went_on(tally: Tally, killed: _Kill, log: list[Line], done: list[_Kill]) -> None:
    its_lines = [line for line in log if line.pid == killed.pid and line.what in ("begin", "end")]
    if not its_lines or its_lines[-1].what == "end":
        return
    number = its_lines[-1].number
    later = (line for line in log if line.what == "begin" and line.number == number and line.seconds > killed.seconds)
    again = next(later, None)
    if again is None or any(killed.seconds < other.seconds < again.seconds for other in done):
        return
    ready = next((line.seconds for line in log if line.what == "ready" and line.pid == again.pid), killed.seconds)
    tally.resumed_seconds.append(again.seconds - killed.seconds)
    tally.loading_seconds.append(max(ready - killed.seconds, 0.0))
