"""What Ray costs on this machine: the same study on local processes and on a Ray of its own, in turn.

`python tests/benchmarks/ray_overhead.py [--trials 12] [--workers 2] [--rounds 2]`: prints the wall times of whole
runs, Ray's start and end included, and sees that every trial has the same settings' same bits either way.
"""

import argparse
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_VALUES = (
    "SELECT group_concat(param_name || '=' || param_value, ' '), value FROM trials JOIN trial_params USING (trial_id) "
    "JOIN trial_values USING (trial_id) GROUP BY trial_id"
)


def _run(engine: str, trials: int, workers: int, folder: Path) -> tuple[float, dict[str, float]]:
    """Return the seconds of one run, and what each of its settings gave."""
    command = [sys.executable, "-m", "regsearch", "run", "mnist", "--quiet", "--engine", engine]
    database = folder / f"{engine}-{time.monotonic_ns()}.db"
    command += ["--trials", str(trials), "--workers", str(workers), "--storage", f"sqlite:///{database}"]
    began = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    seconds = time.monotonic() - began
    return seconds, dict(sqlite3.connect(database).execute(_VALUES).fetchall())


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("trials", 12), ("workers", 2), ("rounds", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    chosen = parser.parse_args()
    seconds: dict[str, list[float]] = {"processes": [], "ray": []}
    given: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(chosen.rounds):
            for engine in sorted(seconds, reverse=turn % 2 == 1):
                taken, values = _run(engine, chosen.trials, chosen.workers, Path(folder))
                seconds[engine].append(taken)
                print(f"{engine:10} {taken:7.1f} s, {len(values)} trials with a value", flush=True)
                different = [
                    settings for settings in values.keys() & given.keys() if values[settings] != given[settings]
                ]
                assert not different, f"other bits: {different}"
                given |= values
    processes, ray = (statistics.mean(seconds[engine]) for engine in ("processes", "ray"))
    print(f"Ray takes {ray - processes:+.1f} s, {ray / processes - 1:+.1%}")


if __name__ == "__main__":
    main()
