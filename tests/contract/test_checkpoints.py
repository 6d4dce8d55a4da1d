"""A trial that goes on from a checkpoint ends with the same bits, with every trainer; a damaged one does no harm."""

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fakes
import numpy as np
import pytest
from helpers import wait_for_each_checkpoint

from regsearch.search.data import load_dataset
from regsearch.search.data.arrays import Dataset
from regsearch.search.data.splits import make_splits
from regsearch.search.training import checkpoints as checkpoints_module
from regsearch.search.training.builtin.compiled_trainer import CompiledTrainer
from regsearch.search.training.builtin.keras_trainer import KerasTrainer
from regsearch.search.training.checkpoints import FileCheckpoints, TrainingCheckpoint
from regsearch.search.training.early_stopping import EarlyStopping
from regsearch.search.training.setup import TrainerSetup
from regsearch.studies.configuration import Regularization
from regsearch.studies.study_file import read_study
from regsearch.studies.trial import EpochMetrics, Purpose, TrialOutcome, TrialTask
from regsearch.studies.trial_files import TrialFiles

SPEC = read_study("smoke").changed(training={"max_epochs": 4, "learning_rate": 0.02})
TRAINERS: dict[str, type[CompiledTrainer] | type[KerasTrainer]] = {"compiled": CompiledTrainer, "keras": KerasTrainer}
EVERYTHING = {"l1": 1e-5, "l2": 1e-4, "dropout": 0.3, "batch_norm": "before_activation", "patience": 2}

Trained = tuple[TrialOutcome, list[EpochMetrics]]


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


@pytest.fixture(params=TRAINERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(kind: str, digits: Dataset) -> Callable[..., Any]:
    """A trainer as a new worker makes it."""

    def make(**training: Any) -> Any:
        spec = SPEC.changed(training=training)
        return TRAINERS[kind](spec, digits, make_splits(digits, spec.data, 0))

    return make


class Interrupted(BaseException):
    """Stands for whatever ends a worker."""


class Disk:
    """One trial's files, and what was said about them."""

    def __init__(self, folder: Path) -> None:
        self.files = TrialFiles(folder)
        self.warnings: list[str] = []

    @contextmanager
    def open(self, identity: str = "this trial") -> Iterator[FileCheckpoints]:
        with FileCheckpoints(self.files, 7, identity, self.warnings.append) as checkpoints:
            yield checkpoints

    def train(
        self, trainer: Any, params: dict[str, Any], identity: str = "this trial", epochs: int = 99, **task: Any
    ) -> Trained:
        """Train a trial; it is interrupted when an epoch is said after so many others."""
        heard: list[EpochMetrics] = []

        def hear(metrics: EpochMetrics) -> bool:
            if len(heard) == epochs:
                raise Interrupted
            heard.append(metrics)
            return True

        with self.open(identity) as checkpoints:
            outcome = trainer.train(TrialTask(number=7, attempt=0, params=params, **task), hear, checkpoints)
        return outcome, heard

    def interrupt(self, trainer: Any, params: dict[str, Any], epochs: int, **task: Any) -> None:
        with pytest.raises(Interrupted):
            self.train(trainer, params, epochs=epochs, **task)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def without_times(trained: Trained) -> Any:
    outcome, epochs = trained
    return {**vars(outcome), "seconds": 0}, [{**vars(epoch), "seconds": 0} for epoch in epochs]


@pytest.fixture
def whole(make: Callable[..., Any], tmp_path: Path) -> Any:
    """What a trial gives that ran through."""
    (tmp_path / "whole").mkdir()
    return without_times(Disk(tmp_path / "whole").train(make(), EVERYTHING))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "params"),
    [
        ("adam", EVERYTHING),
        ("adam", {}),
        ("sgd", {"dropout": 0.5, "batch_norm": "after_activation"}),
        ("rmsprop", EVERYTHING),
    ],
    ids=["adam, everything", "adam, nothing", "sgd", "rmsprop"],
)
def test_interrupted_after_every_epoch_it_ends_with_the_same_bits(
    make: Callable[..., Any], disk: Disk, tmp_path: Path, optimizer: str, params: dict[str, Any]
) -> None:
    (tmp_path / "whole").mkdir()
    expected = without_times(Disk(tmp_path / "whole").train(make(optimizer=optimizer), params))
    assert expected[0]["weights_sha256"] is not None
    for epochs in range(len(expected[1])):
        disk.interrupt(make(optimizer=optimizer), params, epochs)
        assert disk.files.checkpoints(7)[0].name == f"trial-7.{epochs + 1}.checkpoint"
    assert without_times(disk.train(make(optimizer=optimizer), params)) == expected
    assert disk.warnings == []


@pytest.mark.slow
def test_a_finalist_goes_on_with_the_split_that_its_seed_drew(
    make: Callable[..., Any], disk: Disk, tmp_path: Path
) -> None:
    (tmp_path / "whole").mkdir()
    fresh: dict[str, Any] = {"purpose": Purpose.CONFIRM, "seed": 5}
    expected = without_times(Disk(tmp_path / "whole").train(make(), EVERYTHING, **fresh))
    disk.interrupt(make(), EVERYTHING, 1, **fresh)
    assert without_times(disk.train(make(), EVERYTHING, **fresh)) == expected


@pytest.mark.slow
def test_no_epoch_is_trained_again(make: Callable[..., Any], disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    disk.interrupt(make(), EVERYTHING, 2)
    trained: list[int] = []
    from regsearch.search.training import loop

    order = loop.epoch_order
    monkeypatch.setattr(loop, "epoch_order", lambda *a: trained.append(a[2]) or order(*a))
    _, epochs = disk.train(make(), EVERYTHING)
    assert [metrics.epoch for metrics in epochs] == list(range(len(epochs)))
    assert trained == list(range(3, len(epochs)))


@pytest.mark.slow
def test_a_trainer_serves_other_trials_between(
    make: Callable[..., Any], disk: Disk, tmp_path: Path, whole: Any
) -> None:
    trainer = make()
    disk.interrupt(trainer, EVERYTHING, 1)
    (tmp_path / "other").mkdir()
    Disk(tmp_path / "other").train(trainer, {"dropout": 0.2, "batch_norm": "before_activation"})
    assert without_times(disk.train(trainer, EVERYTHING)) == whole


def test_the_weights_of_the_restored_epoch_are_kept(make: Callable[..., Any], disk: Disk, digits: Dataset) -> None:
    trainer = make()
    outcome, _ = disk.train(trainer, EVERYTHING)
    path = disk.files.weights(7)
    assert outcome.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    model = trainer.builder.network(Regularization.from_params(EVERYTHING))
    with np.load(path, allow_pickle=False) as weights:
        model.set_weights([weights[name] for name in weights.files])
    select = make_splits(digits, SPEC.data, 0).select
    hits = np.argmax(model.predict(digits.x_train[select], verbose=0), axis=1) == digits.y_train[select]
    assert hits.mean() == pytest.approx(outcome.select_accuracy)


# what follows is the same for all trainers


@pytest.fixture
def fake() -> fakes.FakeTrainer:
    return fakes.FakeTrainer(TrainerSetup(spec=SPEC, source="digits", sha256="0" * 64))


@pytest.fixture
def fake_whole(fake: fakes.FakeTrainer, tmp_path: Path) -> Any:
    (tmp_path / "whole").mkdir()
    return without_times(Disk(tmp_path / "whole").train(fake, {"l2": 1e-4}))


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def forge(path: Path) -> None:
    """Content that isn't ours, with its right SHA-256."""
    path.write_bytes(b"no archive" + hashlib.sha256(b"no archive").digest())


@pytest.mark.parametrize("harm", [damage, truncate, empty, forge])
@pytest.mark.parametrize("harmed", [1, 2])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    fake: fakes.FakeTrainer,
    disk: Disk,
    fake_whole: Any,
    harm: Callable[[Path], None],
    harmed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wait_for_each_checkpoint(monkeypatch.setattr)  # else a state may be passed over for the one that follows
    disk.interrupt(fake, {"l2": 1e-4}, 2)
    kept = disk.files.checkpoints(7)
    assert [path.name for path in kept] == ["trial-7.3.checkpoint", "trial-7.2.checkpoint"]
    for path in kept[:harmed]:
        harm(path)
    with disk.open() as checkpoints:
        state = checkpoints.latest()
    assert (state is None) if harmed == 2 else (state is not None and len(state.curve) == 2)
    assert len(disk.warnings) == harmed
    assert all("is damaged" in warning and "\n" not in warning for warning in disk.warnings)
    assert without_times(disk.train(fake, {"l2": 1e-4})) == fake_whole


def test_a_checkpoint_that_can_not_be_read_is_not_called_damaged(fake: fakes.FakeTrainer, disk: Disk) -> None:
    disk.interrupt(fake, {"l2": 1e-4}, 2)
    newest = disk.files.checkpoints(7)[0]
    newest.unlink()
    newest.mkdir()
    with disk.open() as checkpoints:
        checkpoints.latest()
    (warning,) = disk.warnings
    assert warning.startswith(f"its checkpoint {newest.name} can't be read (Is a directory); an earlier checkpoint")


def test_a_checkpoint_of_another_trial_is_not_taken(fake: fakes.FakeTrainer, disk: Disk, fake_whole: Any) -> None:
    """Another study, deleted since, may have had the same name and numbers."""
    with pytest.raises(Interrupted):
        disk.train(fake, {"l2": 1e-3}, "another trial", epochs=1)
    assert without_times(disk.train(fake, {"l2": 1e-4})) == fake_whole
    assert disk.warnings == []


def test_a_full_disk_is_said_once_and_the_trial_goes_on(
    fake: fakes.FakeTrainer, disk: Disk, fake_whole: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    outcome, epochs = without_times(disk.train(fake, {"l2": 1e-4}))
    assert outcome == {**fake_whole[0], "weights_sha256": None}
    assert epochs == fake_whole[1]
    assert len(disk.warnings) == 2  # its weights, its state
    assert all("No space left" in warning for warning in disk.warnings)
    assert list(disk.files.folder.glob("*.tmp")) == []


def test_training_does_not_wait_for_the_disk(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one state is written others come; the last of them is written next, and no other."""
    hold, written = threading.Event(), []
    write = checkpoints_module.write_durably

    def held(path: Path, content: bytes) -> None:
        assert hold.wait(60)
        written.append(path.name)
        write(path, content)

    monkeypatch.setattr(checkpoints_module, "write_durably", held)
    figures = EpochMetrics(
        epoch=0, train_loss=1.0, stop_loss=1.0, stop_cross_entropy=1.0, stop_accuracy=0.5, seconds=0.1
    )
    with disk.open() as checkpoints:
        for epochs in range(1, 6):
            checkpoints.save(TrainingCheckpoint(curve=(figures,) * epochs, stopping=EarlyStopping(patience=None)))
        hold.set()
    assert written[-1] == "trial-7.5.checkpoint"
    assert len(written) <= 2
