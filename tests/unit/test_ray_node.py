"""What a node does for its worker, without a cluster: files and code come and go as values."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import fakes
import pytest

from regsearch.search.training.hypermodel.code import read_code
from regsearch.search.training.setup import TrainerSetup
from regsearch.search.workers.protocol import READY_LINE, EpochFinished, TrialFinished, from_line
from regsearch.search.workers.ray.node import NodeSetup, NodeWorker, WorkerOutput
from regsearch.studies.spec import StudySpec
from regsearch.studies.trial import TrialTask

SPEC = StudySpec().changed(training={"max_epochs": 3})
TASK = TrialTask(number=7, attempt=0, params={"regularizer": "none"})
GO_ON = "true\n"


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "node"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == [], "something stays on the node"


def worker(setup: TrainerSetup, **given: object) -> NodeWorker:
    command = [sys.executable, str(Path(fakes.__file__))]
    known = {"machine": "", "command": command, "environment": {}, "code": None, "is_here": False, **given}
    return NodeWorker(NodeSetup(setup=setup, **known), [])  # type: ignore[arg-type]


def trained(worker: NodeWorker, files: dict[str, bytes]) -> tuple[list[int], dict[str, bytes]]:
    """The epochs that a trial said, and all files that came of it, until it ended."""
    epochs, came = [], {}
    output: WorkerOutput = worker.train(TASK, files)
    while True:
        came.update(output.files)
        events = [from_line(line) for line in output.lines if line + "\n" != READY_LINE]
        if events and isinstance(events[-1], TrialFinished):
            return epochs, came
        assert output.ending is None, output.last_words
        if events and isinstance(events[-1], EpochFinished):
            epochs.append(events[-1].metrics.epoch)
            output = worker.reply_and_listen(GO_ON)
        else:
            output = worker.listen()


def test_states_weights_and_the_end_come_as_values(node: Path, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    at_work = worker(TrainerSetup(spec=SPEC, source="digits", sha256="0", files=str(tmp_path / "here")))
    try:
        epochs, came = trained(at_work, {})
        assert epochs == [0, 1, 2]
        assert {"trials/trial-7.weights.npz", "trials/trial-7.ended"} <= came.keys()
        assert {"trials/trial-7.3.checkpoint"} <= came.keys()
        assert list((tmp_path / "here").iterdir()) == []
        known = {name.removeprefix("trials/"): content for name, content in came.items() if name.endswith(".ended")}
        assert trained(at_work, known)[0] == [], "it trained again what had ended"
    finally:
        at_work.close()
        at_work.close()


def test_on_the_coordinators_machine_workers_write_where_it_reads(node: Path, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    setup = TrainerSetup(spec=SPEC, source="digits", sha256="0", files=str(tmp_path / "here"))
    for epochs in ([0, 1, 2], []):  # the second finds how the first ended
        at_work = worker(setup, is_here=True)
        try:
            assert trained(at_work, {}) == (epochs, {})
        finally:
            at_work.close()
    names = {path.name for path in (tmp_path / "here").iterdir()}
    assert {"trial-7.3.checkpoint", "trial-7.ended", "trial-7.weights.npz"} <= names


def test_the_snapshots_of_each_epoch_come_as_values_and_leave_the_node(node: Path, tmp_path: Path) -> None:
    folders = {"files": str(tmp_path / "files"), "snapshots": str(tmp_path / "left")}
    at_work = worker(TrainerSetup(spec=SPEC, source="digits", sha256="0", **folders))  # type: ignore[arg-type]
    try:
        _, came = trained(at_work, {})
        assert len([name for name in came if name.startswith("snapshots/trial-7.epoch-")]) == 3
        assert list(node.rglob("*.keras")) == []
    finally:
        at_work.close()


@pytest.mark.parametrize("is_there", [True, False])
def test_a_hypermodels_file_travels_where_it_is_missing(node: Path, tmp_path: Path, is_there: bool) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("class Mine: ...\n")
    reference = f"{mine}:Mine"
    code = read_code(reference)
    spec = SPEC.changed(model={"hypermodel": reference, "hypermodel_sha256": code.sha256})
    if not is_there:
        mine.unlink()
    at_work = worker(TrainerSetup(spec=spec, source="digits", sha256="0"), code=code)
    try:
        there = at_work._setup.spec.model.hypermodel
        assert there is not None
        assert read_code(there).sha256 == code.sha256
        assert (there == reference) == is_there
        assert at_work._setup.spec.fingerprint() == spec.fingerprint()
    finally:
        at_work.close()


def test_what_decides_on_figures_is_the_coordinators(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as Ray sets it
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
    at_work = worker(TrainerSetup(spec=SPEC, source="digits", sha256="0"), environment={"TF_ENABLE_ONEDNN_OPTS": "0"})
    try:
        assert "OMP_NUM_THREADS" not in at_work._environment
        assert at_work._environment["TF_ENABLE_ONEDNN_OPTS"] == "0"
    finally:
        at_work.close()


def test_a_worker_that_ends_says_how_with_its_last_words(node: Path) -> None:
    setup = TrainerSetup(spec=SPEC, source="digits", sha256="0")
    at_work = worker(setup, command=[sys.executable, "-c", "raise SystemExit('no TensorFlow here')"])
    try:
        output = at_work.listen()
        assert (output.ending, output.last_words) == ("exited with code 1", "no TensorFlow here")
        assert b"no TensorFlow here" in output.log
    finally:
        at_work.close()
