"""When two trials have the same settings: they then train the same network in the same way, to the same bits."""

from collections.abc import Hashable
from typing import Any

from .configuration import Regularization
from .trial import Params

_GATES: dict[str, tuple[str, tuple[Any, ...]]] = {  # parameter → its gate, and the values that open it
    "l1": ("regularizer", ("l1", "l1_l2")),
    "l2": ("regularizer", ("l2", "l1_l2")),
    "dropout": ("use_dropout", (True,)),
    "patience": ("early_stopping", (True,)),
}
_OF_REGULARIZATION = {"regularizer", "use_dropout", "early_stopping", "batch_norm", *_GATES}


def canonical(params: Params, max_epochs: int | None) -> Hashable:
    """Return a key that is equal for two trials' parameters exactly if they train the same network in the same way.

    A parameter of a technique that is off doesn't count, and a longer patience than any that can act counts as the
    shortest of those (`effective_patience`).

    Args:
        params: by name, as the trial's distributions have rounded them.
        max_epochs: of a trial; None: the network is a HyperModel's, whose every parameter counts as it is.
    """
    if max_epochs is None:
        return tuple(sorted(params.items()))
    active = {name: value for name, value in params.items() if _is_on(name, params)}
    if "patience" in active:
        active["patience"] = effective_patience(active["patience"], max_epochs)
    others = tuple(sorted((name, value) for name, value in active.items() if name not in _OF_REGULARIZATION))
    return Regularization.from_params(active), others


def effective_patience(patience: int, max_epochs: int) -> int | None:
    """Return the shortest patience that ends and restores every training as this one does.

    The first epoch always improves on nothing, so after `max_epochs - 1` epochs at most `max_epochs - 2` have passed
    without improvement: a patience of `max_epochs - 1` or more never ends a training early. It still restores the best
    epoch, unless there is only one: then it does nothing, and None is returned.
    """
    return None if max_epochs == 1 else min(patience, max_epochs - 1)


def _is_on(name: str, params: Params) -> bool:
    gate, opening = _GATES.get(name, (name, ()))
    return gate == name or gate not in params or params[gate] in opening
