"""Which rows train, which decide early stopping, and which give the objective: stratified and seeded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regsearch.search.data.arrays import Dataset
from regsearch.search.seeds import derive_seed
from regsearch.studies.errors import InputError
from regsearch.studies.spec import DataSpec, StudySpec

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Splits:
    """Disjoint, ascending row numbers of a data set's training part; the test part stays apart.

    Attributes:
        train: rows that the weights are fitted to.
        stop: rows that decide early stopping and pruning.
        select: rows that give the objective.
    """

    train: Rows
    stop: Rows
    select: Rows


def make_splits(dataset: Dataset, data: DataSpec, seed: int) -> Splits:
    """Split the training rows as a study says.

    A seed decides which rows of a class go to a part, never how many: that follows from the sizes of the classes
    alone. So all seeds give parts of the same sizes, and what suffices on one seed suffices on every other.

    Raises InputError where the rows don't suffice: every class must be in every part.
    """
    labels = dataset.y_train
    train, stop, select = stratified_split(labels, data.held_back(len(labels)), derive_seed(seed, "split"))
    if data.train_size is not None:
        if data.train_size > len(train):
            raise InputError(
                f"data.train_size is {data.train_size:,}, but {dataset.name} has {len(train):,} rows to train on "
                f"(its {len(labels):,} training rows less the stop and the select part)"
            )
        if data.train_size < len(train):
            _, kept = stratified_split(labels[train], [data.train_size], derive_seed(seed, "train_size"))
            train = train[kept]
    splits = Splits(train=train, stop=stop, select=select)
    for name in ("train", "stop", "select"):
        rows = getattr(splits, name)
        missing = np.setdiff1d(labels, labels[rows])
        if len(missing):
            raise InputError(
                f"{dataset.name}: the {name} part has {len(rows):,} rows and {dataset.class_count - len(missing)} of "
                f"{dataset.class_count} classes (none of class {missing[0]}, of whose training rows there are "
                f"{np.sum(labels == missing[0]):,}); every class must be in every part: give more data or a larger "
                "fraction"
            )
    return splits


def split_seed(spec: StudySpec, seed: int) -> int:
    """Return the seed that draws the split of a training.

    Args:
        spec: the study.
        seed: of the training: the study's own, or a fresh one that stands for it in a confirmation.
    """
    return seed if spec.confirm.split == "drawn" else spec.search.seed


def stratified_split(labels: NDArray[Any], sizes: Sequence[int], seed: int) -> list[Rows]:
    """Cut parts of the given sizes from the rows, at random, with the classes in the same shares.

    Returns ascending row numbers, `[what is left, *parts]`.
    """
    random = np.random.default_rng(seed)
    left = [random.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    parts: list[Rows] = []
    for size in sizes:
        counts = _apportion(size, [len(rows) for rows in left])
        parts.append(np.sort(np.concatenate([rows[:count] for rows, count in zip(left, counts, strict=True)])))
        left = [rows[count:] for rows, count in zip(left, counts, strict=True)]
    return [np.sort(np.concatenate(left)), *parts]


def _apportion(size: int, available: Sequence[int]) -> list[int]:
    """Divide size over the classes in proportion to their rows, by largest remainders."""
    total = sum(available)
    counts = [size * rows // total for rows in available]
    by_remainder = sorted(range(len(available)), key=lambda c: (-(size * available[c] % total), c))
    for c in by_remainder[: size - sum(counts)]:
        counts[c] += 1
    return counts
