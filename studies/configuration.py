"""What a trial's parameters describe: a regularization, or the hyperparameter values of a HyperModel."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass
from typing import TYPE_CHECKING, Any

from .errors import InputError, one_line
from .search_space import (
    LEARNING_RATE,
    PARAMETERS,
    PARAMETERS_BY_SHORT_NAME,
    FixedValues,
    dimensions,
    short_name,
    suggest,
)
from .spec import SpaceSpec, TrainingSpec
from .techniques import TECHNIQUES, labels
from .techniques.technique import Technique
from .trial import Params, Value

_ALWAYS = {"regularizer", "batch_norm"}  # every trial of a regularization has these parameters

LABELS = (*labels(), "combination")
"""The labels of regularizations: each technique alone, joint names such as "L1+L2", and "combination"."""

if TYPE_CHECKING:

    class _Values:
        def __init__(self, **values: Any) -> None: ...

        def __getattr__(self, name: str) -> Any: ...

else:
    _values = [(technique.key, Any, field(default=technique.off)) for technique in TECHNIQUES]
    _values.append(("learning_rate", Any, field(default=None)))
    _Values = make_dataclass("_Values", _values, frozen=True, kw_only=True)


class Regularization(_Values):
    """The regularization of one network: one value for each technique, by the technique's key.

    A technique without a value is off. A further value is the optimizer's `learning_rate`, which is not a technique. It
    is None unless the study searches it. Objects with equal values are equal, and no object can be changed. Raises
    TypeError for a key that no technique has.

    Example:
        >>> print(Regularization(l2=1e-4, batch_norm="before_activation", patience=3))
        L2 0.0001, BatchNorm before activation, early stopping (patience 3)
    """

    baseline = "no regularization"
    """The name of the baseline in sentences."""

    @classmethod
    def from_params(cls, params: Params) -> "Regularization":
        """Return the regularization that a trial's parameters describe; a technique without a parameter is off.

        Example:
            >>> Regularization.from_params({"regularizer": "l2", "l2": 1e-4, "batch_norm": "none"}).l2
            0.0001
        """
        values = {technique.key: params.get(technique.key, technique.off) for technique in TECHNIQUES}
        return cls(**values, learning_rate=params.get(LEARNING_RATE))

    def params(self, space: SpaceSpec) -> dict[str, Any]:
        """Return the parameters of a trial, including the switches, in the order of `PARAMETERS`."""
        params: dict[str, Any] = {}
        for technique in TECHNIQUES:
            params |= technique.params(vars(self), space)
        return params if self.learning_rate is None else {**params, LEARNING_RATE: self.learning_rate}

    def changed(self, **values: Any) -> "Regularization":
        """Return a copy in which the techniques with the given keys have other values.

        Example:
            >>> print(Regularization(l2=1e-4).changed(dropout=0.25))
            L2 0.0001, dropout 0.25
        """
        return Regularization(**{**vars(self), **values})

    @property
    def in_use(self) -> tuple[tuple[Technique, Any], ...]:
        """The techniques that are on, with their values, in the order of `TECHNIQUES`."""
        values = ((technique, getattr(self, technique.key)) for technique in TECHNIQUES)
        return tuple((technique, value) for technique, value in values if technique.is_on(value))

    @property
    def batch_norm_placement(self) -> str:
        """Where BatchNormalization stands: none, before_activation or after_activation."""
        placements = (technique.batch_norm_placement(value) for technique, value in self.in_use)
        return next((placement for placement in placements if placement != "none"), "none")

    def rate_in(self, training: TrainingSpec) -> float:
        """Return the learning rate to train with: `self.learning_rate`, or if it is None, `training.learning_rate`."""
        return training.learning_rate if self.learning_rate is None else self.learning_rate

    @property
    def technique(self) -> str | None:
        """The label of this regularization, from LABELS; None if all is off. Early stopping counts only if it is alone.

        Example:
            >>> Regularization(l1=1e-5, l2=1e-4, patience=3).technique
            'L1+L2'
        """
        on = [technique for technique, _ in self.in_use]
        alone = [technique for technique in on if not technique.accompanies] or on
        if len({technique.gate or technique.key for technique in alone}) > 1:
            return "combination"
        return "+".join(technique.name for technique in alone) or None

    @property
    def complexity(self) -> int:
        """How many techniques are on; most count as 1. Among equally good configurations, the smallest number wins."""
        return sum(technique.complexity(value) for technique, value in self.in_use)

    def __str__(self) -> str:
        """Return the values in words: "L2 0.0001, dropout 0.25, early stopping (patience 3), learning rate 0.0005"."""
        parts = [technique.words(value) for technique, value in self.in_use] or [self.baseline]
        if self.learning_rate is not None:
            parts.append(f"learning rate {self.learning_rate:.3g}")
        return ", ".join(parts)


@dataclass(frozen=True)
class HyperparameterValues:
    """The hyperparameter values of a HyperModel.

    Attributes:
        values: (name, value) of each hyperparameter that the HyperModel asked for, sorted by name.

    Example:
        >>> print(HyperparameterValues((("activation", "relu"), ("lr", 0.001234), ("units", 64))))
        activation relu, lr 0.001234, units 64
    """

    values: tuple[tuple[str, Value], ...]

    baseline = "the defaults"
    """The name of the baseline in sentences."""

    def distance(self, other: "HyperparameterValues") -> int:
        """Return how many hyperparameters have two different values, or a value in only one of the two objects."""
        return len({name for name, _ in set(self.values) ^ set(other.values)})

    def __str__(self) -> str:
        """Return the values in words: "activation relu, lr 0.00123, units 64"."""
        return ", ".join(f"{one_line(name)} {_short(value)}" for name, value in self.values) or "no settings"


Configuration = Regularization | HyperparameterValues
"""What a trial trains with."""


def configuration_of(params: Params) -> Configuration:
    """Return the configuration that a trial's parameters describe.

    The result is a `Regularization` if `is_regularization` is true of the parameters' names, otherwise it is
    `HyperparameterValues`.

    Example:
        >>> configuration_of({"regularizer": "none", "batch_norm": "none"})
        Regularization(l1=0.0, l2=0.0, dropout=0.0, batch_norm='none', patience=None, learning_rate=None)
        >>> configuration_of({"units": 64})
        HyperparameterValues(values=(('units', 64),))
    """
    if is_regularization(params):
        return Regularization.from_params(params)
    return HyperparameterValues(tuple(sorted(params.items())))


def technique_of(params: Params) -> str | None:
    """Return the technique of a trial in words, or "no regularization"; None for hyperparameter values of a HyperModel.

    Example:
        >>> technique_of({"regularizer": "l1", "l1": 1e-5, "batch_norm": "none"})
        'L1'
    """
    configuration = configuration_of(params)
    if isinstance(configuration, HyperparameterValues):
        return None
    return configuration.technique or configuration.baseline


def is_regularization(names: Iterable[str]) -> bool:
    """Return whether "regularizer" and "batch_norm" are among the names, and all names are in `PARAMETERS`."""
    return _ALWAYS <= set(names) <= set(PARAMETERS)


def _short(value: Value) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.4g}" if isinstance(value, float) else one_line(str(value))


def settings_to_enqueue(settings: Sequence[str], space: SpaceSpec) -> dict[str, Any]:
    """Turn a user's settings of the form NAME=VALUE into a dict from parameter to value.

    Switches are added: `l2=1e-4` adds the regularizer l2, `dropout=0.3` switches dropout on, and `dropout=off` switches
    dropout off. The sampler chooses all other parameters.

    Raises InputError if a name or a value is outside the space.

    Example:
        >>> settings_to_enqueue(["l2=1e-4", "dropout=off"], SpaceSpec())
        {'l2': 0.0001, 'regularizer': 'l2', 'use_dropout': False}
    """
    fixed = _parse(settings)
    searched = {dimension.name: dimension for dimension in dimensions(space)}
    for name, value in fixed.items():
        if name not in searched and value.lower() != "off":
            short = short_name(name)
            raise InputError(f"can't use {short}={value}: this study does not search {short}. Leave {short} out.")
    wanted = _with_gates(fixed)
    params = suggest(FixedValues(wanted), space)
    for name, value in fixed.items():
        if name in searched and name not in params and value.lower() != "off":
            gate = str(searched[name].parent)
            raise InputError(
                f"{short_name(name)}={value} contradicts {gate}={params.get(gate)}. "
                f"Give only one of them, or another {gate}."
            )
    for technique in TECHNIQUES:
        if technique.gate and wanted.get(technique.gate) is False and params.get(technique.key) is not None:
            raise InputError(
                f"{technique.name} can't be off in this study: space.{technique.key} does not have off = true. "
                f"Give {technique.key} a value instead."
            )
    return {name: params[name] for name in wanted if name in params}


def params_of(regularization: Regularization, space: SpaceSpec) -> dict[str, Any]:
    """Return the parameters of a trial with this regularization.

    Raises InputError if the regularization lies outside the space.

    Example:
        >>> params_of(Regularization(l2=1e-4), SpaceSpec())["l2"]
        0.0001
    """
    wanted: dict[str, Any] = {}
    for technique in TECHNIQUES:
        for name, value in technique.params(vars(regularization), space).items():
            if value is not True and value is not False:
                wanted[name] = value
            elif not value and technique.is_searched(space):
                wanted[technique.key] = "off"
    if regularization.learning_rate is not None:
        wanted[LEARNING_RATE] = regularization.learning_rate
    return settings_to_enqueue([f"{name}={value}" for name, value in wanted.items()], space)


def _parse(settings: Iterable[str]) -> dict[str, str]:
    """Split settings of the form NAME=VALUE into a dict from the parameter's name to the text of its value."""
    values: dict[str, str] = {}
    for setting in settings:
        written, equals, value = setting.partition("=")
        name = PARAMETERS_BY_SHORT_NAME.get(written, written)
        if not equals or name not in PARAMETERS or name in values:
            names = ", ".join(PARAMETERS_BY_SHORT_NAME)
            raise InputError(f"invalid --param {setting!r}. Give each NAME=VALUE once, with NAME one of {names}.")
        values[name] = value
    return values


def _with_gates(fixed: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings and the switches that follow from them, such as `use_dropout` from a value of `dropout`."""
    wanted: dict[str, Any] = dict(fixed)
    for technique in TECHNIQUES:
        technique.imply(fixed, wanted)
    return wanted
