"""An exported trial: the model predicts as the trial did, its script runs by itself, and no folder is half written."""

import ast
import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakes
import keras
import numpy as np
import pytest
from conftest import Command
from helpers import rows
from own_data import save, write_idx, write_images

from regsearch.search import api
from regsearch.search.data import load_dataset
from regsearch.search.data.arrays import Dataset
from regsearch.search.data.splits import make_splits
from regsearch.search.export import folder as export_folder
from regsearch.search.export.configuration import TrainedConfiguration, export_configuration
from regsearch.search.export.folder import ExportedFile
from regsearch.search.export.hypermodel_script import hypermodel_script
from regsearch.search.export.keras_script import ScriptData, keras_script
from regsearch.search.result import RunResult
from regsearch.search.training.builtin.network import RegularizedNetwork
from regsearch.search.workers.inline import InlineEngine
from regsearch.storage.queries import get_study, kept_weights, list_trials
from regsearch.studies.analysis.conclusion import Conclusion, Finalist, FinalistResult, Gain
from regsearch.studies.configuration import Regularization
from regsearch.studies.errors import InputError, NoResultError
from regsearch.studies.records import DatasetInfo
from regsearch.studies.search_space import LEARNING_RATE
from regsearch.studies.spec import StudySpec
from regsearch.studies.statistics import Interval
from regsearch.studies.study_file import read_study

OURS = ["configuration.json", "model-card.md", "model.keras", "model.py"]
LEARNS = [
    "--set", "data.train_size=1000", "--set", "training.max_epochs=8", "--set", "search.pruner=none",
    "--set", "search.pruner_options={}", "--set", 'space.regularizer=["none", "l2"]', "--set", "space.l2.high=1e-4",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study `smoke` of two trials, really trained, and its best one exported to `out`."""
    folder = tmp_path_factory.mktemp("trained")
    command = Command(folder)
    done = command("run", "smoke", "--trials", "2", "--quiet", "--workers", "1", *LEARNS)
    assert done.returncode == 0, done.stderr
    done = command("export", "smoke", "--output", "out")
    assert (done.returncode, done.stderr) == (0, "")  # nothing of TensorFlow's
    (folder / "said").write_text(done.stdout)
    return folder


@pytest.fixture
def database(folder: Path) -> str:
    return f"sqlite:///{folder}/regsearch.db"


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


def best(storage: str) -> dict[str, Any]:
    return min((row for row in rows(storage) if row["state"] == "complete"), key=lambda row: row["value"])


@pytest.mark.slow
def test_the_files_are_those_that_were_said(folder: Path, database: str) -> None:
    said = (folder / "said").read_text().splitlines()
    assert said[0].startswith("Data: digits")
    assert said[1] == f"Exported trial {best(database)['number']} of smoke:"
    found = dict(reversed(line.split("  sha256 ")) for line in said[2:])
    assert sorted(Path(path).name for path in found.values()) == OURS
    assert sorted(path.name for path in (folder / "out").iterdir()) == OURS
    for digest, path in found.items():
        assert hashlib.sha256(Path(path).read_bytes()).hexdigest() == digest
    assert [path.name for path in folder.iterdir() if path.name.endswith(".tmp")] == []


@pytest.mark.slow
def test_the_model_predicts_as_the_trial_did(folder: Path, database: str, digits: Dataset) -> None:
    row = best(database)
    model = keras.models.load_model(folder / "out" / "model.keras")
    with api.reading(database) as opened:
        study = get_study(opened, "smoke")
        trial = next(trial for trial in list_trials(opened, study) if trial.number == row["number"])
        weights = kept_weights(opened, study, trial)
    assert weights is not None
    with np.load(weights) as file:
        kept = [file[name] for name in file.files]
    assert all(np.array_equal(one, other) for one, other in zip(model.get_weights(), kept, strict=True))
    select = make_splits(digits, study.spec.data, 0).select
    loss, accuracy = model.evaluate(digits.x_train[select], digits.y_train[select], verbose=0)
    penalty = float(sum(model.losses)) if model.losses else 0.0
    assert loss - penalty == pytest.approx(row["metrics"]["select_cross_entropy"], rel=1e-5)
    assert accuracy == pytest.approx(row["metrics"]["select_accuracy"])


@pytest.mark.slow
def test_the_script_runs_by_itself_and_comes_near_the_model(folder: Path, tmp_path: Path, digits: Dataset) -> None:
    (tmp_path / "alone").mkdir()
    script = (folder / "out" / "model.py").read_text()
    assert not re.search(r"^(?:import|from) (?:search|storage|studies)", script, re.MULTILINE)
    (tmp_path / "alone" / "model.py").write_text(script)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "REGSEARCH"))}
    done = subprocess.run(
        [sys.executable, "-I", "model.py"], cwd=tmp_path / "alone", env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = re.search(r"^test accuracy (\d\.\d{4})$", done.stdout, re.MULTILINE)
    assert said is not None
    model = keras.models.load_model(folder / "out" / "model.keras")
    hits = np.argmax(keras.ops.convert_to_numpy(model(digits.x_test)), axis=1) == digits.y_test
    assert hits.mean() > 0.7
    assert float(said[1]) == pytest.approx(hits.mean(), abs=0.08)
    assert [path.name for path in (tmp_path / "alone").iterdir()] == ["model.py"]


@pytest.mark.slow
def test_settings_and_card_say_what_it_is(folder: Path, database: str) -> None:
    row = best(database)
    document = json.loads((folder / "out" / "configuration.json").read_text())
    assert document["params"] == row["params"]
    assert document["figures"]["select_cross_entropy"] == row["value"]
    assert StudySpec.from_json(json.dumps(document["spec"])).fingerprint() == document["spec_fingerprint"]
    assert document["confirmed"] is None
    for name, digest in document["files"].items():
        assert hashlib.sha256((folder / "out" / name).read_bytes()).hexdigest() == digest
    card = (folder / "out" / "model-card.md").read_text()
    assert "This configuration is not confirmed: it was not trained on fresh seeds" in card
    assert document["data"]["sha256"] in card
    assert str(Regularization.from_params(row["params"])) in card


@pytest.mark.slow
def test_a_trial_whose_weights_are_gone_is_trained_again_to_the_same_bits(
    folder: Path, database: str, tmp_path: Path
) -> None:
    number = best(database)["number"]
    copy = tmp_path / "copy.db"
    copy.write_bytes((folder / "regsearch.db").read_bytes())  # and not the folder beside it
    done = Command(tmp_path)("export", "smoke", "--output", "again", "--trial", str(number), "--storage",
                             f"sqlite:///{copy}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"the weights of trial {number} are not kept: it is trained again" in done.stderr
    assert "weights differ" not in done.stderr
    one, two = (json.loads((path / "configuration.json").read_text()) for path in (folder / "out", tmp_path / "again"))
    assert one["weights_sha256"] == two["weights_sha256"] == best(database)["weights"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["smoke"], 2, "--output"),
        (["absent", "--output", "new"], 2, "has no study called"),
        (["smoke", "--output", "new", "--trial", "99"], 2, "smoke has no trial 99"),
        (["smoke", "--output", "new", "--trial", "-1"], 2, "smoke has no trial -1"),
        (["smoke", "--output", "out"], 2, "is not empty"),
        (["smoke", "--output", "said"], 2, "is not a directory"),
        (["smoke", "--output", "nowhere/at/all"], 2, "there is no directory"),
        (["smoke", "--output", "a" * 300], 2, "File name too long"),
        (["smoke", "--output", "/proc/new"], 2, "can't write the export"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(folder: Path, arguments: list[str], code: int, message: str) -> None:
    before = {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}
    done = Command(folder)("export", *arguments)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("regsearch: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")} == before


# what follows needs no trial that was really trained

Search = Callable[..., RunResult]


def test_only_a_complete_trial_can_be_exported(
    search: Search, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAULTS", '{"0": "diverge"}')
    search(trials=1)
    with pytest.raises(NoResultError, match="no trial of smoke is complete yet"):
        api.export("smoke", tmp_path / "new", storage=storage)
    with pytest.raises(InputError, match=r"trial 0 of smoke is failed\. Only a complete trial"):
        api.export("smoke", tmp_path / "new", trial=0, storage=storage)
    number, _ = api.enqueue("smoke", ["dropout=off"], storage=storage)
    with pytest.raises(InputError, match="trial 1 of smoke is waiting"):
        api.export("smoke", tmp_path / "new", trial=number, storage=storage)
    assert not (tmp_path / "new").exists()


@pytest.fixture
def given(tmp_path: Path, digits: Dataset) -> dict[str, Any]:
    """The fields of a `TrainedConfiguration`: an untrained network."""
    spec = read_study("smoke")
    params = {"regularizer": "l2", "l2": 1e-4, "batch_norm": "after_activation", "use_dropout": True, "dropout": 0.25}
    model = RegularizedNetwork.of(spec, digits, 0).network(Regularization.from_params(params))
    np.savez(tmp_path / "weights.npz", *model.get_weights())
    return {
        "spec": spec,
        "dataset": digits,
        "info": DatasetInfo(name="digits", source="digits", sha256=digits.sha256, n_train=1437, n_test=360),
        "params": params,
        "seed": 2**40,
        "weights": tmp_path / "weights.npz",
        "weights_sha256": hashlib.sha256((tmp_path / "weights.npz").read_bytes()).hexdigest(),
        "origin": "the winner on seed 1",
    }


def export(folder: Path, fields: dict[str, Any], *, force: bool = False) -> tuple[ExportedFile, ...]:
    return export_configuration(folder, TrainedConfiguration(**fields), force=force)


def test_force_replaces_our_files_and_no_others(given: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    (out / "model.keras").write_text("old")
    with pytest.raises(InputError, match="is not empty"):
        export(out, given)
    assert (out / "model.keras").read_text() == "old"
    files = export(out, given, force=True)
    assert sorted(path.name for path in out.iterdir()) == sorted([*OURS, "thesis.txt"])
    assert (out / "thesis.txt").read_text() == "mine"
    assert [hashlib.sha256(file.path.read_bytes()).hexdigest() for file in files] == [file.sha256 for file in files]
    keras.models.load_model(out / "model.keras")


def test_an_empty_folder_may_be_there(given: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    export(tmp_path / "out", given)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == OURS


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("is_there", [False, True])
def test_an_export_that_is_cut_off_does_not_look_whole(
    given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, is_there: bool
) -> None:
    """Whenever it is ended: no folder, or one whose configuration.json is missing or has the right digests."""
    out = tmp_path / "out"
    if is_there:
        export(out, {**given, "params": given["params"] | {"dropout": 0.5}})
    left, replace, rename = at, os.replace, os.rename

    def counted(function: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            function(*arguments)

        return call

    monkeypatch.setattr(export_folder.os, "replace", counted(replace))
    monkeypatch.setattr(export_folder.os, "rename", counted(rename))
    try:
        export(out, given, force=is_there)
    except KeyboardInterrupt:
        assert is_there or not out.exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")] == []
    if (out / "configuration.json").exists():
        for name, digest in json.loads((out / "configuration.json").read_text())["files"].items():
            assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest


def test_weights_that_are_not_those_are_refused(given: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="are damaged"):
        export(tmp_path / "out", {**given, "weights_sha256": "0" * 64})
    with pytest.raises(InputError, match="can't read the weights"):
        export(tmp_path / "out", {**given, "weights": tmp_path / "absent.npz"})
    with pytest.raises(InputError, match="belong to another network") as error:
        export(tmp_path / "out", {**given, "params": {"batch_norm": "none"}})
    assert "\n" not in str(error.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["weights.npz"]


def test_a_confirmed_one_says_its_test_result_with_its_interval(given: dict[str, Any], tmp_path: Path) -> None:
    def interval(mean: float) -> Interval:
        return Interval(mean=mean, low=mean - 0.01, high=mean + 0.01, level=0.95)

    finalist = FinalistResult(
        finalist=Finalist(index=0, params=given["params"], roles=("top 1",), trial=3, look=1),
        select_cross_entropy=0.08,
        select_accuracy=0.97,
        train_cross_entropy=0.02,
        test_cross_entropy=interval(0.0812),
        test_accuracy=interval(0.9765),
        gain=Gain(cross_entropy=interval(0.002), accuracy=interval(0.004)),
        best_epochs=(3, 4),
        epochs=(5, 6),
        is_tied=False,
    )
    conclusion = Conclusion(
        winner=finalist, baseline=finalist, results=(finalist,), failed=(), techniques=(), claims_gain=True, level=0.95,
        seeds=5, select_rows=144, test_rows=360, looks=2, evaluations=10, by_accuracy=False,
    )  # fmt: skip
    export(tmp_path / "out", {**given, "conclusion": conclusion, "finalist": finalist})
    card = (tmp_path / "out" / "model-card.md").read_text()
    assert "This configuration was trained on 5 fresh seeds. On the 360 examples of the test set:" in card
    assert "a gain of 0.00200 (95 % interval −0.00800 to 0.01200) in cross-entropy" in card
    assert "and of 0.40 percentage points (95 % interval −0.60 to 1.40) in accuracy" in card
    assert "test accuracy 97.65 % (95 % interval 96.65 to 98.65 %)" in card
    assert "The test set was used 2 times" in card
    assert "not confirmed" not in card
    document = json.loads((tmp_path / "out" / "configuration.json").read_text())
    assert document["confirmed"]["test_accuracy"]["low"] == pytest.approx(0.9665)


@pytest.mark.parametrize(("key", "momentum"), [("derived", 0.92), (0.99, 0.99)])
def test_an_export_says_which_momentum_its_averages_have(
    given: dict[str, Any], tmp_path: Path, key: Any, momentum: float
) -> None:
    given["spec"] = given["spec"].changed(model={"batch_norm_momentum": key}, data={"train_size": 1149})
    export(tmp_path / "out", given)
    assert json.loads((tmp_path / "out" / "configuration.json").read_text())["batch_norm_momentum"] == momentum
    layers = keras.models.load_model(tmp_path / "out" / "model.keras").layers
    assert [layer.momentum for layer in layers if isinstance(layer, keras.layers.BatchNormalization)] == [momentum]
    card, script = ((tmp_path / "out" / name).read_text() for name in ("model-card.md", "model.py"))
    is_derived = key == "derived"
    assert ("BatchNorm's moving averages have the momentum 0.92, derived from 36 steps an epoch" in card) is is_derived
    assert ("BatchNormalization(momentum=0.92)" if is_derived else "BatchNormalization()") in script


def test_an_export_without_batch_norm_has_no_momentum(given: dict[str, Any], tmp_path: Path, digits: Dataset) -> None:
    given["params"] = {"regularizer": "none", "batch_norm": "none"}
    model = RegularizedNetwork.of(given["spec"], digits, 0).network(Regularization())
    np.savez(given["weights"], *model.get_weights())
    given["weights_sha256"] = hashlib.sha256(given["weights"].read_bytes()).hexdigest()
    export(tmp_path / "out", given)
    assert json.loads((tmp_path / "out" / "configuration.json").read_text())["batch_norm_momentum"] is None
    assert "momentum" not in (tmp_path / "out" / "model-card.md").read_text()


def test_an_export_has_the_learning_rate_of_its_trial(given: dict[str, Any], tmp_path: Path) -> None:
    given["params"] = {**given["params"], LEARNING_RATE: 5e-4}
    export(tmp_path / "out", given)
    assert float(keras.models.load_model(tmp_path / "out" / "model.keras").optimizer.learning_rate) == np.float32(5e-4)
    card, script, configuration = (
        (tmp_path / "out" / name).read_text() for name in ("model-card.md", "model.py", "configuration.json")
    )
    assert "adam, learning rate 0.0005, batches" in card
    assert "optimizer=keras.optimizers.Adam(0.0005)," in script
    assert json.loads(configuration)["regularization"].endswith("learning rate 0.0005")


@pytest.mark.parametrize(("momentum", "line"), [(0.652, "hp.batch_norm_momentum = 0.652  #"), (0.99, ""), (None, "")])
def test_a_hypermodels_script_has_the_momentum_that_its_network_needs(momentum: float | None, line: str) -> None:
    script = hypermodel_script("A title.", "hypermodel", "build", {"units": 3}, (8, 8), momentum)
    ast.parse(script)
    assert line in script
    assert ("batch_norm_momentum" in script) is bool(line)


NETS = [
    ({"hidden": (140,)}, {}, {}),
    ({"hidden": (8, 16, 16), "activation": "tanh"}, {"l1": 1e-5, "batch_norm": "before_activation", "patience": 3}, {}),
    (
        {"hidden": (12, 8), "activation": "elu", "apply_to": "all"},
        {"l1": 1e-7, "l2": 2e-3, "dropout": 0.1, "batch_norm": "after_activation"},
        {"optimizer": "sgd", "learning_rate": 0.05},
    ),
    ({"hidden": (9,) * 5, "apply_to": "all"}, {"l2": 1e-4, "batch_norm": "before_activation", "dropout": 0.5},
     {"optimizer": "rmsprop", "batch_size": 128}),
]  # fmt: skip


@pytest.mark.parametrize(("model", "params", "training"), NETS)
def test_the_script_builds_the_network_of_the_trial(
    model: dict[str, Any], params: dict[str, Any], training: dict[str, Any], digits: Dataset
) -> None:
    spec = StudySpec().changed(model=model, training=training)
    data = ScriptData(source="mnist", input_shape=(28, 28), class_count=10, has_bytes=True, n_train=1149, n_stop=10)
    script = keras_script("A title.", spec, data, Regularization.from_params(params), 0)
    expected = RegularizedNetwork.of(spec, digits, 0).network(Regularization.from_params(params))
    tree = ast.parse(script)
    building = [node for node in tree.body if ast.unparse(node).startswith(("import keras", "model = ", "model.comp"))]
    names: dict[str, Any] = {}
    exec(compile(ast.Module(building, []), "model.py", "exec"), names)
    built = names["model"]
    for network in (expected, built):
        random = np.random.default_rng(0)
        network.set_weights([random.random(weight.shape) / 10 for weight in network.get_weights()])
    x = digits.x_test[:50]
    assert np.allclose(built(x), expected(x), rtol=1e-5, atol=1e-5)
    assert float(sum(built.losses)) == pytest.approx(float(sum(expected.losses)))
    assert [getattr(layer, "rate", None) for layer in built.layers if "Dropout" in type(layer).__name__] == [
        getattr(layer, "rate", None) for layer in expected.layers if "Dropout" in type(layer).__name__
    ]
    momenta = [
        [layer.momentum for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
        for network in (built, expected)
    ]
    assert momenta[0] == momenta[1]
    assert type(built.optimizer) is type(expected.optimizer)
    assert float(built.optimizer.learning_rate) == float(expected.optimizer.learning_rate)
    stopping = re.search(r"EarlyStopping\(patience=(\d+), restore_best_weights=True\)", script)
    assert (None if stopping is None else int(stopping[1])) == params.get("patience")
    assert f"epochs={spec.training.max_epochs}," in script
    assert max(len(line) for line in script.splitlines()) <= 120


@pytest.mark.parametrize(
    "name",
    ['a"""b.npz', "it's\n__import__('os').abort()\n.npz", "\\.npz", "trailing\\", "\udcff\u202e☃.npz", "{x}.npz"],
)
def test_whatever_a_path_or_a_title_is_like_the_script_only_quotes_it(name: str) -> None:
    data = ScriptData(
        source=name if name.endswith(".npz") else "digits",
        input_shape=(6, 5),
        class_count=3,
        has_bytes=False,
        n_train=20,
        n_stop=4,
    )
    script = keras_script(f"Of {name}", StudySpec(), data, Regularization(), 2**63 - 1)
    tree = ast.parse(script.encode())
    assert "Of " in (ast.get_docstring(tree) or "")
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert not calls & {"__import__", "__import__('os').abort"}
    if name.endswith(".npz"):
        assert name in [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert "Rescaling" not in script


@pytest.mark.slow
def test_a_script_on_a_file_and_one_on_mnist_run(tmp_path: Path) -> None:
    """MNIST's loader is put in the place of Keras's, which would ask the network."""
    random = np.random.default_rng(0)
    labels = np.arange(90) % 3
    images = (random.random((90, 6, 5)) * 100 + labels[:, None, None] * 70).astype(np.uint8)
    path = tmp_path / 'it\'s "own".npz'
    np.savez(path, x_train=images, y_train=labels, x_test=images[:30], y_test=labels[:30])
    spec = StudySpec().changed(model={"hidden": (4,)}, training={"max_epochs": 1})
    environment = {name: value for name, value in os.environ.items() if name != "REGSEARCH_MNIST"}
    for source, load, variables in (
        (str(path), "None", {}),
        ("mnist", "lambda: ((data['x_train'], data['y_train']), (data['x_test'], data['y_test']))", {}),
        ("mnist", "None", {"REGSEARCH_MNIST": str(path)}),
    ):
        data = ScriptData(source=source, input_shape=(6, 5), class_count=3, has_bytes=True, n_train=60, n_stop=15)
        (tmp_path / "model.py").write_text(keras_script("A title.", spec, data, Regularization(patience=1), 0))
        run = (
            "import keras, runpy, numpy as np\n"
            f"data = np.load({str(path)!r})\n"
            f"keras.datasets.mnist.load_data = {load}\n"
            f"runpy.run_path({str(tmp_path / 'model.py')!r})\n"
        )
        done = subprocess.run(
            [sys.executable, "-I", "-c", run],
            capture_output=True,
            text=True,
            check=False,
            env={**environment, **variables},
        )
        assert done.returncode == 0, done.stderr
        assert "test accuracy " in done.stdout


@pytest.mark.parametrize(
    ("kind", "mode", "size"),
    [
        ("idx", "L", None),
        *itertools.product(("classes", "parts"), ("L", "RGB"), (None, (3, 7))),
    ],
)
def test_a_script_on_a_folder_loads_the_rows_that_were_searched(
    tmp_path: Path, kind: Any, mode: str, size: tuple[int, int] | None
) -> None:
    folder = tmp_path / "it's {mine}"
    if kind == "idx":
        write_idx(folder, pack=True)
        source = str(folder / "t10k-images-idx3-ubyte.gz")
    else:
        source = str(folder)
        for part in ("train", "test") if kind == "parts" else (".",):
            write_images(folder / part, mode=mode, classes=("cat", "dog", "emu"))
            write_images(folder / part, rows=13, mode=mode, classes=("dog",))
            save(folder / part / ".hidden" / "0.png", 1)
            save(folder / part / "dog" / ".hidden" / "0.png", 1)
            for label, name in enumerate(("06.PNG", "06/a.png")):  # a file of a folder comes after those beside it
                save(folder / part / "emu" / name, 90 + label, mode)
    dataset = load_dataset(source, size)
    data = ScriptData(source=str(folder), kind=kind, input_shape=dataset.x_train.shape[1:],
                      class_count=dataset.class_count, has_bytes=True, n_train=16, n_stop=4)  # fmt: skip
    script = keras_script("A title.", StudySpec(), data, Regularization(), 0)
    assert max(len(line) for line in script.splitlines() if str(tmp_path) not in line) <= 120
    assert_loads(script, dataset)


def assert_loads(script: str, dataset: Dataset) -> None:
    """The script's own code loads exactly the examples of the data set."""
    loading, _, rest = script.partition("keras.utils.set_random_seed")
    assert rest
    loaded: dict[str, Any] = {}
    exec(compile(loading, "model.py", "exec"), loaded)
    for name in ("x_train", "y_train", "x_test", "y_test"):
        assert np.array_equal(loaded[name], getattr(dataset, name)), name
    assert loaded["x_test"].dtype == dataset.x_test.dtype


def test_a_script_on_the_digits_has_the_test_examples_of_the_study(digits: Dataset) -> None:
    data = ScriptData(source="digits", input_shape=(28, 28), class_count=10, has_bytes=True, n_train=9, n_stop=9)
    script = keras_script("A title.", StudySpec(), data, Regularization(), 7)
    assert max(len(line) for line in script.splitlines()) <= 120
    assert_loads(script, digits)


@pytest.mark.slow
def test_the_library_says_that_it_trains_again(search: Search, tmp_path: Path, storage: str) -> None:
    """Where Keras runs in a process already, so that its threads can't be set, that is said, and nothing is left."""
    search(trials=1, engine=InlineEngine(fakes.FakeTrainer))
    for path in tmp_path.rglob("*.weights.npz"):
        path.unlink()
    script = (
        "import keras; from regsearch.search import api; keras.ops.zeros(1); "
        f"api.export('smoke', 'new', storage={storage!r})"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "the weights of trial 0 are not kept: it is trained again" in done.stderr
    error = done.stderr.splitlines()[-1]
    assert error.startswith("regsearch.studies.errors.NoResultError: can't train trial 0 again in this process: Int")
    assert not (tmp_path / "new").exists()
