"""The search space, and the regularization that one trial stands for.

The space is conditional: a technique that may be off has a gate of its own, and a strength, rate or
patience exists only where its technique is on. A uniform rate would never propose exactly "off".
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from studies.errors import InputError
from studies.spec import LearningRateRange, SpaceSpec, StrengthRange, StudySpec, TrainingSpec
from studies.trial import Params


class Suggester(Protocol):
    """What proposes a value for each parameter: an Optuna trial, or anything like it."""

    def suggest_categorical(self, name: str, choices: Sequence[Any], /) -> Any: ...

    def suggest_float(self, name: str, low: float, high: float, /, *, log: bool = False) -> float: ...

    def suggest_int(self, name: str, low: int, high: int, /) -> int: ...


LEARNING_RATE = "training.learning_rate"
"""The parameter that stands for this key of a study in a trial; users may write learning_rate for it.

It has a name of its own because a HyperModel that uses `search.regularized` often asks for a "learning_rate" too.
"""

TECHNIQUES = ("L1", "L2", "L1+L2", "dropout", "BatchNorm", "early stopping", "combination")
"""What a network can be regularized with: one technique alone, or two and more of those before early stopping."""


@dataclass(frozen=True, kw_only=True)
class Regularization:
    """The regularization of one network, as Keras's layers take it.

    Attributes:
        l1, l2: factors of Σ|w| and Σw² of a regularized kernel in the loss; 0 means no such penalty.
        dropout: rate in [0, 1); 0 means no Dropout layer.
        batch_norm: none, before_activation or after_activation.
        patience: epochs without improvement that early stopping allows; None means no early stopping.
        learning_rate: of the optimizer, where the study searches it; None means the study's own. It is no technique.
    """

    l1: float = 0.0
    l2: float = 0.0
    dropout: float = 0.0
    batch_norm: str = "none"
    patience: int | None = None
    learning_rate: float | None = None

    baseline = "no regularization"
    """What a gain is over, in words."""

    @classmethod
    def from_params(cls, params: Params) -> "Regularization":
        """Return what a trial's parameters stand for; what is absent is off."""
        return cls(
            l1=params.get("l1", 0.0),
            l2=params.get("l2", 0.0),
            dropout=params.get("dropout", 0.0),
            batch_norm=params.get("batch_norm", "none"),
            patience=params.get("patience"),
            learning_rate=params.get(LEARNING_RATE),
        )

    def rate_in(self, training: TrainingSpec) -> float:
        """Return the learning rate that it trains with: its own, else the study's."""
        return training.learning_rate if self.learning_rate is None else self.learning_rate

    @property
    def technique(self) -> str | None:
        """Which of TECHNIQUES it is; early stopping may come with any of them. None for no regularization at all."""
        penalty = "+".join(name for name, factor in (("L1", self.l1), ("L2", self.l2)) if factor)
        others = ("dropout" if self.dropout else "", "BatchNorm" if self.batch_norm != "none" else "")
        found = [name for name in (penalty, *others) if name]
        if not found:
            return None if self.patience is None else "early stopping"
        return found[0] if len(found) == 1 else "combination"

    @property
    def complexity(self) -> int:
        """How many things it needs: L1, L2, dropout, BatchNormalization and early stopping count one each."""
        return sum(map(bool, (self.l1, self.l2, self.dropout, self.batch_norm != "none", self.patience)))

    def __str__(self) -> str:
        """Return it in words: "L2 0.0001, dropout 0.25, early stopping (patience 3), learning rate 0.0005"."""
        parts = [f"{name} {factor:.3g}" for name, factor in (("L1", self.l1), ("L2", self.l2)) if factor]
        if self.dropout:
            parts.append(f"dropout {self.dropout:.3g}")
        if self.batch_norm != "none":
            parts.append(f"BatchNorm {self.batch_norm.replace('_', ' ')}")
        if self.patience is not None:
            parts.append(f"early stopping (patience {self.patience})")
        parts = parts or ["no regularization"]
        if self.learning_rate is not None:
            parts.append(f"learning rate {self.learning_rate:.3g}")
        return ", ".join(parts)


def suggest(trial: Suggester, space: SpaceSpec) -> dict[str, Any]:
    """Ask for a value of every parameter that is active, and return them by name."""
    params: dict[str, Any] = {}

    def strength(name: str, among: StrengthRange | LearningRateRange) -> None:
        params[name] = trial.suggest_float(name, among.low, among.high, log=True)

    def gate(name: str, off: bool) -> bool:
        if off:
            params[name] = trial.suggest_categorical(name, [False, True])
        return bool(params.get(name, True))

    params["regularizer"] = trial.suggest_categorical("regularizer", space.regularizer)
    if params["regularizer"] in ("l1", "l1_l2"):
        strength("l1", space.l1)
    if params["regularizer"] in ("l2", "l1_l2"):
        strength("l2", space.l2)
    if space.dropout != "off" and gate("use_dropout", space.dropout.off):
        params["dropout"] = trial.suggest_float("dropout", space.dropout.low, space.dropout.high)
    params["batch_norm"] = trial.suggest_categorical("batch_norm", space.batch_norm)
    if space.patience != "off" and gate("early_stopping", space.patience.off):
        params["patience"] = trial.suggest_int("patience", int(space.patience.low), int(space.patience.high))
    if space.learning_rate != "fixed":
        strength(LEARNING_RATE, space.learning_rate)
    return params


def untuned_learning_rate(spec: StudySpec) -> float | None:
    """Return the learning rate of settings that don't tune it: the study's, moved into the range that is searched.

    It is None where the study doesn't search the learning rate.
    """
    among = spec.space.learning_rate
    return None if among == "fixed" else min(max(spec.training.learning_rate, among.low), among.high)


PARAMETERS = (
    "regularizer",
    "l1",
    "l2",
    "use_dropout",
    "dropout",
    "batch_norm",
    "early_stopping",
    "patience",
    LEARNING_RATE,
)
"""The name of every parameter, in the order in which they are suggested."""


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
    params = suggest(_Fixed(wanted), space)
    for name, value in given.items():
        if name not in params and value.lower() != "off":
            raise InputError(f"{short_name(name)}={value} has no place in this study's space beside the other settings")
    if wanted.get("use_dropout") is False and params.get("dropout") is not None:
        raise InputError("dropout can't be off in this study: its space has no such choice")
    if wanted.get("early_stopping") is False and params.get("patience") is not None:
        raise InputError("early stopping can't be off in this study: its space has no such choice")
    return {name: params[name] for name in wanted if name in params}


def params_of(regularization: Regularization, space: SpaceSpec) -> dict[str, Any]:
    """Return the parameters of a trial that trains a regularization; raises InputError if the space doesn't have it."""
    penalties = {name: factor for name in ("l1", "l2") if (factor := getattr(regularization, name))}
    wanted: dict[str, Any] = {"regularizer": "_".join(penalties) or "none", **penalties}
    if space.dropout != "off" or regularization.dropout:
        wanted["dropout"] = regularization.dropout or "off"
    wanted["batch_norm"] = regularization.batch_norm
    if space.patience != "off" or regularization.patience is not None:
        wanted["patience"] = "off" if regularization.patience is None else regularization.patience
    return settings_to_enqueue([f"{name}={value}" for name, value in wanted.items()], space)


def enumerate_points(values: Mapping[str, Sequence[Any]], space: SpaceSpec) -> list[dict[str, Any]]:
    """Return each distinct configuration that can be built from the values given for each parameter.

    A parameter whose technique is off doesn't multiply the points. Raises InputError where a
    parameter has no values, a value lies outside the space, or a name is not a parameter of it.
    """
    values = {_BY_SHORT_NAME.get(name, name): options for name, options in values.items()}
    walk = _Walk(values)
    points = list(walk.points(space))
    unused = [name for name in values if name not in walk.seen]
    if unused:
        raise InputError(
            f"the grid gives values of {short_name(unused[0])}, which is no parameter of this study's space beside the "
            "others"
        )
    return points


class _Chooser:
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


class _Fixed(_Chooser):
    """Takes the values that a user fixed."""

    def __init__(self, wanted: Mapping[str, Any]) -> None:
        self.wanted = wanted

    def choose(self, name: str) -> Any:
        return self.wanted.get(name)


class _Walk(_Chooser):
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
    penalties = "_".join(name for name in ("l1", "l2") if name in given)
    if penalties:
        wanted.setdefault("regularizer", penalties)
    for name, switch in (("dropout", "use_dropout"), ("patience", "early_stopping")):
        if name in given:
            is_on = given[name].lower() != "off"
            if wanted.setdefault(switch, is_on) is not is_on and str(wanted[switch]).lower() != str(is_on).lower():
                raise InputError(f"{name}={given[name]} and {switch}={given[switch]} contradict each other: give one")
            if not is_on:
                del wanted[name]
    return wanted
