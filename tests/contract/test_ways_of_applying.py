"""Each way in which a technique can act: a tiny technique that has only its own methods is trained by both trainers."""

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from regsearch.search.data import load_dataset
from regsearch.search.data.arrays import Dataset
from regsearch.search.data.splits import Splits, make_splits
from regsearch.search.export.keras_script import ScriptData, keras_script
from regsearch.search.training import applied_techniques
from regsearch.search.training.builtin.compiled_trainer import CompiledTrainer
from regsearch.search.training.builtin.keras_network import KerasNetwork
from regsearch.search.training.builtin.keras_trainer import KerasTrainer
from regsearch.search.training.builtin.network import RegularizedNetwork
from regsearch.search.training.moving_averages import Averages
from regsearch.studies.configuration import Regularization
from regsearch.studies.spec import StudySpec
from regsearch.studies.techniques.technique import Technique
from regsearch.studies.techniques.ways import Code

SPEC = StudySpec().changed(
    model={"hidden": [12]}, data={"train_size": 200}, training={"optimizer": "sgd", "learning_rate": 0.1}
)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_dataset("digits")


@pytest.fixture(scope="module")
def splits(data: Dataset) -> Splits:
    return make_splits(data, SPEC.data, 0)


class Tiny(Technique):
    order, name, key = 90, "tiny", "tiny"


class NoisyInput(Tiny):
    def input_layer(self, value: Any, seed: int) -> Any:
        return keras.layers.GaussianNoise(value, seed=seed)

    def change_input(self, rows: Any, value: Any, seed: Any) -> Any:
        assert rows.shape[1:] == (28, 28)
        return rows + value * tf.random.stateless_normal(tf.shape(rows), seed)


class Cubes(Tiny):
    def kernel_penalty(self, value: Any) -> Callable[[Any], Any]:
        return lambda kernel: value * keras.ops.sum(keras.ops.abs(kernel) ** 3)


class MaxNorm(Tiny):
    def kernel_constraint(self, value: Any) -> Any:
        return keras.constraints.MaxNorm(value)


class NoisyActivations(Tiny):
    def layer_after(self, value: Any, seed: int | None) -> Any:
        return keras.layers.GaussianNoise(value, seed=seed)

    def change_activations(self, activations: Any, value: Any, seed: Any) -> Any:
        return activations + value * tf.random.stateless_normal(tf.shape(activations), seed)


class Smoothed(Tiny):
    def change_losses(self, losses: Any, labels: Any, logits: Any, value: Any) -> Any:
        return (1 - value) * losses - value * tf.reduce_mean(tf.nn.log_softmax(logits), axis=1)


class Clipped(Tiny):
    def change_optimizer(self, optimizer: Any, value: Any) -> Any:
        optimizer.clipnorm = value
        return optimizer

    def change_gradients(self, gradients: Sequence[Any], weights: Sequence[Any], value: Any) -> list[Any]:
        return [tf.clip_by_norm(gradient, value) for gradient in gradients]


class Averaged(Tiny):
    def evaluated_weight(self, average: Any, weight: Any, step: Any, value: Any) -> Any:
        return value * average + (1 - value) * weight


class Normalized(Tiny):
    def batch_norm_placement(self, value: Any) -> str:
        return "before_activation"


class Written(Tiny):
    def code(self, values: Mapping[str, Any]) -> Code:
        value = values[self.key]
        return Code(
            definitions="def smoothed(loss, share):\n    return loss",
            input_layers=(f"keras.layers.GaussianNoise({value})",),
            layers_after=(f"keras.layers.GaussianDropout({value})",),
            kernel_penalty=f"keras.regularizers.L2({value})",
            kernel_constraint="keras.constraints.NonNeg()",
            loss=f"smoothed({{loss}}, {value})",
            optimizer={"clipnorm": f"{value}"},
            callbacks=("keras.callbacks.TerminateOnNaN()",),
        )


PLAIN = {
    **vars(Regularization()),
    "in_use": (),
    "batch_norm_placement": "none",
    "rate_in": Regularization().rate_in,
}


def using(technique: Technique | None, value: float = 0.5) -> Any:
    """What stands for a regularization that has one technique more than the product."""
    if technique is None:
        return SimpleNamespace(**PLAIN)
    placement = technique.batch_norm_placement(value)
    return SimpleNamespace(
        **{**PLAIN, "batch_norm_placement": placement, technique.key: value, "in_use": ((technique, value),)}
    )


Networks = Callable[..., Iterator[Any]]


@pytest.fixture(scope="module")
def networks(data: Dataset, splits: Splits) -> Networks:
    """Gives the network of each trainer, the compiled one first, for a technique at a value."""

    @functools.cache
    def compiled_trainer(kind: type) -> CompiledTrainer:
        return CompiledTrainer(SPEC, data, splits)

    def make(technique: Technique | None, value: float = 0.5) -> Iterator[Any]:
        regularization = using(technique, value)
        yield compiled_trainer(type(technique)).network(regularization)
        model = KerasTrainer(SPEC, data, splits).builder.network(regularization)
        network = KerasNetwork(model, data.x_train, data.y_train, SPEC.training.batch_size)
        network.keep_averages(Averages(regularization.in_use, model.trainable_variables))
        yield network

    return make


def trained(network: Any, splits: Splits, epochs: int = 1) -> list[Any]:
    """Train, and return the mean loss of each epoch, then the weights."""
    losses = [network.train_epoch(splits.train) for _ in range(epochs)]
    return [np.array(losses), *network.get_weights()]


def assert_close(ours: list[Any], theirs: list[Any]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize(
    ("technique", "value"), [(Cubes(), 0.01), (MaxNorm(), 0.8), (Smoothed(), 0.3), (Clipped(), 0.05), (Averaged(), 0.9)]
)
def test_both_trainers_do_the_same_with_what_draws_nothing(
    technique: Technique, value: float, networks: Networks, splits: Splits
) -> None:
    ours, theirs = (trained(network, splits) for network in networks(technique, value))
    assert_close(ours, theirs)
    plain = trained(next(networks(None)), splits)
    assert np.abs(ours[1] - plain[1]).max() > 1e-4


@pytest.mark.parametrize("technique", [NoisyInput(), NoisyActivations()])
def test_what_draws_acts_in_training_alone_and_always_draws_the_same(
    technique: Technique, networks: Networks, splits: Splits
) -> None:
    plain = next(networks(None))
    before = plain.evaluate(splits.select).losses
    without = trained(plain, splits)
    for trainer in range(2):
        results = []
        for _ in range(2):
            network = list(itertools.islice(networks(technique), trainer + 1))[-1]
            assert network.evaluate(splits.select).losses == pytest.approx(before, rel=1e-4, abs=1e-6)
            results.append(trained(network, splits))
        assert all(map(np.array_equal, *results))
        assert np.abs(results[0][1] - without[1]).max() > 1e-3


def test_a_penalty_is_part_of_the_loss_and_of_what_decides_early_stopping(networks: Networks, splits: Splits) -> None:
    for network in networks(Cubes(), 0.01):
        kernel = network.get_weights()[0]
        assert network.penalty() == pytest.approx(0.01 * float((np.abs(kernel) ** 3).sum()), rel=1e-4)


def test_a_constraint_holds_after_every_step(networks: Networks, splits: Splits) -> None:
    for network in networks(MaxNorm(), 0.8):
        network.train_epoch(splits.train)
        assert np.linalg.norm(network.get_weights()[0], axis=0).max() <= 0.8 + 1e-5


def test_penalties_add_up_and_constraints_follow_one_another() -> None:
    two = SimpleNamespace(in_use=((Cubes(), 1.0), (Cubes(), 2.0), (MaxNorm(), 1.0), (MaxNorm(), 0.5)))
    kernel = keras.ops.ones((4, 1))
    assert float(applied_techniques.penalty(two)(kernel)) == 12
    assert np.linalg.norm(keras.ops.convert_to_numpy(applied_techniques.constraint(two)(kernel))) == pytest.approx(0.5)


def test_batch_normalization_stands_where_a_technique_places_it(networks: Networks) -> None:
    for network in networks(Normalized()):
        assert len(network.get_weights()) == 8
    names = [type(layer).__name__ for layer in network.model.layers]
    assert names == ["Rescaling", "Flatten", "Dense", "BatchNormalization", "Activation", "Dense"]


def test_the_average_is_evaluated_and_kept_and_the_other_trained(networks: Networks, splits: Splits) -> None:
    plain = next(networks(None))
    plain.train_epoch(splits.train)
    for network in networks(Averaged(), 0.9):
        network.train_epoch(splits.train)
        assert_close(network._averages.training_weights(), plain.get_weights())
        assert np.abs(network.get_weights()[0] - plain.get_weights()[0]).max() > 1e-3
        before = network.evaluate(splits.select)
        network.set_weights(network.get_weights())
        assert np.array_equal(network.evaluate(splits.select).losses, before.losses)


@pytest.mark.parametrize("technique", [NoisyInput(), Averaged(), MaxNorm()])
def test_training_goes_on_from_a_state_to_the_same_bits(
    technique: Technique, networks: Networks, splits: Splits
) -> None:
    for network in networks(technique, 0.9):
        network.train_epoch(splits.train)
        state = network.get_state()
        expected = trained(network, splits)
        network.set_state(state)
        assert all(map(np.array_equal, trained(network, splits), expected))


def test_another_value_needs_no_new_trace(networks: Networks, splits: Splits) -> None:
    traces = []
    for value in (0.1, 0.2, 0.3):
        network = next(networks(Smoothed(), value))
        network.train_epoch(splits.train)
        traces.append(network.traces)
    assert len(set(traces)) == 1


@pytest.mark.parametrize("technique", [NoisyInput(), Cubes(), MaxNorm(), NoisyActivations(), Smoothed(), Clipped()])
def test_an_exported_model_holds_nothing_of_ours(technique: Technique, data: Dataset, tmp_path: Path) -> None:
    builder = RegularizedNetwork.of(SPEC, data, 0)
    model = applied_techniques.leave_keras_alone(builder.network(using(technique)))
    model.save(tmp_path / "model.keras")
    config = keras.saving.load_model(tmp_path / "model.keras").get_config()
    assert "studies" not in str(config)
    assert "search" not in str(config)
    assert len(model.get_weights()) == 4


def test_a_script_has_every_piece_of_code() -> None:
    script_data = ScriptData(
        source="digits", input_shape=(28, 28), class_count=10, has_bytes=False, n_train=100, n_stop=10
    )
    regularization = using(Written(), 0.25)
    script = keras_script("tiny", SPEC, script_data, regularization, 0)
    compile(script, "script.py", "exec")
    for line in (
        "def smoothed(loss, share):\n    return loss",
        "        keras.layers.GaussianNoise(0.25),\n        keras.layers.Flatten(),",
        "kernel_regularizer=keras.regularizers.L2(0.25), kernel_constraint=keras.constraints.NonNeg()),",
        "        keras.layers.GaussianDropout(0.25),\n        keras.layers.Dense(10),",
        "optimizer=keras.optimizers.SGD(0.1, clipnorm=0.25),",
        "loss=smoothed(keras.losses.SparseCategoricalCrossentropy(from_logits=True), 0.25),",
        "callbacks=[keras.callbacks.TerminateOnNaN()],",
    ):
        assert line in script
