"""Makes small studies with an earlier version, interrupts them, and keeps them with the end they come to.

`tests/contract/test_stored_studies.py` resumes them with the present code. They pin what version 14b9fba did, so they
are made with that version alone, and never again once the rules have changed:

    git worktree add ../old 14b9fba
    PYTHONPATH=../old python tests/databases/interrupt.py [STUDY]…

Each study leaves a folder in `tests/databases/interrupted`: the database as the interruption left it, the database
after the same version resumed the study, and, if asked for, the checkpoint of the trial that was under way.
"""

import lzma
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import tensorflow  # noqa: F401 - takes seconds, so each process that searches is a fork of one that has it
from bits import fingerprint

import search
from search import cli

VERSION = "14b9fba"
FOLDER = Path(__file__).parent / "interrupted"
_TRIES, _POLL_SECONDS = 5, 0.005

_TINY = {"data.source": '"digits"', "data.train_size": "200", "model.hidden": "[4]"}
_DISCRETE = {"space.regularizer": '["none"]', "space.dropout": '"off"', "space.patience": "{low=1, high=3}"}
_FEW = {"confirm.top": "1", "confirm.seeds": "3"}
_SOONER = {"search.sampler_options": "{n_startup_trials=4}"}
_GRID = (
    '{regularizer=["l2"], l2=[1e-5, 1e-3, 1e-2], use_dropout=[true], dropout=[0.1, 0.4], batch_norm=["none"], '
    "early_stopping=[true], patience=[2]}"
)

_UNDER_WAY = """
    select (select count(*) from trials where state in ('COMPLETE', 'PRUNED', 'FAIL')),
           (select count(*) from trials join regsearch_epochs using (number) where state = 'RUNNING')
"""
_CONFIRMING = """
    select (select count(*) from regsearch_confirmations where state = 'complete'),
           (select count(*) from regsearch_confirmations join regsearch_confirmation_epochs using (finalist, seed)
            where state = 'running')
"""


@dataclass(frozen=True, kw_only=True)
class Interruption:
    """A study and the moment of its interruption.

    Attributes:
        settings: "section.key" to value, as in a study file, over those of the ready study `digits`.
        trials: its total; None: that of `digits`.
        finished: how many trials, or trainings of the confirmation, have ended when it is interrupted.
        how: the signal that interrupts it.
        confirms: whether the end includes the confirmation.
        while_confirming: whether it is interrupted in its confirmation, not in its search.
        keeps_checkpoint: whether the checkpoint of the trial under way is kept; worth it for small networks alone.
        enqueued: parameters that are enqueued after the interruption.
    """

    settings: Mapping[str, str]
    finished: int
    trials: int | None = None
    how: signal.Signals = signal.SIGKILL
    confirms: bool = False
    while_confirming: bool = False
    keeps_checkpoint: bool = False
    enqueued: Sequence[str] = ()


STUDIES = {
    # as it came: TPE, median pruner, the course's recipes, 20 epochs, 30 trials
    "digits": Interruption(settings={}, finished=15),
    # every network has BatchNormalization, 7 steps an epoch; the finalists are chosen after the interruption
    "batch-norm": Interruption(
        settings={
            **_TINY,
            **_FEW,
            "space.batch_norm": '["before_activation", "after_activation"]',
            "search.sampler": "random",
            "search.pruner": "none",
            "training.max_epochs": "8",
        },
        trials=12,
        finished=5,
        confirms=True,
        keeps_checkpoint=True,
    ),
    # the same, as Keras trains it
    "keras-trainer": Interruption(
        settings={
            **_TINY,
            "training.trainer": "keras",
            "training.max_epochs": "4",
            "space.batch_norm": '["before_activation", "after_activation"]',
            "search.recipes": "[]",
            "search.sampler": "random",
        },
        trials=6,
        finished=2,
        how=signal.SIGTERM,
        keeps_checkpoint=True,
    ),
    # twelve points: TPE repeats settings, and repeated settings are enqueued
    "discrete": Interruption(
        settings={**_TINY, **_DISCRETE, **_SOONER, "training.max_epochs": "4", "search.pruner": "none"},
        trials=30,
        finished=12,
        enqueued=["batch_norm=none", "early_stopping=true", "patience=2"],
    ),
    # TPE doesn't see the trials that diverge
    "diverging": Interruption(
        settings={
            **_TINY,
            "search.sampler_options": "{n_startup_trials=10}",
            "training.optimizer": "sgd",
            "training.learning_rate": "0.5",
            "training.max_epochs": "6",
            "space.l2": "{low=1e-2, high=1e3}",
            "search.pruner": "none",
            "space.regularizer": '["none", "l2"]',
        },
        trials=22,
        finished=12,
    ),
    "hyperband": Interruption(
        settings={**_TINY, **_SOONER, "search.pruner": "hyperband", "training.max_epochs": "9"},
        trials=24,
        finished=12,
        how=signal.SIGTERM,
    ),
    # interrupted in the ladder of recipes, which are tried before the grid
    "grid": Interruption(
        settings={
            **_TINY,
            "training.max_epochs": "5",
            "search.recipes": '["ladder"]',
            "search.sampler": "grid",
            "search.sampler_options": _GRID,
        },
        trials=30,
        finished=6,
    ),
    "bayesian": Interruption(
        settings={
            **_TINY,
            "training.max_epochs": "4",
            "search.sampler": "keras-tuner:bayesian",
            "search.sampler_options": "{num_initial_points=9}",
        },
        trials=13,
        finished=10,
    ),
    "confirmation": Interruption(
        settings={**_TINY, **_FEW, **_SOONER, "training.max_epochs": "6", "search.pruner": "none"},
        trials=10,
        finished=7,
        confirms=True,
        while_confirming=True,
        keeps_checkpoint=True,
    ),
}


def check_version() -> None:
    """Exit unless the code that is imported is the unchanged version."""
    checkout = Path(search.__file__).parent.parent
    git = ["git", "-C", str(checkout)]
    found = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True)
    changed = subprocess.check_output([*git, "status", "--porcelain", "--untracked-files=no"], text=True)
    if not found.startswith(VERSION) or changed:
        sys.exit(f"{checkout} is {found.strip()[:7]}{' with changes' * bool(changed)}: import {VERSION} from there")


class Maker:
    """Makes one study in a folder of its own."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.study, self.folder = name, STUDIES[name], folder
        self.database = folder / "test.db"

    def begin(self, *arguments: str) -> int:
        """Begin the command `regsearch` in a process of its own; return its id."""
        if pid := os.fork():
            return pid
        code = 1
        try:
            os.chdir(self.folder)
            os.environ["REGSEARCH_STORAGE"] = f"sqlite:///{self.database}"
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.argv = ["regsearch", *arguments]
            cli.main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        finally:
            os._exit(code)

    def run(self, *arguments: str) -> None:
        """Run the command to its end."""
        _, status = os.waitpid(self.begin(*arguments), 0)
        if status != 0:
            sys.exit(f"{self.name}: {' '.join(arguments)} ended with {os.waitstatus_to_exitcode(status)}")

    def options(self) -> list[str]:
        return ["--engine", "inline", "--quiet", *([] if self.study.confirms else ["--no-confirm"])]

    def interrupt(self) -> bool:
        """Begin the study and interrupt it; return whether it happened at the moment that was asked for."""
        total = [] if self.study.trials is None else ["--trials", str(self.study.trials)]
        settings = [part for key, value in self.study.settings.items() for part in ("--set", f"{key}={value}")]
        pid = self.begin("run", "digits", "--name", self.name, *total, *settings, *self.options())
        while not self.database.exists():  # it is whole when it comes there
            time.sleep(_POLL_SECONDS)
            if os.waitpid(pid, os.WNOHANG) != (0, 0):
                return False
        with closing(sqlite3.connect(self.database, timeout=60, isolation_level=None)) as connection:
            while os.waitpid(pid, os.WNOHANG) == (0, 0):
                connection.execute("begin immediate")  # nothing more is committed until it is decided
                if self.is_time(connection):
                    os.kill(pid, self.study.how)
                    connection.execute("rollback")
                    os.waitpid(pid, 0)
                    break
                connection.execute("rollback")
                time.sleep(_POLL_SECONDS)
            return self.is_time(connection)

    def is_time(self, connection: sqlite3.Connection) -> bool:
        """Return whether so much is finished and something is under way that has trained for an epoch."""
        ((finished, epochs),) = connection.execute(_CONFIRMING if self.study.while_confirming else _UNDER_WAY)
        return bool(finished >= self.study.finished and epochs)

    def resume(self) -> None:
        """Let the same version resume the study."""
        if self.name == "digits":
            self.run("run", "digits", *self.options())
        else:
            self.run("resume", self.name, *self.options())

    def keep(self) -> None:
        """Leave the study's folder, interrupted and ended."""
        kept = FOLDER / self.name
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        if self.study.enqueued:
            self.run("enqueue", self.name, *(part for one in self.study.enqueued for part in ("--param", one)))
        self.copy(kept / "interrupted.db.xz")
        if self.study.keeps_checkpoint:
            there = self.folder.glob("test.db.d/study-*-trials/*.checkpoint")
            newest = max(there, key=lambda path: path.stat().st_mtime)
            (kept / f"{newest.name}.xz").write_bytes(lzma.compress(newest.read_bytes()))
        self.resume()
        self.copy(kept / "ended.db.xz")

    def copy(self, path: Path) -> None:
        """Write the database, compressed and without a trace of the machine it was made on.

        Not as SQL: how a number is read back, to the last bit, depends on SQLite's version.
        """
        plain = self.folder / path.stem
        with closing(sqlite3.connect(self.database, isolation_level=None)) as connection:
            connection.execute("update regsearch_runs set host = 'a-host', pid = 1")
            connection.execute("vacuum into ?", (str(plain),))
        path.write_bytes(lzma.compress(plain.read_bytes()))


def make(name: str) -> None:
    """Make one study; it is begun again until the interruption meets a trial under way."""
    for _ in range(_TRIES):
        with tempfile.TemporaryDirectory() as folder:
            maker = Maker(Path(folder), name)
            if maker.interrupt():
                maker.keep()
                return
    sys.exit(f"{name}: no trial was under way, {_TRIES} times")


def main() -> None:
    """Make the studies that are named, all if none is."""
    check_version()
    for name in sys.argv[1:] or STUDIES:
        make(name)
    (FOLDER / "bits.txt").write_text(f"{fingerprint()}\n", encoding="ascii")


if __name__ == "__main__":
    main()
