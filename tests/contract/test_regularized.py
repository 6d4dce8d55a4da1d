"""Our space in a network of one's own: a layer gets just what a trial asks for, wherever it stands."""

from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest

from regsearch import regularized
from regsearch.search.data.arrays import Dataset
from regsearch.search.data.splits import make_splits
from regsearch.search.training.hypermodel.code import read_code, resolve_hypermodel
from regsearch.search.training.hypermodel.hyperparameters import OptunaHyperParameters
from regsearch.search.training.hypermodel.trainer import HyperModelTrainer
from regsearch.studies.errors import InputError
from regsearch.studies.spec import SpaceSpec
from regsearch.studies.study_file import read_study
from regsearch.studies.trial import TrialTask
from regsearch.studies.validation import is_bundled_hypermodel

EVERYTHING = {
    "regularizer": "l1_l2", "l1": 1e-4, "l2": 1e-3, "use_dropout": True, "dropout": 0.25, "early_stopping": False,
}  # fmt: skip


def hyperparameters(**values: Any) -> keras_tuner.HyperParameters:
    """KerasTuner's own, as a script of its own has them, at some values."""
    hp = keras_tuner.HyperParameters()
    hp.values = {"batch_norm": "none", **values}
    return hp


@pytest.mark.parametrize(
    ("placement", "between"),
    [
        ("none", ["Activation"]),
        ("before_activation", ["BatchNormalization", "Activation"]),
        ("after_activation", ["Activation", "BatchNormalization"]),
    ],
)
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda: keras.layers.Dense(5, activation="tanh"), (3,)),
        (lambda: keras.layers.Conv2D(5, 2, activation="tanh"), (4, 4, 2)),
    ],
    ids=["Dense", "Conv2D"],
)
def test_a_layer_gets_what_a_trial_asks_for(
    layer: Any, shape: tuple[int, ...], placement: str, between: list[str]
) -> None:
    plain = layer()
    made = regularized(hyperparameters(**EVERYTHING, batch_norm=placement), plain)
    names = [type(one).__name__ for one in made.layers]
    assert names == [type(plain).__name__, *between, "Dropout"]
    assert made.layers[-1].rate == 0.25
    assert made.layers[0].activation is keras.activations.linear
    assert next(one for one in made.layers if type(one).__name__ == "Activation").activation is keras.activations.tanh
    made.build((None, *shape))
    kernel = keras.ops.convert_to_numpy(made.layers[0].kernel)
    assert float(sum(made.losses)) == pytest.approx(
        1e-4 * np.abs(kernel).sum() + 1e-3 * np.square(kernel).sum(), rel=1e-5
    )


def test_without_regularization_it_does_what_the_layer_does() -> None:
    plain = keras.layers.Dense(4, activation="relu", kernel_initializer="ones", bias_initializer="ones")
    rows = np.array([[1.0, -3.0], [2.0, 1.0]], dtype=np.float32)
    expected = keras.ops.convert_to_numpy(plain(rows))
    again = keras.layers.Dense(4, activation="relu", kernel_initializer="ones", bias_initializer="ones")
    made = regularized(hyperparameters(regularizer="none", use_dropout=False, early_stopping=False), again)
    assert [type(one).__name__ for one in made.layers] == ["Dense", "Activation"]
    assert np.array_equal(keras.ops.convert_to_numpy(made(rows, training=True)), expected)


def test_both_kernels_of_a_separable_convolution_are_penalized() -> None:
    made = regularized(hyperparameters(**EVERYTHING), keras.layers.SeparableConv2D(3, 2))
    made.build((None, 4, 4, 2))
    weights = [
        keras.ops.convert_to_numpy(weight) for weight in made.layers[0].trainable_weights if "kernel" in weight.path
    ]
    assert len(weights) == 2
    expected = sum(1e-4 * np.abs(weight).sum() + 1e-3 * np.square(weight).sum() for weight in weights)
    assert float(sum(made.losses)) == pytest.approx(expected, rel=1e-5)


def test_the_studys_space_is_asked_for_once_for_all_layers() -> None:
    asked: list[tuple[str, str]] = []

    def suggest(name: str, distribution: str, default: Any) -> Any:
        asked.append((name, distribution))
        return default

    hp = OptunaHyperParameters(
        suggest, SpaceSpec.model_validate({"regularizer": ["l2"], "dropout": "off", "patience": "off"})
    )
    for units in (3, 4):
        regularized(hp, keras.layers.Dense(units))
    assert [name for name, _ in asked] == ["regularizer", "l2", "batch_norm"]
    assert '"choices": ["l2"]' in asked[0][1]


def own_regularizer() -> keras.layers.Layer:
    return keras.layers.Dense(3, kernel_regularizer="l2", name="mine")


def built() -> keras.layers.Layer:
    layer = keras.layers.Dense(3, name="mine")
    layer.build((None, 2))
    return layer


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (keras.layers.Flatten, "Flatten has no kernel to regularize"),
        (own_regularizer, "mine already has a kernel_regularizer"),
        (built, "mine is already built"),
    ],
)
def test_a_layer_that_can_not_be_regularized_is_refused(layer: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        regularized(hyperparameters(**EVERYTHING), layer())


@pytest.mark.slow
def test_the_ready_convolutional_network_trains_without_being_trusted() -> None:
    spec = resolve_hypermodel(read_study("cnn"), trusts_code=False).changed(
        data={"train_size": 40}, training={"max_epochs": 1, "batch_size": 20}
    )
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (100, 28, 28), dtype=np.uint8), np.arange(100) % 10
    data = Dataset(name="random", x_train=images, y_train=labels, x_test=images[:20], y_test=labels[:20])
    code = read_code(str(spec.model.hypermodel))
    trainer = HyperModelTrainer(spec, data, make_splits(data, spec.data, 0), code)
    params = {**EVERYTHING, "batch_norm": "after_activation"}
    outcome = trainer.train(TrialTask(number=0, attempt=0, params=params), lambda metrics: True)
    assert outcome is not None
    model, values = trainer.model(params, 0)
    assert values == params
    assert [type(layer).__name__ for layer in model.layers] == [
        *("Sequential", "MaxPooling2D", "Sequential", "MaxPooling2D", "Flatten", "Sequential", "Dense")
    ]
    assert len(model.losses) == 3


@pytest.mark.parametrize(("given", "momentum"), [("derived", 0.224), (0.7, 0.7)])
def test_the_averages_of_a_study_have_its_momentum(given: Any, momentum: float) -> None:
    spec = resolve_hypermodel(read_study("cnn"), trusts_code=False).changed(
        data={"train_size": 40}, training={"batch_size": 20}, model={"batch_norm_momentum": given}
    )
    images, labels = np.zeros((100, 28, 28), dtype=np.uint8), np.arange(100) % 10
    data = Dataset(name="zeros", x_train=images, y_train=labels, x_test=images[:20], y_test=labels[:20])
    code = read_code(str(spec.model.hypermodel))
    trainer = HyperModelTrainer(spec, data, make_splits(data, spec.data, 0), code)
    model, _ = trainer.model({**EVERYTHING, "batch_norm": "before_activation"}, 0)
    assert momenta(model) == [momentum] * 3


def test_a_script_of_its_own_has_the_momentum_of_keras_or_what_it_sets() -> None:
    hp = hyperparameters(**EVERYTHING | {"batch_norm": "after_activation"})
    assert momenta(regularized(hp, keras.layers.Dense(3))) == [0.99]
    hp.batch_norm_momentum = 0.8
    assert momenta(regularized(hp, keras.layers.Dense(3))) == [0.8]


def momenta(model: keras.Model) -> list[float]:
    """The momentum of each BatchNormalization."""
    layers = model._flatten_layers()
    return [layer.momentum for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]


def test_a_module_that_only_looks_like_ours_is_not_trusted(tmp_path: Path) -> None:
    assert is_bundled_hypermodel("search.training.cnn:build")
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "__init__.py").touch()
    (tmp_path / "search" / "evil.py").write_text("def build(hp): ...")
    with pytest.raises(InputError, match="is code that would run here with your permissions"):
        resolve_hypermodel(read_study("cnn").changed(model={"hypermodel": "search.evil:build"}), trusts_code=False)
