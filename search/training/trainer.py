"""What every trainer does: train one trial, epoch by epoch, and say how it ended."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from studies.spec import StudySpec
from studies.trial import EpochMetrics, TrialOutcome, TrialTask

OnEpoch = Callable[[EpochMetrics], bool]
"""Told the figures of each epoch; answers whether to go on."""


class DivergedError(Exception):
    """A loss stopped being finite; the trial would diverge again."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"diverged at epoch {epoch}")


class Trainer(Protocol):
    """Trains trials of one study; what a trial gives depends on the study and its parameters alone."""

    def train(self, task: TrialTask, on_epoch: OnEpoch) -> TrialOutcome | None:
        """Train one trial; None where `on_epoch` ended it.

        Raises DivergedError where a loss is NaN or infinite.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class TrainerSetup:
    """What a worker must know before its first trial.

    Attributes:
        spec: the study.
        source: a built-in data set's name, or the absolute path of an .npz file.
        sha256: the fingerprint that the data must have.
    """

    spec: StudySpec
    source: str
    sha256: str


def make_trainer(setup: TrainerSetup) -> Trainer:
    """Start TensorFlow, load the data, and return the trainer that a study asks for.

    Raises InputError where the data are not those that the study was begun with, RuntimeError where
    TensorFlow already runs in this process with other thread settings.
    """
    from search.data import load_dataset
    from search.data.splits import make_splits
    from studies.errors import InputError

    _start_tensorflow()
    dataset = load_dataset(setup.source)
    if dataset.sha256 != setup.sha256:
        raise InputError(
            f"the data changed while the search ran: {setup.source} has the fingerprint {dataset.sha256}, "
            f"the study {setup.sha256}"
        )
    from search.training.keras_trainer import KerasTrainer

    splits = make_splits(dataset, setup.spec.data, setup.spec.search.seed)
    return KerasTrainer(setup.spec, dataset, splits)


def _start_tensorflow() -> None:
    import tensorflow as tf

    # One thread: small matrix products lose more to hand-offs than they gain, and the order of
    # additions, and with it every bit, no longer depends on the machine's load.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)  # else the first worker takes all of it
