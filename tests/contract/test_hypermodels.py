"""HyperModels that run under KerasTuner run here, unchanged; what a trial gives depends on its parameters alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypermodels
import numpy as np
import pytest
from helpers import train
from hypermodels import GUIDE, IMPORTS, LOOP, TUNED_FIT, custom_fit, network

from regsearch.search.data import load_dataset
from regsearch.search.data.arrays import Dataset
from regsearch.search.training.checkpoints import FileCheckpoints
from regsearch.search.training.snapshots import Snapshots
from regsearch.studies.study_file import read_study
from regsearch.studies.trial import EpochMetrics, Purpose, TrialTask
from regsearch.studies.trial_files import TrialFiles

SPEC = read_study("smoke")
GUIDES = {"units": 32, "activation": "relu", "dropout": True, "lr": 0.005}
NOISY = """
def build(hp):
    model = keras.Sequential([keras.Input((28, 28, 1)), layers.RandomTranslation(0.1, 0.1), layers.GaussianNoise(0.1)])
    model.add(layers.Flatten())
    model.add(layers.Dense(hp.Int("units", 8, 32), activation="relu", kernel_regularizer=keras.regularizers.L2(1e-3)))
    model.add(layers.BatchNormalization())
    model.add(layers.Dropout(0.4))
    model.add(layers.Dense(10))
    schedule = keras.optimizers.schedules.ExponentialDecay(0.01, 5, 0.9)
    model.compile(keras.optimizers.Adam(schedule), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model
"""


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


@pytest.fixture
def make(tmp_path: Path, digits: Dataset) -> Callable[..., Any]:
    """A trainer of a HyperModel, as a new worker makes it."""

    def make(code: str, name: str = "build", **search: Any) -> Any:
        path = hypermodels.write(tmp_path, code)
        return hypermodels.trainer(SPEC, f"{path}:{name}", digits, **search)

    return make


class Interrupted(BaseException):
    """Stands for whatever ends a worker."""


def without_times(trained: Any) -> Any:
    outcome, epochs = trained
    return {**vars(outcome), "seconds": 0}, [{**vars(epoch), "seconds": 0} for epoch in epochs]


def test_the_guides_hypermodel_learns(make: Callable[..., Any]) -> None:
    outcome, epochs = train(make(GUIDE, "build_model"), **GUIDES)
    assert len(epochs) == 3
    assert epochs[-1].train_loss < epochs[0].train_loss
    assert outcome.select_accuracy > 0.7
    assert outcome.select_accuracy == pytest.approx(epochs[-1].stop_accuracy, abs=0.1)


def test_a_hypermodel_gets_images_from_0_to_1_with_a_channel(make: Callable[..., Any], digits: Dataset) -> None:
    seen = """
        x, y = args
        assert (x.shape, x.dtype) == ((200, 28, 28, 1), "float32")
        assert (x.min(), x.max()) == (0, 1)
        assert y.shape == (200,)
        assert kwargs["validation_data"][0].shape == (144, 28, 28, 1)
        return model.fit(*args, **kwargs)"""
    train(make(custom_fit(seen), "Mine"), units=4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "code", [(GUIDE, "build_model", GUIDES), (f"{hypermodels.IMPORTS}{NOISY}", "build", {"units": 8})]
)
def test_interrupted_after_every_epoch_it_ends_with_the_same_bits(
    make: Callable[..., Any], tmp_path: Path, code: tuple[str, str, dict[str, Any]]
) -> None:
    text, name, params = code
    expected = without_times(_trained(make(text, name), tmp_path / "whole", params))
    assert expected[0]["weights_sha256"] is not None
    for epochs in range(3):
        with pytest.raises(Interrupted):
            _trained(make(text, name), tmp_path / "parts", params, epochs)
    assert without_times(_trained(make(text, name), tmp_path / "parts", params)) == expected


def _trained(trainer: Any, folder: Path, params: dict[str, Any], at: int = 99) -> Any:
    folder.mkdir(exist_ok=True)
    heard: list[EpochMetrics] = []

    def hear(metrics: EpochMetrics) -> bool:
        if len(heard) == at:
            raise Interrupted
        heard.append(metrics)
        return True

    with FileCheckpoints(TrialFiles(folder), 7, "this trial", pytest.fail) as checkpoints:
        return trainer.train(TrialTask(number=7, attempt=0, params=params), hear, checkpoints), heard


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "name", "params"),
    [
        (TUNED_FIT, "MyHyperModel", {"units": 16, "shuffle": True, "batch_size": 16, "epochs": 2}),
        (LOOP, "MyHyperModel", {"units": 32, "batch_size": 64, "learning_rate": 1e-3}),
    ],
)
def test_a_trials_result_depends_on_no_worker_and_no_earlier_trial(
    make: Callable[..., Any], code: str, name: str, params: dict[str, Any]
) -> None:
    expected = without_times(train(make(code, name), **params))
    busy = make(code, name)
    train(busy, **{**params, "units": 64})
    np.random.random(7)
    assert without_times(train(busy, **params)) == expected
    other = busy.train(TrialTask(number=0, attempt=0, params=params, purpose=Purpose.CONFIRM, seed=5), lambda _: True)
    assert other.select_cross_entropy != expected[0]["select_cross_entropy"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "name", "params"),
    [
        (GUIDE, "build_model", GUIDES),
        (TUNED_FIT, "MyHyperModel", {"units": 16, "shuffle": True, "batch_size": 16, "epochs": 2}),
    ],
)
def test_a_finalist_trains_as_a_trial_of_a_study_with_its_fresh_seed(
    make: Callable[..., Any], code: str, name: str, params: dict[str, Any]
) -> None:
    task = TrialTask(number=0, attempt=0, params=params, purpose=Purpose.CONFIRM, seed=5)
    epochs: list[EpochMetrics] = []
    outcome = make(code, name).train(task, lambda metrics: epochs.append(metrics) or True)
    (of_trial, figures), expected = (
        without_times((outcome, epochs)),
        without_times(train(make(code, name, seed=5), **params)),
    )
    assert ({**of_trial, "select_rows": None}, figures) == expected


@pytest.mark.slow
def test_a_fit_of_its_own_decides_epochs_and_batches(
    make: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    params = {"units": 16, "shuffle": False, "batch_size": 16, "epochs": 4}
    outcome, epochs = train(make(TUNED_FIT, "MyHyperModel"), **params)
    assert capsys.readouterr().out == ""  # an answer may stand there
    assert (len(epochs), outcome.epochs) == (4, 4)
    assert train(make(TUNED_FIT, "MyHyperModel"), **{**params, "batch_size": 32})[1][0] != epochs[0]


def test_a_custom_loop_reports_and_returns_its_number(make: Callable[..., Any]) -> None:
    params = {"units": 32, "batch_size": 64, "learning_rate": 1e-3}
    outcome, epochs = train(make(LOOP, "MyHyperModel", objective="my_metric:min"), **params)
    assert len(epochs) == 2
    assert outcome.value("my_metric:min") == min(epoch.value("my_metric:min") for epoch in epochs)
    assert epochs[1].objective == pytest.approx(epochs[1].stop_cross_entropy, abs=1e-5)


@pytest.mark.slow
def test_the_kept_epoch_is_the_one_whose_weights_fit_put_back(make: Callable[..., Any]) -> None:
    worst = """
        stopping = keras.callbacks.EarlyStopping("val_loss", mode="max", patience=9, restore_best_weights=True)
        return model.fit(*args, **{**kwargs, "callbacks": [*kwargs["callbacks"], stopping]})"""
    outcome, epochs = train(make(custom_fit(worst), "Mine"), units=8)
    assert (outcome.best_epoch, outcome.epochs) == (0, 3)
    outcome, epochs = train(make(custom_fit("return model.fit(*args, **kwargs)"), "Mine"), units=8)
    assert outcome.best_epoch == len(epochs) - 1


def test_a_fit_that_must_not_go_on_is_left_whatever_it_catches(make: Callable[..., Any]) -> None:
    stubborn = """
        try:
            return model.fit(*args, **kwargs)
        except Exception:
            raise SystemExit"""
    trainer = make(custom_fit(stubborn), "Mine")
    assert trainer.train(TrialTask(number=0, attempt=0, params={"units": 4}), lambda metrics: metrics.epoch < 1) is None


@pytest.mark.parametrize(
    ("result", "objective", "value"),
    [
        ("0.25", "val_cost:min", 0.25),
        ("[0.25, 0.75]", "val_cost:min", 0.5),
        ('{"val_cost": 3.0, "loss": 1.0}', "val_cost:max", 3.0),
        ('model.fit(*args, **kwargs).history and {"val_accuracy": 0.5}', "val_accuracy", 0.5),
    ],
)
def test_the_objective_is_what_fit_returns(make: Callable[..., Any], result: str, objective: str, value: float) -> None:
    outcome, _ = train(make(custom_fit(f"return {result}"), "Mine", objective=objective), units=4)
    assert outcome.value(objective) == value


@pytest.mark.parametrize(("objective", "own_fit"), [("val_loss", True), ("val_accuracy", False)])
def test_a_metric_of_the_models_is_measured_on_the_select_rows(
    make: Callable[..., Any], objective: str, own_fit: bool
) -> None:
    code = custom_fit("return model.fit(*args, **kwargs)")
    outcome, epochs = train(make(code, "Mine" if own_fit else "build", objective=objective), units=8)
    by_accuracy = objective == "val_accuracy"
    ours = outcome.select_accuracy if by_accuracy else outcome.select_cross_entropy
    assert outcome.value(objective) == pytest.approx(ours, abs=1e-5)
    stop = epochs[-1].stop_accuracy if by_accuracy else epochs[-1].stop_loss
    assert epochs[-1].value(objective) == pytest.approx(stop, abs=1e-5)


PENALIZED = f"""{IMPORTS}def build(hp):
    l2 = keras.regularizers.L2(hp.Float("l2", 1e-3, 1.0))
    inner = keras.Sequential([layers.Dense(8, activation="relu", bias_regularizer=l2, activity_regularizer="l1")])
    model = keras.Sequential([layers.Flatten(), inner, layers.Dense(10, activation="softmax", kernel_regularizer=l2)])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model

class Mine(keras_tuner.HyperModel):
    def build(self, hp):
        return build(hp)

    def fit(self, hp, model, *args, **kwargs):
        return model.fit(*args, **kwargs)
"""


@pytest.mark.parametrize("name", ["build", "Mine"])
def test_the_objective_val_loss_leaves_out_every_penalty(make: Callable[..., Any], name: str) -> None:
    outcome, epochs = train(make(PENALIZED, name, objective="val_loss"), l2=0.5)
    assert outcome.value("val_loss") == pytest.approx(outcome.select_cross_entropy, abs=1e-4)
    for epoch in epochs:
        assert epoch.value("val_loss") == pytest.approx(epoch.stop_cross_entropy, abs=1e-4)
    assert epochs[0].stop_loss > epochs[0].stop_cross_entropy + 0.1  # early stopping keeps the rule of Keras


@pytest.mark.parametrize("name", ["build", "Mine"])
def test_a_study_from_before_goes_on_with_the_penalty_in_val_loss(make: Callable[..., Any], name: str) -> None:
    outcome, epochs = train(make(PENALIZED, name, objective="val_loss", rules=2), l2=0.5)
    assert outcome.value("val_loss") > outcome.select_cross_entropy + 0.1
    for epoch in epochs:
        assert epoch.value("val_loss") > epoch.stop_cross_entropy + 0.1


def test_a_logged_metric_counts_at_its_best_epoch(make: Callable[..., Any]) -> None:
    logged = """
        history = model.fit(*args, **kwargs)
        history.history["val_cost"] = [3.0, 1.0, 2.0]
        return history"""
    outcome, _ = train(make(custom_fit(logged), "Mine", objective="val_cost:min"), units=4)
    assert outcome.value("val_cost:min") == 1.0


@pytest.mark.parametrize(
    ("body", "objective", "message"),
    [
        ("model.fit(*args, **kwargs)", "cross_entropy", "fit must return a History.*it returned None. Does it end"),
        ("return 'well'", "val_loss", "fit must return a History, a number or a dict of metrics; it returned str"),
        ("return {'val_acc': 1.0}", "val_loss", "fit must return val_loss, the objective; it returned val_acc"),
        (
            "return model.fit(*args, **kwargs)",
            "val_f1:max",
            "the objective is val_f1, but the model has only val_accuracy, val_loss",
        ),
        ("return model.fit(*args, **kwargs, batches=1)", "val_loss", "unexpected keyword argument 'batches'"),
    ],
)
def test_what_kerastuner_does_not_take_fails_with_the_reason(
    make: Callable[..., Any], body: str, objective: str, message: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        train(make(custom_fit(body), "Mine", objective=objective), units=4)


SOFTMAX, LOGITS, ONE = (
    'layers.Dense(10, activation="softmax")',
    "layers.Dense(10)",
    "layers.Dense(10), layers.Softmax()",
)
FROM_LOGITS = "keras.losses.SparseCategoricalCrossentropy(from_logits=True)"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("compiled", "last"),
    [
        ('"adam", "categorical_crossentropy"', SOFTMAX),
        ('"adam", "sparse_categorical_crossentropy"', SOFTMAX),
        (f'"adam", {FROM_LOGITS}', LOGITS),
        ('"adam", keras.losses.CategoricalCrossentropy(from_logits=True)', LOGITS),
        ('"adam", keras.losses.categorical_crossentropy', SOFTMAX),
        ('"adam", "mse"', SOFTMAX),
        ('"adam", "binary_crossentropy"', 'layers.Dense(10, activation="sigmoid")'),
        (f'"adam", lambda y, p: {FROM_LOGITS}(y, p)', LOGITS),
        ("", SOFTMAX),
        ("", LOGITS),
        ("", f"{LOGITS}, layers.Softmax()"),
    ],
)
def test_labels_and_figures_suit_what_the_model_is_compiled_with(
    make: Callable[..., Any], compiled: str, last: str
) -> None:
    outcome, epochs = train(make(network(compiled, last)), units=8)
    assert epochs[-1].stop_cross_entropy < epochs[0].stop_cross_entropy < 3
    assert 0.05 < outcome.select_accuracy < 1
    assert outcome.select_cross_entropy < np.log(10) + 0.1


def test_a_penalty_of_the_models_is_in_the_loss_that_stops_early(make: Callable[..., Any]) -> None:
    _, epochs = train(make(f"{hypermodels.IMPORTS}{NOISY}"), units=8)
    assert all(epoch.stop_loss > epoch.stop_cross_entropy + 1e-3 for epoch in epochs)


@pytest.mark.parametrize(
    ("code", "name", "message"),
    [
        ("def build(hp):\n    return None\n", "build", "returned NoneType instead of a Keras model"),
        ("build = 7\n", "build", "build is 7. Give a subclass of keras_tuner.HyperModel"),
        (
            f"{hypermodels.IMPORTS}\nclass Sized(keras_tuner.HyperModel):\n    def __init__(self, units): ...\n",
            "Sized",
            r"Sized needs the arguments units. Create an instance in its file, such as mine = Sized\(…\)",
        ),
        ("class Plain:\n    pass\n", "Plain", "Give a subclass of keras_tuner.HyperModel"),
        ("1 / 0\n\n\ndef build(hp): ...\n", "build", "division by zero"),
        (network("", "layers.Dense(3)"), "build", r"shape \(1, 3\), but the data have 10 classes"),
    ],
)
def test_a_hypermodel_that_cannot_serve_says_why(make: Callable[..., Any], code: str, name: str, message: str) -> None:
    with pytest.raises((TypeError, ValueError, ZeroDivisionError), match=message):
        train(make(code, name), units=4)


@pytest.mark.slow
def test_an_instance_a_class_and_a_function_do_the_same(make: Callable[..., Any]) -> None:
    code = (
        custom_fit("return model.fit(*args, **kwargs)").replace("fit(self, hp", "unused(self, hp") + "\nmine = Mine()\n"
    )
    each = [without_times(train(make(code, name), units=8)) for name in ("build", "Mine", "mine")]
    assert each[0] == each[1] == each[2]


def test_a_finalist_that_asks_for_more_than_in_the_search_fails(make: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="in the search it had no parameter activation"):
        train(make(GUIDE, "build_model"), units=32)


@pytest.mark.slow
def test_a_saved_model_is_the_trial_as_it_was(make: Callable[..., Any], tmp_path: Path, digits: Dataset) -> None:
    import keras

    from regsearch.search.training.hypermodel.trainer import ModelInputs

    trainer = make(GUIDE, "build_model")
    states = []
    (tmp_path / "files").mkdir()
    with FileCheckpoints(TrialFiles(tmp_path / "files"), 0, "", pytest.fail) as checkpoints:
        save = checkpoints.save
        checkpoints.save = lambda state: states.append(state) or save(state)  # type: ignore[method-assign]
        outcome = trainer.train(TrialTask(number=0, attempt=0, params=GUIDES), lambda _: True, checkpoints)
        weights = checkpoints.weights(outcome.weights_sha256)
    trainer.save_model(GUIDES, states[-1], tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    hits = np.argmax(model.predict(ModelInputs(digits.x_train)[trainer.splits.select], verbose=0), axis=1)
    assert (hits == digits.y_train[trainer.splits.select]).mean() == pytest.approx(outcome.select_accuracy)
    looked = trainer.look_at_test(TrialTask(number=0, attempt=0, params=GUIDES), weights)
    assert looked.accuracy > 0.6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "name", "params"),
    [
        (f"{hypermodels.IMPORTS}{NOISY}", "build", {"units": 8}),
        (TUNED_FIT, "MyHyperModel", {"units": 16, "shuffle": True, "batch_size": 16, "epochs": 2}),
    ],
)
def test_snapshots_of_each_epoch_change_nothing(
    make: Callable[..., Any], tmp_path: Path, code: str, name: str, params: dict[str, Any]
) -> None:
    import keras

    expected = without_times(_trained(make(code, name), tmp_path / "whole", params))
    trainer = make(code, name)
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "files").mkdir()
    with FileCheckpoints(TrialFiles(tmp_path / "files"), 7, "", pytest.fail) as checkpoints:
        snapshots = Snapshots(
            checkpoints, tmp_path / "snapshots", 7, lambda *state: trainer.save_model({}, *state), pytest.fail
        )
        epochs: list[EpochMetrics] = []
        task = TrialTask(number=7, attempt=0, params=params)
        outcome = trainer.train(task, lambda metrics: epochs.append(metrics) or True, snapshots)
    assert without_times((outcome, epochs)) == expected
    saved = sorted((tmp_path / "snapshots").iterdir())
    assert len(saved) == len(epochs)
    last = keras.models.load_model(saved[-1]).get_weights()
    assert all(map(np.array_equal, last, checkpoints.weights(outcome.weights_sha256)))
