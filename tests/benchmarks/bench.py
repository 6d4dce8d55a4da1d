"""regsearch and its peers side by side: the same network, rows, space and budget, on this machine.

    python tests/benchmarks/bench.py [--full] [--batch-size N] [--rounds N] [--seconds N] [--only a,b] [--output FILE]

Needs MNIST ($REGSEARCH_MNIST) and bench-requirements.lock; `make bench` and `make bench-full` see to the latter.
Each peer is a process of its own (peers/NAME.py) that searches in its turn and idles otherwise. In each round each
peer has one turn, alone on the machine, with the round's number as its seed. A turn's window begins with its first
epoch; whatever the tool does from then on counts, and an epoch that ends after the window does not. Beforehand the
peer `hand_tuned` runs every setting of a grid for some seconds and the three fastest for longer, and keeps the best.

    s/trial-epoch   end of the last epoch in the window / epochs in it, of all workers together
    s/trial         end of the last finished trial in the window / finished trials in it
    ratio           the peer's figure / regsearch's in the same round; for the floor regsearch's / the floor's
    best            lowest select cross-entropy of a complete trial in the window
    to quality      seconds until the best so far is at most the round's level: the best of the peer that took
                    longest per trial-epoch, of those beside regsearch that completed a trial

Each is a median over rounds, with the lowest and the highest.
"""

import argparse
import itertools
import json
import math
import os
import platform
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from comparison import PEERS, Answer, best_value, compare, seconds_per_epoch, table
from rich.console import Console

from regsearch.search.machine import core_count, versions

TESTS = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One comparison.

    Attributes:
        batch_size: rows of a training step.
        epochs: of a trial that nothing ends earlier.
        rounds: how often each peer has its turn.
        window, floor, grid: seconds of a turn, of the floor's, and of each setting of the grid.
    """

    batch_size: int
    epochs: int
    rounds: int
    window: float
    floor: float = 4
    grid: float = 4

    def seconds(self, peer: str) -> float:
        """Return the length of a peer's window."""
        return self.floor if peer == "floor" else self.window


QUICK = (Plan(batch_size=32, epochs=5, rounds=5, window=23),)
FULL = (
    Plan(batch_size=32, epochs=12, rounds=5, window=100),
    Plan(batch_size=128, epochs=12, rounds=5, window=50),
)


class PeerError(Exception):
    """A peer that failed; in one line."""


class Peer:
    """One peer's process.

    Args:
        name: of its module.
        folder: for its log and whatever it writes.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.log = folder / f"{name}.log"
        path = os.pathsep.join(part for part in (str(TESTS), os.environ.get("PYTHONPATH")) if part)
        quiet = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"benchmarks.peers.{name}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **quiet, "PYTHONPATH": path, "TMPDIR": str(folder)},
                start_new_session=True,  # Ctrl-C reaches bench.py alone
            )

    def wait_until_ready(self) -> None:
        """Wait for its imports; raises PeerError where they fail."""
        self._read_line(timeout_seconds=120)

    def ask(self, **request: Any) -> Answer:
        """Let it search; raises PeerError where it fails or hangs."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # then there is no answer either
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        answer: Answer = json.loads(self._read_line(timeout_seconds=2 * request["seconds"] + 120))
        return answer

    def end(self) -> None:
        """Make sure that nothing of it is left."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        for signal_number, patience_seconds in ((signal.SIGTERM, 3), (signal.SIGKILL, 10)):
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(patience_seconds)
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal_number)
        self.process.wait()

    def _read_line(self, timeout_seconds: float) -> bytes:
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], timeout_seconds)[0]:
            raise PeerError(f"no answer in {timeout_seconds:.0f} s")
        line = self.process.stdout.readline()
        if not line:
            lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
            raise PeerError(lines[-1] if lines else "it ended without a word")
        return line


@dataclass(kw_only=True)
class Bench:
    """Runs comparisons, and goes on without a peer that fails.

    Attributes:
        peers: the processes, by name.
        failures: why others are not among them any more.
    """

    folder: Path
    peers: dict[str, Peer] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def start(self, names: Iterable[str]) -> None:
        """Start the peers, one after the other."""
        for name in names:
            self.peers[name] = Peer(name, self.folder)
            try:
                self.peers[name].wait_until_ready()
            except PeerError as error:
                self._give_up(name, error)

    def end(self) -> None:
        """End all peers."""
        while self.peers:
            _, peer = self.peers.popitem()
            peer.end()

    def run(self, plan: Plan) -> dict[str, Any]:
        """Run one comparison, print its table, and return everything as it was measured."""
        tried = self._tune(plan)
        setting = min(tried[-3:], key=_pace)["setting"] if tried else {}
        rounds: list[dict[str, Answer]] = []
        for number in range(plan.rounds):
            first = number % len(PEERS)
            rounds.append({})
            for name in PEERS[first:] + PEERS[:first]:
                answer = self._turn(name, plan, number, plan.seconds(name), setting)
                if answer is not None:
                    rounds[-1][name] = answer
        figures = compare(rounds)
        print(f"batch {plan.batch_size}, {plan.epochs} epochs a trial, rounds: {plan.rounds}; median (lowest–highest)")
        if tried:
            print("hand_tuned ran with " + ", ".join(f"{key} {number}" for key, number in setting.items()))
        Console(width=210).print(table(figures, {name: plan.seconds(name) for name in PEERS}))
        return {
            "plan": asdict(plan),
            "grid": tried,
            "setting": setting,
            "figures": {name: _finite(asdict(row)) for name, row in figures.items()},
            "rounds": rounds,
        }

    def _tune(self, plan: Plan) -> list[dict[str, Any]]:
        """Run hand_tuned with every setting of its grid, and then the three fastest three times as long."""
        cores = core_count()
        kinds = itertools.product(((cores, 1), (1, cores), (cores, 2)), (100, 20, 375, 1))
        grid = [
            {"processes": processes, "threads": threads, "steps_per_execution": steps}
            for (processes, threads), steps in kinds
        ]
        first = self._try(grid, plan, plan.grid)
        longer = [run["setting"] for run in sorted(first, key=_pace)[:3]]
        return first + self._try(longer, plan, 3 * plan.grid)

    def _try(self, settings: Iterable[Mapping[str, int]], plan: Plan, seconds: float) -> list[dict[str, Any]]:
        tried = []
        for setting in settings:
            answer = self._turn("hand_tuned", plan, 0, seconds, setting)
            if answer is not None:
                pace = seconds_per_epoch(answer)
                tried.append({"setting": setting, "seconds": seconds, "epoch_seconds": pace})
        return tried

    def _turn(self, name: str, plan: Plan, seed: int, seconds: float, setting: Mapping[str, int]) -> Answer | None:
        if name not in self.peers:
            return None
        request = {"seed": seed, "seconds": seconds, "batch_size": plan.batch_size, "epochs": plan.epochs}
        used = setting if name == "hand_tuned" else {}
        try:
            answer = self.peers[name].ask(**request, setting=used)
        except PeerError as error:
            self._give_up(name, error)
            return None
        pace, best = seconds_per_epoch(answer), best_value(answer)
        words = [f"{name} {' '.join(map(str, used.values()))}".rstrip(), f"seed {seed}", f"{seconds:g} s"]
        words.append(f"{len(answer['epochs'])} epochs" + (f" of {pace:.3f} s" if pace else ""))
        words.append(f"{len(answer['trials'])} trials" + (f", best {best:.4f}" if best is not None else ""))
        print(", ".join(words), flush=True)
        return answer

    def _give_up(self, name: str, error: PeerError) -> None:
        print(f"{name} failed: {error}", file=sys.stderr, flush=True)
        self.failures[name] = str(error)
        self.peers.pop(name).end()


def _pace(run: Mapping[str, Any]) -> float:
    """Return the seconds per trial-epoch of a setting that was tried; infinite where no epoch ended."""
    return run["epoch_seconds"] or math.inf


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    model = platform.processor() or platform.machine()
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as cpuinfo:
        model = next((line.split(":", 1)[1].strip() for line in cpuinfo if line.startswith("model name")), model)
    found = versions()
    for package in ("keras-tuner", "optuna-integration", "ray"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return {"cpu": model, "cores": core_count(), "load": os.getloadavg()[0], "versions": found}


def _finite(row: Mapping[str, Sequence[float]]) -> dict[str, list[float | None]]:
    """Return figures as JSON has them: no infinite numbers."""
    return {name: [n if math.isfinite(n) else None for n in numbers] for name, numbers in row.items()}


def _plans(arguments: argparse.Namespace) -> list[Plan]:
    given: dict[str, Any] = {}
    if arguments.rounds:
        given["rounds"] = arguments.rounds
    if arguments.seconds:
        given |= dict.fromkeys(("window", "floor", "grid"), arguments.seconds)
    plans = [replace(plan, **given) for plan in (FULL if arguments.full else QUICK)]
    return [replace(plans[0], batch_size=arguments.batch_size)] if arguments.batch_size else plans


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--full", action="store_true", help="longer studies, and batch 128 as well; an hour at most")
    parser.add_argument("--batch-size", type=int, metavar="N", help="this one only")
    parser.add_argument("--rounds", type=int, metavar="N", help="turns of each peer")
    parser.add_argument("--seconds", type=float, metavar="N", help="length of every window")
    parser.add_argument("--only", metavar="A,B", default=",".join(PEERS), help=f"some of {', '.join(PEERS)}")
    parser.add_argument("--output", type=Path, default=Path("build/bench.json"), metavar="FILE", help="%(default)s")
    arguments = parser.parse_args()
    arguments.only = arguments.only.split(",")
    unknown = [name for name in arguments.only if name not in PEERS]
    if unknown:
        parser.error(f"there is no peer {unknown[0]!r}; there are {', '.join(PEERS)}")
    if not os.environ.get("REGSEARCH_MNIST"):
        parser.error("set REGSEARCH_MNIST to an mnist.npz")
    return arguments


def main() -> int:
    """Run what was asked for; 1 where a peer failed."""
    arguments = _read_arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    here = machine()
    print(f"{here['cpu']}, {here['cores']} cores, load {here['load']:.2f}")
    print(", ".join(f"{name} {number}" for name, number in here["versions"].items()))
    if here["load"] > 0.25 * here["cores"]:
        print("the machine is busy already: these figures will be worse than they should", file=sys.stderr)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp") as folder:  # short: Ray puts sockets there
        bench = Bench(folder=Path(folder))
        try:
            bench.start(arguments.only)
            results = [bench.run(plan) for plan in _plans(arguments)]
        except KeyboardInterrupt:
            return 130
        finally:
            bench.end()
    document = {"machine": here, "failures": bench.failures, "comparisons": results}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    print(f"{(time.monotonic() - began) / 60:.1f} minutes; everything that was measured is in {arguments.output}")
    for name, reason in bench.failures.items():
        print(f"{name} failed: {reason}", file=sys.stderr)
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
