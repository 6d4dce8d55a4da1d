"""Data of the user's own, from the command line to the export: of any shape, as a file or as a folder."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from conftest import Command
from helpers import rows
from own_data import NAMES, idx, save, write_idx
from PIL import Image

from regsearch.search.data import load_dataset

SEARCH = """
import json, sys
import regsearch
for source in json.loads(sys.argv[1]):
    for trainer in ("compiled", "keras"):
        regsearch.run("smoke", data=source, name=f"{source}-{trainer}", trials=1, engine="inline", confirm=False,
                   checkpoints="snapshots", progress=regsearch.Progress(), settings=[
                       f"training.trainer={trainer}", "training.max_epochs=2", 'search.recipes=["course"]',
                       "data.train_size=40", "data.stop_fraction=0.2", "data.select_fraction=0.2"])
"""
SHAPES = {"features": (6,), "coloured": (5, 4, 3), "pets": (5, 4, 3), "fashion": (5, 4)}
CLASSES = {"features": 2, "coloured": 5, "pets": 3, "fashion": 3}


def patterns(count: int, shape: tuple[int, ...], classes: int) -> tuple[Any, Any]:
    """Noise, brighter from class to class, in (count, *shape), and the labels."""
    labels = np.arange(count) % classes
    noise = np.random.default_rng(0).integers(0, 60, (count, *shape))
    return (noise + (labels * 190 // (classes - 1)).reshape(-1, *[1] * len(shape))).astype(np.uint8), labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data of each kind, on which both trainers really trained."""
    folder = tmp_path_factory.mktemp("own")
    for name in ("features", "coloured"):
        x, y = patterns(150, SHAPES[name], CLASSES[name])
        x = x / 100 - 1 if name == "features" else x
        np.savez(folder / f"{name}.npz", x_train=x[:100], y_train=y[:100], x_test=x[100:], y_test=y[100:])
    for number, (image, label) in enumerate(zip(*patterns(120, SHAPES["pets"], 3), strict=True)):
        path = folder / "pets" / ("ant", "bee", "cat")[label] / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    (folder / "fashion").mkdir()
    x, y = patterns(150, SHAPES["fashion"], 3)
    for key, array in (("x_train", x[:100]), ("y_train", y[:100]), ("x_test", x[100:]), ("y_test", y[100:])):
        (folder / "fashion" / f"{NAMES[key]}.gz").write_bytes(gzip.compress(idx(array.astype(np.uint8))))
    (folder / "snapshots").mkdir()
    sources = ["features.npz", "coloured.npz", "pets", "fashion"]
    done = subprocess.run(
        [sys.executable, "-c", SEARCH, json.dumps(sources)], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", SHAPES)
def test_both_trainers_search_it_and_agree(folder: Path, name: str) -> None:
    source = f"{name}.npz" if (folder / f"{name}.npz").exists() else name
    compiled, keras_ = (rows(f"sqlite:///{folder}/regsearch.db", f"{source}-{t}") for t in ("compiled", "keras"))
    assert [row["state"] for row in compiled] == [row["state"] for row in keras_] == ["complete"]
    for ours, theirs in zip(compiled, keras_, strict=True):
        assert ours["params"] == theirs["params"]
        assert ours["curve"] == [pytest.approx(epoch, rel=1e-4) for epoch in theirs["curve"]]
    for trainer in ("compiled", "keras"):
        snapshot = next((folder / "snapshots" / f"{source}-{trainer}").glob("*.keras"))
        model = keras.models.load_model(snapshot)
        assert model.input_shape == (None, *SHAPES[name])
        assert model.output_shape == (None, CLASSES[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["features.npz", "pets"])
def test_it_is_exported_with_a_script_that_runs(
    folder: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    command = Command(folder)
    done = command("export", f"{name}-compiled", "--output", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    dataset = load_dataset(str(folder / name))
    model = keras.models.load_model(tmp_path / "out" / "model.keras")
    assert model(dataset.x_test).shape == (dataset.n_test, dataset.class_count)
    document = json.loads((tmp_path / "out" / "configuration.json").read_text())
    assert document["data"]["input_shape"] == list(dataset.x_train.shape[1:])
    assert document["data"]["class_names"] == (["ant", "bee", "cat"] if name == "pets" else [])
    run = subprocess.run(
        [sys.executable, "-I", "model.py"], cwd=tmp_path / "out", capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "test accuracy" in run.stdout


@pytest.mark.slow
def test_a_folder_that_changed_is_other_data(folder: Path, tmp_path: Path) -> None:
    images = folder / "pets" / "ant"
    added = images / "new.png"
    save(added, 3)
    try:
        done = Command(folder)("resume", "pets-compiled", "--trials", "3", "--engine", "inline")
    finally:
        added.unlink()
    assert (done.returncode, done.stdout) == (2, "")
    assert "was started on other data" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_that_test_rows_were_held_out_is_said(folder: Path) -> None:
    done = Command(folder)("resume", "pets-compiled", "--engine", "inline", "--no-confirm")
    assert done.returncode == 0, done.stderr
    assert "so 24 of its 120 images are the test set. This stratified fifth is always the same." in done.stderr


FAULTS = {
    "pets/ant": "has 0 sub-directories with images",
    "broken.npz": "can't read",
    "cut/train-images-idx3-ubyte": "is damaged|is cut off",
    "sizes": "must all have the same size",
    "nowhere/at/all": "there is no such file",
}


@pytest.mark.slow
@pytest.mark.parametrize("source", FAULTS)
def test_a_fault_is_one_line_and_exit_2_of_run_and_of_doctor(folder: Path, source: str) -> None:
    if source == "broken.npz":
        (folder / source).write_bytes((folder / "coloured.npz").read_bytes()[:-40])
    if source.startswith("cut"):
        path = write_idx(folder / "cut") / NAMES["x_train"]
        path.write_bytes(path.read_bytes()[:-1])
    if source == "sizes":
        for name in ("a", "b"):
            save(folder / "sizes" / name / "0.png", 1)
            save(folder / "sizes" / name / "1.png", 1, size=(9, 9))
    command = Command(folder)
    done = command("run", "smoke", "--data", source, "--name", "new")
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert any(part in done.stderr for part in FAULTS[source].split("|")), done.stderr
    said = command("doctor", "--data", source)
    assert said.returncode == 2
    assert f"BAD  data: {done.stderr.removeprefix('regsearch: ').strip()}" in said.stdout.splitlines()


@pytest.mark.slow
def test_doctor_says_what_the_data_are(folder: Path) -> None:
    command = Command(folder)
    done = command("doctor", "--data", "pets", "--set", "data.image_size=[2, 3]")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for line in (
        f"in {folder}/pets",
        "ok   data rows: shape (2, 3, 3); uint8",
        "ok   data classes: 3 (training/test examples of ant: 32/8, bee: 32/8, cat: 32/8)",
        "ok   data test examples: it has no sub-directories train and test, so 24 of its 120",
        "ok   data splits: train 76, stop 10, select 10, test 24",
        "WARN data select rows: the selection split has only 10 examples",
    ):
        assert any(line in said for said in lines), line
    document = json.loads(command("doctor", "--json", "--data", "features.npz").stdout)
    assert document["data rows"]["finding"].startswith("shape (6,); float32, which networks take as they are")
    assert not document["data select rows"]["ok"]


@pytest.mark.slow
def test_doctor_knows_built_in_data_and_fetches_none(regsearch: Command, tmp_path: Path) -> None:
    nothing = {"REGSEARCH_MNIST": "", "KERAS_HOME": str(tmp_path)}
    for source in ("digits", "auto"):
        done = regsearch("doctor", "--data", source, **nothing)
        assert done.returncode == 0, done.stderr
        assert "ok   data splits: train 1,149, stop 144, select 144, test 360" in done.stdout
    done = regsearch("doctor", "--data", "mnist", **nothing)
    assert (done.returncode, "BAD  data: MNIST is not here" in done.stdout) == (2, True)
    assert "digits" not in done.stdout  # `run --data mnist` doesn't use them
    done = regsearch("doctor", "--set", "data.image_size=[2, 3]", **nothing)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "--set can only be used with --data. Give --data, too." in done.stderr
