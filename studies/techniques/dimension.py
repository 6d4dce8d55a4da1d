"""One parameter of a search space: its possible values, and the parameter that decides whether it is active."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol


class Suggester(Protocol):
    """An object that proposes a value for each parameter: an Optuna trial, or another object with these methods."""

    def suggest_categorical(self, name: str, choices: Sequence[Any], /) -> Any: ...

    def suggest_float(self, name: str, low: float, high: float, /, *, log: bool = False) -> float: ...

    def suggest_int(self, name: str, low: int, high: int, /) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One parameter of a study's space.

    Attributes:
        name: the name of the parameter, as a trial stores it.
        kind: "float" and "int" have a range, "choice" has choices.
        low, high: the ends of the range, both included.
        is_log: whether a float is drawn on a log scale.
        choices: the possible values, in the study's order; (False, True) for a switch.
        parent: the parameter that decides whether this one is active; None if this one is always active.
        parent_values: the values of the parent that make it active.
    """

    name: str
    kind: Literal["float", "int", "choice"]
    low: float = 0.0
    high: float = 0.0
    is_log: bool = False
    choices: tuple[Any, ...] = ()
    parent: str | None = None
    parent_values: tuple[Any, ...] = ()

    def is_active(self, params: Mapping[str, Any]) -> bool:
        """Return whether this parameter is active, given the parameters of the trial that were suggested before."""
        return self.parent is None or params.get(self.parent) in self.parent_values

    def suggest(self, trial: Suggester) -> Any:
        """Ask a trial for a value of this parameter."""
        if self.kind == "choice":
            return trial.suggest_categorical(self.name, self.choices)
        if self.kind == "int":
            return trial.suggest_int(self.name, int(self.low), int(self.high))
        return trial.suggest_float(self.name, self.low, self.high, log=self.is_log)


def switch(name: str) -> Dimension:
    """Return a parameter with the values False (off) and True (on)."""
    return Dimension(name=name, kind="choice", choices=(False, True))
