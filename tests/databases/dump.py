"""Writes a small database of the present schema as SQL, for `tests/contract/test_upgrade.py` to open for ever.

Run `PYTHONPATH=tests:tests/support python tests/databases/dump.py` once for a new schema; an older one's dump stays as
it is.
"""

import os
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import fakes

from regsearch.search import api
from regsearch.search.run.progress import Progress
from regsearch.search.workers.inline import InlineEngine
from regsearch.storage.location import location_of
from regsearch.storage.schema import SCHEMA
from regsearch.studies.trial import TrialTask

FOLDER = Path(__file__).parent


class Interrupted(BaseException):
    """Stands for kill -9."""


class InterruptedEngine(InlineEngine):
    """Dies when the trial after the seventh has begun."""

    def submit(self, task: TrialTask) -> None:
        if task.number == 7:
            raise Interrupted
        super().submit(task)


def fill(storage: str) -> None:
    """Search until trials are complete, pruned, failed and running, and one waits; confirm another study."""
    os.environ["FAKE_FAULTS"] = '{"2": "diverge"}'
    pruner = "search.pruner_options={n_startup_trials=2}"
    options: dict[str, Any] = {"storage": storage, "progress": Progress(), "trials": 10, "settings": [pruner]}
    try:
        api.run("smoke", engine=InterruptedEngine(fakes.FakeTrainer), **options)
    except Interrupted:
        api.enqueue("smoke", ["l2=1e-4", "dropout=off"], storage=storage)
    options["settings"] = ['search.recipes=["course"]', "confirm.seeds=3", "confirm.top=1"]
    api.run("smoke", name="confirmed", engine=InlineEngine(fakes.FakeTrainer), **options)


def dump(storage: str) -> str:
    """Return the database as SQL, without a trace of the machine it was made on."""
    connection = sqlite3.connect(location_of(storage))
    connection.execute("update regsearch_runs set host = 'a-host', pid = 1")
    lines = "\n".join(connection.iterdump())
    connection.close()
    return f"{lines}\n"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        fill(f"sqlite:///{folder}/test.db")
        (FOLDER / f"schema-{SCHEMA}.sql").write_text(dump(f"sqlite:///{folder}/test.db"), encoding="utf-8")
