"""What a trial's parameters stand for: a regularization, or a HyperModel's own settings by their names."""

from collections.abc import Iterable
from dataclasses import dataclass

from regsearch.studies.search_space import PARAMETERS, Regularization
from regsearch.studies.trial import Params, Value

_ALWAYS = {"regularizer", "batch_norm"}  # that every point of our space has


@dataclass(frozen=True)
class HyperparameterValues:
    """The settings of a HyperModel.

    Attributes:
        values: (name, value) of each parameter that it asked for, by name.
    """

    values: tuple[tuple[str, Value], ...]

    baseline = "the defaults"
    """What a gain is over, in words."""

    def distance(self, other: "HyperparameterValues") -> int:
        """Return how many parameters have another value there, or none."""
        return len({name for name, _ in set(self.values) ^ set(other.values)})

    def __str__(self) -> str:
        """Return them in words: "activation relu, lr 0.00123, units 64"."""
        return ", ".join(f"{name} {_short(value)}" for name, value in self.values) or "no settings"


Configuration = Regularization | HyperparameterValues


def configuration_of(params: Params) -> Configuration:
    """Return what parameters stand for: a regularization where they are those of our space and no others."""
    if is_regularization(params):
        return Regularization.from_params(params)
    return HyperparameterValues(tuple(sorted(params.items())))


def technique_of(params: Params) -> str | None:
    """Return the technique of a trial in words, or "no regularization"; None for a HyperModel's own settings.

    For example:
        >>> technique_of({"regularizer": "l1", "l1": 1e-5, "batch_norm": "none"})
        'L1'
    """
    settings = configuration_of(params)
    return (settings.technique or settings.baseline) if isinstance(settings, Regularization) else None


def is_regularization(names: Iterable[str]) -> bool:
    """Return whether parameters of these names are those of our space and no others."""
    return _ALWAYS <= set(names) <= set(PARAMETERS)


def _short(value: Value) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
