"""Every random number of a study derives from its one seed, and from what the number is for."""

import zlib

import numpy as np


def derive_seed(study_seed: int, purpose: str, *numbers: int) -> int:
    """Return a seed in [0, 2³²) for one purpose, such as ("order", epoch); the same in every process.

    Args:
        study_seed: at least 0.
        purpose: what it is for; different purposes give independent seeds.
        numbers: whatever else tells seeds of one purpose apart, each at least 0.

    Source: `numpy.random.SeedSequence`.
    """
    words = (study_seed, zlib.crc32(purpose.encode()), *numbers)
    return int(np.random.SeedSequence(words).generate_state(1)[0])


def fresh_seed(study_seed: int, number: int) -> int:
    """Return the seed that stands for the study's in a confirmation, for a fresh seed counted from 0."""
    return derive_seed(study_seed, "confirm", number)
