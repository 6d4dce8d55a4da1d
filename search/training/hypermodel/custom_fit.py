"""A HyperModel that overrides `fit` trains in its own way; a callback sees to what every trial does after an epoch."""

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

from regsearch.search.data.splits import Splits
from regsearch.search.seeds import derive_seed
from regsearch.search.training.checkpoints import Checkpoints, TrainingCheckpoint
from regsearch.search.training.early_stopping import EarlyStopping
from regsearch.search.training.loop import epoch_metrics, evaluate_trained, state_after
from regsearch.search.training.trainer import OnEpoch
from regsearch.studies.objectives import OURS, maximizes, metric_of
from regsearch.studies.spec import TrainingSpec
from regsearch.studies.trial import TrialOutcome

_RESULTS = (int, float, np.floating, dict, list, keras.callbacks.History)
_GIVEN_TWICE = re.compile(r"got multiple values for (?:keyword )?argument '(\w+)'")


class _StoppedError(BaseException):
    """Leaves a `fit` that is not to go on, past whatever it might catch."""


def fit_by_itself(
    hypermodel: keras_tuner.HyperModel,
    hp: keras_tuner.HyperParameters,
    network: Any,
    *,
    training: TrainingSpec,
    patience: int | None,
    splits: Splits,
    seed: int,
    objective: str,
    on_epoch: OnEpoch,
    checkpoints: Checkpoints,
    keeps_rows: bool,
) -> TrialOutcome | None:
    """Train by the HyperModel's `fit`, always from the beginning; None where `on_epoch` ended it.

    It is called as by KerasTuner's `search(x, y, validation_data=…, epochs=…, batch_size=…)`; what its signature
    lacks, or it gives to the model's `fit` itself, is left out.

    Args:
        network: a `HyperModelNetwork`, built.
        training: gives epochs and batch size.
        patience: of early stopping; None: there is none but its own.
        objective: the study's.

    Raises TypeError and ValueError for what KerasTuner doesn't take as the result of a `fit`.
    """
    started = time.perf_counter()
    metric = None if objective in OURS else metric_of(objective)
    reporter = _Reporter(network, splits, TrainingCheckpoint(stopping=EarlyStopping(patience=patience)), metric)
    reporter.on_epoch, reporter.checkpoints, reporter.started = on_epoch, checkpoints, started
    train, stop = ((network.x[rows], network.labels[rows]) for rows in (splits.train, splits.stop))
    given = {
        "validation_data": stop,
        "epochs": training.max_epochs,
        "batch_size": training.batch_size,
        "callbacks": [reporter],
    }
    try:
        with _quiet():
            result = _call(hypermodel, hp, network.model, train, given, derive_seed(seed, "fit"))
        returned = None if metric is None else _returned(result, metric)
        if returned is None and not isinstance(result, _RESULTS):
            what = "None: does it return the metrics?" if result is None else type(result).__name__
            raise TypeError(f"fit must return a History, a number or a dict of metrics; it returned {what}")
        if not reporter.state.curve:  # it has no use for callbacks
            reporter.on_epoch_end(0, {})
    except _StoppedError:
        return None
    state = reporter.state
    if state.best_weights is not None:
        network.set_weights(state.best_weights)
    else:  # `fit` may have put back those of an epoch before
        here = network.evaluate(splits.stop).cross_entropy
        kept = max(
            (epoch.epoch for epoch in state.curve if epoch.stop_cross_entropy == here), default=len(state.curve) - 1
        )
        state = replace(state, stopping=replace(state.stopping, best_epoch=kept))
    return evaluate_trained(
        network,
        state,
        splits=splits,
        started=started,
        checkpoints=checkpoints,
        keeps_rows=keeps_rows,
        objective=returned if metric is None or returned is not None else _measured(network, objective, result, splits),
    )


class _Reporter(keras.callbacks.Callback):
    """Tells each epoch's figures, counted as they come, whatever `fit` calls them; ends a trial that must not go on."""

    on_epoch: OnEpoch
    checkpoints: Checkpoints
    started: float

    def __init__(self, network: Any, splits: Splits, state: TrainingCheckpoint, metric: str | None) -> None:
        super().__init__()
        self._network, self._splits, self._metric = network, splits, metric
        self._epoch_started = time.perf_counter()
        self.state = state

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        logs = logs or {}
        if "loss" in logs:
            train_loss = float(logs["loss"])
        else:
            train_loss = self._network.evaluate(self._splits.train).cross_entropy + self._network.penalty()
        metric = None if self._metric is None else logs.get(self._metric)
        metrics = epoch_metrics(
            self._network,
            len(self.state.curve),
            train_loss,
            self._splits.stop,
            self._epoch_started,
            None if metric is None else lambda rows: float(metric),
        )
        now = time.perf_counter()
        self.state, self._epoch_started = state_after(self._network, self.state, metrics, now - self.started), now
        self.checkpoints.save(self.state)
        if not self.on_epoch(metrics):
            raise _StoppedError
        if self.state.stopping.is_over:
            self._network.model.stop_training = True


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Keras's progress bars, which `fit` shows unless told otherwise, from stdout."""
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
    rows: tuple[Any, Any],
    given: dict[str, Any],
    seed: int,
) -> Any:
    parameters = inspect.signature(hypermodel.fit).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        given = {name: value for name, value in given.items() if name in parameters}
    while True:
        keras.utils.set_random_seed(seed)
        try:
            return hypermodel.fit(hp, model, *rows, **given)
        except TypeError as error:
            twice = _GIVEN_TWICE.search(str(error))
            if twice is None or twice[1] not in given:
                raise
            given = {name: value for name, value in given.items() if name != twice[1]}


def _returned(result: Any, metric: str) -> float | None:
    """Return the objective that a `fit` returned as a number, in a dict, or as a list of either; None: it did not."""
    if isinstance(result, int | float | np.floating):
        return float(result)
    if isinstance(result, dict):
        if metric not in result:
            raise ValueError(f"fit returned no {metric}, the objective, but {', '.join(map(str, result)) or 'nothing'}")
        return float(result[metric])
    if isinstance(result, list) and result:
        each = [_returned(one, metric) for one in result]
        return None if None in each else float(np.mean(each))  # type: ignore[arg-type]
    return None


def _measured(network: Any, objective: str, result: Any, splits: Splits) -> float:
    """Return the objective on the select rows; what the model isn't compiled with, from the History's best epoch."""
    metric = metric_of(objective)
    try:
        return float(network.measures(metric)(splits.select))
    except ValueError:
        logged = result.history.get(metric) if isinstance(result, keras.callbacks.History) else None
        if not logged:
            raise
        return float(max(logged) if maximizes(objective) else min(logged))
