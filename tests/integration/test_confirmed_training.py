"""A confirmation that really trains: the test rows touch nothing but the test looks, and figures are those of Keras."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
from helpers import confirmation, rows

from regsearch.search import api
from regsearch.search.data import load_dataset
from regsearch.search.data.arrays import Dataset, read_npz
from regsearch.search.data.splits import make_splits
from regsearch.search.seeds import fresh_seed
from regsearch.search.training.builtin.compiled_trainer import CompiledTrainer
from regsearch.search.training.builtin.keras_trainer import KerasTrainer
from regsearch.search.training.checkpoints import NoCheckpoints
from regsearch.search.training.setup import TrainerSetup
from regsearch.search.workers.inline import InlineEngine
from regsearch.studies.example_scores import PerExampleScores
from regsearch.studies.spec import StudySpec
from regsearch.studies.trial import TrainingId, TrialTask

TRAINERS: dict[str, Any] = {"compiled": CompiledTrainer, "keras": KerasTrainer}
SETTINGS = [
    "data.train_size=150", "training.max_epochs=2", 'space.regularizer=["l2"]', "space.dropout.off=false",
    'space.batch_norm=["before_activation"]', "space.patience=off", "search.pruner=none", "search.pruner_options={}",
    "confirm.seeds=3", "confirm.top=1",
]  # fmt: skip


class Studies(NamedTuple):
    """The same study on the same training rows, with true test rows and with garbage in their place."""

    kind: str
    folder: Path
    spec: StudySpec
    dataset: Dataset
    sound: str
    poisoned: str


def make(setup: TrainerSetup) -> Any:
    dataset = read_npz(Path(setup.source))
    splits = make_splits(dataset, setup.spec.data, setup.spec.search.seed)
    return TRAINERS[setup.spec.training.trainer](setup.spec, dataset, splits)


@pytest.fixture(scope="module", params=[("compiled", "drawn"), ("keras", "drawn"), ("compiled", "fixed")], ids="-".join)
def studies(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Studies:
    kind, split = request.param
    folder = tmp_path_factory.mktemp("studies")
    digits, random = load_dataset("digits"), np.random.default_rng(0)
    train = {"x_train": digits.x_train[:500], "y_train": digits.y_train[:500]}
    garbage = random.integers(0, 256, digits.x_test.shape, dtype=np.uint8)
    tests = {"sound": (digits.x_test, digits.y_test), "poisoned": (garbage, random.permutation(digits.y_test))}
    results = {}
    for name, (images, labels) in tests.items():
        np.savez(folder / f"{name}.npz", **train, x_test=images, y_test=labels)
        results[name] = api.run(
            "smoke",
            storage=f"sqlite:///{folder}/{name}.db",
            data=str(folder / f"{name}.npz"),
            trials=1,
            workers=1,
            engine=InlineEngine(make),
            settings=[*SETTINGS, f"training.trainer={kind}", f"confirm.split={split}"],
        )
    spec = results["sound"].answer.study.spec
    storages = [f"sqlite:///{folder}/{name}.db" for name in tests]
    return Studies(kind, folder, spec, read_npz(folder / "sound.npz"), *storages)


def finalists(studies: Studies) -> list[Any]:
    conclusion = api.load("smoke", storage=studies.sound).confirmation
    assert conclusion is not None
    return [result.finalist for result in conclusion.results]


@pytest.mark.slow
def test_garbage_for_test_examples_changes_the_test_figures_alone(studies: Studies) -> None:
    assert rows(studies.sound) == rows(studies.poisoned)
    sound, poisoned = confirmation(studies.sound), confirmation(studies.poisoned)
    for table in ("finalists", "confirmations", "confirmation_epochs"):
        assert sound[table] == poisoned[table] != []
    for true, garbage in zip(sound["test_looks"], poisoned["test_looks"], strict=True):
        assert true["cross_entropy"] < garbage["cross_entropy"]
        assert garbage["accuracy"] < 0.3


@pytest.mark.slow
def test_a_confirmed_training_is_what_a_trainer_with_that_seed_gives_alone(studies: Studies) -> None:
    fresh = fresh_seed(studies.spec.search.seed, 2)
    spec = studies.spec
    if spec.confirm.split == "drawn":
        spec = spec.changed(search={"seed": fresh})
    splits = make_splits(studies.dataset, spec.data, spec.search.seed)
    trained = {(row["finalist"], row["seed"]): row for row in confirmation(studies.sound)["confirmations"]}
    for finalist in finalists(studies):
        trainer = TRAINERS[studies.kind](spec, studies.dataset, splits, seed=fresh)
        outcome = trainer.train(
            TrialTask(number=0, attempt=0, params=finalist.params), lambda metrics: True, NoCheckpoints()
        )
        row = trained[finalist.index, 2]
        for name in ("select_cross_entropy", "select_accuracy", "train_cross_entropy", "near_zero_share", "best_epoch"):
            assert getattr(outcome, name) == row[name], name
        select = PerExampleScores.from_bytes(row["select_rows"])
        assert (select.cross_entropy, select.accuracy) == (row["select_cross_entropy"], row["select_accuracy"])
        assert len(select.losses) == len(splits.select)


@pytest.mark.slow
def test_test_figures_are_those_of_plain_keras_with_the_kept_weights(studies: Studies) -> None:
    looks = {(row["finalist"], row["seed"]): row for row in confirmation(studies.sound)["test_looks"]}
    folder = studies.folder / "sound.db.d" / "study-smoke-trials"
    checked = set()
    for finalist in finalists(studies):
        for seed in range(3):
            file = folder / f"finalist-{TrainingId(finalist.index, seed).number}.weights.npz"
            if not file.exists():
                continue
            with np.load(file) as weights:
                model = plain_model([weights[name] for name in weights.files], finalist.settings.batch_norm)
            loss, accuracy = model.evaluate(studies.dataset.x_test, studies.dataset.y_test, verbose=0)
            look = looks[finalist.index, seed]
            assert (loss, accuracy) == pytest.approx((look["cross_entropy"], look["accuracy"]), rel=1e-5)
            logits = model.predict(studies.dataset.x_test, verbose=0).astype(np.float64)
            of_rows = np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1)
            of_rows -= logits[np.arange(len(logits)), studies.dataset.y_test]
            np.testing.assert_allclose(
                PerExampleScores.from_bytes(look["test_rows"]).losses, of_rows, rtol=1e-4, atol=1e-5
            )
            checked.add(finalist.settings.batch_norm)
    assert checked == {"none", "before_activation"}


@pytest.mark.slow
def test_an_exported_winner_names_the_split_that_it_was_trained_on(studies: Studies, tmp_path: Path) -> None:
    api.export("smoke", tmp_path / "out", storage=studies.sound)
    configuration = json.loads((tmp_path / "out" / "configuration.json").read_text())
    drew = configuration["seed"] if studies.spec.confirm.split == "drawn" else studies.spec.search.seed
    assert configuration["seed"] in {fresh_seed(studies.spec.search.seed, number) for number in range(3)}
    assert configuration["split_seed"] == drew
    select = make_splits(studies.dataset, studies.spec.data, configuration["split_seed"]).select
    model = keras.models.load_model(tmp_path / "out" / "model.keras")
    logits = model(studies.dataset.x_train[select], training=False)
    losses = keras.losses.sparse_categorical_crossentropy(studies.dataset.y_train[select], logits, from_logits=True)
    figure = float(np.mean(keras.ops.convert_to_numpy(losses)))
    assert figure == pytest.approx(configuration["figures"]["select_cross_entropy"], rel=1e-5)


def plain_model(weights: list[Any], batch_norm: str) -> keras.Model:
    """The course's network, written by hand; for a prediction dropout and penalties are nothing."""
    between = [] if batch_norm == "none" else [keras.layers.BatchNormalization()]
    model = keras.Sequential(
        [
            keras.layers.Input((28, 28)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(16),
            *between,
            keras.layers.Activation("relu"),
            keras.layers.Dense(10),
        ]
    )
    model.set_weights(weights)
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model
