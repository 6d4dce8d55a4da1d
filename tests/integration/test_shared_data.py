"""The one copy of the data that a run's workers share: there while it is needed, and never needed to be there."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import fakes
import numpy as np
import pytest

from regsearch.search import api
from regsearch.search.data import load_dataset
from regsearch.search.data.shared import read_shared, shared
from regsearch.search.training.setup import TrainerSetup, load_data
from regsearch.search.workers.inline import InlineEngine
from regsearch.storage.location import location_of
from regsearch.storage.paths import data_folder
from regsearch.studies.study_file import read_study

DIGITS = load_dataset("digits")


@pytest.fixture
def seen() -> list[tuple[TrainerSetup, bool]]:
    """What workers were set up with, and whether the copy was there."""
    return []


@pytest.fixture
def engine(seen: list[tuple[TrainerSetup, bool]]) -> InlineEngine:
    def make(setup: TrainerSetup) -> Any:
        seen.append((setup, setup.shared is not None and load_data(setup).sha256 == setup.sha256))
        return fakes.FakeTrainer(setup)

    return InlineEngine(make)


def test_workers_are_given_the_copy_and_it_is_gone_after_the_run(
    storage: str, engine: InlineEngine, seen: list[tuple[TrainerSetup, bool]]
) -> None:
    api.run("smoke", storage=storage, engine=engine, trials=2)
    ((setup, was_there),) = seen
    assert was_there
    assert setup.shared == str(data_folder(location_of(storage), "smoke"))
    assert not Path(setup.shared).exists()


def test_where_no_copy_can_be_written_each_worker_reads_the_source(
    storage: str, engine: InlineEngine, seen: list[tuple[TrainerSetup, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def full(*_: object) -> Iterator[Path]:
        raise OSError(28, "No space left on device")
        yield

    monkeypatch.setattr("regsearch.search.run.run_study.shared", full)
    result = api.run("smoke", storage=storage, engine=engine, trials=2)
    assert result.answer.counts.finished == 2
    assert [setup.shared for setup, _ in seen] == [None]


def remove(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


def cut_off(folder: Path) -> None:
    file = folder / "x_train.npy"
    file.write_bytes(file.read_bytes()[:-1])


def flip_a_bit(folder: Path) -> None:
    file = folder / "x_train.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def falsify_the_labels(folder: Path) -> None:
    file = folder / "y_train.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 64
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [remove, cut_off, flip_a_bit, falsify_the_labels])
def test_a_copy_that_is_not_whole_is_not_used(damage: Callable[[Path], None], tmp_path: Path) -> None:
    with shared(DIGITS, tmp_path / "data") as folder:
        damage(folder)
        setup = TrainerSetup(spec=read_study("smoke"), source="digits", sha256=DIGITS.sha256, shared=str(folder))
        assert load_data(setup).sha256 == DIGITS.sha256


def test_what_a_killed_run_left_goes_with_the_study(storage: str, engine: InlineEngine) -> None:
    api.run("smoke", storage=storage, engine=engine, trials=1)
    left = data_folder(location_of(storage), "smoke")
    left.mkdir()
    (left / "x_train.npy").write_bytes(b"left")
    api.delete("smoke", storage=storage)
    assert not left.exists()


def test_who_was_overtaken_leaves_the_data_of_the_other(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with ExitStack() as overtaken:
        overtaken.enter_context(shared(DIGITS, folder))
        with shared(DIGITS, folder):
            overtaken.close()
            assert np.array_equal(read_shared(folder, "digits").x_train, DIGITS.x_train)
        assert not folder.exists()
