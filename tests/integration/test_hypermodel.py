"""A HyperModel of the user's from the command line: trusted or not at all, searched, killed, confirmed, exported."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypermodels
import numpy as np
import pytest
from asking import AskingTrainer, write_code
from conftest import Command
from helpers import count_finished, rows, wait_for

from regsearch.search import api
from regsearch.search.data import load_dataset
from regsearch.search.data.splits import make_splits
from regsearch.search.result import RunResult
from regsearch.search.run import run_study
from regsearch.search.training.hypermodel import trainer
from regsearch.search.workers.inline import InlineEngine
from regsearch.storage.location import location_of
from regsearch.storage.queries import get_study
from regsearch.studies.errors import InputError, ModelError
from regsearch.studies.reports import page, terminal
from regsearch.studies.reports.answer import as_text
from regsearch.studies.spec import StudySpec

Search = Callable[..., RunResult]
SMALL = [
    "run", "smoke", "--workers", "1", "--trials", "4", "--quiet", "--trust-code",
    "--set", "model.hypermodel=mine.py:build_model", "--set", 'search.recipes=["course"]',
    "--set", "search.pruner=none", "--set", "search.pruner_options={}", "--set", "confirm.seeds=3",
    "--set", "confirm.top=1",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guide's HyperModel, searched and killed on the way, resumed, confirmed and exported to `out`."""
    folder = tmp_path_factory.mktemp("own")
    storage = f"sqlite:///{folder}/regsearch.db"
    hypermodels.write(folder, hypermodels.GUIDE)
    command = Command(folder)
    with command.start(*SMALL) as process:
        wait_for(lambda: count_finished(storage) > 0, 120)
        process.kill()
    done = command("resume", "smoke", "--trust-code", "--workers", "1", "--quiet")
    assert done.returncode == 0, done.stderr
    (folder / "said").write_text(done.stdout)
    done = command("export", "smoke", "--output", "out", "--trust-code")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def database(folder: Path) -> str:
    return f"sqlite:///{folder}/regsearch.db"


@pytest.mark.slow
def test_killed_and_resumed_it_has_the_rows_of_one_that_ran_through(folder: Path, database: str) -> None:
    (folder / "whole").mkdir()
    shutil.copy(folder / "mine.py", folder / "whole")
    done = Command(folder / "whole")(*SMALL, "--no-confirm")
    assert done.returncode == 0, done.stderr
    assert rows(f"sqlite:///{folder}/whole/regsearch.db") == rows(database)


@pytest.mark.slow
def test_the_defaults_are_trial_0_and_what_gains_are_over(folder: Path, database: str) -> None:
    assert rows(database)[0]["params"] == {"units": 32, "activation": "relu", "dropout": False, "lr": 1e-4}
    conclusion = api.load("smoke", storage=database).confirmation
    assert conclusion is not None
    assert conclusion.baseline is not None
    assert conclusion.baseline.finalist.roles == ("baseline: defaults",)
    assert (conclusion.baseline_name, conclusion.techniques) == ("the defaults", ())
    assert conclusion.claims_gain  # a learning rate of 1e-4 learns next to nothing in three epochs


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["text", "html", "json"])
def test_the_report_speaks_of_the_hypermodels_settings_and_of_no_technique(
    folder: Path, database: str, kind: str
) -> None:
    done = Command(folder)("report", "smoke", "--format", kind)
    assert done.returncode == 0, done.stderr
    assert "over the defaults" in done.stdout or kind == "json"
    assert "activation" in done.stdout
    assert f"{folder}/mine.py:build_model" in done.stdout
    assert " --trust-code" in done.stdout
    said = done.stdout
    if kind == "html":
        said = said.partition("<body")[2].partition("The study file, with every default")[0]
    said = said.partition('"spec"')[0].lower()
    for word in ("no regularization", "without regularization", "batchnorm", "technique", "early stopping alone"):
        assert word not in said.replace('"techniques": []', ""), word


@pytest.mark.slow
def test_what_a_resume_prints_is_the_answer(folder: Path) -> None:
    said = (folder / "said").read_text()
    assert "Answer: activation " in said
    assert "Each finalist compared with the defaults on the test set" in said
    assert "over the defaults" in said


@pytest.mark.slow
def test_the_exported_model_predicts_as_the_winner_did(folder: Path, database: str) -> None:
    import keras

    from regsearch.search.training.hypermodel.trainer import ModelInputs

    digits = load_dataset("digits")
    with api.reading(database) as opened:
        spec = get_study(opened, "smoke").spec
    configuration = json.loads((folder / "out" / "configuration.json").read_text())
    assert configuration["split_seed"] == configuration["seed"] != spec.search.seed
    select = make_splits(digits, spec.data, configuration["split_seed"]).select
    model = keras.models.load_model(folder / "out" / "model.keras")
    hits = np.argmax(model.predict(ModelInputs(digits.x_train)[select], verbose=0), axis=1) == digits.y_train[select]
    assert hits.mean() == pytest.approx(configuration["figures"]["select_accuracy"])
    assert configuration["regularization"].startswith("activation ")


@pytest.mark.slow
def test_the_exported_script_builds_the_model_without_regsearch(folder: Path, tmp_path: Path) -> None:
    for name in ("model.py", "hypermodel.py"):
        shutil.copy(folder / "out" / name, tmp_path)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "REGSEARCH"))}
    check = (
        "import model; network = model.build_model(); network.build((None, 28, 28, 1)); print(network.layers[1].units)"
    )
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    configuration = json.loads((folder / "out" / "configuration.json").read_text())
    assert int(done.stdout) == configuration["params"]["units"]
    assert (folder / "out" / "hypermodel.py").read_text() == hypermodels.GUIDE
    assert "regsearch" not in (folder / "out" / "model.py").read_text()
    done = subprocess.run(
        [sys.executable, "model.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert "unbuilt" not in done.stdout
    assert f"{configuration['params']['units']}" in done.stdout


@pytest.mark.slow
def test_the_card_and_the_rows_name_the_settings(folder: Path, database: str) -> None:
    card = (folder / "out" / "model-card.md").read_text()
    assert "network: what `build_model` in `hypermodel.py` builds" in card
    assert "regularization" not in card
    done = Command(folder)("trials", "smoke", "--csv")
    assert done.stdout.startswith("number,state,value,params_units,params_activation,params_dropout,params_lr,best_")
    assert done.stdout.splitlines()[1].split(",")[3:7] == ["32", "relu", "False", "0.0001"]


@pytest.mark.slow
def test_a_study_from_elsewhere_runs_no_code_by_itself(folder: Path) -> None:
    before = rows(f"sqlite:///{folder}/regsearch.db")
    for arguments in (
        ["resume", "smoke", "--trials", "9"],
        ["confirm", "smoke", "--seeds", "4"],
        ["export", "smoke", "--output", "again"],
        [argument for argument in SMALL if argument != "--trust-code"],
    ):
        done = Command(folder)(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert "is code that would run here with your permissions. Read it, then add --trust-code" in done.stderr
    assert rows(f"sqlite:///{folder}/regsearch.db") == before
    assert not (folder / "again").exists()


# what follows trains nothing


@pytest.fixture
def not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has imported the code, as another test of this process may have."""
    monkeypatch.delitem(sys.modules, "mine", raising=False)


@pytest.mark.usefixtures("not_imported")
def test_without_trust_nothing_is_read_begun_or_imported(search: Search, tmp_path: Path, storage: str) -> None:
    code = write_code(tmp_path)
    with pytest.raises(InputError, match="add --trust-code"):
        search(settings=[code])
    assert not location_of(storage).exists()
    assert "mine" not in sys.modules


@pytest.mark.usefixtures("not_imported")
def test_the_coordinator_never_runs_the_code(search: Search, tmp_path: Path) -> None:
    result = search(settings=[write_code(tmp_path)], trust_code=True, engine=InlineEngine(AskingTrainer), trials=2)
    assert result.answer.counts.complete == 2
    assert "mine" not in sys.modules


def test_an_edited_file_is_refused(search: Search, tmp_path: Path, storage: str) -> None:
    options: dict[str, Any] = {"trust_code": True, "engine": InlineEngine(AskingTrainer), "confirm": False}
    code = write_code(tmp_path)
    search(settings=[code], trials=1, **options)
    before = rows(storage)
    (tmp_path / "mine.py").write_text((tmp_path / "mine.py").read_text() + "\n")
    for again in (
        lambda: search(settings=[code], trials=2, **options),
        lambda: api.resume("smoke", storage=storage, trials=2, trust_code=True),
        lambda: api.confirm("smoke", storage=storage, seeds=3, trust_code=True),
        lambda: api.export("smoke", tmp_path / "out", storage=storage, trust_code=True),
    ):
        with pytest.raises(InputError, match=r"SHA-256 .* [Uu]ndo the change, or (?:start|begin) another study"):
            again()
    assert rows(storage) == before


def test_a_moved_file_is_the_same_study_and_another_name_in_it_is_not(
    search: Search, tmp_path: Path, storage: str
) -> None:
    options: dict[str, Any] = {"trust_code": True, "engine": InlineEngine(AskingTrainer), "confirm": False}
    search(settings=[write_code(tmp_path)], trials=1, **options)
    (tmp_path / "elsewhere").mkdir()
    moved = write_code(tmp_path / "elsewhere")
    (tmp_path / "mine.py").unlink()
    with pytest.raises(InputError, match=r"can't read the HyperModel's file .*mine.py"):
        api.resume("smoke", storage=storage, trust_code=True)
    assert search(settings=[moved], trials=2, **options).answer.counts.complete == 2
    (tmp_path / "elsewhere" / "mine.py").write_text("def build(hp): ...\ndef other(hp): ...\n")
    with pytest.raises(InputError, match="started with other settings"):
        search(settings=[moved.replace(":build", ":other")], **options)


@pytest.mark.parametrize(
    ("reference", "content", "message"),
    [
        ("mine.py", "", "write it mine.py:MyHyperModel or package.module:name; given was 'mine.py'"),
        ("mine.py:My Model", "", "write it mine.py:MyHyperModel"),
        ("gone.py:Mine", "", "gone.py: No such file or directory"),
        ("mine.py:Mine", "class Mine(:\n", "mine.py is not valid Python: invalid syntax"),
        (
            "mine.py:Mine",
            "class Other: ...\nx = 1\n",
            "does not define Mine at its top level. It defines Other, x",
        ),
        ("no_such.module:f", "", "there is no module no_such in "),
        ("json:f", "", "__init__.py does not define f at its top level"),
        ("numpy._core._multiarray_umath:f", "", "_multiarray_umath is not a Python file"),
    ],
)
def test_a_reference_that_cannot_be_used_says_why(
    search: Search, tmp_path: Path, storage: str, reference: str, content: str, message: str
) -> None:
    (tmp_path / "mine.py").write_text(content)
    with pytest.raises(InputError) as raised:
        search(settings=[f"model.hypermodel={reference}"], trust_code=True)
    assert message in str(raised.value)
    assert not location_of(storage).exists()


def test_a_module_of_a_package_is_found_without_importing_it(search: Search, tmp_path: Path) -> None:
    package = tmp_path / "own" / "nets"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text("raise RuntimeError('nobody may import this')\n")
    (package / "small.py").write_text("def build(hp): ...\n")
    code = "model.hypermodel=own.nets.small:build"
    result = search(settings=[code], trust_code=True, engine=InlineEngine(AskingTrainer), trials=1)
    assert result.answer.counts.complete == 1
    assert "own" not in sys.modules


def test_a_metric_of_keras_needs_a_hypermodel_and_a_direction(search: Search, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Without model\.hypermodel, use cross_entropy or accuracy"):
        search(settings=["search.objective=val_loss"])
    with pytest.raises(InputError, match="add its direction: val_f1:max"):
        search(settings=[write_code(tmp_path), "search.objective=val_f1"], trust_code=True)


def test_older_studies_keep_their_fingerprint() -> None:
    assert not {"model.hypermodel", "model.hypermodel_sha256"} & StudySpec().identity().keys()


def test_tensorboard_shows_the_hypermodels_settings(search: Search, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    (tmp_path / "tb").mkdir()
    options: dict[str, Any] = {"trust_code": True, "engine": InlineEngine(AskingTrainer), "trials": 1}
    search(settings=[write_code(tmp_path)], tensorboard=tmp_path / "tb", **options)
    told = EventAccumulator(str(tmp_path / "tb" / "smoke" / "trial-0")).Reload()
    content = told.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    settings = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    assert {"kind", "units", "lr", "rate"} <= set(settings)
    assert "l2" not in settings


UNSUITABLE = f"""{hypermodels.IMPORTS}
from regsearch import regularized

def no_hp():
    pass

def asks_nothing(hp):
    return keras.Sequential([layers.Flatten(), layers.Dense(10)])

def two_outputs(hp):
    given = keras.Input((28, 28, 1))
    flat = layers.Flatten()(given)
    return keras.Model(given, [layers.Dense(hp.Int("units", 10, 12))(flat), layers.Dense(10)(flat)])

def too_few(hp):
    return keras.Sequential([layers.Flatten(), layers.Dense(hp.Int("units", 2, 4))])

def no_kernel(hp):
    return keras.Sequential([regularized(hp, layers.Flatten()), layers.Dense(10)])

def own_loss(hp):
    model = keras.Sequential([layers.Flatten(), layers.Dense(hp.Int("units", 10, 12))])
    model.compile("adam", loss=lambda truth, output: 1 / 0)
    return model

def fine(hp):
    model = keras.Sequential([layers.Flatten(), layers.Dense(hp.Int("units", 10, 12), activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
"""


@pytest.mark.parametrize(
    ("name", "objective", "reason"),
    [
        ("no_hp", "cross_entropy", "no_hp() can't be called with hyperparameters alone. Write it as no_hp(hp)"),
        ("asks_nothing", "cross_entropy", "the HyperModel asks for no hyperparameter"),
        ("two_outputs", "cross_entropy", "is a list of several outputs, but the data have 10 classes"),
        ("too_few", "cross_entropy", "has the shape (1, 2), but the data have 10 classes"),
        ("no_kernel", "cross_entropy", "Flatten has no kernel to regularize"),
        ("own_loss", "cross_entropy", "takes neither class numbers of the shape (n,) nor one-hot labels"),
        ("fine", "val_f1:max", "the objective is val_f1, but the model has only val_accuracy, val_loss"),
    ],
)
def test_what_the_first_model_shows_is_told_once_and_nothing_stays(
    name: str, objective: str, reason: str, search: Search, storage: str, tmp_path: Path
) -> None:
    reference = f"{hypermodels.write(tmp_path, UNSUITABLE)}:{name}"
    settings = [f"model.hypermodel={reference}", f"search.objective={objective}"]
    (tmp_path / "out").mkdir()
    with pytest.raises(ModelError) as raised:
        search(settings=settings, trust_code=True, engine=InlineEngine(), trials=12, checkpoints=tmp_path / "out")
    assert reason in str(raised.value)
    assert str(raised.value).endswith("The study was not started.")
    assert api.statuses(storage=storage) == []
    assert {path.name for path in (tmp_path / "test.db.d").iterdir()} == {"open.lock"}
    assert list((tmp_path / "out").iterdir()) == []


def test_a_model_that_fails_in_a_resumed_study_is_a_failed_trial(
    search: Search, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [f"model.hypermodel={hypermodels.write(tmp_path, UNSUITABLE)}:fine", "training.max_epochs=1"]
    search(settings=settings, trust_code=True, engine=InlineEngine(), trials=1)
    monkeypatch.setattr(trainer, "check_output", refuse_output)
    search(settings=settings, trust_code=True, engine=InlineEngine(), trials=2)
    assert [row["state"] for row in rows(storage)] == ["complete", "failed"]


def test_a_study_that_another_start_has_begun_meanwhile_is_never_deleted(
    search: Search, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [f"model.hypermodel={hypermodels.write(tmp_path, UNSUITABLE)}:fine", "training.max_epochs=1"]
    examine = run_study._examine

    def overtaken(*arguments: Any) -> Any:
        monkeypatch.setattr(run_study, "_examine", examine)
        search(settings=settings, trust_code=True, engine=InlineEngine(), trials=1)
        monkeypatch.setattr(trainer, "check_output", refuse_output)
        return examine(*arguments)

    monkeypatch.setattr(run_study, "_examine", overtaken)
    search(settings=settings, trust_code=True, engine=InlineEngine(), trials=2)
    assert [row["state"] for row in rows(storage)] == ["complete", "failed"]


def refuse_output(*_: object) -> None:
    raise ModelError("it no longer fits")


ONE_HOT = f"""{hypermodels.IMPORTS}
def focal(truth, output):
    certain = keras.ops.clip(output, 1e-7, 1.0)
    return -keras.ops.sum(truth * (1.0 - certain) ** 2 * keras.ops.log(certain), axis=-1)

def build(hp):
    model = keras.Sequential([layers.Flatten(), layers.Dense(10, activation="softmax")])
    model.compile(keras.optimizers.Adam(hp.Float("lr", 1e-3, 1e-2)), loss=focal)
    return model
"""


def test_a_loss_of_ones_own_for_one_hot_labels_works(search: Search, storage: str, tmp_path: Path) -> None:
    settings = [f"model.hypermodel={hypermodels.write(tmp_path, ONE_HOT)}:build", "training.max_epochs=1"]
    result = search(settings=settings, trust_code=True, engine=InlineEngine(), trials=1)
    assert result.answer.counts.complete == 1


def test_the_ranking_figure_is_shown_and_waiting_trials_cost_nothing(
    search: Search, storage: str, tmp_path: Path
) -> None:
    settings = [f"model.hypermodel={hypermodels.write(tmp_path, UNSUITABLE)}:fine", "search.objective=val_accuracy"]
    search(settings=settings, trust_code=True, engine=InlineEngine(), trials=1)
    api.enqueue("smoke", ["units=11"], storage=storage)
    answer = api.load("smoke", storage=storage).answer
    assert answer.best is not None
    assert answer.best.value is not None
    shown = f"val_accuracy {answer.best.value:.5f}"
    assert f"on the selection split: {shown}, cross-entropy" in as_text(answer)
    content = api.report("smoke", storage=storage)
    text = " ".join(terminal.as_text(content, 200).split())
    assert shown in text
    assert "of training in 1 trials" in text
    assert ">selection val_accuracy<" in page.as_html(content)
