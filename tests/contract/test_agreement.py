"""The compiled trainer against Keras itself: the same gradients, the same steps, the same epochs, the same network."""

import functools
import itertools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import optuna
import pytest
import tensorflow as tf
from helpers import train
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import keras_early_stopping

from regsearch.search.data import load_dataset
from regsearch.search.data.arrays import Dataset, read_npz
from regsearch.search.data.shared import read_shared, shared
from regsearch.search.data.splits import Rows, Splits, make_splits
from regsearch.search.training.builtin.compiled_network import dropout_mask
from regsearch.search.training.builtin.compiled_trainer import CompiledTrainer
from regsearch.search.training.builtin.keras_trainer import KerasTrainer
from regsearch.search.training.loop import epoch_order
from regsearch.studies.configuration import Regularization
from regsearch.studies.search_space import LEARNING_RATE, suggest
from regsearch.studies.spec import StudySpec
from regsearch.studies.trial import EpochMetrics, TrialOutcome

REGULARIZERS = {
    "none": {},
    "l1": {"l1": 1e-4},
    "l2": {"l2": 1e-3},
    "l1_l2": {"l1": 1e-4, "l2": 1e-3},
}
PLACEMENTS = ("none", "before_activation", "after_activation")
OPTIMIZERS = ("adam", "sgd", "rmsprop")
ACTIVATIONS = ("relu", "tanh", "elu")
EVERY_PAIR = [  # of placement, optimizer and activation
    (placement, OPTIMIZERS[row], ACTIVATIONS[(row + column) % 3])
    for row, (column, placement) in itertools.product(range(3), enumerate(PLACEMENTS))
]
SPEC = StudySpec().changed(model={"hidden": [24]}, data={"train_size": 1000}, training={"max_epochs": 3})


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_dataset("digits")


@pytest.fixture(scope="module")
def splits(data: Dataset) -> Splits:
    return make_splits(data, SPEC.data, 0)


class _Oracle:
    """Keras's own training step, one batch at a time."""

    def __init__(self, spec: StudySpec, data: Dataset, splits: Splits, regularization: Regularization) -> None:
        self.model = KerasTrainer(spec, data, splits).builder.network(regularization)
        self.model.steps_per_execution = 1
        self.data = data

    def train_epoch(self, rows: Rows) -> float:
        self.model.reset_metrics()
        return float(self.model.train_on_batch(self.data.x_train[rows], self.data.y_train[rows]))


def steps(network: Any, splits: Splits, first: int, last: int, batch_size: int = 32) -> list[float]:
    """Train on some batches, one an epoch, and return their losses."""
    order = np.random.default_rng(0).permutation(splits.train)[: last * batch_size]
    return [network.train_epoch(rows) for rows in order.reshape(last, batch_size)[first:]]


def differences(ours: list[Any], theirs: list[Any]) -> list[float]:
    """The norm of each array's difference, relative to the array's norm."""
    assert [a.shape for a in ours] == [b.shape for b in theirs]
    return [float(np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-9)) for a, b in zip(ours, theirs, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize(("placement", "optimizer", "activation"), EVERY_PAIR)
def test_a_step_and_twenty_are_those_of_keras(
    data: Dataset, splits: Splits, placement: str, optimizer: str, activation: str
) -> None:
    spec = SPEC.changed(training={"optimizer": optimizer}, model={"activation": activation})
    trainer = CompiledTrainer(spec, data, splits)
    # BatchNormalization takes away what the bias before it adds to all rows alike. That bias's gradient is 0, or
    # small where an activation lies between: it is what is left of larger figures whose last bits differ, and from
    # that Adam and RMSprop make whole steps.
    limits = {1: {"none": 1e-5, "before_activation": np.inf, "after_activation": 1e-4}[placement]}
    for params in REGULARIZERS.values():
        regularization = Regularization(batch_norm=placement, **params)
        compiled, oracle = trainer.network(regularization), _Oracle(spec, data, splits, regularization)
        initial = compiled.get_weights()
        assert max(differences(initial, oracle.model.get_weights())) == 0
        assert steps(compiled, splits, 0, 1) == pytest.approx(steps(oracle, splits, 0, 1), rel=1e-5)
        ours, theirs = compiled.get_weights(), oracle.model.get_weights()
        for index, difference in enumerate(differences(ours, theirs)):
            assert difference < limits.get(index, 1e-5)
        assert compiled.penalty() == pytest.approx(float(sum(oracle.model.losses)), rel=1e-5)
        assert steps(compiled, splits, 1, 20) == pytest.approx(steps(oracle, splits, 1, 20), rel=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_gradient_is_that_of_keras(data: Dataset, splits: Splits, placement: str, activation: str) -> None:
    """A step of SGD is the gradient, which at a learning rate of 1 isn't lost among the weights' last bits."""
    spec = SPEC.changed(training={"optimizer": "sgd", "learning_rate": 1.0}, model={"activation": activation})
    trainer = CompiledTrainer(spec, data, splits)
    limits = {1: {"none": 1e-5, "before_activation": np.inf, "after_activation": 1e-4}[placement]}  # as above
    for params in REGULARIZERS.values():
        regularization = Regularization(batch_norm=placement, **params)
        networks = trainer.network(regularization), _Oracle(spec, data, splits, regularization)
        initial = networks[0].get_weights()
        for network in networks:
            steps(network, splits, 0, 1)
        after = [networks[0].get_weights(), networks[1].model.get_weights()]
        gradients = [[w - before for before, w in zip(initial, weights, strict=True)] for weights in after]
        for index, difference in enumerate(differences(*gradients)):
            assert difference < limits.get(index, 1e-5)


def figures(outcome: TrialOutcome, epochs: list[EpochMetrics]) -> list[float]:
    """Every loss and cross-entropy, those of all epochs and of the end."""
    each = [(epoch.train_loss, epoch.stop_loss, epoch.stop_cross_entropy) for epoch in epochs]
    return [*itertools.chain(*each), outcome.select_cross_entropy, outcome.train_cross_entropy]


KINDS = itertools.product(OPTIMIZERS, ACTIVATIONS)
THREE_EPOCHS = [
    *itertools.product(PLACEMENTS, [("adam", "relu")], [{}, {"l1": 1e-5}, {"l2": 1e-4}, {"l1": 1e-6, "l2": 1e-4}]),
    *(
        (placement, kind, {"l1": 1e-4, "l2": 1e-4})
        for placement, kind in zip(itertools.cycle(PLACEMENTS), KINDS, strict=False)
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("placement", "kind", "params"), THREE_EPOCHS, ids=str)
def test_three_epochs_of_mnist_are_those_of_keras(
    mnist_file: Path, placement: str, kind: tuple[str, str], params: dict[str, Any]
) -> None:
    """To 1e-4, though some trials are unstable: of initial weights that differ in their last bits some lead one way,
    some another, the same ways with both trainers. Then the way that Keras took must be among ours.
    """
    mnist = read_npz(mnist_file)
    spec = StudySpec().changed(
        data={"train_size": 2000},
        training={"max_epochs": 3, "optimizer": kind[0]},
        model={"activation": kind[1]},
    )
    parts = make_splits(mnist, spec.data, 0)
    settings = {"batch_norm": placement, "patience": 3, **params}
    theirs = figures(*train(KerasTrainer(spec, mnist, parts), **settings))
    trainer, random = CompiledTrainer(spec, mnist, parts), np.random.default_rng(0)
    kernel, *others = trainer.kernels
    for _ in range(8):
        ours = figures(*train(trainer, **settings))
        if ours == pytest.approx(theirs, rel=1e-4):
            return
        trainer.kernels = [np.nextafter(kernel, random.choice([-1, 1], kernel.shape).astype(np.float32)), *others]
    assert ours == pytest.approx(theirs, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("momentum", ["derived", 0.5])
@pytest.mark.parametrize("placement", PLACEMENTS[1:])
def test_epochs_of_few_steps_are_those_of_keras_with_the_same_momentum(
    data: Dataset, placement: str, momentum: str | float
) -> None:
    spec = SPEC.changed(data={"train_size": 200}, model={"batch_norm_momentum": momentum})
    parts = make_splits(data, spec.data, 0)
    trainers = [make(spec, data, parts) for make in (CompiledTrainer, KerasTrainer)]
    ours, theirs = (figures(*train(trainer, batch_norm=placement, l2=1e-4)) for trainer in trainers)
    assert ours == pytest.approx(theirs, rel=1e-4)
    assert [trainer.builder.momentum for trainer in trainers] == [0.652 if momentum == "derived" else 0.5] * 2


@pytest.mark.slow
def test_deeper_networks_and_a_last_smaller_batch_agree_as_well(data: Dataset) -> None:
    spec = StudySpec().changed(
        model={"hidden": [12, 16, 16], "apply_to": "all", "activation": "elu"},
        data={"train_size": 1001},
        training={"max_epochs": 2, "batch_size": 50},
    )
    parts = make_splits(data, spec.data, 0)
    for apply_to in ("all", "widest"):
        varied = spec.changed(model={"apply_to": apply_to})
        ours, theirs = (
            figures(*train(make(varied, data, parts), l1=1e-4, l2=1e-3, batch_norm="after_activation"))
            for make in (CompiledTrainer, KerasTrainer)
        )
        assert ours == pytest.approx(theirs, rel=1e-4)


def reshaped(data: Dataset, shape: tuple[int, ...], kind: Any = np.uint8, classes: int = 10) -> Dataset:
    """Digits as rows of another shape, of the first few classes; as floats they lie between 0 and 2.55."""
    parts: dict[str, Any] = {}
    for part in ("train", "test"):
        images, labels = getattr(data, f"x_{part}"), getattr(data, f"y_{part}")
        kept = labels < classes
        rows = images[kept].reshape(-1, *shape)
        parts[f"x_{part}"] = rows if kind == np.uint8 else (rows / 100).astype(kind)
        parts[f"y_{part}"] = labels[kept]
    return Dataset(name="reshaped", **parts)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "kind", "classes", "data_format"),
    [
        ((784,), np.float32, 3, "channels_last"),
        ((14, 14, 4), np.uint8, 10, "channels_last"),
        ((14, 14, 4), np.uint8, 10, "channels_first"),
        ((28, 28, 1), np.float64, 2, "channels_last"),
        ((7, 4, 7, 4), np.uint8, 5, "channels_first"),
    ],
)
def test_rows_of_any_shape_and_any_number_of_classes_agree(
    data: Dataset, shape: tuple[int, ...], kind: Any, classes: int, data_format: str
) -> None:
    """Whatever the user's Keras is set to, which of the dimensions would be the channels."""
    ours = reshaped(data, shape, kind, classes)
    spec = SPEC.changed(data={"train_size": 150}, training={"max_epochs": 2})
    parts = make_splits(ours, spec.data, 0)
    before = keras.config.image_data_format()
    keras.config.set_image_data_format(data_format)
    try:
        trainers = [make(spec, ours, parts) for make in (CompiledTrainer, KerasTrainer)]
        one, other = (figures(*train(trainer, l2=1e-4, batch_norm="before_activation")) for trainer in trainers)
        model = trainers[0].builder.network(Regularization())
        assert np.array_equal(model.layers[1](ours.x_test[:3]), ours.x_test[:3].reshape(3, -1))
    finally:
        keras.config.set_image_data_format(before)
    assert one == pytest.approx(other, rel=1e-4)
    assert model.output_shape == (None, classes)


@pytest.mark.slow
@pytest.mark.parametrize(
    "params",
    [{"dropout": 0.5, "batch_norm": "after_activation"}, {"dropout": 0.3, "l1": 1e-3, "l2": 1e-1}],
    ids=["dropout", "high strengths"],
)
def test_where_luck_differs_the_mean_agrees(data: Dataset, splits: Splits, params: dict[str, Any]) -> None:
    """Dropout draws other units than Keras does: the same distribution, not the same trial."""
    values = np.array(
        [
            [train(make(SPEC, data, splits, seed), **params)[0].select_cross_entropy for seed in range(10)]
            for make in (CompiledTrainer, KerasTrainer)
        ]
    )
    differences = values[0] - values[1]  # of the same initial weights, rows and orders
    assert abs(differences.mean()) < 2 * differences.std(ddof=1) / np.sqrt(len(differences))
    assert np.abs(differences).min() > 0


def test_the_trained_weights_do_the_same_in_the_plain_keras_model(data: Dataset, splits: Splits) -> None:
    regularization = Regularization(l1=1e-5, l2=1e-4, dropout=0.3, batch_norm="before_activation")
    trainer = CompiledTrainer(SPEC, data, splits)
    network = trainer.network(regularization)
    network.train_epoch(splits.train)
    model = trainer.builder.network(regularization)
    model.set_weights(network.get_weights())
    logits = network.logits(splits.select)
    assert logits == pytest.approx(model.predict(data.x_train[splits.select], verbose=0), rel=1e-5, abs=1e-5)
    assert network.evaluate(splits.select).accuracy == np.mean(logits.argmax(1) == data.y_train[splits.select])


@pytest.mark.slow
def test_a_trial_is_traced_once_for_each_placement(data: Dataset, splits: Splits) -> None:
    spec = SPEC.changed(training={"max_epochs": 1}, space={"learning_rate": {}})
    trainer = CompiledTrainer(spec, data, splits)
    for placement in PLACEMENTS:
        train(trainer, batch_norm=placement)
    traces = trainer.traces
    proposals = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(100):
        train(trainer, **suggest(proposals.ask(), spec.space))
    assert trainer.traces == traces == 3 * len(PLACEMENTS)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_trial_at_another_learning_rate_agrees_with_keras(data: Dataset, splits: Splits, optimizer: str) -> None:
    spec = SPEC.changed(training={"max_epochs": 1, "optimizer": optimizer}, space={"learning_rate": {}})
    trainer = CompiledTrainer(spec, data, splits)
    train(trainer, l2=1e-4)
    traces = trainer.traces
    for rate in (2e-4, 3.3e-3):
        ours = figures(*train(trainer, **{"l2": 1e-4, LEARNING_RATE: rate}))
        fixed = SPEC.changed(training={"max_epochs": 1, "optimizer": optimizer, "learning_rate": rate})
        assert ours == figures(*train(CompiledTrainer(fixed, data, splits), l2=1e-4))
        theirs = figures(*train(KerasTrainer(spec, data, splits), **{"l2": 1e-4, LEARNING_RATE: rate}))
        assert ours == pytest.approx(theirs, rel=1e-4)
    assert trainer.traces == traces


def test_the_share_of_dropped_units_is_the_rate() -> None:
    shape, kept_of_65536 = tf.TensorShape((1001, 23)), round(0.7 * 2**16)
    masks = np.array([dropout_mask(tf.constant([7, step], tf.int64), shape, kept_of_65536) for step in range(20)])
    kept = masks > 0
    assert abs(kept.mean() - 0.7) < 3 * np.sqrt(0.3 * 0.7 / kept.size)
    assert np.unique(masks[kept]) == pytest.approx([1 / 0.7], rel=1e-4)
    assert np.array_equal(dropout_mask(tf.constant([7, 0], tf.int64), shape, kept_of_65536), masks[0])
    for other in (masks[1], dropout_mask(tf.constant([8, 0], tf.int64), shape, kept_of_65536).numpy()):
        assert abs(np.corrcoef(masks[0].reshape(-1), other.reshape(-1))[0, 1]) < 3 / np.sqrt(masks[0].size)
    assert np.all(dropout_mask(tf.constant([7, 0], tf.int64), shape, 2**16) == 1)


def test_the_images_are_not_copied(data: Dataset, splits: Splits, tmp_path: Path) -> None:
    with shared(data, tmp_path / "data") as folder:
        mapped = read_shared(folder, "digits")
        trainer = CompiledTrainer(SPEC, mapped, splits)
        assert np.shares_memory(np.asarray(memoryview(trainer.x)), mapped.x_train)
        assert figures(*train(trainer)) == figures(*train(CompiledTrainer(SPEC, data, splits)))


@pytest.mark.parametrize("shape", [(1, 784), (784, 1), (28, 28)])
def test_images_in_any_order_in_memory_are_the_same_images(
    data: Dataset, splits: Splits, tmp_path: Path, shape: tuple[int, int]
) -> None:
    images = data.x_train.reshape(-1, *shape), data.x_test.reshape(-1, *shape)
    results = []
    for order in (np.ascontiguousarray, np.asfortranarray):
        x_train, x_test = map(order, images)
        ordered = Dataset(name="ordered", x_train=x_train, y_train=data.y_train, x_test=x_test, y_test=data.y_test)
        with shared(ordered, tmp_path / "data") as folder:
            results.append(figures(*train(CompiledTrainer(SPEC, read_shared(folder, "ordered"), splits))))
    assert results[0] == results[1]


def test_a_batch_larger_than_all_rows_is_all_rows(data: Dataset, splits: Splits) -> None:
    one, other = (
        figures(*train(CompiledTrainer(SPEC.changed(training={"batch_size": size}), data, splits), dropout=0.3))
        for size in (1000, 10**9)
    )
    assert one == other


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(
    placement=st.sampled_from(PLACEMENTS),
    strength=st.floats(1e-6, 1e-2),
    rate=st.floats(0.05, 0.6),
    patience=st.integers(1, 3),
)
def test_for_all_settings_zero_is_off_and_the_best_epoch_is_restored(
    placement: str, strength: float, rate: float, patience: int
) -> None:
    trainer = _small_trainer()
    base = {"batch_norm": placement, "patience": patience}

    def same(one: dict[str, Any], other: dict[str, Any]) -> None:
        a, b = train(trainer, **base, **one), train(trainer, **base, **other)
        assert figures(*a) == figures(*b)

    # next to 0 the operations are carried out and change nothing; at 0 they are left out
    same({"dropout": 1e-9, "l2": strength}, {"l2": strength})
    same({"l1": 1e-30, "l2": 1e-30, "dropout": rate}, {"dropout": rate})
    same({"l1": 1e-30, "l2": strength}, {"l2": strength})
    outcome, epochs = train(trainer, **base, l1=strength, dropout=rate)
    best_epoch, stopped = keras_early_stopping([epoch.stop_loss for epoch in epochs], patience)
    assert outcome.best_epoch == best_epoch
    assert stopped is None or stopped == len(epochs) - 1
    assert stopped is not None or len(epochs) == trainer.spec.training.max_epochs
    kept = trainer.network(Regularization.from_params({**base, "l1": strength, "dropout": rate}))
    for epoch in range(outcome.best_epoch + 1):
        kept.train_epoch(epoch_order(trainer.splits.train, trainer.seed, epoch))
    assert kept.evaluate(trainer.splits.select).cross_entropy == outcome.select_cross_entropy


@functools.cache
def _small_trainer() -> CompiledTrainer:
    spec = SPEC.changed(training={"max_epochs": 6, "learning_rate": 0.02}, data={"train_size": 300})
    digits = load_dataset("digits")
    return CompiledTrainer(spec, digits, make_splits(digits, spec.data, 0))
