"""What a worker must know before its first trial, and the trainer that follows from it."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from regsearch.search.data import load_dataset
from regsearch.search.data.arrays import Dataset
from regsearch.search.data.shared import read_shared
from regsearch.search.data.splits import make_splits
from regsearch.search.training.hypermodel.code import read_code
from regsearch.search.training.trainer import Trainer
from regsearch.studies.errors import InputError
from regsearch.studies.spec import StudySpec
from regsearch.studies.validation import is_bundled_hypermodel


@dataclass(frozen=True, kw_only=True)
class TrainerSetup:
    """What a worker must know before its first trial.

    Attributes:
        spec: the study.
        source: a built-in data set's name, or the absolute path of the user's own.
        sha256: the fingerprint that the data must have.
        shared: a folder with the machine's one copy of them, see `regsearch.search.data.shared`; None: there is none.
        files: the folder in which trials keep their states, see `regsearch.studies.trial_files`; None: they keep none.
        study_uuid: tells the study from others, of the same name too.
        trusts_code: whether a HyperModel of the study's may be run.
        snapshots: the folder in which each epoch leaves a Keras model, see `search.training.snapshots`; None: none.
    """

    spec: StudySpec
    source: str
    sha256: str
    shared: str | None = None
    files: str | None = None
    study_uuid: str = ""
    snapshots: str | None = None
    trusts_code: bool = False


def make_trainer(setup: TrainerSetup) -> Trainer:
    """Start TensorFlow, load the data, and return the trainer that a study asks for.

    Raises InputError where the data are not those that the study was begun with, ThreadsError where
    TensorFlow already runs in this process with other thread settings.
    """
    _start_tensorflow()
    dataset = load_data(setup)
    if dataset.sha256 != setup.sha256:
        raise InputError(
            f"the data changed while the search ran: {setup.source} has the fingerprint {dataset.sha256}, "
            f"the study {setup.sha256}"
        )
    # with them comes Keras, which must find the threads set
    if setup.spec.model.hypermodel is not None:
        return _make_hypermodel_trainer(setup, setup.spec.model.hypermodel, dataset)
    from regsearch.search.training.builtin.compiled_trainer import CompiledTrainer
    from regsearch.search.training.builtin.keras_trainer import KerasTrainer

    kinds: dict[str, type[CompiledTrainer] | type[KerasTrainer]] = {"compiled": CompiledTrainer, "keras": KerasTrainer}
    return kinds[setup.spec.training.trainer](
        setup.spec, dataset, make_splits(dataset, setup.spec.data, setup.spec.search.seed)
    )


def _make_hypermodel_trainer(setup: TrainerSetup, reference: str, dataset: Dataset) -> Trainer:
    from regsearch.search.training.hypermodel.trainer import HyperModelTrainer

    if not setup.trusts_code and not is_bundled_hypermodel(reference):
        raise InputError(f"the code of {reference} is not trusted")
    code = read_code(reference)
    if code.sha256 != setup.spec.model.hypermodel_sha256:
        raise InputError(f"the code in {code.path} changed while the search ran: undo the change")
    return HyperModelTrainer(setup.spec, dataset, make_splits(dataset, setup.spec.data, setup.spec.search.seed), code)


def load_data(setup: TrainerSetup) -> Dataset:
    """Return the machine's one copy of the data if it is whole, else what the source has."""
    if setup.shared is not None:
        with suppress(OSError, ValueError, InputError):  # removed or damaged: the source is still there
            mapped = read_shared(Path(setup.shared), setup.source)
            if mapped.sha256 == setup.sha256:
                return mapped
    return load_dataset(setup.source, setup.spec.data.image_size)


def import_quietly() -> None:
    """Import TensorFlow, without what its libraries write to stderr before they heed a log level."""
    try:
        stderr = os.dup(2)
    except OSError:  # it is closed
        return
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        import tensorflow  # noqa: F401
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


class ThreadsError(RuntimeError):
    """TensorFlow already runs in this process, so its threads can't be set any more."""


def _start_tensorflow() -> None:
    import tensorflow as tf

    # One thread: small matrix products lose more to hand-offs than they gain, and the order of
    # additions, and with it every bit, no longer depends on the machine's load.
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError as error:
        raise ThreadsError(str(error)) from error
    # TensorFlow would rewrite a sum of sums as one AddN, which begins with whichever addend's memory it may reuse at
    # that moment: an order, and so bits, that depend on timing
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)  # else the first worker takes all of it
    if gpus:
        tf.config.experimental.enable_op_determinism()  # on one CPU thread they are deterministic anyway
