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
    """Return a key of a trial's parameters; it is equal for trials that train the same network in the same way.

    A parameter of a technique that is off doesn't count. All patiences that are too long to end a training count as the
    same one (`effective_patience`).

    Args:
        params: the parameters by name, rounded by the trial's distributions.
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
    """Return the shortest patience that ends every training at the same epoch, with the same weights, as this one.

    The first epoch always counts as an improvement. So before the last epoch, at most `max_epochs - 2` epochs have
    passed without one, and a patience of `max_epochs - 1` or more never ends a training early. It still restores the
    weights of the best epoch. If there is only one epoch, the patience has no effect, and None is returned.
    """
    return None if max_epochs == 1 else min(patience, max_epochs - 1)


def _is_on(name: str, params: Params) -> bool:
    gate, on_values = _GATES.get(name, (name, ()))
    return gate == name or gate not in params or params[gate] in on_values
