"""Studies that an earlier version began, resumed by this one: all rows end as they would have ended there.

The samplers, pruners, averages and finalists of a new study may change; those of a stored study don't, since a key that
its spec lacks means the rule of its time. See `tests/databases/interrupt.py` for how the studies were made.
"""

import collections
import copy
import json
import lzma
import math
import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from databases.bits import fingerprint
from databases.recorded import recorded
from databases.restore import INTERRUPTED, interrupted, restore_ended, restore_interrupted
from helpers import assert_whole

from regsearch.search import api
from regsearch.search.run.progress import Progress
from regsearch.search.workers.inline import InlineEngine

Rows = dict[str, list[dict[str, Any]]]

_LEFT_OUT = {
    *("study_id", "study_uuid", "trial_id", "trial_value_id", "param_id", "trial_intermediate_value_id", "run_id"),
    *("trial_system_attribute_id", "datetime_start", "datetime_complete", "created_at", "started_at", "ended_at"),
    *("began_at", "stop_requested_at", "seconds", "host", "pid", "engine", "workers", "versions"),
}
_OF_TRIALS = {
    "trial_values": "objective",
    "trial_params": "param_name",
    "trial_intermediate_values": "step",
    "trial_system_attributes": "key",
}
_OURS = {
    "regsearch_studies": "study_uuid",
    "regsearch_runs": "run_id",
    "regsearch_trials": "number",
    "regsearch_epochs": "number, epoch",
    "regsearch_finalists": "finalist",
    "regsearch_confirmations": "finalist, seed",
    "regsearch_confirmation_epochs": "finalist, seed, epoch",
    "regsearch_test_looks": "finalist, seed",
}
_SPECS = ("spec", "search")  # as JSON; a later version may add keys to them
_OF_BITS = ("weights_sha256", "select_rows", "test_rows")  # the means of the rows' figures stand beside them
_DIGITS = 1e-9
"""Processors differ in the last digits of what a sampler computes."""


@pytest.fixture(scope="module")
def has_same_bits() -> bool:
    """Whether this machine computes the bits of the one that made the studies."""
    return fingerprint() == (INTERRUPTED / "bits.txt").read_text(encoding="ascii").strip()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.db"


def read(path: Path) -> Rows:
    """Every row that an interruption may not change, by table; read without any of the product's code."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row

        def select(what: str) -> list[dict[str, Any]]:
            found = [dict(row) for row in connection.execute(f"select {what}")]
            return [{key: value for key, value in row.items() if key not in _LEFT_OUT} for row in found]

        rows = {table: select(f"* from {table} order by {order}") for table, order in _OURS.items()}
        rows["trials"] = select("* from trials order by number")
        for table, key in _OF_TRIALS.items():
            rows[table] = select(f"number, {table}.* from trials join {table} using (trial_id) order by number, {key}")
        return rows


def ended(study: str, folder: Path) -> Rows:
    """The rows with which the earlier version ended a study."""
    return read(restore_ended(study, folder / "ended.db"))


def assert_ended_alike(rows: Rows, wanted: Rows, *, has_same_bits: bool) -> None:
    """Every wanted row is there, and in each of these tables no other; new columns and new keys of a spec may be.

    Bit for bit, if the machine computes the same bits; else to `_DIGITS`, and without what is of bits alone.
    """
    for table, there in wanted.items():
        found = rows[table]
        if table == "trial_system_attributes":  # others may be added
            named = {(row["number"], row["key"]) for row in there}
            found = [row for row in found if (row["number"], row["key"]) in named]
        assert len(found) == len(there), table
        for row, expected in zip(found, there, strict=True):
            different = {
                key: (row[key], value)
                for key, value in expected.items()
                if not _is_alike(table, key, row[key], value, has_same_bits)
            }
            assert not different, (table, expected)


def _is_alike(table: str, key: str, value: Any, wanted: Any, has_same_bits: bool) -> bool:
    if key in _SPECS:
        return _holds(json.loads(value), json.loads(wanted))
    if has_same_bits or not isinstance(wanted, float):
        return bool(value == wanted) or (key in _OF_BITS and not has_same_bits)
    return isinstance(value, float) and math.isclose(value, wanted, rel_tol=_DIGITS)


def _holds(document: Any, wanted: Any) -> bool:
    """Return whether a JSON document has at least the keys that are wanted, with their values."""
    if isinstance(document, dict) and isinstance(wanted, dict):
        return all(key in document and _holds(document[key], value) for key, value in wanted.items())
    return bool(document == wanted)


@pytest.mark.parametrize("study", interrupted())
def test_a_stored_study_ends_as_the_version_that_began_it_would_have(
    study: str, path: Path, storage: str, tmp_path: Path, has_same_bits: bool
) -> None:
    wanted = ended(study, tmp_path)
    restore_interrupted(study, path)
    api.upgrade(storage=storage)
    # a ready study goes on by its name alone, too: with what is stored of it, though its file may have changed
    go_on = api.run if study == "digits" else api.resume
    is_confirmed = bool(wanted["regsearch_confirmations"])
    # a machine that computes other bits is given those that the earlier version recorded
    engine = "inline" if has_same_bits else InlineEngine(recorded(restore_ended(study, tmp_path / "recorded.db")))
    go_on(study, storage=storage, engine=engine, confirm=is_confirmed, progress=Progress())
    assert_ended_alike(read(path), wanted, has_same_bits=has_same_bits)
    assert_whole(storage)


@pytest.mark.parametrize("study", interrupted())
def test_a_stored_study_was_interrupted_in_the_middle_and_shows_no_machine(
    study: str, path: Path, tmp_path: Path
) -> None:
    before, after = read(restore_interrupted(study, path)), ended(study, tmp_path)
    under_way = [row["state"] for row in (*before["trials"], *before["regsearch_confirmations"])]
    assert sum(state.lower() == "running" for state in under_way) == 1
    assert any(state.lower() == "complete" for state in under_way)
    ends = [row["state"].lower() for row in (*after["trials"], *after["regsearch_confirmations"])]
    assert not {"running", "waiting"} & set(ends)
    for name in ("interrupted", "ended"):
        content = lzma.decompress((INTERRUPTED / study / f"{name}.db.xz").read_bytes())
        traces = ("/tmp", "/home", "/root", "/work", socket.gethostname() + '"')
        assert not [trace for trace in traces if trace.encode() in content]


def states_after(study: str, folder: Path) -> list[str]:
    """The states of the trials that were not finished when a study was interrupted, at its end."""
    before = read(restore_interrupted(study, folder / "before.db"))["trials"]
    begun = {row["number"] for row in before if row["state"] not in ("RUNNING", "WAITING")}
    return [row["state"] for row in ended(study, folder)["trials"] if row["number"] not in begun]


def test_stored_studies_hold_what_they_are_for(tmp_path: Path) -> None:
    after = {study: collections.Counter(states_after(study, folder(tmp_path, study))) for study in interrupted()}
    assert after["digits"]["PRUNED"] >= 5
    assert after["diverging"]["FAIL"] >= 3
    assert after["diverging"]["COMPLETE"] >= 2
    assert after["hyperband"]["PRUNED"] >= 2
    assert not after["confirmation"]
    params = collections.defaultdict(list)
    for row in ended("discrete", tmp_path)["trial_params"]:
        params[row["number"]].append((row["param_name"], row["param_value"]))
    assert len({tuple(settings) for settings in params.values()}) <= 12 < len(params)


def folder(tmp_path: Path, study: str) -> Path:
    (made := tmp_path / study).mkdir()
    return made


def test_the_comparison_can_fail(tmp_path: Path) -> None:
    wanted = ended("batch-norm", tmp_path)

    def changed(table: str, column: str, value: Any) -> Rows:
        rows = copy.deepcopy(wanted)
        rows[table][-1][column] = value
        return rows

    loss = wanted["regsearch_epochs"][-1]["train_loss"]
    almost = changed("regsearch_epochs", "train_loss", math.nextafter(loss, 0))
    assert_ended_alike(wanted, wanted, has_same_bits=True)
    assert_ended_alike(almost, wanted, has_same_bits=False)
    spec = json.loads(wanted["regsearch_studies"][0]["spec"])
    spec["search"]["pruner"] = "hyperband"
    for rows, has_same_bits in (
        (almost, True),
        (changed("regsearch_confirmations", "weights_sha256", "0"), True),
        (changed("regsearch_epochs", "train_loss", loss + 1e-6), False),
        (changed("trial_params", "param_value", 0.123), False),
        (changed("trials", "state", "PRUNED"), False),
        (changed("regsearch_studies", "spec", json.dumps(spec)), False),
        ({**wanted, "trials": wanted["trials"][:-1]}, False),
        ({**wanted, "trials": [*wanted["trials"], wanted["trials"][-1]]}, False),
    ):
        with pytest.raises(AssertionError):
            assert_ended_alike(rows, wanted, has_same_bits=has_same_bits)
