"""Who takes part in a contest: each technique alone, and several together, by name."""

import statistics
from collections.abc import Collection, Mapping, Sequence

from regsearch.studies.configuration import Regularization
from regsearch.studies.techniques import TECHNIQUES

Strengths = Mapping[str, float | str]
"""The strength of each technique that is on, by its key: a factor, a rate, or a placement."""

FEWEST = {technique.key: technique.fewest_trials for technique in TECHNIQUES if not technique.accompanies}
"""How many trials each technique gets alone before any combination."""

FEWEST_TOGETHER = 4
"""How many trials a contestant of several techniques gets before any other combination."""

FEWEST_RATES = 3
"""How many other learning rates a contestant's best settings are tried with, if a study searches them."""

USUAL = (*FEWEST, "l1+l2")
"""The contestants of a study that names none."""


def strengths_of(settings: Regularization) -> dict[str, float | str]:
    """Return the strength of each technique that is on, early stopping left out.

    For example:
        >>> strengths_of(Regularization(l1=1e-5, batch_norm="after_activation", patience=3))
        {'l1': 1e-05, 'batch_norm': 'after_activation'}
    """
    return {technique.key: value for technique, value in settings.in_use if not technique.accompanies}


def contestant_name(text: str) -> str:
    """Return a contestant's name, its techniques in their usual order: "dropout+l2" is "l2+dropout".

    Raises ValueError for an unknown technique, or one that stands there twice.
    """
    keys = text.split("+")
    if unknown := [key for key in keys if key not in FEWEST]:
        raise ValueError(
            f"a contestant is one of {', '.join(FEWEST)}, or several joined by +; given was {unknown[0]!r}"
        )
    if len(set(keys)) < len(keys):
        raise ValueError(f"a contestant has each technique once; given was {text!r}")
    return "+".join(key for key in FEWEST if key in keys)


def contestant_of(settings: Regularization, contestants: Collection[str] = USUAL) -> str:
    """Return whose trial it is: one of the contestants, "combination", or "none" with or without early stopping.

    For example:
        >>> contestant_of(Regularization(l2=1e-4, dropout=0.2))
        'combination'
    """
    name = "+".join(strengths_of(settings)) or "none"
    return name if name == "none" or name in contestants else "combination"


def fewest_trials(contestant: str) -> int:
    """Return how many trials a contestant gets before any combination."""
    return FEWEST.get(contestant, FEWEST_TOGETHER)


def is_out(best: float, peers: Sequence[float], fewest: int) -> bool:
    """Return whether a trial is worse than the median of its own contestant's, and so ends.

    Args:
        best: the trial's least stopping loss so far.
        peers: the least stopping loss until then of each finished trial of the same contestant.
        fewest: how many of them there must be.
    """
    return len(peers) >= fewest and best > statistics.median(peers)
