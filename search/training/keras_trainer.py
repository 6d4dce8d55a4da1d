"""The reference trainer: `model.fit`, one epoch a call, on rows in an order of our own."""

import math
import time
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from search.data.arrays import Dataset
from search.data.splits import Rows, Splits
from search.seeds import derive_seed
from search.training.early_stopping import EarlyStopping
from search.training.model import RegularizedNetwork
from search.training.trainer import DivergedError, OnEpoch
from studies.space import Regularization
from studies.spec import StudySpec
from studies.trial import EpochMetrics, TrialOutcome, TrialTask

_EVALUATED_AT_ONCE = 10_000  # rows; more would hold all images as floats
_NEAR_ZERO = 1e-3


class KerasTrainer:
    """Trains trials of one study with Keras.

    Args:
        spec: the study.
        dataset: its data; images stay as they are until a batch needs them.
        splits: which rows are for what.
        seed: stands for the study's seed where a trial is trained on other luck; at least 0.
    """

    def __init__(self, spec: StudySpec, dataset: Dataset, splits: Splits, seed: int | None = None) -> None:
        self.training = spec.training
        self.splits = splits
        self.x, self.y = dataset.x_train, dataset.y_train
        self.seed = spec.search.seed if seed is None else seed
        self.builder = RegularizedNetwork(
            model=spec.model,
            training=spec.training,
            space=spec.space,
            image_shape=self.x.shape[1:],
            class_count=dataset.class_count,
            scale=1 / 255 if self.x.dtype == np.uint8 else 1.0,
            seed=self.seed,
        )

    def train(self, task: TrialTask, on_epoch: OnEpoch) -> TrialOutcome | None:
        """Train one trial; see `Trainer`."""
        started = time.perf_counter()
        keras.utils.clear_session()
        regularization = Regularization.from_params(task.params)
        network = self.builder.network(regularization)
        stopping = EarlyStopping(patience=regularization.patience)
        best_weights: list[NDArray[Any]] | None = None
        epoch = 0
        while epoch < self.training.max_epochs and not stopping.is_over:
            metrics = self._train_epoch(network, epoch)
            if not on_epoch(metrics):
                return None
            stopping = stopping.after(epoch, metrics.stop_loss)
            if stopping.patience is not None and stopping.best_epoch == epoch:
                best_weights = network.get_weights()
            epoch += 1
        if best_weights is not None:
            network.set_weights(best_weights)
        assert stopping.best_epoch is not None
        return self._outcome(network, stopping.best_epoch, epoch, started)

    def _train_epoch(self, network: keras.Model, epoch: int) -> EpochMetrics:
        started = time.perf_counter()
        # `fit` would shuffle with one and the same permutation every epoch, so the order is ours
        order = np.random.default_rng(derive_seed(self.seed, "order", epoch)).permutation(self.splits.train)
        history = network.fit(
            self.x[order],
            self.y[order],
            batch_size=self.training.batch_size,
            initial_epoch=epoch,
            epochs=epoch + 1,
            shuffle=False,
            verbose=0,
        )
        train_loss = float(history.history["loss"][-1])
        cross_entropy, accuracy = self._evaluate(network, self.splits.stop)
        penalty = float(sum(float(loss) for loss in network.losses))
        if not all(map(math.isfinite, (train_loss, cross_entropy, penalty))):
            raise DivergedError(epoch)
        return EpochMetrics(
            epoch=epoch,
            train_loss=train_loss,
            stop_loss=cross_entropy + penalty,
            stop_cross_entropy=cross_entropy,
            stop_accuracy=accuracy,
            seconds=time.perf_counter() - started,
        )

    def _evaluate(self, network: keras.Model, rows: Rows) -> tuple[float, float]:
        """Return the mean cross-entropy (nats) and the accuracy on the given rows, dropout off, no penalty."""
        losses, hits = [], []
        for start in range(0, len(rows), _EVALUATED_AT_ONCE):
            part = rows[start : start + _EVALUATED_AT_ONCE]
            logits = network(self.x[part], training=False)
            losses.append(
                keras.ops.convert_to_numpy(
                    keras.losses.sparse_categorical_crossentropy(self.y[part], logits, from_logits=True)
                )
            )
            hits.append(np.argmax(keras.ops.convert_to_numpy(logits), axis=1) == self.y[part])
        return float(np.concatenate(losses).mean(dtype=np.float64)), float(np.concatenate(hits).mean())

    def _outcome(self, network: keras.Model, best_epoch: int, epochs: int, started: float) -> TrialOutcome:
        select_cross_entropy, select_accuracy = self._evaluate(network, self.splits.select)
        train_cross_entropy, train_accuracy = self._evaluate(network, self.splits.train)
        if not math.isfinite(select_cross_entropy + train_cross_entropy):
            raise DivergedError(best_epoch)
        first_kernel = network.get_weights()[0]  # (pixels, units of the first hidden layer)
        return TrialOutcome(
            best_epoch=best_epoch,
            epochs=epochs,
            select_cross_entropy=select_cross_entropy,
            select_accuracy=select_accuracy,
            train_cross_entropy=train_cross_entropy,
            train_accuracy=train_accuracy,
            near_zero_share=float((np.abs(first_kernel) < _NEAR_ZERO).mean()),
            seconds=time.perf_counter() - started,
        )
