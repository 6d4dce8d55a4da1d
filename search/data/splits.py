"""Divides a data set's training examples into the training, stopping and selection split, stratified and seeded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...studies.errors import InputError
from ...studies.spec import DataSpec, StudySpec
from ..seeds import derive_seed
from .arrays import Dataset

Rows = NDArray[np.int64]
"""An array of the indices of examples, (n,)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Splits:
    """Disjoint splits of a data set's training examples, as ascending indices. The test set is separate.

    Attributes:
        train: the training split; the weights are fitted to it.
        stop: the stopping split, which decides early stopping and pruning.
        select: the selection split, which gives the objective.
    """

    train: Rows
    stop: Rows
    select: Rows


def make_splits(dataset: Dataset, data: DataSpec, seed: int) -> Splits:
    """Divide the training examples into splits as a study defines them.

    The seed decides which examples of a class go into a split. It does not decide how many, since this follows from
    the sizes of the classes. So if the data are enough for the splits of one seed, they are enough for every seed.

    Args:
        dataset: the data set with the examples.
        data: the section [data] of the study.
        seed: the seed of the splits, at least 0.

    Raises InputError if there are too few examples: every class must be in every split.
    """
    labels = dataset.y_train
    train, stop, select = stratified_split(labels, data.held_back(len(labels)), derive_seed(seed, "split"))
    if data.train_size is not None:
        if data.train_size > len(train):
            raise InputError(
                f"data.train_size is {data.train_size:,}, but {dataset.name} has only {len(train):,} examples to train "
                f"on. The stopping and the selection split take the rest of its {len(labels):,} training examples."
            )
        if data.train_size < len(train):
            _, sample = stratified_split(labels[train], [data.train_size], derive_seed(seed, "train_size"))
            train = train[sample]
    splits = Splits(train=train, stop=stop, select=select)
    for name, split in (("training", train), ("stopping", stop), ("selection", select)):
        missing = np.setdiff1d(labels, labels[split])
        if len(missing):
            raise InputError(
                f"{dataset.name}: the {name} split has {len(split):,} examples, but none of class {missing[0]}. "
                f"That class has {np.sum(labels == missing[0]):,} training examples. Every class must be in every "
                "split: give more data, or make this split larger."
            )
    return splits


def split_seed(spec: StudySpec, seed: int) -> int:
    """Return the seed of the splits: the training's seed if `confirm.split` is "drawn", otherwise the study's seed.

    Args:
        spec: the study.
        seed: the seed of the training: the study's own seed, or the fresh seed that replaces it in a confirmation.
    """
    return seed if spec.confirm.split == "drawn" else spec.search.seed


def stratified_split(labels: NDArray[Any], sizes: Sequence[int], seed: int) -> list[Rows]:
    """Draw disjoint parts of the given sizes at random. Each class has about the same share in every part.

    Args:
        labels: the labels of all examples, (n,).
        sizes: the sizes of the parts, in examples; together at most n.
        seed: the seed of the draw, at least 0.

    Returns arrays of ascending indices: first the examples that are in no part, then the examples of each part.

    Example:
        >>> left, part = stratified_split(np.array([0, 0, 0, 0, 1, 1]), [3], seed=0)
        >>> np.array([0, 0, 0, 0, 1, 1])[part].tolist()
        [0, 0, 1]
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
    """Return how many examples to take from each class: `size` in all, in proportion to the sizes of the classes."""
    total = sum(available)
    counts = [size * examples // total for examples in available]
    by_remainder = sorted(range(len(available)), key=lambda c: (-(size * available[c] % total), c))
    for c in by_remainder[: size - sum(counts)]:  # the method of largest remainders
        counts[c] += 1
    return counts
