"""The contestants of a contest, by name: each technique alone, and some techniques together, such as L1+L2."""

import statistics
from collections.abc import Collection, Mapping, Sequence

from ..configuration import Regularization
from ..techniques import TECHNIQUES

Strengths = Mapping[str, float | str]
"""The strength of each technique that is on, by the technique's key: a factor, a rate, or a placement."""

FEWEST = {technique.key: technique.fewest_trials for technique in TECHNIQUES if not technique.accompanies}
"""How many trials each technique gets alone before any combination is tried."""

FEWEST_TOGETHER = 4
"""How many trials a contestant that combines several techniques gets before any other combination is tried."""

FEWEST_RATES = 3
"""With how many other learning rates a contestant's best configuration is tried, if the study searches these."""

USUAL = (*FEWEST, "l1+l2")
"""The contestants of a study that doesn't name any."""


def strengths_of(settings: Regularization) -> dict[str, float | str]:
    """Return the strength of each technique that is on, without early stopping.

    Example:
        >>> strengths_of(Regularization(l1=1e-5, batch_norm="after_activation", patience=3))
        {'l1': 1e-05, 'batch_norm': 'after_activation'}
    """
    return {technique.key: value for technique, value in settings.in_use if not technique.accompanies}


def contestant_name(text: str) -> str:
    """Return the name of a contestant, with the techniques in their usual order.

    Raises ValueError if a technique is unknown or named twice.

    Example:
        >>> contestant_name("dropout+l2")
        'l2+dropout'
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
    """Return the contestant to which a trial belongs: a name in `contestants`, "combination", or "none".

    "none" means that no technique is on; early stopping doesn't count as one.

    Example:
        >>> contestant_of(Regularization(l2=1e-4, dropout=0.2))
        'combination'
    """
    name = "+".join(strengths_of(settings)) or "none"
    return name if name == "none" or name in contestants else "combination"


def fewest_trials(contestant: str) -> int:
    """Return how many trials a contestant gets before any combination is tried.

    Example:
        >>> fewest_trials("dropout")
        6
    """
    return FEWEST.get(contestant, FEWEST_TOGETHER)


def is_out(best: float, peers: Sequence[float], fewest: int) -> bool:
    """Return whether a trial must end because its loss is above the median loss of its contestant's trials.

    Args:
        best: the trial's smallest stopping loss so far.
        peers: for each finished trial of the same contestant, its smallest stopping loss until the same epoch.
        fewest: how many peers are needed for a median; with fewer, the trial continues.

    Example:
        >>> is_out(0.5, [0.1, 0.2, 0.3], fewest=3)
        True
    """
    return len(peers) >= fewest and best > statistics.median(peers)
