"""What both trainers promise: the network, early stopping, the figures, and the same bits each time."""

import gc
import json
from typing import Any, get_args

import keras
import keras_tuner
import numpy as np
import pytest
from helpers import train
from hypothesis import given
from hypothesis import strategies as st
from oracles import keras_early_stopping

from regsearch.search.data import load_dataset
from regsearch.search.data.arrays import Dataset
from regsearch.search.data.splits import make_splits
from regsearch.search.training import task_splits
from regsearch.search.training.builtin.compiled_trainer import CompiledTrainer
from regsearch.search.training.builtin.keras_trainer import KerasTrainer
from regsearch.search.training.builtin.network import RegularizedNetwork
from regsearch.search.training.early_stopping import EarlyStopping
from regsearch.search.training.loop import evaluated_parts
from regsearch.search.training.trainer import DivergedError
from regsearch.studies.batch_norm import steps_per_epoch
from regsearch.studies.configuration import Regularization
from regsearch.studies.search_space import LEARNING_RATE
from regsearch.studies.spec import StudySpec, TrainingSpec
from regsearch.studies.study_file import read_study
from regsearch.studies.trial import EpochMetrics, Purpose, TrialOutcome, TrialTask

SPEC = read_study("smoke")


def builder(spec: StudySpec = SPEC, seed: int = 0) -> RegularizedNetwork:
    return RegularizedNetwork(
        model=spec.model,
        training=spec.training,
        space=spec.space,
        input_shape=(28, 28),
        class_count=10,
        scale=1 / 255,
        momentum=0.99,
        seed=seed,
    )


def layers(network: keras.Model) -> list[str]:
    return [type(layer).__name__ for layer in network.layers]


def test_without_regularization_it_is_the_courses_network() -> None:
    network = builder().network(Regularization())
    assert layers(network) == ["Rescaling", "Flatten", "Dense", "Activation", "Dense"]
    assert network.layers[2].units == 16
    assert network.layers[2].kernel_regularizer is None
    assert network.loss.get_config()["from_logits"]


@pytest.mark.parametrize(
    ("placement", "between"),
    [
        ("none", ["Dense", "Activation", "Dropout"]),
        ("before_activation", ["Dense", "BatchNormalization", "Activation", "Dropout"]),
        ("after_activation", ["Dense", "Activation", "BatchNormalization", "Dropout"]),
    ],
)
def test_every_technique_has_its_place(placement: str, between: list[str]) -> None:
    network = builder().network(Regularization(l1=1e-5, l2=1e-4, dropout=0.3, batch_norm=placement))
    assert layers(network) == ["Rescaling", "Flatten", *between, "Dense"]
    penalty = network.layers[2].kernel_regularizer
    assert (float(penalty.l1), float(penalty.l2)) == pytest.approx((1e-5, 1e-4))
    assert network.layers[-1].kernel_regularizer is None


@pytest.mark.parametrize(("apply_to", "regularized"), [("widest", [False, True, False]), ("all", [True, True, True])])
def test_the_widest_layer_or_all_are_regularized(apply_to: str, regularized: list[bool]) -> None:
    spec = SPEC.changed(model={"hidden": [8, 16, 16], "apply_to": apply_to, "activation": "elu"})
    network = builder(spec).network(Regularization(l2=1e-4))
    dense = [layer for layer in network.layers if isinstance(layer, keras.layers.Dense)]
    assert [layer.kernel_regularizer is not None for layer in dense] == [*regularized, False]


def test_it_is_a_hypermodel_for_kerastuner() -> None:
    hp = keras_tuner.HyperParameters()
    builder().build(hp)
    hp.values = {"regularizer": "l2", "l2": 1e-3, "use_dropout": True, "dropout": 0.5, "batch_norm": "none"}
    hp.values["early_stopping"] = False
    network = builder().build(hp)
    assert layers(network) == ["Rescaling", "Flatten", "Dense", "Activation", "Dropout", "Dense"]
    assert network.layers[4].rate == 0.5


def test_initial_weights_come_from_the_seed_alone() -> None:
    def weights(seed: int, regularization: Regularization) -> np.ndarray[Any, Any]:
        return np.asarray(builder(seed=seed).network(regularization).get_weights()[0])

    assert np.array_equal(weights(0, Regularization()), weights(0, Regularization(l2=1e-3, dropout=0.2)))
    assert not np.array_equal(weights(0, Regularization()), weights(1, Regularization()))


@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.30000001, 0.5, 1.0]), min_size=1, max_size=20), st.integers(1, 6))
def test_patience_counts_as_keras_counts(losses: list[float], patience: int) -> None:
    state, stopped = EarlyStopping(patience=patience), None
    for epoch, loss in enumerate(losses):
        state = state.after(epoch, loss)
        if state.is_over:
            stopped = epoch
            break
    assert (state.best_epoch, stopped) == keras_early_stopping(losses, patience)


def test_without_early_stopping_the_last_epoch_counts() -> None:
    state = EarlyStopping(patience=None)
    for epoch, loss in enumerate([0.1, 0.5, 0.9]):
        state = state.after(epoch, loss)
    assert (state.best_epoch, state.is_over) == (2, False)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


TRAINERS: dict[str, type[CompiledTrainer] | type[KerasTrainer]] = {"compiled": CompiledTrainer, "keras": KerasTrainer}


@pytest.fixture(params=TRAINERS)
def kind(request: pytest.FixtureRequest) -> str:
    assert set(get_args(TrainingSpec.model_fields["trainer"].annotation)) == set(TRAINERS), "a new trainer belongs here"
    return str(request.param)


def make(kind: str, data: Dataset, spec: StudySpec = SPEC, seed: int | None = None) -> Any:
    return TRAINERS[kind](spec, data, make_splits(data, spec.data, spec.search.seed), seed)


def without_times(outcome: TrialOutcome, epochs: list[EpochMetrics]) -> Any:
    figures = [{**vars(epoch), "seconds": 0} for epoch in epochs]
    return {**vars(outcome), "seconds": 0}, figures


ALL = {"l1": 1e-5, "l2": 1e-4, "dropout": 0.3, "batch_norm": "before_activation", "patience": 2}


@pytest.mark.slow
def test_a_trial_gives_the_same_bits_alone_and_after_others(kind: str, digits: Dataset) -> None:
    alone = without_times(*train(make(kind, digits), **ALL))
    trainer = make(kind, digits)
    train(trainer, l1=1e-3, batch_norm="before_activation")
    train(trainer, dropout=0.5)
    with pytest.raises(DivergedError):
        train(trainer, l2=1e38, batch_norm="before_activation")
    assert without_times(*train(trainer, **ALL)) == alone


@pytest.mark.slow
def test_another_seed_gives_other_luck(kind: str, digits: Dataset) -> None:
    one, _ = train(make(kind, digits))
    other, _ = train(make(kind, digits, seed=99))
    assert one.select_cross_entropy != other.select_cross_entropy


def confirmed(trainer: Any, params: dict[str, Any], seed: int) -> Any:
    """What a finalist gives on a fresh seed, without times and each row's figures."""
    task = TrialTask(number=0, attempt=0, params=params, purpose=Purpose.CONFIRM, seed=seed)
    epochs: list[EpochMetrics] = []
    outcome, figures = without_times(trainer.train(task, lambda metrics: epochs.append(metrics) or True), epochs)
    return {**outcome, "select_rows": None}, figures


@pytest.mark.slow
@pytest.mark.parametrize("train_size", [None, 300])
def test_a_finalist_trains_as_a_trial_of_a_study_with_its_fresh_seed(
    kind: str, digits: Dataset, train_size: int | None
) -> None:
    spec = SPEC.changed(data={"train_size": train_size})
    trainer = make(kind, digits, spec)
    train(trainer, **ALL)
    for seed in (7, 11, 7):
        expected = without_times(*train(make(kind, digits, spec.changed(search={"seed": seed})), **ALL))
        assert confirmed(trainer, ALL, seed) == expected


@pytest.mark.slow
def test_a_finalist_with_a_fixed_split_trains_on_the_studys_examples(kind: str, digits: Dataset) -> None:
    fixed, drawn = (make(kind, digits, SPEC.changed(confirm={"split": split})) for split in ("fixed", "drawn"))
    expected = without_times(*train(make(kind, digits, seed=7), **ALL))
    assert confirmed(fixed, ALL, 7) == expected
    assert confirmed(drawn, ALL, 7) != expected


def test_a_drawn_split_traces_nothing_anew(digits: Dataset) -> None:
    trainer = make("compiled", digits)
    train(trainer, **ALL)
    traces = trainer.traces
    confirmed(trainer, ALL, 7)
    assert trainer.traces == traces


@pytest.mark.slow
def test_a_fresh_seeds_split_is_drawn_once_for_all_finalists(
    kind: str, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr(task_splits, "make_splits", lambda *a: drawn.append(a[2]) or make_splits(*a))
    trainer = make(kind, digits)
    for seed in (7, 7, 11):
        confirmed(trainer, ALL, seed)
    assert drawn == [7, 11]


def test_every_epoch_has_an_order_of_its_own(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """A seeded `fit` with shuffle=True would repeat one permutation for ever."""
    orders = []
    fit = keras.Model.fit

    def spy(self: Any, x: Any, *arguments: Any, **options: Any) -> Any:
        orders.append(x.copy())
        return fit(self, x, *arguments, **options)

    monkeypatch.setattr(keras.Model, "fit", spy)
    train(make("keras", digits))
    assert len(orders) == 3
    assert not np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[1], orders[2])
    assert orders[0].dtype == np.uint8
    for order in orders[1:]:
        assert np.array_equal(np.sort(order.sum((1, 2))), np.sort(orders[0].sum((1, 2))))


@pytest.mark.slow
def test_figures_are_those_of_keras_itself(digits: Dataset) -> None:
    """The same network, evaluated by Keras: loss with penalty, cross-entropy without, accuracy."""
    spec = SPEC.changed(training={"max_epochs": 1})
    splits = make_splits(digits, spec.data, 0)
    trainer = make("keras", digits, spec)
    kept: list[keras.Model] = []
    network = trainer.builder.network
    trainer.builder.network = lambda regularization: kept.append(network(regularization)) or kept[-1]
    outcome, (epoch,) = train(trainer, l1=1e-3, l2=1e-2, dropout=0.4)
    (model,) = kept
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[
            keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="cross_entropy"),
            keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
        ],
    )

    def evaluate(rows: Any) -> dict[str, float]:
        return dict(model.evaluate(digits.x_train[rows], digits.y_train[rows], verbose=0, return_dict=True))

    stop, select, trained = evaluate(splits.stop), evaluate(splits.select), evaluate(splits.train)
    assert epoch.stop_loss == pytest.approx(stop["loss"], rel=1e-5)
    assert epoch.stop_cross_entropy == pytest.approx(stop["cross_entropy"], rel=1e-5)
    assert epoch.stop_accuracy == pytest.approx(stop["accuracy"])
    assert epoch.stop_loss > epoch.stop_cross_entropy + 0.1
    assert outcome.select_cross_entropy == pytest.approx(select["cross_entropy"], rel=1e-5)
    assert outcome.select_accuracy == pytest.approx(select["accuracy"])
    assert outcome.train_cross_entropy == pytest.approx(trained["cross_entropy"], rel=1e-5)
    assert outcome.generalization_gap == pytest.approx(select["cross_entropy"] - trained["cross_entropy"], abs=1e-5)
    assert outcome.near_zero_share == pytest.approx(float((np.abs(model.get_weights()[0]) < 1e-3).mean()))


@pytest.mark.slow
def test_the_restored_weights_are_those_of_the_best_epoch(kind: str, digits: Dataset) -> None:
    """A trial cut at its best epoch, without early stopping, ends with the same weights."""
    spec = SPEC.changed(training={"max_epochs": 40, "learning_rate": 0.05})
    outcome, epochs = train(make(kind, digits, spec), patience=1)
    assert outcome.epochs < 40
    assert outcome.best_epoch == len(epochs) - 2
    losses = [epoch.stop_loss for epoch in epochs]
    assert outcome.best_epoch == losses.index(min(losses))
    cut, _ = train(make(kind, digits, spec.changed(training={"max_epochs": outcome.best_epoch + 1})))
    assert cut.select_cross_entropy == outcome.select_cross_entropy


def test_a_trial_that_is_told_to_stop_stops(kind: str, digits: Dataset) -> None:
    heard: list[int] = []
    task = TrialTask(number=0, attempt=0, params={})
    assert make(kind, digits).train(task, lambda metrics: heard.append(metrics.epoch) or metrics.epoch < 1) is None
    assert heard == [0, 1]


@pytest.mark.slow
@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", 1e30), ("rmsprop", 1e38)])
def test_a_loss_that_is_not_finite_ends_the_trial(kind: str, digits: Dataset, optimizer: str, rate: float) -> None:
    trainer = make(kind, digits, SPEC.changed(training={"optimizer": optimizer, "learning_rate": 1e6}))
    with pytest.raises(DivergedError, match=r"diverged at epoch [012]"):
        trainer.train(TrialTask(number=0, attempt=0, params={"l2": rate}), lambda metrics: True)


@pytest.mark.slow
@pytest.mark.parametrize("params", [{"dropout": 0.0}, {"l1": 1e-30, "l2": 0.0}, {"l1": 0.0, "l2": 1e-30}], ids=str)
def test_what_is_zero_is_off(kind: str, digits: Dataset, params: dict[str, Any]) -> None:
    trainer = make(kind, digits)
    assert without_times(*train(trainer, **params)) == without_times(*train(trainer))


@pytest.mark.slow
def test_floats_are_not_scaled_again(kind: str, digits: Dataset) -> None:
    scaled = Dataset(
        name="floats",
        x_train=digits.x_train.astype(np.float32) / 255,
        y_train=digits.y_train,
        x_test=digits.x_test.astype(np.float32) / 255,
        y_test=digits.y_test,
    )
    one, _ = train(make(kind, digits))
    other, _ = train(make(kind, scaled))
    assert other.select_cross_entropy == pytest.approx(one.select_cross_entropy, rel=1e-3)
    gc.collect()


@pytest.mark.parametrize(
    ("at_most", "features", "size"),
    [(10_000, 784, 10_000), (10_000, 10_000, 10_000), (10_000, 150_528, 664), (1_000, 3072, 1_000), (1_000, 10**9, 1)],
)
def test_rows_are_evaluated_in_parts_that_fit_the_memory(at_most: int, features: int, size: int) -> None:
    parts = list(evaluated_parts(np.arange(2 * size + 1), at_most, features))
    assert [len(part) for part in parts] == [size, size, 1]
    assert np.array_equal(np.concatenate(parts), np.arange(2 * size + 1))


@pytest.mark.slow
def test_a_trials_own_learning_rate_gives_the_bits_of_a_study_with_it(kind: str, digits: Dataset) -> None:
    searched = SPEC.changed(space={"learning_rate": {"low": 1e-4, "high": 1e-1}})
    trainer = make(kind, digits, searched)
    settings = {"l2": 1e-4, "batch_norm": "before_activation"}
    slow, own = (without_times(*train(trainer, **settings, **{LEARNING_RATE: rate})) for rate in (2e-4, 0.02))
    fixed = make(kind, digits, SPEC.changed(training={"learning_rate": 0.02}))
    assert slow != own == without_times(*train(fixed, **settings))


@pytest.mark.slow
def test_long_rows_are_evaluated_fewer_at_once_to_the_same_figures(
    kind: str, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = train(make(kind, digits))
    monkeypatch.setattr("regsearch.search.training.loop._VALUES_AT_ONCE", 50 * 784)
    other, _ = train(make(kind, digits))
    assert other.select_cross_entropy == pytest.approx(one.select_cross_entropy, rel=1e-5)


FEW_STEPS = StudySpec().changed(data={"train_size": 200}, training={"max_epochs": 5})  # 7 of them an epoch


@pytest.mark.parametrize("placement", ["before_activation", "after_activation"])
def test_batch_norm_is_judged_by_averages_that_suit_few_steps(digits: Dataset, placement: str) -> None:
    """With the momentum of Keras it would look far worse than no regularization, and it is better."""
    of_keras = FEW_STEPS.changed(model={"batch_norm_momentum": 0.99})
    derived, slow = (
        train(make("compiled", digits, spec), batch_norm=placement)[0].select_cross_entropy
        for spec in (FEW_STEPS, of_keras)
    )
    none = train(make("compiled", digits, FEW_STEPS))[0].select_cross_entropy
    assert derived < 0.8 * none < none < slow


@pytest.mark.slow
def test_a_study_of_old_keeps_the_averages_that_it_was_begun_with(kind: str, digits: Dataset) -> None:
    begun = FEW_STEPS.changed(training={"max_epochs": 1})
    stored = json.loads(begun.to_json())
    del stored["model"]["batch_norm_momentum"]
    older = StudySpec.from_json(json.dumps(stored))
    of_keras = begun.changed(model={"batch_norm_momentum": 0.99})
    one, other, derived = (
        without_times(*train(make(kind, digits, spec), batch_norm="after_activation"))
        for spec in (older, of_keras, begun)
    )
    assert one == other != derived


@pytest.mark.slow
def test_the_momentum_of_many_steps_is_that_of_keras_to_the_bit(kind: str, digits: Dataset) -> None:
    spec = SPEC.changed(data={"train_size": 700}, training={"max_epochs": 1, "batch_size": 2})  # 350 steps an epoch
    assert steps_per_epoch(spec.training, spec.data.train_rows(digits.n_train)) > 300
    one, other = (
        without_times(*train(make(kind, digits, each), batch_norm="before_activation"))
        for each in (spec, spec.changed(model={"batch_norm_momentum": 0.99}))
    )
    assert one == other
