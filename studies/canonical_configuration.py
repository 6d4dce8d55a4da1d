"""Decides whether two trials are the same: they train the same network in the same way, and give the same bits."""

from collections.abc import Hashable
from typing import Any

from .configuration import Regularization
from .trial import Params

_GATES: dict[str, tuple[str, tuple[Any, ...]]] = {  # parameter → its gate, and the gate's values that switch it on
    "l1": ("regularizer", ("l1", "l1_l2")),
    "l2": ("regularizer", ("l2", "l1_l2")),
    "dropout": ("use_dropout", (True,)),
    "patience": ("early_stopping", (True,)),
}
_OF_REGULARIZATION = {"regularizer", "use_dropout", "early_stopping", "batch_norm", *_GATES}


def canonical(params: Params, max_epochs: int | None) -> Hashable:
    """Return a key that is equal for two trials if both train the same network in the same way.

    Parameters of techniques that are off don't count. All patiences that are too long to end a training count as the
    same patience (`effective_patience`).

    Args:
        params: the trial's parameters by name, as its distributions have rounded them.
        max_epochs: the study's largest number of epochs. None for a HyperModel: then every parameter counts as it is.
    """
    if max_epochs is None:
        return tuple(sorted(params.items()))
    active = {name: value for name, value in params.items() if _is_on(name, params)}
    if "patience" in active:
        active["patience"] = effective_patience(active["patience"], max_epochs)
    others = tuple(sorted((name, value) for name, value in active.items() if name not in _OF_REGULARIZATION))
    return Regularization.from_params(active), others


def effective_patience(patience: int, max_epochs: int) -> int | None:
    """Return the shortest patience that acts on every training like the given patience; None if it never acts.

    The first epoch always counts as an improvement. So at most `max_epochs - 2` epochs can pass without improvement
    before the last epoch. A patience of `max_epochs - 1` or more therefore never ends a training early, and only
    restores the weights of the best epoch. If there is only one epoch, no patience does anything.
    """
    return None if max_epochs == 1 else min(patience, max_epochs - 1)


def _is_on(name: str, params: Params) -> bool:
    gate, on_values = _GATES.get(name, (name, ()))
    return gate == name or gate not in params or params[gate] in on_values
