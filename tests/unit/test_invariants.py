"""What all fault tests lean on notices each kind of harm; else their silence would mean nothing."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import fakes
import invariants
import pytest
from helpers import folder_in_memory

from regsearch.search import api
from regsearch.search.workers.inline import InlineEngine
from regsearch.storage import paths, study_lock
from regsearch.storage.location import location_of

UNPRUNED = ["search.pruner=none", "search.pruner_options={}"]


def run(storage: str) -> None:
    api.run("smoke", storage=storage, engine=InlineEngine(fakes.FakeTrainer), settings=UNPRUNED)


@pytest.fixture(scope="module")
def sound() -> Iterator[Path]:
    """The folder of a study to which nothing has happened."""
    with folder_in_memory() as folder:
        run(f"sqlite:///{folder}/test.db")
        yield folder


@pytest.fixture
def storage(sound: Path, tmp_path: Path) -> str:
    """The URL of a copy."""
    shutil.copytree(sound, tmp_path / "copy")
    return f"sqlite:///{tmp_path}/copy/test.db"


def change(storage: str, statement: str) -> None:
    with closing(sqlite3.connect(location_of(storage))) as connection, connection:
        assert connection.execute(statement).rowcount > 0


def kinds(storage: str, reader: invariants.Reader | None = None) -> set[str]:
    return {found.kind for found in invariants.violations(storage, reader=reader, is_fake=True)}


def test_of_a_sound_study_nothing_is_said(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/test.db"
    reader = invariants.Reader(storage)
    reader.look()  # there is nothing yet
    with reader.looking():
        run(storage)
    invariants.check(storage, reader=reader, is_fake=True)
    assert reader.finished == 6


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("delete from trial_intermediate_values where trial_id = 2 and step = 1", "wrong"),
        ("delete from regsearch_epochs where number = 2 and epoch = 2", "lost"),
        ("delete from regsearch_trials where number = 5", "changed"),
        ("update trials set number = 3 where number = 4", "duplicated"),
        ("update trials set datetime_complete = '2001-01-01 00:00:00.000000' where number = 4", "changed"),
        ("update trials set state = 'RUNNING' where number = 4", "wrong"),
        ("update trials set state = 'FAIL' where number = 4", "changed"),
        (
            "update trial_values set value = value * (1 + 1e-15) where trial_id = (select min(trial_id) from trials)",
            "wrong",
        ),
        ("update trial_params set param_value = 0 where param_name = 'regularizer' and param_value <> 0", "changed"),
        ("update regsearch_epochs set stop_loss = stop_loss * (1 + 1e-15) where number = 3", "changed"),
        ("update regsearch_trials set select_accuracy = 0.5 where number = 1", "wrong"),
        ("update regsearch_studies set spec = replace(spec, '\"trials\":6', '\"trials\":7')", "wrong"),
        ("update trials set study_id = 99 where number = 1", "damaged"),
    ],
)
def test_rows_that_changed_are_noticed(storage: str, statement: str, kind: str) -> None:
    reader = invariants.Reader(storage)
    reader.look()
    change(storage, statement)
    assert kind in kinds(storage, reader)


@pytest.mark.parametrize("name", ["trial-3.1.checkpoint", "trial-3.ended", "trial-3.weights.npz.9.tmp"])
def test_files_that_are_left_are_noticed(storage: str, name: str) -> None:
    (paths.trials_folder(location_of(storage), "smoke") / name).touch()
    assert kinds(storage) == {"left"}


def test_other_weights_than_those_of_the_database_are_noticed(storage: str) -> None:
    next(paths.trials_folder(location_of(storage), "smoke").glob("*.npz")).write_bytes(b"other")
    assert kinds(storage) == {"left"}


def test_a_copy_of_the_data_and_a_held_lock_are_noticed(storage: str) -> None:
    paths.data_folder(location_of(storage), "smoke").mkdir()
    with study_lock.StudyLock(location_of(storage), "smoke"):
        assert len(invariants.violations(storage)) == 2


@pytest.fixture(scope="module")
def sound_and_confirmed() -> Iterator[Path]:
    """The folder of a study that was confirmed too."""
    with folder_in_memory() as folder:
        run(f"sqlite:///{folder}/test.db")
        api.confirm("smoke", storage=f"sqlite:///{folder}/test.db", seeds=3, engine=InlineEngine(fakes.FakeTrainer))
        yield folder


@pytest.fixture
def confirmed(sound_and_confirmed: Path, tmp_path: Path) -> str:
    """The URL of a copy."""
    shutil.copytree(sound_and_confirmed, tmp_path / "confirmed")
    return f"sqlite:///{tmp_path}/confirmed/test.db"


def test_of_a_sound_confirmation_nothing_is_said(confirmed: str) -> None:
    assert kinds(confirmed, invariants.Reader(confirmed)) == set()


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("delete from regsearch_test_looks where finalist = 1 and seed = 1", {"lost", "wrong"}),
        ("update regsearch_test_looks set accuracy = 0.5 where finalist = 1 and seed = 1", {"changed"}),
        ("update regsearch_confirmations set state = 'running' where finalist = 1 and seed = 1", {"lost", "wrong"}),
        ("delete from regsearch_confirmation_epochs where finalist = 1 and seed = 1 and epoch = 0", {"lost", "wrong"}),
    ],
)
def test_rows_of_a_confirmation_that_changed_are_noticed(confirmed: str, statement: str, found: set[str]) -> None:
    reader = invariants.Reader(confirmed)
    reader.look()
    change(confirmed, statement)
    assert kinds(confirmed, reader) - {"left"} == found


@pytest.mark.parametrize("name", ["finalist-1999.weights.npz", "finalist-1.1.checkpoint", "finalist-1.ended"])
def test_files_that_a_confirmation_left_are_noticed(confirmed: str, name: str) -> None:
    (paths.trials_folder(location_of(confirmed), "smoke") / name).touch()
    assert kinds(confirmed) == {"left"}
