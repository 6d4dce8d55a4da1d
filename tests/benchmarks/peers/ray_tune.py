"""Ray Tune with OptunaSearch, as Ray's guides do it: two trials at once, one CPU and one thread each.

From Ray's documentation, doc/source/tune: examples/tune_mnist_keras (the Keras callback that reports each
epoch), examples/optuna_example (OptunaSearch with a define-by-run space in a ConcurrencyLimiter) and
tutorials/tune-stopping (a Stopper). The scheduler is Ray's median stopping rule, with Optuna's settings.
As there, `reuse_actors` is left off: each trial is a new process, which imports TensorFlow.
Kinder than the example: the callback saves no checkpoints.
"""

import os
import secrets
import tempfile
import time
from typing import Any

# read when ray is imported: nothing is sent to Ray's makers, and no token is left in the home folder
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}

import keras
import psutil
import ray
import tensorflow as tf
from benchmarks.peers.common import Recording, Request, serve
from benchmarks.peers.network import SPACE, Arrays, build, compile_as_documented, early_stopping, load_arrays
from ray import tune
from ray.tune.integration.keras import TuneReportCheckpointCallback
from ray.tune.schedulers import MedianStoppingRule
from ray.tune.search import ConcurrencyLimiter
from ray.tune.search.optuna import OptunaSearch

from regsearch.search.machine import core_count
from regsearch.studies.configuration import Regularization
from regsearch.studies.search_space import suggest


class _Clock(keras.callbacks.Callback):
    """Adds to what is reported when an epoch began and ended."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.began = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs.update(began=self.began, ended=time.monotonic())


def train_course_network(config: dict[str, Any], data: Arrays, request: Request) -> None:
    """Train one trial in a worker process."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    regularization = Regularization.from_params(config)
    model = build(regularization)
    compile_as_documented(model)
    model.fit(
        data.x_train,
        data.y_train,
        batch_size=request.batch_size,
        epochs=request.epochs,
        verbose=0,
        validation_data=(data.x_stop, data.y_stop),
        callbacks=[
            _Clock(),
            TuneReportCheckpointCallback(
                metrics={"cross_entropy": "val_cross_entropy", "began": "began", "ended": "ended"},
                checkpoint_on=[],
            ),
            *early_stopping(regularization.patience),
        ],
    )
    score = model.evaluate(data.x_select, data.y_select, verbose=0, return_dict=True)
    tune.report({"cross_entropy": score["cross_entropy"], "is_final": True})


class _Watch(tune.Callback):
    """Enters what the trials report in a recording."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.numbers: dict[str, int] = {}

    def on_trial_result(self, *, trial: Any, result: dict[str, Any], **_rest: Any) -> None:
        number = self.numbers.setdefault(trial.trial_id, len(self.numbers))
        if "ended" in result:
            self.recording.epoch_begins(result["began"])
            self.recording.epoch_ended(number, result["ended"])

    def on_trial_complete(self, *, trial: Any, **_rest: Any) -> None:
        if trial.trial_id in self.numbers:
            value = trial.last_result["cross_entropy"] if "is_final" in trial.last_result else None
            self.recording.trial_ended(self.numbers[trial.trial_id], value)


class _WindowStopper(tune.Stopper):
    """Stops the whole search when the window is over."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.recording.is_over


def study(request: Request) -> Recording:
    """Start Ray, search until the window is over, and end every process of Ray's."""
    recording = Recording(seconds=request.seconds)
    with tempfile.TemporaryDirectory() as folder:
        ray.init(
            address="local",
            num_cpus=core_count(),
            include_dashboard=False,
            log_to_driver=False,
            _temp_dir=folder,
            _node_ip_address="127.0.0.1",
        )
        try:
            _search(request, recording, folder)
        finally:
            ray.shutdown()
            left = psutil.Process().children(recursive=True)
            _, alive = psutil.wait_procs(left, timeout=10)
            for process in alive:
                process.kill()
    return recording


def define_by_run(trial: Any) -> None:
    """Propose the settings of a trial, as OptunaSearch asks for them."""
    suggest(trial, SPACE)


def _search(request: Request, recording: Recording, folder: str) -> None:
    search = OptunaSearch(space=define_by_run, metric="cross_entropy", mode="min", seed=request.seed)
    trainable = tune.with_parameters(train_course_network, data=load_arrays(request.seed), request=request)
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        tune_config=tune.TuneConfig(
            metric="cross_entropy",
            mode="min",
            search_alg=ConcurrencyLimiter(search, max_concurrent=core_count()),
            scheduler=MedianStoppingRule(time_attr="training_iteration", grace_period=1, min_samples_required=5),
            num_samples=10_000,
        ),
        run_config=tune.RunConfig(
            storage_path=f"{folder}/results",
            stop=_WindowStopper(recording),
            callbacks=[_Watch(recording)],
            failure_config=tune.FailureConfig(fail_fast="raise"),
            verbose=0,
        ),
    )
    tuner.fit()


if __name__ == "__main__":
    serve(study)
