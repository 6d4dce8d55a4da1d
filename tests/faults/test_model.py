"""Searches that are run, killed, stopped, resumed, fed and deleted in any order hold against a model in plain Python.

python tests/faults/test_model.py --examples 500
"""

import argparse
import fcntl
import hashlib
import json
import math
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `python tests/faults/test_model.py`
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import fakes
import numpy as np
import pytest
from helpers import raw_study
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from in_process import spared_disk
from killing import Killed, KillSwitch, kill_at

from regsearch.search import api
from regsearch.search.run.coordinator import StopReason
from regsearch.search.run.progress import FinishedTrial, Progress
from regsearch.search.samplers import factory, pruners
from regsearch.search.training.checkpoints import NO_CHECKPOINTS, Checkpoints
from regsearch.search.training.trainer import DivergedError, OnEpoch
from regsearch.search.workers.inline import InlineEngine
from regsearch.storage import sqlite
from regsearch.studies.errors import InputError, NoResultError
from regsearch.studies.trial import EpochMetrics, TrialOutcome, TrialTask

LARGEST_TOTAL = 9
FILE_TOTAL = 3
OPTIONS = {
    "a": ["search.sampler_options={n_startup_trials=2}", "search.pruner_options={n_startup_trials=2}"],
    "b": [
        *("search.sampler=random", "search.sampler_options={}", "search.pruner=hyperband", "search.pruner_options={}"),
        "search.objective=accuracy",
    ],
}
SEEN: Counter[str] = Counter()
"""What happened in all examples, so that a test can tell a check from an empty one."""


# ------------------------------------------------------------------------------------- what a trial gives, twice


def quality(params: dict[str, Any]) -> int:
    """A trial's fate, from its settings alone."""
    return int(hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()[:8], 16)


class Trainer(fakes.FakeTrainer):
    """Of twelve trials, one fails at once, one diverges in its second epoch, and one gives an infinite result."""

    def train(
        self, task: TrialTask, on_epoch: OnEpoch, checkpoints: Checkpoints = NO_CHECKPOINTS, suggest: Any = None
    ) -> TrialOutcome | None:
        outcome = super().train(task, on_epoch, checkpoints)
        return outcome and (replace(outcome, select_cross_entropy=math.inf) if _fate(task.params) == 2 else outcome)

    def go_wrong(self, task: TrialTask, epoch: int) -> None:
        if _fate(task.params) == 0:
            raise ValueError("as its settings want it")
        if _fate(task.params) == 1 and epoch == 1:
            raise DivergedError(epoch)


def _fate(params: Any) -> int:
    return quality(dict(params)) % 12


def _params(raw: list[tuple[Any, ...]]) -> dict[str, Any]:
    """Settings from Optuna's rows."""
    found = {}
    for name, number, text in raw:
        distribution = json.loads(text)
        choices = distribution["attributes"].get("choices")
        if choices is not None:
            found[name] = choices[int(number)]
        else:
            found[name] = int(number) if distribution["name"] == "IntDistribution" else number
    return found


def check_trial(name: str, trial: dict[str, Any]) -> None:
    """Hold a trial's raw rows against what its settings must give."""
    state, values, curve = trial["state"], trial["values"], trial["curve"]
    ours = trial["ours"][0] if trial["ours"] else (None,) * 10
    cross_entropy, accuracy = ours[4], ours[5]
    assert (state == "COMPLETE") == (cross_entropy is not None and math.isfinite(cross_entropy)), trial
    if state == "WAITING":
        assert not curve
        return
    params = _params(trial["params"])
    number = quality(params)
    base = number / 2**32
    for epoch, (counted, _, loss, cross, _) in enumerate(curve):
        assert (counted, loss) == (epoch, base + 1 / (epoch + 2) + 0.1 * ((number >> epoch) & 1))
        assert loss == cross
    assert [(step, value) for step, value in trial["judged"]] == [
        (epoch, accuracy if name == "b" else cross) for epoch, _, _, cross, accuracy in curve
    ]
    fates = {0: {"FAIL"}, 1: {"FAIL", "PRUNED"}, 2: {"FAIL", "PRUNED"}}.get(number % 12, {"COMPLETE", "PRUNED"})
    assert state in fates | {"RUNNING"}, (state, fates)
    if state == "COMPLETE":
        assert (cross_entropy, accuracy) == (base, 1 / (1 + base))
        assert values == [(0, accuracy if name == "b" else base, "FINITE")]
    elif state != "PRUNED":  # whose value is Optuna's, that of its last epoch
        assert values == []
    assert (ours[1] is not None) == (state == "FAIL"), trial


# ------------------------------------------------------------------------------------------------------ the model


@dataclass
class Study:
    """What must be true of one study.

    Attributes:
        total: its total; after a kill, which may be either, the one that was found.
        acknowledged: the raw rows of every trial that was ever seen finished.
        told: how often each trial was told as finished.
        fixed: the settings that were enqueued, by number.
    """

    total: int
    acknowledged: dict[int, Any] = field(default_factory=dict)
    told: Counter[int] = field(default_factory=Counter)
    fixed: dict[int, dict[str, Any]] = field(default_factory=dict)


class Witness(Progress):
    """Reads, with a connection of its own, each result that is shown at the moment it is shown; stops at an epoch."""

    def __init__(self, path: Path, name: str, stop_after: int | None) -> None:
        self.path, self.name, self.left = path, name, stop_after
        self.shown: dict[int, Any] = {}
        self.states: list[str] = []
        self.told: Counter[int] = Counter()

    def message(self, text: str) -> None:
        assert text.isprintable()

    def epoch_finished(self, task: TrialTask, metrics: EpochMetrics) -> None:
        found = raw_study(self.path, self.name)
        assert found is not None
        assert len(found["trials"][task.number]["curve"]) > metrics.epoch, "it was shown before it was there"
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                SEEN["stopped"] += 1
                signal.raise_signal(signal.SIGTERM)

    def trial_finished(self, trial: FinishedTrial, best: float | None) -> None:
        found = raw_study(self.path, self.name)
        assert found is not None
        row = found["trials"][trial.task.number]
        assert row["state"] == trial.state, "it was shown before it was there"
        self.shown[trial.task.number] = row
        self.told[trial.task.number] += 1
        self.states.append(trial.state)
        values = [t["values"][0][1] for t in found["trials"].values() if t["state"] == "COMPLETE"]
        assert best == ((max if self.name == "b" else min)(values) if values else None)


@contextmanager
def quick() -> Any:
    """Spare what is not looked at here: the disk's own time, and trying samplers and pruners out."""
    with (
        spared_disk(),
        mock.patch.object(factory, "_try_out"),
        mock.patch.object(pruners, "_try_out"),
        mock.patch.dict(os.environ, {"FAKE_FAULTS": "{}", "FAKE_EPOCH_SECONDS": "0"}),
    ):
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


@cache
def template() -> Path:
    """A folder with the data and a database without studies."""
    folder = Path(tempfile.mkdtemp(prefix="regsearch-model-"))
    generator = np.random.default_rng(0)
    arrays = {"x_train": generator.integers(0, 256, (90, 3, 3)).astype(np.uint8), "y_train": np.arange(90) % 3}
    np.savez(folder / "own.npz", **arrays, x_test=arrays["x_train"][:12], y_test=arrays["y_train"][:12])
    with quick():
        sqlite.open_for_writing(folder / "empty.db").close()
    return folder


@pytest.fixture(scope="module", autouse=True)
def no_template_stays() -> Iterator[None]:
    yield
    if template.cache_info().currsize:
        shutil.rmtree(template())
        template.cache_clear()


def search(call: Any, first: str, path: Path, *, trials: int | None, **options: Any) -> Any:
    """Run or resume a study in this process, with one worker."""
    return call(
        first,
        storage=f"sqlite:///{path}",
        engine=InlineEngine(Trainer),
        workers=1,
        trials=trials,
        data=str(template() / "own.npz"),
        **options,
    )


def run_options(name: str) -> dict[str, Any]:
    """Make `smoke` a study of these tests."""
    return {"name": name, "settings": ["data.train_size=20", f"budget.trials={FILE_TOTAL}", *OPTIONS[name]]}


@cache
def ran_through(name: str) -> dict[int, Any]:
    """The raw rows of a study that was never interrupted, up to the largest total."""
    path = template() / f"through-{name}.db"
    with quick():
        search(api.run, "smoke", path, trials=LARGEST_TOTAL, progress=Witness(path, name, None), **run_options(name))
    found = raw_study(path, name)
    assert found is not None
    return dict(found["trials"])


class Searches(RuleBasedStateMachine):
    """Two studies in one database; each rule is what a user, a fault or a power cut does."""

    names = st.sampled_from(sorted(OPTIONS))
    totals = st.none() | st.integers(1, LARGEST_TOTAL)
    # most commands are killed: what ends well says less
    kills = st.none() | st.integers(1, 40) | st.integers(40, 160) | st.integers(40, 160)
    stops = st.none() | st.none() | st.integers(1, 12)

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.stack.enter_context(quick())
        self.path = self.folder / "model.db"
        self.studies: dict[str, Study] = {}
        self.threads = set(threading.enumerate())

    @initialize(is_new=st.integers(0, 5))
    def begin(self, is_new: int) -> None:
        if is_new:  # a database of its own takes half a second to create
            shutil.copy(template() / "empty.db", self.path)

    @rule(name=names, trials=totals, kill=kills, stop=stops)
    def run(self, name: str, trials: int | None, kill: int | None, stop: int | None) -> None:
        self._search(api.run, "smoke", name, trials, kill, stop, run_options(name))

    @precondition(lambda self: self.studies)
    @rule(name=names, trials=totals, kill=kills, stop=stops)
    def resume(self, name: str, trials: int | None, kill: int | None, stop: int | None) -> None:
        name = self._begun(name)
        self._search(api.resume, name, name, trials, kill, stop, {})

    @precondition(lambda self: self.studies)
    @rule(
        name=names, kill=st.none() | st.integers(1, 12), l2=st.sampled_from(["1e-5", "1e-4", "1e-3"]), off=st.booleans()
    )
    def enqueue(self, name: str, kill: int | None, l2: str, off: bool) -> None:
        name = self._begun(name)
        given = [f"l2={l2}", *(["dropout=off"] if off else [])]
        fixed = {"regularizer": "l2", "l2": float(l2), **({"use_dropout": False} if off else {})}
        before = self._raw(name)
        number = None
        try:
            with kill_at(kill) as switch:
                number, _ = api.enqueue(name, given, storage=f"sqlite:///{self.path}")
        except Killed:
            SEEN["killed enqueueing"] += 1
        after = self._raw(name)
        assert before is not None
        assert after is not None
        new = set(after["trials"]) - set(before["trials"])
        assert new <= {len(before["trials"])}
        assert number is None or new == {number}
        assert number is not None or switch.is_dead
        assert {n: t for n, t in after["trials"].items() if n not in new} == before["trials"]
        self.studies[name].fixed |= dict.fromkeys(new, fixed)

    @precondition(lambda self: self.studies)
    @rule(name=names, kill=st.none() | st.integers(1, 25), mercy=st.integers(0, 2))
    def delete(self, name: str, kill: int | None, mercy: int) -> None:
        if mercy:  # a study that is deleted soon says little
            return
        name = self._begun(name)
        others = {other: self._raw(other) for other in OPTIONS if other != name}
        try:
            with kill_at(kill):
                api.delete(name, storage=f"sqlite:///{self.path}")
            assert self._raw(name) is None
        except Killed:
            SEEN["killed deleting"] += 1
        if self._raw(name) is None:
            self.studies.pop(name, None)
        assert {other: self._raw(other) for other in others} == others

    @invariant()
    def best_is_what_plain_code_computes(self) -> None:
        for name in self.studies:
            self._check_best(name)

    @precondition(lambda self: self.studies)
    @invariant()
    def every_study_is_listed(self) -> None:
        statuses = api.statuses(storage=f"sqlite:///{self.path}")
        assert [status.answer.study.name for status in statuses] == sorted(self.studies)
        assert all(status.holder is None for status in statuses)

    @invariant()
    def the_file_is_whole(self) -> None:
        if not self.path.exists():
            return
        connection = sqlite3.connect(self.path)
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
        assert connection.execute("pragma foreign_key_check").fetchall() == []
        for table in ("studies", "regsearch_studies"):
            assert connection.execute(f"select count(*) from {table}").fetchall() == [(len(self.studies),)], table
        connection.close()

    @invariant()
    def nothing_is_lost_doubled_or_changed(self) -> None:
        for name in OPTIONS:
            found, study = self._raw(name), self.studies.get(name)
            assert (found is None) == (study is None), name
            if found is None or study is None:
                continue
            assert found["numbers"] == list(range(len(found["numbers"])))
            assert found["total"] == study.total
            for number, trial in found["trials"].items():
                check_trial(name, trial)
                fixed = study.fixed.get(number)
                if fixed is not None and trial["state"] != "WAITING":
                    assert fixed.items() <= _params(trial["params"]).items()
                if fixed is None:
                    assert trial["state"] != "WAITING"
            finished = {n: t for n, t in found["trials"].items() if t["state"] not in ("RUNNING", "WAITING")}
            for number, row in study.acknowledged.items():
                assert finished.get(number) == row, f"trial {number} was lost or changed"
            study.acknowledged |= finished
            assert len(finished) <= study.total
            assert sum(trial["state"] == "RUNNING" for trial in found["trials"].values()) <= 1
            assert all(times == 1 for times in study.told.values()), study.told

    @invariant()
    def nobody_is_left(self) -> None:
        assert set(threading.enumerate()) <= self.threads
        for path in self.folder.rglob("*.lock"):
            with path.open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def teardown(self) -> None:
        self.stack.close()

    def _begun(self, name: str) -> str:
        """Return the study of that name, or the other one where it was not begun."""
        return name if name in self.studies else next(iter(self.studies))

    def _raw(self, name: str) -> dict[str, Any] | None:
        return raw_study(self.path, name) if self.path.exists() else None

    def _content(self) -> bytes | None:
        return self.path.read_bytes() if self.path.exists() else None

    def _search(
        self,
        call: Any,
        first: str,
        name: str,
        trials: int | None,
        kill: int | None,
        stop: int | None,
        options: dict[str, Any],
    ) -> None:
        study, before, content = self.studies.get(name), self._raw(name), self._content()
        begun = sum(trial["state"] != "WAITING" for trial in before["trials"].values()) if before else 0
        total = (
            trials
            if trials is not None
            else max(FILE_TOTAL if call is api.run else 0, before["total"] if before else 0, begun)
        )
        witness = Witness(self.path, name, stop)
        SEEN["searches"] += 1
        switch = KillSwitch(None)
        try:
            with kill_at(kill) as switch:
                result = search(call, first, self.path, trials=trials, progress=witness, handle_signals=True, **options)
        except Killed:
            SEEN["killed"] += 1
            SEEN["killed over a trial"] += self._has_running(name)
            result = None
        except InputError:
            assert trials is not None
            assert trials < begun
            assert self._content() == content
            SEEN["refused"] += 1
            return
        except NoResultError:
            assert witness.states[-10:] == ["FAIL"] * 10
            result = None
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        found = self._raw(name)
        if found is None:  # killed before it was begun
            assert study is None
            assert switch.is_dead
            return
        study = self.studies.setdefault(name, Study(total))
        assert found["total"] in ({total, before["total"]} if before and switch.is_dead else {total})
        study.total = found["total"]
        for number, row in witness.shown.items():
            assert study.acknowledged.setdefault(number, row) == row
        study.told += witness.told
        if result is None:
            return
        assert not switch.is_dead, "a kill was survived"
        self._check_ended(name, result, found, witness)

    def _check_best(self, name: str) -> None:
        found = self._raw(name)
        assert found is not None
        sign = -1 if name == "b" else 1
        complete = [(sign * t["values"][0][1], n) for n, t in found["trials"].items() if t["state"] == "COMPLETE"]
        answer = api.load(name, storage=f"sqlite:///{self.path}").answer
        if not complete:
            assert answer.best is None
            return
        value, number = min(complete)
        assert answer.best is not None
        assert (answer.best.number, answer.best.value) == (number, sign * value)
        assert dict(answer.best.params) == _params(found["trials"][number]["params"])
        states = Counter(trial["state"] for trial in found["trials"].values())
        counts = answer.counts
        assert (counts.complete, counts.pruned, counts.failed) == (states["COMPLETE"], states["PRUNED"], states["FAIL"])
        assert (counts.running, counts.waiting) == (states["RUNNING"], states["WAITING"])

    def _has_running(self, name: str) -> bool:
        found = self._raw(name)
        return found is not None and any(trial["state"] == "RUNNING" for trial in found["trials"].values())

    def _check_ended(self, name: str, result: Any, found: dict[str, Any], witness: Witness) -> None:
        states = Counter(trial["state"] for trial in found["trials"].values())
        finished = states["COMPLETE"] + states["PRUNED"] + states["FAIL"]
        if witness.left is not None and witness.left <= 0:
            assert result.reason in (StopReason.STOPPED, StopReason.TOTAL)
            assert result.signal == signal.SIGTERM
        else:
            assert result.reason is StopReason.TOTAL
        side = self.path.with_name("model.db.d")
        left = {path.name for path in side.rglob("*") if path.name.endswith((".tmp", "new.db"))}
        assert left == set(), left
        assert not (side / f"study-{name}-data").exists()
        if result.reason is not StopReason.TOTAL:
            return
        SEEN["ended"] += 1
        assert finished == self.studies[name].total
        assert states["RUNNING"] == 0
        folder = side / f"study-{name}-trials"
        files = {path.name: path for path in folder.iterdir()} if folder.exists() else {}
        assert {file for file in files if not file.endswith(".weights.npz")} == set()
        if "COMPLETE" in witness.states:
            sign = -1 if name == "b" else 1
            complete = sorted(
                (sign * t["values"][0][1], n) for n, t in found["trials"].items() if t["state"] == "COMPLETE"
            )
            best = [number for _, number in complete[:5]]
            assert set(files) == {f"trial-{number}.weights.npz" for number in best}
            for number in best:
                digest = hashlib.sha256(files[f"trial-{number}.weights.npz"].read_bytes()).hexdigest()
                assert digest == found["trials"][number]["ours"][0][-1]
        if not self.studies[name].fixed:
            SEEN["compared"] += 1
            through = ran_through(name)
            assert found["trials"] == {number: through[number] for number in range(finished)}


def explore(examples: int, *, steps: int, is_random: bool) -> None:
    """Run so many examples of so many steps."""
    SEEN.clear()
    run_state_machine_as_test(
        Searches,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=not is_random,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
            print_blob=True,
        ),
    )


def test_some_searches_hold_against_the_model() -> None:
    explore(2, steps=8, is_random=False)
    assert SEEN["searches"] > 0


@pytest.mark.slow
def test_searches_hold_against_the_model() -> None:
    explore(int(os.environ.get("REGSEARCH_MODEL_EXAMPLES", "24")), steps=15, is_random=False)
    for what in ("searches", "killed", "killed over a trial", "stopped", "ended", "compared", "refused"):
        assert SEEN[what] > 0, SEEN


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--steps", type=int, default=30)
    given = parser.parse_args()
    began = time.monotonic()
    explore(given.examples, steps=given.steps, is_random=True)
    print(
        f"{given.examples} examples in {time.monotonic() - began:.0f} s:",
        ", ".join(f"{k} {v}" for k, v in SEEN.items()),
    )
