"""What a data set holds, and what is questionable about it, in plain lines; for whoever is about to search on it."""

import hashlib
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from regsearch.search.data.arrays import Dataset
from regsearch.search.data.splits import make_splits
from regsearch.studies.spec import StudySpec

_LISTED = 20  # classes
_IMBALANCE = 10  # of the largest class to the smallest
_FEW_SELECT_ROWS = 100
_MANY_WEIGHTS = 10_000_000  # of the first layer


def rows(dataset: Dataset) -> str:
    """Return the shape, type and values of the rows."""
    x = dataset.x_train
    use = "which networks scale to 0…1" if x.dtype == np.uint8 else "which networks take as they are"
    values = f"from {x.min():g} to {x.max():g}, mean {x.mean(dtype=np.float64):.4g}"
    return f"of the shape {x.shape[1:]}; {x.dtype}, {use}; training values {values}"


def classes(dataset: Dataset) -> str:
    """Return each class with its training and test rows."""
    train, test = _class_sizes(dataset)
    names = dataset.class_names or tuple(map(str, range(dataset.class_count)))
    each = [f"{name}: {a:,}/{b:,}" for name, a, b in zip(names, train.tolist(), test.tolist(), strict=True)]
    more = f", … ({len(each) - _LISTED:,} more)" if len(each) > _LISTED else ""
    return (
        f"{dataset.class_count:,} (training/test rows of {', '.join(each[:_LISTED])}{more}), "
        f"the largest {train.max() / train.min():.1f} times the smallest"
    )


def split_sizes(dataset: Dataset, spec: StudySpec) -> str:
    """Return how many rows a study gives each part; raises InputError where they don't suffice."""
    splits = make_splits(dataset, spec.data, spec.search.seed)
    sizes = {name: len(rows) for name, rows in vars(splits).items()} | {"test": dataset.n_test}
    return ", ".join(f"{name} {size:,}" for name, size in sizes.items())


def doubts(dataset: Dataset, spec: StudySpec) -> dict[str, str]:
    """Return what is questionable, by what it is about; a search would go on all the same."""
    found = {
        "both parts": _rows_of_both_parts(dataset),
        "constants": _constants(dataset),
        "values": _values(dataset),
        "imbalance": _imbalance(dataset),
        "select rows": _few_select_rows(dataset, spec),
        "features": _many_features(dataset, spec),
    }
    return {subject: doubt for subject, doubt in found.items() if doubt is not None}


def _class_sizes(dataset: Dataset) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.bincount(dataset.y_train), np.bincount(dataset.y_test)


def _rows_of_both_parts(dataset: Dataset) -> str | None:
    known = dict(zip(_digests(dataset.x_train), dataset.y_train.tolist(), strict=True))
    tests = zip(_digests(dataset.x_test), dataset.y_test.tolist(), strict=True)
    same = [known[digest] == label for digest, label in tests if digest in known]
    if not same:
        return None
    others = f", {same.count(False):,} of them with another label" if not all(same) else ""
    return (
        f"{len(same):,} of {dataset.n_test:,} test rows are training rows too{others}: what is known by heart looks "
        "better on the test rows than it is"
    )


def _digests(x: NDArray[np.generic]) -> Iterator[bytes]:
    return (hashlib.blake2b(np.ascontiguousarray(row).data, digest_size=16).digest() for row in x)


def _constants(dataset: Dataset) -> str | None:
    x = dataset.x_train
    constant = int(np.sum(x.min(axis=0) == x.max(axis=0)))
    features = math.prod(x.shape[1:])
    if not constant or (x.ndim > 2 and constant <= features // 2):  # images often have margins
        return None
    return f"{constant:,} of {features:,} features are the same in every training row, so they tell nothing"


def _values(dataset: Dataset) -> str | None:
    x = dataset.x_train
    if x.dtype == np.uint8 and x.max() <= 1:
        return (
            "uint8 is divided by 255, and no value here is above 1: give pixels from 0 to 255, and features that are "
            "no pixels as floats"
        )
    return dataset.values_note


def _imbalance(dataset: Dataset) -> str | None:
    train, _ = _class_sizes(dataset)
    if train.max() <= _IMBALANCE * train.min():
        return None
    return (
        f"the largest class has {train.max():,} training rows, the smallest {train.min():,}: figures over all rows say "
        "little about small classes"
    )


def _few_select_rows(dataset: Dataset, spec: StudySpec) -> str | None:
    _, select = spec.data.held_back(dataset.n_train)
    if select >= _FEW_SELECT_ROWS:
        return None
    return f"{select:,} select rows rank the trials: the best of many is then mostly the luckiest"


def _many_features(dataset: Dataset, spec: StudySpec) -> str | None:
    features = math.prod(dataset.x_train.shape[1:])
    weights = features * spec.model.hidden[0]
    if weights <= _MANY_WEIGHTS:
        return None
    return (
        f"{features:,} features a row give the first layer {weights:,} weights, which is slow; images in a folder are "
        "made smaller by data.image_size"
    )
