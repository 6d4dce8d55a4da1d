"""Checks of a study before a run: whether data, space and a stored study suit what is asked."""

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

_MANY_TRIALS = 100  # as many complete ones are in each part
_WEIGHT_BYTES = 4  # float32


def load_data(spec: StudySpec, record: StudyRecord | None, progress: Progress) -> tuple[Dataset, str]:
    """Return the data and their source; a study that was begun on `auto` goes on with what that was then."""
    source = spec.data.source
    if source == "auto" and record is not None:
        source = record.dataset.source
    if source == "auto":
        try:
            return load_dataset("mnist", spec.data.image_size), "mnist"
        except DataUnavailableError as error:
            progress.message(
                f"WARNING: {error}. MNIST is not here, so this study is about scikit-learn's 1,797 digits instead."
            )
            source = "digits"
    return load_dataset(source, spec.data.image_size), located(source)


def check_same_study(spec: StudySpec, dataset: DatasetInfo, record: StudyRecord, location: Location) -> None:
    """Raise InputError unless a stored study asks the same question of the same data."""
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
    """Return the notice that library versions have changed since a study was started."""
    changed = [f"{name} {then.get(name)} → {now.get(name)}" for name in now if then.get(name) != now.get(name)]
    return f"the study was begun with other versions ({', '.join(changed)}): figures may differ in their last digits"


def check_fits(spec: StudySpec, dataset: Dataset) -> None:
    """Raise InputError for a network whose weights and their gradients alone take more than this machine's memory."""
    if spec.model.hypermodel is not None:
        return  # its size is known once it is built
    units = [math.prod(dataset.x_train.shape[1:]), *spec.model.hidden, dataset.class_count]
    weights = sum(before * after for before, after in itertools.pairwise(units))
    memory = memory_bytes()
    if memory is not None and 2 * _WEIGHT_BYTES * weights > memory:
        raise InputError(
            f"model.hidden = {list(spec.model.hidden)} makes more weights, with their gradients, than fit into the "
            f"{memory / 1e9:.0f} GB of this machine. Give fewer units."
        )


def needs_all_trials(spec: StudySpec) -> bool:
    """Return whether a part of a long study (`storage/optuna/lookback.py`) doesn't do for its sampler or its pruner.

    It does where both only compare trials; one that visits each point once, or waits for many trials, needs all.
    """
    chosen = spec.search
    numbers = [*chosen.sampler_options.values(), *chosen.pruner_options.values()]
    return (
        chosen.sampler not in ("tpe", "random", "keras-tuner:bayesian")
        or chosen.pruner not in ("median", "hyperband", "none")
        or any(isinstance(number, int | float) and number > _MANY_TRIALS for number in numbers)
    )
