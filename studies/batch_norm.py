"""Derives the momentum of BatchNormalization's moving averages from the number of training steps in an epoch.

Evaluation normalizes with these averages, which begin at mean 0 and variance 1. With Keras's momentum and few steps in
an epoch, the averages are still near these initial values at the evaluation. The network then looks worse than it is.
"""

import math

from .spec import StudySpec, TrainingSpec

KERAS_MOMENTUM = 0.99
"""Keras's default momentum, and the largest momentum that is derived."""

_INITIAL_SHARE = 0.05
_DECIMALS = 3


def momentum_for(steps_per_epoch: int) -> float:
    """Return the momentum, at most 0.99, with which the initial averages keep a weight of about 5 % after one epoch.

    The momentum is rounded to three decimals, so that an exported script states exactly what was trained.

    Args:
        steps_per_epoch: at least 1.

    For example:
        >>> [momentum_for(steps) for steps in (7, 36, 1500)]
        [0.652, 0.92, 0.99]
    """
    return min(KERAS_MOMENTUM, round(math.pow(_INITIAL_SHARE, 1 / steps_per_epoch), _DECIMALS))


def steps_per_epoch(training: TrainingSpec, train_rows: int) -> int:
    """Return how many training steps an epoch over `train_rows` examples has; the last batch may be smaller.

    For example:
        >>> steps_per_epoch(TrainingSpec(batch_size=32), 1149)
        36
    """
    return max(1, math.ceil(train_rows / training.batch_size))


def batch_norm_momentum(spec: StudySpec, train_rows: int) -> float:
    """Return the momentum of BatchNormalization in a study: the number in the study's file, or else the derived one.

    Args:
        spec: the study. If it was stored before the key `batch_norm_momentum` existed, the momentum is 0.99.
        train_rows: size of the training split, at least 1.
    """
    given = spec.model.batch_norm_momentum
    return momentum_for(steps_per_epoch(spec.training, train_rows)) if given == "derived" else given


def momentum_in_words(spec: StudySpec, train_rows: int) -> str | None:
    """Return the momentum in words, such as "0.92, derived from 36 steps an epoch"; None if it is Keras's default."""
    momentum = batch_norm_momentum(spec, train_rows)
    if momentum == KERAS_MOMENTUM:
        return None
    is_derived = spec.model.batch_norm_momentum == "derived"
    origin = f"derived from {steps_per_epoch(spec.training, train_rows)} steps an epoch" if is_derived else "as given"
    return f"{momentum:g}, {origin}"
