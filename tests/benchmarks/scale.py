"""How many workers can one coordinator serve? The product's own, with workers that only pretend to train.

    python tests/benchmarks/scale.py [--storage URL] [--workers 1 10 100 200] [--samplers tpe random qmc]

For each row a process of its own begins a study, enters trials that were finished before, and searches on for a minute
after every worker has a trial, and for one more that is measured; then it is gone, as by `kill -9`, and another goes on
until each trial that was interrupted trains again. `simulated.py` beside this says what is real and what is pretended.

The URL names a database that is not there, `sqlite:///FILE` or, where the user may make one,
`postgresql+psycopg://USER@HOST/DATABASE`, and is removed at the end.
"""

import argparse
import json
import math
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `python tests/benchmarks/scale.py`
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import numpy as np
import postgres
import sqlalchemy
from scale_history import fill
from simulated import Clock, SimulatedEngine

from regsearch.search import api
from regsearch.search.run import study_run
from regsearch.search.run.coordinator import Coordinator
from regsearch.search.run.progress import Progress
from regsearch.storage.study_store import StudyStore
from regsearch.studies.study_file import read_study

SETTINGS = ["data.source=digits", "search.recipes=[]"]
STARTS_AFTER = 3.0  # seconds: a worker's, which are TensorFlow's
ENDLESS = 10_000_000  # trials
GOES_ON = 120.0  # seconds at most, after a kill
CALLS = ("ask", "record_epoch", "finish", "trials_with_kept_weights")


def search_row(job: dict[str, Any]) -> None:
    """Search until the time is over; print what was measured, and be gone."""
    url, settings = job["storage"], [*SETTINGS, f"search.sampler={job['sampler']}", *job["settings"]]
    go_on = partial(api.run, "mnist", storage=url, settings=settings, confirm=False, progress=Progress())
    go_on(engine=SimulatedEngine(Clock(), epoch_seconds=0), workers=1, trials=1)
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    fill(engine, read_study("mnist", settings), job["history"], job["epoch_seconds"])
    engine.dispose()
    clock, load = Clock(), Load()
    full = Moment()

    def look(workers: SimulatedEngine) -> None:
        now = clock()
        begun = workers.log.submitted[job["workers"] - 1 :]
        if full.at is None and begun and now >= begun[0] + job["warm_up"]:
            full.take(clock, load)
        if full.at is not None and now >= full.at + job["seconds"]:
            over = Moment()
            over.take(clock, load)
            say({**between(full, over), **of_workers(workers, full.at, now), "calls": calls.between(full.at, now)})

    with patched(clock) as calls:
        simulated = SimulatedEngine(clock, epoch_seconds=job["epoch_seconds"], look=look)
        go_on(engine=simulated, workers=job["workers"], trials=ENDLESS)


def go_on_row(job: dict[str, Any]) -> None:
    """Go on after the kill, until every trial that was interrupted trains again; print when that was."""
    clock, trained = Clock(job["began"]), {int(number): epochs for number, epochs in job["trained"].items()}

    def look(workers: SimulatedEngine) -> None:
        back = workers.log.back
        if len(back) == len(trained):
            say({"first_back": min(back), "all_back": max(back)})
        if clock() > GOES_ON:  # there are more workers than it can serve
            say({"first_back": min(back, default=math.inf), "all_back": math.inf})

    simulated = SimulatedEngine(
        clock, epoch_seconds=job["epoch_seconds"], start_seconds=STARTS_AFTER, trained=trained, look=look
    )
    with patched(clock):
        resume = partial(api.resume, "mnist", storage=job["storage"], confirm=False, progress=Progress())
        resume(engine=simulated, workers=job["workers"])


def say(document: dict[str, Any]) -> None:
    """Print, and end this process at once: no lock is given back, nothing is tidied up."""
    print(json.dumps(document), flush=True)
    os._exit(0)


class Load:
    """What a database was asked for, since this was made."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        for event in ("before_cursor_execute", "commit"):
            sqlalchemy.event.listen(sqlalchemy.Engine, event, partial(self._count, event))

    def figures(self) -> dict[str, float]:
        """Return statements, transactions and bytes written."""
        statements, transactions = self._counts["before_cursor_execute"], self._counts["commit"]
        return {"statements": statements, "transactions": transactions, "bytes": _bytes_written()}

    def _count(self, event: str, *_: object) -> None:
        self._counts[event] += 1


def _bytes_written() -> float:
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except OSError:
        return 0.0
    return float(next(line.split()[1] for line in lines if line.startswith("wchar")))


class Moment:
    """The figures at one moment."""

    at: float | None = None

    def take(self, clock: Clock, load: Load) -> None:
        """Take them now."""
        with clock.paused():
            self.figures = {"seconds": clock(), "processor": time.process_time(), "skipped": clock.skipped}
            self.figures |= load.figures()
            self.at = clock()


def between(start: Moment, end: Moment) -> dict[str, float]:
    """Return what was between two moments, per second but for the seconds."""
    grown = {name: end.figures[name] - start.figures[name] for name in start.figures}
    seconds = grown.pop("seconds")
    shares = {name: figure / seconds for name, figure in grown.items()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, **shares, "busy": 1 - shares.pop("skipped"), "peak": peak}


def of_workers(engine: SimulatedEngine, start: float, end: float) -> dict[str, Any]:
    """Return how workers fared between two moments, and what an interruption now costs them."""
    log = engine.log
    trained, lost = engine.under_way()
    training = sum(max(min(last, end) - max(first, start), 0) for first, last in log.trained)
    waits = [waited for at, waited in log.waits if start <= at <= end] or [0.0]
    return {
        "trials": sum(start <= at <= end for at in log.ended) / (end - start),
        "epochs": len(waits) / (end - start),
        "share": training / len(engine.slots) / (end - start),
        "wait": statistics.mean(waits),
        "longest_waits": float(np.quantile(waits, 0.99)),
        "trained": trained,
        "lost": statistics.mean(lost),
    }


class Calls:
    """How long the coordinator's calls of its store took."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._took: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def timed(self, name: str) -> Callable[..., Any]:
        """Return the store's method of that name, timed."""
        method = getattr(StudyStore, name)

        @wraps(method)
        def call(store: StudyStore, *arguments: Any) -> Any:
            began = self._clock()
            answer = method(store, *arguments)
            self._took[name].append((began, self._clock() - began))
            return answer

        return call

    def between(self, start: float, end: float) -> dict[str, float]:
        """Return the mean milliseconds of each method between two moments."""
        took = {name: [took for at, took in calls if start <= at <= end] for name, calls in self._took.items()}
        return {name: 1000 * statistics.mean(calls) for name, calls in took.items() if calls}


@contextmanager
def patched(clock: Clock) -> Iterator[Calls]:
    """Let the coordinator go by a clock, and time its calls."""
    calls = Calls(clock)
    on_clock = partial(Coordinator, clock=clock, sleep=clock.skip)
    timed = {name: calls.timed(name) for name in CALLS}
    with mock.patch.object(study_run, "Coordinator", on_clock), mock.patch.multiple(StudyStore, **timed):
        yield calls


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Measure one row, in two processes: the one that is ended, and the one that goes on."""
    with fresh_database(job["storage"]):
        row = _in_a_process("search", job)
        job = {**job, "trained": row["trained"], "began": time.perf_counter()}
        return {**job, **row, "restart": _in_a_process("go on", job)}


def _in_a_process(what: str, job: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--row", what]
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    ended = subprocess.run(
        command, input=json.dumps(job), stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, **one_thread}
    )
    row: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return row


@contextmanager
def fresh_database(storage: str) -> Iterator[None]:
    """See that the database is not there, or make it on its server, and remove it afterwards."""
    if storage.startswith("postgresql"):
        with postgres.folder_of_files(), postgres.database_called(storage):
            yield
        return
    path = Path(str(sqlalchemy.make_url(storage).database))
    if path.exists():
        sys.exit(f"{path} is there: name a database that isn't, which is removed at the end")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        shutil.rmtree(f"{path}.d", ignore_errors=True)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as two tables in Markdown: what workers see, and what the coordinator and its database do."""
    first = [
        "| sampler, trials before | workers | trials a second | of linear | a worker waits: mean, 99 % "
        "| after a crash: first, all train again | training lost |",
        "|---|---|---|---|---|---|---|",
    ]
    second = [
        "| sampler, trials before | workers | ask, epoch, finish | busy, its processor "
        "| statements, transactions a second | written | memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        what = f"| {row['name']}, {row['history']:,} | {row['workers']:,} "
        restart, calls = row["restart"], row["calls"]
        first.append(
            f"{what}| {row['trials']:.2f} | {row['share']:.3f} | {1000 * row['wait']:,.0f}, "
            f"{1000 * row['longest_waits']:,.0f} ms | {restart['first_back']:.0f}, {_or_more(restart['all_back'])} s "
            f"| {row['lost']:.1f} s |"
        )
        finish = calls.get("finish", 0) + calls.get("trials_with_kept_weights", 0)
        second.append(
            f"{what}| {calls.get('ask', 0):.0f}, {calls.get('record_epoch', 0):.0f}, {finish:.0f} ms "
            f"| {row['busy']:.0%}, {row['processor']:.0%} "
            f"| {row['statements']:,.0f}, {row['transactions']:.0f} | {row['bytes'] / 1e6:.2f} MB/s "
            f"| {row['peak']:,.0f} MB |"
        )
    return "\n".join([*first, "", *second])


def _or_more(seconds: float) -> str:
    return f"{seconds:.0f}" if math.isfinite(seconds) else f"more than {GOES_ON:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storage", action="append", help="URL of a database that is not there; may be given again")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 10, 100, 200])
    parser.add_argument("--samplers", nargs="+", default=["tpe", "random", "qmc"])
    parser.add_argument("--set", dest="settings", action="append", default=[], help="as of `regsearch run`")
    parser.add_argument("--history", type=int, nargs="+", default=[1000], help="trials that are finished before")
    parser.add_argument("--warm-up", type=float, default=40, help="seconds, from when all have a trial; a long trial's")
    parser.add_argument("--seconds", type=float, default=40, help="of the clock, that are then measured")
    parser.add_argument("--epoch-seconds", type=float, default=5)
    parser.add_argument("--json", help="a file for all that was measured")
    parser.add_argument("--row", choices=["search", "go on"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row is not None:
        {"search": search_row, "go on": go_on_row}[options.row](json.load(sys.stdin))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for storage in options.storage or [f"sqlite:///{folder}/scale.db"]:
            for history in options.history:
                for sampler in options.samplers:
                    for workers in options.workers:
                        job = {
                            "storage": storage,
                            "name": " ".join([sampler, *options.settings]),
                            "sampler": sampler,
                            "settings": options.settings,
                            "workers": workers,
                            "history": history,
                            "warm_up": options.warm_up,
                            "seconds": options.seconds,
                            "epoch_seconds": options.epoch_seconds,
                        }
                        rows.append(measure(job))
                        print(table(rows[-1:]).splitlines()[2], file=sys.stderr, flush=True)
                        if options.json:
                            Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
