"""Studies on a PostgreSQL server of the drill's own, which is killed as well; and one on a Ray cluster beside it."""

import itertools
import os
import random
import subprocess
import sys
import time

import invariants
import postgres
from crashing import LAYERS, ForkServer
from drills.crashes import Points
from drills.figure import Figure, none_of
from drills.kills import Tally, kill_at_random
from helpers import count_finished, finished, folder_in_memory, rows, start, wait_for
from postgres import OwnServer, folder_of_files, new_database
from ray_cluster import a_cluster

from regsearch.search import api
from regsearch.search.run.progress import Progress


def server(kills: int = 100, crashes: int = 25, restarts: int = 20, seed: int = 0) -> list[Figure]:
    """On a server: kills at random, every commit of a small study, other points, and the server's own crashes."""
    if not postgres.has_programs():
        return [Figure(name="on a server: left out", measured="PostgreSQL's programs are not here")]
    generator = random.Random(seed)
    with OwnServer() as own:
        tally = Tally()
        kill_at_random(tally, "fake", count=kills, seed=seed, server=own.url)
        figures = [
            Figure(name="on a server: kills", measured=str(sum(tally.phases.values()))),
            none_of("on a server: broken invariants after kills", tally.violations),
            none_of("on a server: orphans after 5 s", tally.orphans),
        ]
        with ForkServer() as forks, folder_in_memory() as whole:
            passed = forks.small_study(whole).points
            points = Points(forks, rows(f"sqlite:///{whole}/regsearch.db"), own.url)
            at = 1
            while points.kill(("commits", at)):
                at += 1
            figures.append(points.figure("on a server: crash points: commits, equal to a study in a file"))
            points = Points(forks, rows(f"sqlite:///{whole}/regsearch.db"), own.url)
            while len(points.ends) < crashes:
                layers = generator.choices(LAYERS, k=2)
                points.kill(*((layer, generator.randint(1, passed[layer])) for layer in layers))
            figures.append(points.figure("on a server: crash points: any, and again while it goes on"))
        return [*figures, *_restarts(own, restarts, generator)]


def _restarts(own: OwnServer, restarts: int, generator: random.Random) -> list[Figure]:
    """Kill the server itself in the midst of a search, so many times."""
    wrong: list[object] = []
    with new_database(own.url) as storage, folder_of_files() as folder:
        reader = invariants.Reader(storage)
        total = str(40 + 12 * restarts)
        arguments = ("run", "smoke", "--trials", total, "--no-confirm", "--workers", "2", "--quiet")
        with start(folder, *arguments, REGSEARCH_STORAGE=storage, FAKE_EPOCH_SECONDS="0.03") as process:
            for kill in range(restarts):
                wait_for(lambda kill=kill: count_finished(storage) > 12 * kill, 300)
                time.sleep(generator.random())
                reader.look()
                own.kill()
                time.sleep(generator.random() * 2)
                own.start()
            _, err = process.communicate(timeout=600)
        if process.returncode != 0:
            wrong.append(f"exit code {process.returncode}: {err}")
        wrong += invariants.violations(storage, reader=reader, is_fake=True)
    for text in wrong:
        print(text, flush=True)
    return [
        Figure(name="on a server: its own crashes in the midst of a search", measured=str(restarts)),
        none_of("on a server: lost, doubled or changed after its crashes", wrong),
    ]


def cluster(study: str = "mnist", trials: int = 12) -> list[Figure]:
    """Search on a cluster of two nodes and a server: a node is lost, the server crashes; then replay each trial."""
    if not postgres.has_programs():
        return [Figure(name="cluster and server: left out", measured="PostgreSQL's programs are not here")]
    with OwnServer() as own, a_cluster() as nodes, folder_of_files() as folder, new_database(own.url) as storage:
        ray = {**nodes.environment, "REGSEARCH_FILES": str(folder)}
        options = ["--engine", "ray", "--address", nodes.address, "--no-confirm", "--quiet"]

        def run(*arguments: str) -> "subprocess.Popen[str]":
            command = [sys.executable, "-m", "regsearch", *arguments]
            return subprocess.Popen(command, cwd=folder, env={**os.environ, **ray}, stderr=subprocess.PIPE, text=True)

        reader = invariants.Reader(storage, study)
        with run("run", study, "--trials", str(trials), "--storage", storage, *options) as process:
            wait_for(lambda: _count(storage, study) >= trials // 4, 600)
            nodes.do("lose")
            nodes.do("add")
            wait_for(lambda: _count(storage, study) >= trials // 2, 600)
            reader.look()
            own.kill()
            time.sleep(3)
            own.start()
            _, err = process.communicate(timeout=1800)
        trained = rows(storage, study)
        ((attempts,),) = postgres.execute(storage, "select sum(attempt) from regsearch_trials")
        wrong: list[object] = [] if process.returncode == 0 else [f"exit code {process.returncode}: {err}"]
        wrong += invariants.violations(storage, study, reader=reader)
        for text in wrong:
            print(text, flush=True)
        one, file = (f"sqlite:///{folder}/{name}.db" for name in ("one", "file"))
        with new_database(own.url) as alone:
            few = ("--trials", str(trials // 2), "--workers", "1")
            with run("run", study, *few, "--storage", alone, *options) as process:
                process.communicate(timeout=1800)
            api.run(study, storage=file, trials=trials // 2, workers=1, confirm=False, progress=Progress())
            is_equal = process.returncode == 0 and rows(alone, study) == rows(file, study)
        same = _replayed(study, trained, one)
    name = "cluster and server"
    all_same = same == len(trained) > 0
    return [
        Figure(name=f"{name}: {study}, trials", measured=str(len(trained))),
        none_of(f"{name}: broken invariants after a lost node and a crash of the server", wrong),
        Figure(
            name=f"{name}: attempts that the lost node cost", measured=str(attempts), asked="0", is_met=not attempts
        ),
        Figure(name=f"{name}: same bits here", measured=f"{same} of {len(trained)}", asked="all", is_met=all_same),
        Figure(name=f"{name}: one worker, as here", measured="equal" if is_equal else "other", is_met=is_equal),
    ]


def _count(storage: str, study: str) -> int:
    try:
        return len(finished(storage, study))
    except Exception:  # noqa: BLE001 - there is no such study yet, or the server is starting
        return 0


def _replayed(study: str, trained: list[dict], storage: str) -> int:
    """Train each trial's settings again here, one after the other; return how many gave the same bits."""
    unpruned = ["search.pruner=none", "search.pruner_options={}", "search.rules=1"]  # which train settings twice
    options = {"storage": storage, "workers": 1, "confirm": False, "progress": Progress()}
    api.run(study, trials=1, settings=unpruned, **options)
    for row in trained:
        api.enqueue(study, [f"{name}={value}" for name, value in row["params"].items()], storage=storage)
    api.resume(study, trials=1 + len(trained), **options)
    same = 0
    for row, again in zip(trained, itertools.islice(rows(storage, study), 1, None), strict=True):
        ended = row["state"] != "complete" or (again["value"], again["metrics"]) == (row["value"], row["metrics"])
        same += ended and again["params"] == row["params"] and again["curve"][: len(row["curve"])] == row["curve"]
    return same
