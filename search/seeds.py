"""Derives every random number of a study from the study's seed and the purpose of the number."""

import zlib

import numpy as np


def derive_seed(study_seed: int, purpose: str, *numbers: int) -> int:
    """Return a seed in [0, 2³²) for one purpose, such as ("order", epoch); it is the same in every process.

    Args:
        study_seed: at least 0.
        purpose: what the seed is for; different purposes give independent seeds.
        numbers: tell seeds of one purpose apart, such as the epoch; each at least 0.

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
    """Return the seed that replaces the study's in a confirmation; `number` counts the fresh seeds from 0."""
    return derive_seed(study_seed, "confirm", number)
