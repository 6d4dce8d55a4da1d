"""Optuna and `model.fit`, as Optuna's example does it (optuna-examples, keras/keras_integration.py).

One process, default threads, the pruning callback and the median pruner; in SQLite, as its tutorial on
saving a study does. Kinder than the example: no progress bar, and the data are loaded once.
"""

import tempfile
from contextlib import suppress

import keras
import optuna
from benchmarks.peers.common import Recording, Request, WindowOverError, serve
from benchmarks.peers.network import SPACE, Watch, build, compile_as_documented, early_stopping, load_arrays
from optuna_integration import KerasPruningCallback

from regsearch.studies.configuration import Regularization
from regsearch.studies.search_space import suggest


def study(request: Request) -> Recording:
    """Search until the window is over."""
    data = load_arrays(request.seed)
    recording = Recording(seconds=request.seconds)

    def objective(trial: optuna.Trial) -> float:
        keras.backend.clear_session()
        regularization = Regularization.from_params(suggest(trial, SPACE))
        model = build(regularization)
        compile_as_documented(model)
        model.fit(
            data.x_train,
            data.y_train,
            batch_size=request.batch_size,
            callbacks=[
                Watch(recording, trial.number),
                KerasPruningCallback(trial, "val_cross_entropy"),
                *early_stopping(regularization.patience),
            ],
            epochs=request.epochs,
            validation_data=(data.x_stop, data.y_stop),
            verbose=0,
        )
        score = model.evaluate(data.x_select, data.y_select, verbose=0, return_dict=True)
        return float(score["cross_entropy"])

    def enter(_study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        is_complete = trial.state == optuna.trial.TrialState.COMPLETE
        recording.trial_ended(trial.number, trial.value if is_complete else None)

    with tempfile.TemporaryDirectory() as folder:
        optuna_study = optuna.create_study(
            storage=f"sqlite:///{folder}/study.db",
            direction="minimize",
            sampler=optuna.samplers.TPESampler(seed=request.seed),
            pruner=optuna.pruners.MedianPruner(),
        )
        with suppress(WindowOverError):
            optuna_study.optimize(objective, callbacks=[enter])
    return recording


if __name__ == "__main__":
    serve(study)
