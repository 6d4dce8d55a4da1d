"""Optuna and `model.fit` as a careful user tunes them by hand: processes, threads, steps in one call.

Several processes share one study through a journal, which Optuna's documentation advises for that.
Beyond the setting that bench.py chooses from its grid: no XLA, data as tensors, no metric beside
the loss, and validation in one batch.
"""

import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import optuna
import tensorflow as tf
from benchmarks.peers.common import Recording, Request, WindowOverError, Workers, serve
from benchmarks.peers.network import SPACE, Watch, build, early_stopping, load_arrays
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from regsearch.studies.configuration import Regularization
from regsearch.studies.search_space import suggest

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class _Prune(keras.callbacks.Callback):
    """Optuna's pruning callback, judging the validation loss without its penalty."""

    def __init__(self, trial: optuna.Trial) -> None:
        super().__init__()
        self.trial = trial

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.trial.report(logs["val_loss"] - float(sum(self.model.losses)), epoch)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def prepare(request: Request, process: int) -> Callable[[], Recording]:
    """Load the data in one process; return its share of the search."""
    arrays = load_arrays(request.seed)
    x_train, y_train = tf.constant(arrays.x_train), tf.constant(arrays.y_train)
    stop_rows = tf.constant(arrays.x_stop), tf.constant(arrays.y_stop)
    recording = Recording(seconds=request.seconds)

    def objective(trial: optuna.Trial) -> float:
        keras.backend.clear_session()
        regularization = Regularization.from_params(suggest(trial, SPACE))
        model = build(regularization)
        model.compile(
            optimizer=keras.optimizers.Adam(1e-3),
            loss=LOSS,
            steps_per_execution=request.setting["steps_per_execution"],
            jit_compile=False,
        )
        model.fit(
            x_train,
            y_train,
            batch_size=request.batch_size,
            callbacks=[
                Watch(recording, trial.number),
                _Prune(trial),
                *early_stopping(regularization.patience),
            ],
            epochs=request.epochs,
            validation_data=stop_rows,
            validation_batch_size=len(arrays.y_stop),
            verbose=0,
        )
        return float(LOSS(arrays.y_select, model(arrays.x_select, training=False)))

    def enter(_study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        is_complete = trial.state == optuna.trial.TrialState.COMPLETE
        recording.trial_ended(trial.number, trial.value if is_complete else None)

    def search() -> Recording:
        optuna_study = optuna.load_study(
            study_name="shared",
            storage=JournalStorage(JournalFileBackend(request.setting["journal"])),
            sampler=optuna.samplers.TPESampler(seed=1000 * request.seed + process, constant_liar=True),
            pruner=optuna.pruners.MedianPruner(),
        )
        with suppress(WindowOverError):
            optuna_study.optimize(objective, callbacks=[enter])
        return recording

    return search


class _Peer:
    """Keeps the processes while the setting stays the same."""

    def __init__(self) -> None:
        self.workers: Workers | None = None
        self.kind = (0, 0)

    def study(self, request: Request) -> Recording:
        """Search until the window is over."""
        kind = request.setting["processes"], request.setting["threads"]
        if self.workers is None or kind != self.kind:
            if self.workers is not None:
                self.workers.close()
            self.workers, self.kind = Workers(prepare, *kind), kind
        with tempfile.TemporaryDirectory() as folder:
            journal = str(Path(folder) / "journal.log")
            optuna.create_study(study_name="shared", storage=JournalStorage(JournalFileBackend(journal)))
            return self.workers.run(replace(request, setting={**request.setting, "journal": journal}))


if __name__ == "__main__":
    serve(_Peer().study)
