"""Derives the seed of each random generator of a study from the study's own seed and a purpose."""

import zlib

import numpy as np


def derive_seed(study_seed: int, purpose: str, *numbers: int) -> int:
    """Return the seed for one purpose, in [0, 2³²). It is the same in every process.

    Args:
        study_seed: at least 0.
        purpose: what the seed is for, such as "order"; different purposes give independent seeds.
        numbers: distinguish the seeds of one purpose, such as the number of the epoch; each at least 0.

    Example:
        >>> from regsearch.search.seeds import derive_seed
        >>> derive_seed(0, "order", 1) == derive_seed(0, "order", 1)
        True
        >>> derive_seed(0, "order", 1) == derive_seed(0, "order", 2)
        False

    Source: `numpy.random.SeedSequence`.
    """
    words = (study_seed, zlib.crc32(purpose.encode()), *numbers)
    return int(np.random.SeedSequence(words).generate_state(1)[0])


def fresh_seed(study_seed: int, number: int) -> int:
    """Return a fresh seed of a confirmation, which replaces the study's own seed; `number` counts from 0."""
    return derive_seed(study_seed, "confirm", number)
