"""Describes a data set, and what is questionable about it, in plain sentences."""

import hashlib
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ...studies.spec import StudySpec
from .arrays import Dataset
from .splits import make_splits

_LISTED_CLASSES = 20
_IMBALANCE = 10  # times as many examples in the largest class as in the smallest
_SMALL_SELECTION_SPLIT = 100
_MANY_WEIGHTS = 10_000_000  # in the first layer


def rows(dataset: Dataset) -> str:
    """Describe the shape, type and values of the examples."""
    x = dataset.x_train
    use = "which networks scale to 0…1" if x.dtype == np.uint8 else "which networks take as they are"
    values = f"from {x.min():g} to {x.max():g}, mean {x.mean(dtype=np.float64):.4g}"
    return f"shape {x.shape[1:]}; {x.dtype}, {use}; training values {values}"


def classes(dataset: Dataset) -> str:
    """Describe each class by the numbers of its training and test examples."""
    train, test = _class_sizes(dataset)
    names = dataset.class_names or tuple(map(str, range(dataset.class_count)))
    class_texts = [f"{name}: {a:,}/{b:,}" for name, a, b in zip(names, train.tolist(), test.tolist(), strict=True)]
    more = f", … ({len(class_texts) - _LISTED_CLASSES:,} more)" if len(class_texts) > _LISTED_CLASSES else ""
    return (
        f"{dataset.class_count:,} (training/test examples of {', '.join(class_texts[:_LISTED_CLASSES])}{more}), "
        f"the largest class is {train.max() / train.min():.1f} times as large as the smallest"
    )


def split_sizes(dataset: Dataset, spec: StudySpec) -> str:
    """Describe the sizes of a study's splits. Raises InputError if there are too few examples for them."""
    splits = make_splits(dataset, spec.data, spec.search.seed)
    sizes = {name: len(split) for name, split in vars(splits).items()} | {"test": dataset.n_test}
    return ", ".join(f"{name} {size:,}" for name, size in sizes.items())


def doubts(dataset: Dataset, spec: StudySpec) -> dict[str, str]:
    """Return warnings about the data, by subject. A search accepts the data in spite of these warnings."""
    doubts_by_subject = {
        "both parts": _examples_in_both_sets(dataset),
        "constants": _constants(dataset),
        "values": _values(dataset),
        "imbalance": _imbalance(dataset),
        "select rows": _small_selection_split(dataset, spec),
        "features": _many_features(dataset, spec),
    }
    return {subject: doubt for subject, doubt in doubts_by_subject.items() if doubt is not None}


def _class_sizes(dataset: Dataset) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.bincount(dataset.y_train), np.bincount(dataset.y_test)


def _examples_in_both_sets(dataset: Dataset) -> str | None:
    label_of = dict(zip(_digests(dataset.x_train), dataset.y_train.tolist(), strict=True))
    test_examples = zip(_digests(dataset.x_test), dataset.y_test.tolist(), strict=True)
    has_same_label = [label_of[digest] == label for digest, label in test_examples if digest in label_of]
    if not has_same_label:
        return None
    n_same, n_others = len(has_same_label), has_same_label.count(False)
    contradictions = f", {n_others:,} of them with another label" if n_others else ""
    return (
        f"{n_same:,} of {dataset.n_test:,} test examples are also training examples{contradictions}. Memorized "
        "examples make the test results too good."
    )


def _digests(x: NDArray[np.generic]) -> Iterator[bytes]:
    return (hashlib.blake2b(np.ascontiguousarray(row).data, digest_size=16).digest() for row in x)


def _constants(dataset: Dataset) -> str | None:
    x = dataset.x_train
    constant = int(np.sum(x.min(axis=0) == x.max(axis=0)))
    features = math.prod(x.shape[1:])
    if not constant or (x.ndim > 2 and constant <= features // 2):  # images often have constant margins
        return None
    return f"{constant:,} of {features:,} features are constant in the training examples, so they carry no information"


def _values(dataset: Dataset) -> str | None:
    x = dataset.x_train
    if x.dtype == np.uint8 and x.max() <= 1:
        return (
            "uint8 is divided by 255, but no value here is above 1. Give pixels from 0 to 255, and other features as "
            "floats."
        )
    return dataset.values_note


def _imbalance(dataset: Dataset) -> str | None:
    train, _ = _class_sizes(dataset)
    if train.max() <= _IMBALANCE * train.min():
        return None
    return (
        f"the largest class has {train.max():,} training examples, the smallest {train.min():,}. Results over all "
        "examples tell little about small classes."
    )


def _small_selection_split(dataset: Dataset, spec: StudySpec) -> str | None:
    _, select = spec.data.held_back(dataset.n_train)
    if select >= _SMALL_SELECTION_SPLIT:
        return None
    return f"the selection split has only {select:,} examples, so the best trial may only be the luckiest."


def _many_features(dataset: Dataset, spec: StudySpec) -> str | None:
    features = math.prod(dataset.x_train.shape[1:])
    weights = features * spec.model.hidden[0]
    if weights <= _MANY_WEIGHTS:
        return None
    return (
        f"{features:,} features per example give the first layer {weights:,} weights, which is slow. data.image_size "
        "makes images in a directory smaller."
    )
