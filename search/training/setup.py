"""The setup that a worker gets before its first trial, and the trainer that the worker creates from it."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ...studies.errors import InputError
from ...studies.spec import StudySpec
from ...studies.validation import is_bundled_hypermodel
from ..data import load_dataset
from ..data.arrays import Dataset
from ..data.shared import read_shared
from ..data.splits import make_splits
from ..quiet_tensorflow import quiet_stderr
from .hypermodel.code import read_code
from .trainer import Trainer


@dataclass(frozen=True, kw_only=True)
class TrainerSetup:
    """What a worker must know before its first trial.

    Attributes:
        spec: the study.
        source: the name of a built-in data set, or the absolute path of the user's data.
        sha256: the SHA-256 that the data must have.
        shared: the directory with the machine's copy of the data (see `regsearch.search.data.shared`), or None.
        files: the directory for checkpoints and results (see `regsearch.studies.trial_files`); None: store no files.
        study_uuid: identifies the study, even among studies with the same name.
        trusts_code: whether the study's HyperModel may run.
        snapshots: the directory for a Keras model after each epoch (see `regsearch.search.training.snapshots`), or
            None.
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
    """Start TensorFlow, load the data, and return the trainer that the study asks for.

    Raises InputError if the data or the code have changed since the study started. Raises ThreadsError if TensorFlow
    already runs in this process with other thread settings.
    """
    _start_tensorflow()
    dataset = load_data(setup)
    if dataset.sha256 != setup.sha256:
        raise InputError(
            f"the data changed while the search ran: the SHA-256 of {setup.source} is {dataset.sha256}, but the study "
            f"was started with {setup.sha256}. Restore the data."
        )
    # these modules import Keras; the threads must be set before that
    if setup.spec.model.hypermodel is not None:
        return _make_hypermodel_trainer(setup, setup.spec.model.hypermodel, dataset)
    from .builtin.compiled_trainer import CompiledTrainer
    from .builtin.keras_trainer import KerasTrainer
    from .builtin.trainer import BuiltinTrainer

    kinds: dict[str, type[BuiltinTrainer]] = {"compiled": CompiledTrainer, "keras": KerasTrainer}
    return kinds[setup.spec.training.trainer](
        setup.spec, dataset, make_splits(dataset, setup.spec.data, setup.spec.search.seed)
    )


def _make_hypermodel_trainer(setup: TrainerSetup, reference: str, dataset: Dataset) -> Trainer:
    from .hypermodel.trainer import HyperModelTrainer

    if not setup.trusts_code and not is_bundled_hypermodel(reference):
        raise InputError(f"the code of {reference} is not trusted. Read it, then give --trust-code.")
    code = read_code(reference)
    if code.sha256 != setup.spec.model.hypermodel_sha256:
        raise InputError(f"the code in {code.path} changed while the search ran. Undo the change.")
    return HyperModelTrainer(setup.spec, dataset, make_splits(dataset, setup.spec.data, setup.spec.search.seed), code)


def load_data(setup: TrainerSetup) -> Dataset:
    """Return the data: the machine's shared copy if it is intact, otherwise the loaded source."""
    if setup.shared is not None:
        with suppress(OSError, ValueError, InputError):  # removed or damaged: load the source instead
            mapped = read_shared(Path(setup.shared), setup.source)
            if mapped.sha256 == setup.sha256:
                return mapped
    return load_dataset(setup.source, setup.spec.data.image_size)


def import_quietly() -> None:
    """Import TensorFlow, and discard the messages that its libraries write to stderr."""
    with quiet_stderr():
        import tensorflow  # noqa: F401


class ThreadsError(RuntimeError):
    """Raised if TensorFlow already runs in this process, so that its threads can no longer be set."""


def _start_tensorflow() -> None:
    import tensorflow as tf

    # One thread: with small matrix products, several threads cost more time than they save. Also, the order of
    # additions, and so every bit of a result, then does not depend on the machine's load.
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError as error:
        raise ThreadsError(str(error)) from error
    # Otherwise TensorFlow rewrites a sum of sums as one AddN. AddN starts with an addend that it can overwrite at that
    # moment, so the order of additions, and so the bits, would depend on timing.
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)  # otherwise the first worker takes all memory
    if gpus:
        tf.config.experimental.enable_op_determinism()  # operations on one CPU thread are deterministic anyway
