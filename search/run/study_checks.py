"""Checks before a run: whether the data, the memory and a stored study suit the study that shall run."""

import itertools
import math
from collections.abc import Mapping

from ...storage.location import Location, as_option
from ...studies.commands import resume_command
from ...studies.errors import InputError
from ...studies.records import DatasetInfo, StudyRecord
from ...studies.spec import StudySpec, differing_keys
from ..data import load_dataset, located
from ..data.arrays import Dataset, DataUnavailableError
from ..machine import memory_bytes
from .progress import Progress

_MANY_TRIALS = 100  # the part of a long study that a sampler sees has at least so many
_WEIGHT_BYTES = 4  # float32


def load_data(spec: StudySpec, record: StudyRecord | None, progress: Progress) -> tuple[Dataset, str]:
    """Return the data and their source. With the source `auto`, a stored study keeps the data that it started with."""
    source = spec.data.source
    if source == "auto" and record is not None:
        source = record.dataset.source
    if source == "auto":
        try:
            return load_dataset("mnist", spec.data.image_size), "mnist"
        except DataUnavailableError as error:
            progress.message(
                f"WARNING: {str(error).rstrip('.')}. MNIST is not here, so this study uses scikit-learn's 1,797 digits "
                "instead."
            )
            source = "digits"
    return load_dataset(source, spec.data.image_size), located(source)


def check_same_study(spec: StudySpec, dataset: DatasetInfo, record: StudyRecord, location: Location) -> None:
    """Raise InputError if the stored study has other settings or other data than this run."""
    different = differing_keys(record.spec, spec)
    if len(different) == 1 and different[0].startswith("model.hypermodel_sha256"):
        raise InputError(
            f"the code of {spec.model.hypermodel} is not the code that the study {record.name} started with (SHA-256 "
            f"{record.spec.model.hypermodel_sha256}, now {spec.model.hypermodel_sha256}). Undo the change, or start "
            "another study with --name."
        )
    if different:
        raise InputError(
            f"the study {record.name} was started with other settings ({'; '.join(different)}). Resume it with "
            f"`{resume_command(record.spec, 'resume', *as_option(location))}`, or start another one with --name."
        )
    if dataset.sha256 != record.dataset.sha256:
        raise InputError(
            f"the study {record.name} was started on other data: {record.dataset.name} with fingerprint "
            f"{record.dataset.sha256}, now {dataset.name} with {dataset.sha256}. Start another study with --name."
        )


def changed_versions(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return the message that library versions have changed since a study was started."""
    changed = [f"{name} {then.get(name)} → {now.get(name)}" for name in now if then.get(name) != now.get(name)]
    return f"the study was started with other versions ({', '.join(changed)}): figures may differ in their last digits"


def check_fits(spec: StudySpec, dataset: Dataset) -> None:
    """Raise InputError if the network's weights and gradients alone need more memory than this machine has."""
    if spec.model.hypermodel is not None:
        return  # its size isn't known before it is built
    units = [math.prod(dataset.x_train.shape[1:]), *spec.model.hidden, dataset.class_count]
    weights = sum(before * after for before, after in itertools.pairwise(units))
    memory = memory_bytes()
    if memory is not None and 2 * _WEIGHT_BYTES * weights > memory:
        raise InputError(
            f"model.hidden = {list(spec.model.hidden)} is too large: the weights and their gradients don't fit into "
            f"the {memory / 1e9:.0f} GB of this machine. Give fewer units."
        )


def needs_all_trials(spec: StudySpec) -> bool:
    """Return whether the sampler or the pruner needs all trials of a long study, not only a part of them.

    A part (see `storage/optuna/lookback.py`) is enough for samplers and pruners that only compare trials. It isn't
    enough for a sampler that tries each point once, nor for a sampler or pruner that waits for many trials.
    """
    chosen = spec.search
    numbers = [*chosen.sampler_options.values(), *chosen.pruner_options.values()]
    return (
        chosen.sampler not in ("tpe", "random", "keras-tuner:bayesian")
        or chosen.pruner not in ("median", "hyperband", "none")
        or any(isinstance(number, int | float) and number > _MANY_TRIALS for number in numbers)
    )
