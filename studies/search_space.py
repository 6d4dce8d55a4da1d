"""The search space, and the regularization that one trial stands for.

The space is conditional: a technique that may be off has a gate of its own, and a strength, rate or
patience exists only where its technique is on. A uniform rate would never propose exactly "off".
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, make_dataclass
from typing import TYPE_CHECKING, Any

from regsearch.studies.errors import InputError
from regsearch.studies.spec import SpaceSpec, StudySpec, TrainingSpec
from regsearch.studies.techniques import TECHNIQUES as _TECHNIQUES
from regsearch.studies.techniques import labels
from regsearch.studies.techniques.dimension import Dimension, Suggester
from regsearch.studies.techniques.technique import Technique
from regsearch.studies.trial import Params

LABELS = (*labels(), "combination")
"""What a network can be regularized with: one technique alone, or two and more of those that don't accompany others."""

LEARNING_RATE = "training.learning_rate"
"""The parameter that stands for this key of a study in a trial; users may write learning_rate for it.

It has a name of its own because a HyperModel that uses `search.regularized` often asks for a "learning_rate" too.
"""

PARAMETERS = (*dict.fromkeys(name for technique in _TECHNIQUES for name in technique.parameters), LEARNING_RATE)
"""The name of every parameter, in the order in which they are suggested."""

if TYPE_CHECKING:

    class _Values:
        def __init__(self, **values: Any) -> None: ...

        def __getattr__(self, name: str) -> Any: ...

else:
    _values = [(technique.key, Any, field(default=technique.off)) for technique in _TECHNIQUES]
    _values.append(("learning_rate", Any, field(default=None)))
    _Values = make_dataclass("_Values", _values, frozen=True, kw_only=True)


class Regularization(_Values):
    """The regularization of one network: a value for each technique, by its key; what is not given is off.

    Beside them it has the optimizer's `learning_rate`, which is no technique; None, unless the study searches it.

    For example, `Regularization(l2=1e-4, batch_norm="before_activation", patience=3).l2` is 1e-4. Two of equal values
    are equal, and none can be changed. Raises TypeError for a key that no technique has.
    """

    baseline = "no regularization"
    """What a gain is over, in words."""

    @classmethod
    def from_params(cls, params: Params) -> "Regularization":
        """Return what a trial's parameters stand for; what is absent is off."""
        values = {technique.key: params.get(technique.key, technique.off) for technique in _TECHNIQUES}
        return cls(**values, learning_rate=params.get(LEARNING_RATE))

    def params(self, space: SpaceSpec) -> dict[str, Any]:
        """Return the parameters of a trial that stands for it, gates included, in the order of suggestion."""
        found: dict[str, Any] = {}
        for technique in _TECHNIQUES:
            found |= technique.params(vars(self), space)
        return found if self.learning_rate is None else {**found, LEARNING_RATE: self.learning_rate}

    def changed(self, **values: Any) -> "Regularization":
        """Return another one with some values changed, by their keys."""
        return Regularization(**{**vars(self), **values})

    @property
    def in_use(self) -> tuple[tuple[Technique, Any], ...]:
        """The techniques that are on, in their order, each with its value."""
        values = ((technique, getattr(self, technique.key)) for technique in _TECHNIQUES)
        return tuple((technique, value) for technique, value in values if technique.is_on(value))

    @property
    def batch_norm_placement(self) -> str:
        """Where BatchNormalization stands: none, before_activation or after_activation."""
        placements = (technique.batch_norm_placement(value) for technique, value in self.in_use)
        return next((placement for placement in placements if placement != "none"), "none")

    def rate_in(self, training: TrainingSpec) -> float:
        """Return the learning rate that it trains with: its own, else the study's."""
        return training.learning_rate if self.learning_rate is None else self.learning_rate

    @property
    def technique(self) -> str | None:
        """Which of LABELS it is; early stopping may come with any of them. None for no regularization at all."""
        on = [technique for technique, _ in self.in_use]
        alone = [technique for technique in on if not technique.accompanies] or on
        if len({technique.gate or technique.key for technique in alone}) > 1:
            return "combination"
        return "+".join(technique.name for technique in alone) or None

    @property
    def complexity(self) -> int:
        """How many things it needs: most techniques count one each."""
        return sum(technique.complexity(value) for technique, value in self.in_use)

    def __str__(self) -> str:
        """Return it in words: "L2 0.0001, dropout 0.25, early stopping (patience 3), learning rate 0.0005"."""
        parts = [technique.words(value) for technique, value in self.in_use] or [self.baseline]
        if self.learning_rate is not None:
            parts.append(f"learning rate {self.learning_rate:.3g}")
        return ", ".join(parts)


def suggest(trial: Suggester, space: SpaceSpec) -> dict[str, Any]:
    """Ask for a value of every parameter that is active, and return them by name."""
    params: dict[str, Any] = {}
    for dimension in dimensions(space):
        if dimension.is_active(params):
            params[dimension.name] = dimension.suggest(trial)
    return params


def dimensions(space: SpaceSpec) -> list[Dimension]:
    """Return every parameter that a study's space has, each once, in the order in which they are suggested."""
    found: dict[str, Dimension] = {}
    for technique in _TECHNIQUES:
        for dimension in technique.dimensions(space):
            found.setdefault(dimension.name, dimension)
    rates = space.learning_rate
    if rates != "fixed":
        found[LEARNING_RATE] = Dimension(name=LEARNING_RATE, kind="float", low=rates.low, high=rates.high, is_log=True)
    return list(found.values())


def searched_space(spec: StudySpec) -> SpaceSpec:
    """Return a study's space, of a HyperModel without what `search.regularized` can't apply."""
    return spec.space if spec.model.hypermodel is None else of_layers(spec.space)


def of_layers(space: SpaceSpec) -> SpaceSpec:
    """Return a space without the techniques that act on a whole network: what `search.regularized` can apply."""
    others = [technique.key for technique in _TECHNIQUES if not technique.is_of_layers]
    return space.model_copy(update=dict.fromkeys(others, "off")) if others else space


def untuned_learning_rate(spec: StudySpec) -> float | None:
    """Return the learning rate of settings that don't tune it: the study's, moved into the range that is searched.

    It is None where the study doesn't search the learning rate.
    """
    among = spec.space.learning_rate
    return None if among == "fixed" else min(max(spec.training.learning_rate, among.low), among.high)


def short_name(parameter: str) -> str:
    """Return a parameter's name as users write it: without the section of a key."""
    return parameter.rpartition(".")[2]


_BY_SHORT_NAME = {short_name(parameter): parameter for parameter in PARAMETERS}


def settings_to_enqueue(settings: Sequence[str], space: SpaceSpec) -> dict[str, Any]:
    """Return the parameters that NAME=VALUE settings of a user's own fix, with the gates they imply.

    `l2=1e-4` implies the regularizer, `dropout=0.3` opens dropout's gate, `dropout=off` and
    `patience=off` close theirs. What is not given is left to the sampler.
    Raises InputError for a name or a value outside the space.
    """
    given: dict[str, str] = {}
    for setting in settings:
        written, equals, value = setting.partition("=")
        name = _BY_SHORT_NAME.get(written, written)
        if not equals or name not in PARAMETERS or name in given:
            raise InputError(
                f"--param takes each NAME=VALUE once, NAME one of {', '.join(_BY_SHORT_NAME)}; given was {setting!r}"
            )
        given[name] = value
    wanted = _with_gates(given)
    params = suggest(_FixedValues(wanted), space)
    for name, value in given.items():
        if name not in params and value.lower() != "off":
            raise InputError(f"{short_name(name)}={value} has no place in this study's space beside the other settings")
    for technique in _TECHNIQUES:
        if technique.gate and wanted.get(technique.gate) is False and params.get(technique.key) is not None:
            raise InputError(f"{technique.name} can't be off in this study: its space has no such choice")
    return {name: params[name] for name in wanted if name in params}


def params_of(regularization: Regularization, space: SpaceSpec) -> dict[str, Any]:
    """Return the parameters of a trial that trains a regularization; raises InputError if the space doesn't have it."""
    wanted: dict[str, Any] = {}
    for technique in _TECHNIQUES:
        for name, value in technique.params(vars(regularization), space).items():
            if value is not True and value is not False:
                wanted[name] = value
            elif not value and technique.is_searched(space):
                wanted[technique.key] = "off"
    if regularization.learning_rate is not None:
        wanted[LEARNING_RATE] = regularization.learning_rate
    return settings_to_enqueue([f"{name}={value}" for name, value in wanted.items()], space)


def enumerate_points(values: Mapping[str, Sequence[Any]], space: SpaceSpec) -> list[dict[str, Any]]:
    """Return each distinct configuration that can be built from the values given for each parameter.

    A parameter whose technique is off doesn't multiply the points. Raises InputError where a
    parameter has no values, a value lies outside the space, or a name is not a parameter of it.
    """
    values = {_BY_SHORT_NAME.get(name, name): options for name, options in values.items()}
    walk = _GridEnumerator(values)
    points = list(walk.points(space))
    unused = [name for name in values if name not in walk.seen]
    if unused:
        raise InputError(
            f"the grid gives values of {short_name(unused[0])}, which is no parameter of this study's space beside the "
            "others"
        )
    return points


class _ValueSource:
    """A suggester that takes its values from a source and holds them against the space."""

    def choose(self, name: str) -> Any:
        """Return the value wanted for a parameter, or None for any."""
        raise NotImplementedError

    def suggest_categorical(self, name: str, choices: Sequence[Any], /) -> Any:
        value = self.choose(name)
        if value is None:
            return self._default(name, choices)
        by_text = {str(choice).lower(): choice for choice in choices}
        if str(value).lower() not in by_text:
            raise InputError(f"{name} is one of {', '.join(by_text)} in this study; given was {value}")
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
            what = "a whole number" if kind is int else "a number"
            name = short_name(name)
            raise InputError(f"{name} is {what} from {low:g} to {high:g} in this study; given was {value}")
        return number


class _FixedValues(_ValueSource):
    """Takes the values that a user fixed."""

    def __init__(self, wanted: Mapping[str, Any]) -> None:
        self.wanted = wanted

    def choose(self, name: str) -> Any:
        return self.wanted.get(name)


class _GridEnumerator(_ValueSource):
    """Takes, walk by walk, each combination of the values given for the parameters that are active."""

    def __init__(self, values: Mapping[str, Sequence[Any]]) -> None:
        self.values = values
        self.seen: set[str] = set()
        self._path: list[tuple[int, int]] = []  # (which value was taken, of how many), in order of asking
        self._depth = 0

    def points(self, space: SpaceSpec) -> Iterator[dict[str, Any]]:
        """Yield the points depth first: the last parameter that was asked for changes fastest."""
        while True:
            self._depth = 0
            yield suggest(self, space)
            while self._path and self._path[-1][0] + 1 == self._path[-1][1]:
                self._path.pop()
            if not self._path:
                return
            taken, count = self._path[-1]
            self._path[-1] = (taken + 1, count)

    def choose(self, name: str) -> Any:
        options = self.values.get(name)
        if not isinstance(options, (list, tuple)) or not options:
            short = short_name(name)
            raise InputError(
                f"the grid needs a list of values of {short}: sampler_options = {{ {short} = [...], ... }}"
            )
        self.seen.add(name)
        if self._depth == len(self._path):
            self._path.append((0, len(options)))
        taken, _ = self._path[self._depth]
        self._depth += 1
        return options[taken]


def _with_gates(given: Mapping[str, str]) -> dict[str, Any]:
    """Add the gates that settings imply: a strength its regularizer, a rate or a patience its switch."""
    wanted: dict[str, Any] = dict(given)
    for technique in _TECHNIQUES:
        technique.imply(given, wanted)
    return wanted
