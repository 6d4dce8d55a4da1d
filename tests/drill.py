"""Kills the coordinator of a real search at random moments, resumes it, and checks what must hold.

python tests/drill.py mnist --trials 12 --workers 2 --kills 5
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from helpers import assert_whole, finished, rows

from search import api
from studies.errors import RegsearchError


def drill(
    study: str, folder: Path, *, trials: int, workers: int, kills: int, seed: int, pause: float
) -> dict[str, Any]:
    """Search, with so many kill -9 of the coordinator, each up to `pause` seconds after trials began.

    Returns figures; raises AssertionError where something acknowledged was lost, doubled or changed, a
    number is missing, a trial is left running, a process is left, or the file is damaged.
    """
    generator = random.Random(seed)
    storage = f"sqlite:///{folder}/regsearch.db"
    command = [
        sys.executable,
        "-m",
        "search",
        "run",
        study,
        "--trials",
        str(trials),
        "--workers",
        str(workers),
        "--quiet",
    ]
    acknowledged: dict[int, Any] = {}
    epochs: dict[int, list[Any]] = {}
    killed = 0
    while killed < kills:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            _wait_until_trials_train(process, storage)
            time.sleep(generator.random() * pause)
            children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        finally:
            process.kill()
            process.communicate()
        gone, left = psutil.wait_procs(children, timeout=5)
        assert not left, f"orphans: {left}"
        assert len(gone) == len(children)
        killed += 1
        now = {row["number"]: row for row in rows(storage, study)}
        for number, row in acknowledged.items():
            assert now[number] == row, f"trial {number} changed after a kill"
        for number, curve in epochs.items():
            assert now[number]["curve"][: len(curve)] == curve, f"an epoch of trial {number} changed or was lost"
        acknowledged |= finished(storage, study)
        epochs |= {number: row["curve"] for number, row in now.items()}
        print(f"kill {killed}: {len(acknowledged)} trials acknowledged", flush=True)
    resume = [sys.executable, "-m", "search", "resume", study, "--workers", str(workers), "--quiet"]
    done = subprocess.run(resume, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    final = finished(storage, study)
    assert list(final) == list(range(trials)), "numbers are missing or doubled"
    assert {number: final[number] for number in acknowledged} == acknowledged
    for number, curve in epochs.items():
        assert final[number]["curve"][: len(curve)] == curve
    counts = api.answer(study, storage=storage).counts
    assert (counts.running, counts.waiting) == (0, 0)
    assert_whole(storage)
    return {"kills": killed, "finished": len(final), "acknowledged before a kill": len(acknowledged)}


def _wait_until_trials_train(process: "subprocess.Popen[str]", storage: str) -> None:
    """Wait until an epoch more than before is recorded."""
    before = _epochs(storage)
    while process.poll() is None and _epochs(storage) <= before:
        time.sleep(0.05)


def _epochs(storage: str) -> int:
    try:
        with api.reading(storage) as database, database.read() as connection:
            return int(connection.exec_driver_sql("select count(*) from regsearch_epochs").scalar_one())
    except RegsearchError:
        return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study")
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pause", type=float, default=25.0)
    arguments = vars(parser.parse_args())
    with tempfile.TemporaryDirectory() as folder:
        print(drill(arguments.pop("study"), Path(folder), **arguments))
