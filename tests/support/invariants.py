"""What must hold of a study whatever was done to it, and a reader of its own that remembers what it was shown.

All is read by plain sqlite3, in SQL and code of its own: what the product says is held against it. Of a server it
reads a copy that plain SQL made.
"""

import hashlib
import json
import math
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import fakes
import postgres
import psutil
import psycopg

from regsearch.search import api
from regsearch.search.training.setup import TrainerSetup
from regsearch.storage import paths
from regsearch.storage.location import Location, files_folder, location_of
from regsearch.studies.spec import StudySpec
from regsearch.studies.trial import TrialTask

_READ_SECONDS = 0.05
_FIGURES = "best_epoch epochs select_cross_entropy select_accuracy train_cross_entropy train_accuracy near_zero_share"
_WEIGHTS_KEPT = 5


class Violation(NamedTuple):
    """What doesn't hold: damaged, lost, changed, duplicated, twice, wrong, left; and what it is about."""

    kind: str
    text: str


class _Rows(NamedTuple):
    spec: StudySpec
    trials: list[sqlite3.Row]
    values: dict[int, list[Any]]
    params: dict[int, dict[str, Any]]
    ours: dict[int, sqlite3.Row]
    epochs: dict[int, list[tuple[Any, ...]]]
    judged: dict[int, list[tuple[Any, ...]]]
    confirmations: list[sqlite3.Row]
    confirmation_epochs: list[sqlite3.Row]
    looks: list[sqlite3.Row]


class Reader:
    """Looks at a study as anybody could, and remembers all it was shown; each look also compares.

    Attributes:
        violations: what had changed or gone.
        finished_at: when it was first shown a trial as finished, on the clock of time.monotonic().
    """

    def __init__(self, storage: str, name: str = "smoke") -> None:
        self._location, self._name = location_of(storage), name
        self._shown: dict[Any, Any] = {}
        self.violations: list[Violation] = []
        self.finished_at: dict[int, float] = {}

    def look(self) -> None:
        """Read everything; while there is no such study yet, or it is locked, do nothing."""
        try:
            rows = _read(self._location, self._name)
        except (sqlite3.OperationalError, psycopg.OperationalError):
            return
        now = {} if rows is None else _acknowledged(rows)
        for key, before in self._shown.items():
            if key not in now:
                self.violations.append(Violation("lost", f"{key}: {before}"))
            elif now[key] != before:
                self.violations.append(Violation("changed", f"{key}: {before}, now {now[key]}"))
        self._shown |= now
        for what, number, *_ in now:
            if what == "trial":
                self.finished_at.setdefault(number, time.monotonic())

    @property
    def finished(self) -> int:
        """How many trials it was shown as finished."""
        return len(self.finished_at)

    @property
    def reasons(self) -> list[str]:
        """Why trials failed."""
        ended = [self._shown["trial", number] for number in self.finished_at]
        return [figures["reason"] for state, _, _, figures in ended if state == "FAIL"]

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look again and again, in a thread of its own."""
        over = threading.Event()

        def look_on() -> None:
            while not over.wait(_READ_SECONDS):
                self.look()

        thread = threading.Thread(target=look_on)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self.look()


def check(storage: str, name: str = "smoke", **options: Any) -> None:
    """Raise AssertionError where something doesn't hold; see `violations`."""
    found = violations(storage, name, **options)
    assert not found, "\n".join(f"{kind}: {text}" for kind, text in found)


def violations(
    storage: str,
    name: str = "smoke",
    *,
    total: int | None = None,
    reader: Reader | None = None,
    is_fake: bool = False,
) -> list[Violation]:
    """Return what doesn't hold of a study whose search has reached its end.

    Args:
        total: its exact number of finished trials; None: that of its budget.
        reader: what had been shown must be there, and the same.
        is_fake: whether its trials were tests/support/fakes.py's, which give what follows from their settings.
    """
    location = location_of(storage)
    found = [Violation("damaged", text) for text in _damages(location)]
    rows = _read(location, name)
    if rows is None:
        return [*found, Violation("lost", f"the study {name}")]
    if reader is not None:
        reader.look()
        found += reader.violations
    found += [Violation("duplicated", text) for text in _duplicates(rows)]
    found += [Violation("wrong", text) for text in _inconsistencies(rows)]
    if is_fake:
        found += [Violation("wrong", text) for text in _other_than_trained(rows)]
    running = [trial["number"] for trial in rows.trials if trial["state"] == "RUNNING"]
    found += [Violation("wrong", f"trial {number} is left running") for number in running]
    finished = sum(trial["state"] in ("COMPLETE", "PRUNED", "FAIL") for trial in rows.trials)
    wanted = rows.spec.budget.trials if total is None else total
    if finished != wanted:
        found.append(Violation("wrong", f"{finished} trials are finished, not {wanted}"))
    found += [Violation("wrong", text) for text in _wrong_answer(storage, name, rows)]
    found += [Violation("wrong", text) for text in _wrong_confirmation(rows)]
    return found + [Violation("left", text) for text in _leftovers(storage, location, name, rows)]


def processes_in(folder: Path) -> list[psutil.Process]:
    """Return the processes that work in a folder, but for this one and those that began it."""
    mine = {psutil.Process().pid, *(process.pid for process in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid not in mine and Path(process.cwd()) == folder and process.status() != "zombie":
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            continue
    return found


def _connect(location: Location) -> sqlite3.Connection:
    if isinstance(location, Path):
        # rw: after a kill in mid-write the journal must be rolled back before anything can be read
        connection = sqlite3.connect(f"{location.as_uri()}?mode=rw", uri=True, timeout=5, isolation_level=None)
        connection.execute("pragma query_only=on")
    else:
        connection = postgres.copy_of(location.url.render_as_string(hide_password=False))
    connection.row_factory = sqlite3.Row
    return connection


def _read(location: Location, name: str) -> _Rows | None:
    """Return a study's rows, of one moment; None where there is none yet."""
    with closing(_connect(location)) as connection:
        connection.execute("begin")
        if not connection.execute("select 1 from sqlite_master where name = 'regsearch_studies'").fetchone():
            return None
        study = connection.execute(
            "select study_id, regsearch_studies.* from studies join study_user_attributes using (study_id) "
            "join regsearch_studies on value_json = '\"' || study_uuid || '\"' where study_name = ?",
            (name,),
        ).fetchone()
        if study is None:
            return None

        def grouped(query: str, key: Any) -> dict[int, list[Any]]:
            groups: dict[int, list[Any]] = {}
            for number, *rest in connection.execute(query, (key,)):
                groups.setdefault(number, []).append(tuple(rest))
            return groups

        def of_confirmation(table: str) -> list[sqlite3.Row]:
            is_there = connection.execute("select 1 from sqlite_master where name = ?", (table,)).fetchone()
            ours = f"select * from {table} where study_uuid = ? order by finalist, seed"
            return connection.execute(ours, (study["study_uuid"],)).fetchall() if is_there else []

        of_study = "from trials join {} using (trial_id) where study_id = ?"
        params = grouped(
            f"select number, param_name, param_value, distribution_json {of_study.format('trial_params')}",
            study["study_id"],
        )
        return _Rows(
            StudySpec.from_json(study["spec"]),
            connection.execute(
                "select * from trials where study_id = ? order by number", (study["study_id"],)
            ).fetchall(),
            grouped(
                f"select number, value, value_type {of_study.format('trial_values')}",
                study["study_id"],
            ),
            {number: {key: _decoded(value, how) for key, value, how in chosen} for number, chosen in params.items()},
            {
                row["number"]: row
                for row in connection.execute(
                    "select * from regsearch_trials where study_uuid = ?", (study["study_uuid"],)
                )
            },
            grouped(
                "select number, epoch, train_loss, stop_loss, stop_cross_entropy, stop_accuracy "
                "from regsearch_epochs where study_uuid = ? order by number, epoch",
                study["study_uuid"],
            ),
            grouped(
                f"select number, step, intermediate_value {of_study.format('trial_intermediate_values')} "
                "order by number, step",
                study["study_id"],
            ),
            of_confirmation("regsearch_confirmations"),
            of_confirmation("regsearch_confirmation_epochs"),
            of_confirmation("regsearch_test_looks"),
        )


def _decoded(value: float, how: str) -> Any:
    distribution = json.loads(how)
    choices = distribution["attributes"].get("choices")
    if choices is not None:
        return choices[round(value)]
    return round(value) if distribution["name"] == "IntDistribution" else value


def _acknowledged(rows: _Rows) -> dict[Any, Any]:
    """All that a user may rely on: settings, epochs, and how trials ended, and when."""
    shown: dict[Any, Any] = {("settings", number): params for number, params in rows.params.items()}
    for number, epochs in rows.epochs.items():
        shown |= {("epoch", number, epoch): figures for epoch, *figures in epochs}
    for trial in rows.trials:
        number = trial["number"]
        if trial["state"] in ("COMPLETE", "PRUNED", "FAIL"):
            ours = rows.ours.get(number)
            kept = (*_FIGURES.split(), "reason", "weights_sha256")
            figures = None if ours is None else {key: ours[key] for key in kept}
            shown["trial", number] = trial["state"], trial["datetime_complete"], rows.values.get(number), figures
    for row in rows.confirmation_epochs:
        shown["finalist's epoch", row["finalist"], row["seed"], row["epoch"]] = tuple(row)
    for what, ended in (
        ("training", [row for row in rows.confirmations if row["state"] in ("complete", "failed")]),
        ("test look", [row for row in rows.looks if row["ended_at"] is not None]),
    ):
        shown |= {(what, row["finalist"], row["seed"]): tuple(row) for row in ended}
    return shown


def _damages(location: Location) -> Iterator[str]:
    with closing(_connect(location)) as connection:
        for (found,) in connection.execute("pragma integrity_check"):
            if found != "ok":
                yield found
        for row in connection.execute("pragma foreign_key_check"):
            yield f"a foreign key: {tuple(row)}"


def _duplicates(rows: _Rows) -> Iterator[str]:
    numbers = [trial["number"] for trial in rows.trials]
    if numbers != list(range(len(numbers))):
        yield f"the numbers are {numbers}"
    for kind, found in (("value", rows.values), ("epoch", rows.epochs), ("judged epoch", rows.judged)):
        for number, entries in found.items():
            keys = [entry[0] for entry in entries]
            if (kind == "value" and len(keys) > 1) or len(keys) != len(set(keys)):
                yield f"trial {number} has a {kind} twice: {keys}"


def _inconsistencies(rows: _Rows) -> Iterator[str]:
    """COMPLETE exactly when it has a finite result, and each epoch in Optuna's tables and ours alike."""
    by_accuracy = rows.spec.search.objective == "accuracy"
    objective = "select_accuracy" if by_accuracy else "select_cross_entropy"
    for trial in rows.trials:
        number, ours = trial["number"], rows.ours.get(trial["number"])
        result = None if ours is None else ours[objective]
        is_finite = result is not None and math.isfinite(result)
        if (trial["state"] == "COMPLETE") != is_finite:
            yield f"trial {number} is {trial['state']}, and its result {result}"
        if is_finite and rows.values.get(number) != [(result, "FINITE")]:
            yield f"trial {number} has the value {rows.values.get(number)}, and its result is {result}"
        if trial["state"] == "FAIL" and (number in rows.values or ours is None or not ours["reason"]):
            yield f"trial {number} failed with a value or without a reason"
        epochs = rows.epochs.get(number, [])
        if [epoch for epoch, *_ in epochs] != list(range(len(epochs))):
            yield f"trial {number} has the epochs {[epoch for epoch, *_ in epochs]}"
        if trial["state"] in ("COMPLETE", "PRUNED") and (ours is None or ours["epochs"] != len(epochs)):
            yield f"trial {number} is {trial['state']} with {len(epochs)} epochs, and says otherwise"
        judged = [(epoch, accuracy if by_accuracy else loss) for epoch, _, _, loss, accuracy in epochs]
        if rows.judged.get(number, []) != judged:
            yield f"the epochs of trial {number} are others for Optuna"
        if (ours is None) != (trial["state"] == "WAITING"):
            yield f"trial {number} is {trial['state']}, and {'no' if ours is None else 'a'} row of ours"


def _wrong_confirmation(rows: _Rows) -> Iterator[str]:
    """Every finalist is trained on every seed and shown the test rows, or it failed and is shown nothing more."""
    failed = {row["finalist"] for row in rows.confirmations if row["state"] == "failed"}
    looked = {(row["finalist"], row["seed"]): row["ended_at"] for row in rows.looks}
    for row in rows.confirmations:
        key = row["finalist"], row["seed"]
        if row["state"] == "running" or (row["state"] == "waiting" and row["finalist"] not in failed):
            yield f"finalist {key[0]} is left {row['state']} on seed {key[1]}"
        if row["finalist"] not in failed and looked.get(key) is None:
            yield f"finalist {key[0]} was not shown the test rows on seed {key[1]}"
        epochs = [one["epoch"] for one in rows.confirmation_epochs if (one["finalist"], one["seed"]) == key]
        if row["state"] == "complete" and sorted(epochs) != list(range(row["epochs"])):
            yield f"finalist {key[0]} has the epochs {sorted(epochs)} on seed {key[1]}, and says {row['epochs']}"


def _other_than_trained(rows: _Rows) -> Iterator[str]:
    trainer = fakes.FakeTrainer(TrainerSetup(spec=rows.spec, source="", sha256=""))
    trainer.seconds = 0.0
    trainer.go_wrong = lambda task, epoch: None  # type: ignore[method-assign]
    for trial in rows.trials:
        number = trial["number"]
        if number not in rows.ours or trial["state"] == "RUNNING":
            continue
        curve: list[Any] = []
        task = TrialTask(number=number, attempt=0, params=rows.params.get(number, {}))
        outcome = trainer.train(task, lambda m, curve=curve: curve.append(m) or True)
        figures = [(m.epoch, m.train_loss, m.stop_loss, m.stop_cross_entropy, m.stop_accuracy) for m in curve]
        epochs = rows.epochs.get(number, [])
        if figures[: len(epochs)] != epochs:
            yield f"trial {number} has another curve than its settings give: {epochs}"
        if trial["state"] == "COMPLETE":
            assert outcome is not None
            if any(getattr(outcome, key) != rows.ours[number][key] for key in _FIGURES.split()):
                yield f"trial {number} has another result than its settings give: {tuple(rows.ours[number])}"


def _wrong_answer(storage: str, name: str, rows: _Rows) -> Iterator[str]:
    expected = next(iter(_ranked(rows)), None)
    said = api.load(name, storage=storage).best
    if expected is None or said is None:
        if (expected, said) != (None, None):
            yield f"the best trial is {expected}; it says {said}"
    elif (said.number, said.value, said.params) != (expected, rows.values[expected][0][0], rows.params[expected]):
        yield f"the best trial is {expected}; it says {said.number} with {said.value} and {said.params}"


def _ranked(rows: _Rows) -> list[int]:
    """Return the numbers of the complete trials, the best first."""
    sign = -1 if rows.spec.search.objective == "accuracy" else 1
    complete = [t["number"] for t in rows.trials if t["state"] == "COMPLETE" and t["number"] in rows.values]
    return sorted(complete, key=lambda number: (sign * rows.values[number][0][0], number))


def _medians(rows: _Rows) -> dict[int, sqlite3.Row]:
    """Return the training on the median seed of each finalist that didn't fail, by the number of its task."""
    failed = {row["finalist"] for row in rows.confirmations if row["state"] == "failed"}
    medians = {}
    for finalist in {row["finalist"] for row in rows.confirmations} - failed:
        ranked = sorted(
            (row for row in rows.confirmations if row["finalist"] == finalist and row["state"] == "complete"),
            key=lambda row: (row["select_cross_entropy"], row["seed"]),
        )
        if ranked:
            row = ranked[(len(ranked) - 1) // 2]
            medians[finalist * 1000 + row["seed"]] = row
    return medians


def _leftovers(storage: str, location: Location, name: str, rows: _Rows) -> Iterator[str]:
    files = files_folder(location)
    for process in processes_in(files.parent):
        yield f"process {process.pid}"
    if (holder := api.status(name, storage=storage).holder) is not None:
        yield f"the lock, held by {holder}"
    folder = paths.trials_folder(location, name)
    kept = {f"trial-{number}.weights.npz": rows.ours.get(number) for number in _ranked(rows)[:_WEIGHTS_KEPT]}
    kept |= {f"finalist-{number}.weights.npz": row for number, row in _medians(rows).items()}
    for file in folder.iterdir() if folder.is_dir() else ():
        if file.name not in kept:
            yield f"the file {file.name}"
        elif (ours := kept[file.name]) and hashlib.sha256(file.read_bytes()).hexdigest() != ours["weights_sha256"]:
            yield f"{file.name}, which is not what the database says"
    if paths.data_folder(location, name).exists():
        yield "the copy of the data"
    beside = location.parent.glob(f"{location.name}-*") if isinstance(location, Path) else ()
    for file in (*beside, *files.glob("new.db*")):
        yield f"the file {file.name}"
