"""Trains with the `fit` of a HyperModel; a callback reports each epoch, saves checkpoints and stops the trial."""

import inspect
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import keras
import keras_tuner
import numpy as np

from ....studies.objectives import OURS, maximizes, metric_of
from ....studies.trial import TrialOutcome
from ...data.splits import Rows, Splits
from ...seeds import derive_seed
from ..checkpoints import TrainingCheckpoint
from ..loop import TrainingRun, epoch_metrics, finish_trial, state_after

_RESULTS = (int, float, np.floating, dict, list, keras.callbacks.History)
_GIVEN_TWICE = re.compile(r"got multiple values for (?:keyword )?argument '(\w+)'")


class _StoppedError(BaseException):
    """Ends `fit` after the trial was stopped; `fit` is unlikely to catch a BaseException."""


def fit_by_itself(
    hypermodel: keras_tuner.HyperModel,
    hp: keras_tuner.HyperParameters,
    network: Any,
    run: TrainingRun,
    batch_size: int,
    objective: str,
) -> TrialOutcome | None:
    """Train with the HyperModel's own `fit`, from the first epoch; return None if `on_epoch` ended the trial.

    `fit` gets the arguments that KerasTuner's `search(x, y, validation_data=…, epochs=…, batch_size=…)` passes on.
    An argument is left out if `fit` has no parameter for it, or if `fit` gives the model's `fit` the same argument.

    Args:
        hypermodel, hp: the HyperModel and its hyperparameters.
        network: the built `HyperModelNetwork`.
        run: the splits and the settings of the trial; without a patience, only the HyperModel's own early stopping
            counts.
        batch_size: the number of examples in a training step.
        objective: the objective of the study.

    Raises TypeError or ValueError if KerasTuner would not accept the return value of `fit`.
    """
    started = time.perf_counter()
    metric = None if objective in OURS else metric_of(objective)
    reporter = _Reporter(network, run, metric, started)
    arguments = {"epochs": run.max_epochs, "batch_size": batch_size, "callbacks": [reporter]}
    try:
        result = _fit(hypermodel, hp, network, run, arguments)
        returned_objective = None if metric is None else _returned_objective(result, metric)
        if returned_objective is None and not isinstance(result, _RESULTS):
            what = "None. Does it end without `return`?" if result is None else type(result).__name__
            raise TypeError(f"fit must return a History, a number or a dict of metrics; it returned {what}")
        if not reporter.state.curve:  # `fit` called no callback
            reporter.on_epoch_end(0, {})
    except _StoppedError:
        return None

    def measure(rows: Rows) -> float:
        return (
            _measure_objective(network, objective, result, rows) if returned_objective is None else returned_objective
        )

    state = _with_best_epoch(network, reporter.state, run.splits)
    return finish_trial(network, state, run, started, None if metric is None else measure)


def _fit(
    hypermodel: keras_tuner.HyperModel,
    hp: keras_tuner.HyperParameters,
    network: Any,
    run: TrainingRun,
    arguments: dict[str, Any],
) -> Any:
    """Call `fit` without Keras's progress bars; return what `fit` returned."""
    train, stop = ((network.x[rows], network.labels[rows]) for rows in (run.splits.train, run.splits.stop))
    with _quiet():
        arguments = {"validation_data": stop, **arguments}
        return _call(hypermodel, hp, network.model, train, arguments, derive_seed(run.seed, "fit"))


def _with_best_epoch(network: Any, state: TrainingCheckpoint, splits: Splits) -> TrainingCheckpoint:
    """Set the best epoch of the state to the epoch whose weights the network now has; return the new state.

    If the trial has a patience, the study chooses the best epoch, and the state is returned unchanged. Otherwise `fit`
    may have restored the weights of an earlier epoch.
    """
    if state.best_weights is not None:
        return state
    cross_entropy = network.evaluate(splits.stop).cross_entropy
    epochs = [metrics.epoch for metrics in state.curve if metrics.stop_cross_entropy == cross_entropy]
    best_epoch = max(epochs, default=len(state.curve) - 1)
    return replace(state, stopping=replace(state.stopping, best_epoch=best_epoch))


class _Reporter(keras.callbacks.Callback):
    """Reports each epoch, and ends a trial that must stop. Epochs are counted here; numbers from `fit` are ignored."""

    def __init__(self, network: Any, run: TrainingRun, metric: str | None, started: float) -> None:
        super().__init__()
        self._network, self._run, self._metric, self._started = network, run, metric, started
        self._epoch_started = time.perf_counter()
        self.state = run.first_state()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        logs = logs or {}
        if "loss" in logs:
            train_loss = float(logs["loss"])
        else:
            train_loss = self._network.evaluate(self._run.splits.train).cross_entropy + self._network.penalty()
        metric = None if self._metric is None else logs.get(self._metric)
        if metric is not None and self._metric == "val_loss" and not self._network.penalty_counts:
            metric = float(metric) - self._network.penalty(self._run.splits.stop)
        metrics = epoch_metrics(
            self._network,
            len(self.state.curve),
            train_loss,
            self._run.splits.stop,
            self._epoch_started,
            None if metric is None else lambda rows: float(metric),
        )
        now = time.perf_counter()
        self.state, self._epoch_started = state_after(self._network, self.state, metrics, now - self._started), now
        self._run.checkpoints.save(self.state)
        if not self._run.on_epoch(metrics):
            raise _StoppedError
        if self.state.stopping.is_over:
            self._network.model.stop_training = True


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide Keras's progress bars, which `fit` shows by default, while the block runs."""
    was_shown = keras.config.is_interactive_logging_enabled()
    keras.config.disable_interactive_logging()
    try:
        yield
    finally:
        if was_shown:
            keras.config.enable_interactive_logging()


def _call(
    hypermodel: keras_tuner.HyperModel,
    hp: keras_tuner.HyperParameters,
    model: keras.Model,
    train: tuple[Any, Any],
    arguments: dict[str, Any],
    seed: int,
) -> Any:
    """Call `fit`; leave out arguments that it has no parameter for, or that it gives to the model's `fit` anyway."""
    parameters = inspect.signature(hypermodel.fit).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        arguments = {name: value for name, value in arguments.items() if name in parameters}
    while True:
        keras.utils.set_random_seed(seed)
        try:
            return hypermodel.fit(hp, model, *train, **arguments)
        except TypeError as error:
            twice = _GIVEN_TWICE.search(str(error))
            if twice is None or twice[1] not in arguments:
                raise
            arguments = {name: value for name, value in arguments.items() if name != twice[1]}


def _returned_objective(result: Any, metric: str) -> float | None:
    """Return the objective if `fit` returned a number, a dict of metrics or a list of these; else None."""
    if isinstance(result, int | float | np.floating):
        return float(result)
    if isinstance(result, dict):
        if metric not in result:
            raise ValueError(
                f"fit must return {metric}, the objective; it returned {', '.join(map(str, result)) or 'nothing'}"
            )
        return float(result[metric])
    if isinstance(result, list) and result:
        values = [_returned_objective(entry, metric) for entry in result]
        return None if None in values else float(np.mean(values))  # type: ignore[arg-type]
    return None


def _measure_objective(network: Any, objective: str, result: Any, rows: Rows) -> float:
    """Return the objective on some examples; if the model lacks the metric, return its best value in the History."""
    metric = metric_of(objective)
    try:
        return float(network.measures(metric)(rows))
    except ValueError:
        logged = result.history.get(metric) if isinstance(result, keras.callbacks.History) else None
        if not logged:
            raise
        return float(max(logged) if maximizes(objective) else min(logged))
