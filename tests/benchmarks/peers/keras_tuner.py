"""KerasTuner's RandomSearch, as its guide does it (keras-io, guides/keras_tuner/getting_started.py).

A HyperModel whose `build` calls existing model code and whose `fit` tunes training and returns the
objective in a dictionary; one process, default threads, its project in a folder. It does not prune.
"""

import tempfile
from contextlib import suppress
from typing import Any

import keras
import keras_tuner
from benchmarks.peers.common import Recording, Request, WindowOverError, serve
from benchmarks.peers.network import SPACE, Arrays, Watch, build, compile_as_documented, early_stopping, load_arrays

from regsearch.studies.configuration import Regularization


class _CourseNetwork(keras_tuner.HyperModel):
    def __init__(self, data: Arrays, recording: Recording) -> None:
        super().__init__()
        self.data = data
        self.recording = recording
        self.trial = 0

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        regularizer = hp.Choice("regularizer", list(SPACE.regularizer))
        l1 = l2 = dropout = 0.0
        if "l1" in regularizer:
            l1 = hp.Float("l1", SPACE.l1.low, SPACE.l1.high, sampling="log")
        if "l2" in regularizer:
            l2 = hp.Float("l2", SPACE.l2.low, SPACE.l2.high, sampling="log")
        if hp.Boolean("use_dropout"):
            dropout = hp.Float("dropout", SPACE.dropout.low, SPACE.dropout.high)
        batch_norm = hp.Choice("batch_norm", list(SPACE.batch_norm))
        model = build(Regularization(l1=l1, l2=l2, dropout=dropout, batch_norm=batch_norm))
        compile_as_documented(model)
        return model

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        *arguments: Any,
        callbacks: list[keras.callbacks.Callback],
        **options: Any,
    ) -> dict[str, float]:
        patience = None
        if hp.Boolean("early_stopping"):
            patience = hp.Int("patience", SPACE.patience.low, SPACE.patience.high)
        watch = Watch(self.recording, self.trial)
        model.fit(*arguments, callbacks=[watch, *early_stopping(patience), *callbacks], **options)
        score = model.evaluate(self.data.x_select, self.data.y_select, verbose=0, return_dict=True)
        self.recording.trial_ended(self.trial, float(score["cross_entropy"]))
        self.trial += 1
        return {"select_cross_entropy": score["cross_entropy"]}


def study(request: Request) -> Recording:
    """Search until the window is over."""
    data = load_arrays(request.seed)
    recording = Recording(seconds=request.seconds)
    with tempfile.TemporaryDirectory() as folder:
        tuner = keras_tuner.RandomSearch(
            hypermodel=_CourseNetwork(data, recording),
            objective=keras_tuner.Objective("select_cross_entropy", "min"),
            max_trials=10_000,
            seed=request.seed,
            directory=folder,
            project_name="course",
        )
        with suppress(WindowOverError):
            tuner.search(
                data.x_train,
                data.y_train,
                batch_size=request.batch_size,
                epochs=request.epochs,
                validation_data=(data.x_stop, data.y_stop),
                verbose=0,
            )
    return recording


if __name__ == "__main__":
    serve(study)
