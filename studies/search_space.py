"""The search space: its parameters, the suggesters that give them values, and grids over them.

The space is conditional. A technique that may be off has a gate, which is a parameter that switches the technique on.
The technique's strength, rate or patience is a parameter only while the technique is on. Without a gate, a sampler
would never propose exactly "off".
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .errors import InputError
from .spec import SpaceSpec, StudySpec
from .techniques import TECHNIQUES
from .techniques.dimension import Dimension, Suggester

LEARNING_RATE = "training.learning_rate"
"""The name of the learning rate among a trial's parameters; users may write learning_rate.

It has a name of its own because a HyperModel that uses `search.regularized` often asks for a "learning_rate" too.
"""

PARAMETERS = (*dict.fromkeys(name for technique in TECHNIQUES for name in technique.parameters), LEARNING_RATE)
"""The names of all parameters, in the order in which values are suggested for them."""


def suggest(trial: Suggester, space: SpaceSpec) -> dict[str, Any]:
    """Ask the trial for a value of every active parameter, and return the values by name."""
    params: dict[str, Any] = {}
    for dimension in dimensions(space):
        if dimension.is_active(params):
            params[dimension.name] = dimension.suggest(trial)
    return params


def dimensions(space: SpaceSpec) -> list[Dimension]:
    """Return all parameters of a study's space, in the order in which values are suggested for them.

    Example:
        >>> [dimension.name for dimension in dimensions(SpaceSpec(dropout="off", patience="off"))]
        ['regularizer', 'l1', 'l2', 'batch_norm']
    """
    by_name: dict[str, Dimension] = {}
    for technique in TECHNIQUES:
        for dimension in technique.dimensions(space):
            by_name.setdefault(dimension.name, dimension)
    rates = space.learning_rate
    if rates != "fixed":
        rate = Dimension(name=LEARNING_RATE, kind="float", low=rates.low, high=rates.high, is_log=True)
        by_name[LEARNING_RATE] = rate
    return list(by_name.values())


def searched_space(spec: StudySpec) -> SpaceSpec:
    """Return a study's space; for a HyperModel, without the techniques that `search.regularized` can't apply."""
    return spec.space if spec.model.hypermodel is None else of_layers(spec.space)


def of_layers(space: SpaceSpec) -> SpaceSpec:
    """Return a space with only the techniques that act on single layers: `search.regularized` can apply these."""
    others = [technique.key for technique in TECHNIQUES if not technique.is_of_layers]
    return space.model_copy(update=dict.fromkeys(others, "off")) if others else space


def untuned_learning_rate(spec: StudySpec) -> float | None:
    """Return the learning rate for configurations that don't tune it; None if the study does not search it at all.

    The result is `training.learning_rate`. If that is outside the range `space.learning_rate`, the result is the nearer
    end of the range.

    Example:
        >>> spec = StudySpec().changed(space={"learning_rate": {"low": 1e-4, "high": 5e-4}})
        >>> untuned_learning_rate(spec)  # training.learning_rate is 0.001
        0.0005
    """
    searched = spec.space.learning_rate
    return None if searched == "fixed" else min(max(spec.training.learning_rate, searched.low), searched.high)


def short_name(parameter: str) -> str:
    """Return a parameter's name as users write it, without the part before the dot.

    Example:
        >>> short_name(LEARNING_RATE)
        'learning_rate'
    """
    return parameter.rpartition(".")[2]


PARAMETERS_BY_SHORT_NAME = {short_name(parameter): parameter for parameter in PARAMETERS}
"""A dict from the name that users write to the parameter's full name."""


def enumerate_points(values: Mapping[str, Sequence[Any]], space: SpaceSpec) -> list[dict[str, Any]]:
    """Return each distinct configuration that can be built from the given values of each parameter.

    While a technique is off, the values of its parameter make no further points.

    Raises InputError if a parameter has no values, if a value lies outside the space, or if the space has no parameter
    with a given name.

    Example:
        >>> grid = {"regularizer": ["none", "l2"], "l2": [1e-4, 1e-3], "batch_norm": ["none"]}
        >>> len(enumerate_points(grid, SpaceSpec(dropout="off", patience="off")))
        3
    """
    values = {PARAMETERS_BY_SHORT_NAME.get(name, name): options for name, options in values.items()}
    enumerator = _GridEnumerator(values)
    points = list(enumerator.points(space))
    unused = [name for name in values if name not in enumerator.seen]
    if unused:
        raise InputError(
            f"the grid can't use the values of {short_name(unused[0])}: no point of the grid has this parameter. "
            f"Leave {short_name(unused[0])} out of sampler_options."
        )
    return points


class ValueSource:
    """A suggester that checks whether each value lies in the space. A subclass chooses the values."""

    def choose(self, name: str) -> Any:
        """Return the value of a parameter, or None if any value is right."""
        raise NotImplementedError

    def suggest_categorical(self, name: str, choices: Sequence[Any], /) -> Any:
        value = self.choose(name)
        if value is None:
            return self._default(name, choices)
        by_text = {str(choice).lower(): choice for choice in choices}
        if str(value).lower() not in by_text:
            raise InputError(f"invalid {name}={value}. In this study it must be one of {', '.join(by_text)}.")
        return by_text[str(value).lower()]

    def suggest_float(self, name: str, low: float, high: float, /, *, log: bool = False) -> float:
        return self._number(name, low, high, float)

    def suggest_int(self, name: str, low: int, high: int, /) -> int:
        return int(self._number(name, low, high, int))

    def _default(self, name: str, choices: Sequence[Any]) -> Any:
        return choices[0]

    def _number(self, name: str, low: float, high: float, kind: type[int] | type[float]) -> float:
        value = self.choose(name)
        if value is None:
            return low
        try:
            number = kind(value)
        except (TypeError, ValueError):
            number = None
        if number is None or isinstance(value, bool) or not low <= number <= high or number != float(value):
            noun = "a whole number" if kind is int else "a number"
            setting = f"{short_name(name)}={value}"
            raise InputError(f"invalid {setting}. In this study it must be {noun} from {low:g} to {high:g}.")
        return number


class FixedValues(ValueSource):
    """Suggests the values that a user fixed. For other parameters, suggests the first choice or the range's low end."""

    def __init__(self, wanted: Mapping[str, Any]) -> None:
        self.wanted = wanted

    def choose(self, name: str) -> Any:
        return self.wanted.get(name)


class _GridEnumerator(ValueSource):
    """Suggests all combinations of the given values, one after the other; only active parameters count."""

    def __init__(self, values: Mapping[str, Sequence[Any]]) -> None:
        self.values = values
        self.seen: set[str] = set()
        self._path: list[tuple[int, int]] = []  # (index of the value, number of values), in order of suggestion
        self._depth = 0

    def points(self, space: SpaceSpec) -> Iterator[dict[str, Any]]:
        """Yield the points depth first, so that the last parameter changes fastest."""
        while True:
            self._depth = 0
            yield suggest(self, space)
            while self._path and self._path[-1][0] + 1 == self._path[-1][1]:
                self._path.pop()
            if not self._path:
                return
            index, count = self._path[-1]
            self._path[-1] = (index + 1, count)

    def choose(self, name: str) -> Any:
        options = self.values.get(name)
        if not isinstance(options, (list, tuple)) or not options:
            short = short_name(name)
            raise InputError(
                f"the grid needs a list of values of {short}. Give sampler_options = {{ {short} = [...], ... }}."
            )
        self.seen.add(name)
        if self._depth == len(self._path):
            self._path.append((0, len(options)))
        index, _ = self._path[self._depth]
        self._depth += 1
        return options[index]
