"""KerasTuner's hyperparameters; Optuna suggests the value of each one when the HyperModel declares it."""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import keras_tuner
from keras_tuner.engine.hyperparameters import Boolean, Choice, Fixed, Float, HyperParameter, Int
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from ....studies.batch_norm import KERAS_MOMENTUM
from ....studies.spec import SpaceSpec
from ....studies.trial import Params, Value
from ..trainer import Suggest

_MOST_CHOICES = 1000
_LARGEST_INT = 2**53  # Optuna stores numbers as floats


class OptunaHyperParameters(keras_tuner.HyperParameters):
    """KerasTuner's hyperparameters; `suggest` returns the value of each active one, and is called once for it.

    Args:
        suggest: returns the value of a hyperparameter.
        regularization: the search space of `regsearch.regularized`.
        batch_norm_momentum: the momentum for the BatchNormalization that `regsearch.regularized` adds, in [0, 1).
    """

    def __init__(
        self,
        suggest: Suggest,
        regularization: SpaceSpec = SpaceSpec(),
        batch_norm_momentum: float = KERAS_MOMENTUM,
    ) -> None:
        super().__init__()
        self._suggest = suggest
        self.regularization = regularization
        self.batch_norm_momentum = batch_norm_momentum

    def _register(self, hyperparameter: HyperParameter, overwrite: bool = False) -> Any:
        # as in KerasTuner, a name that was declared before under other conditions already has a value
        is_new = self.is_active(hyperparameter) and hyperparameter.name not in self.values
        if is_new and not isinstance(hyperparameter, Fixed):
            self._validate_name(hyperparameter.name)
            parameter = as_parameter(hyperparameter)
            text = distribution_to_json(parameter.distribution)
            self.values[hyperparameter.name] = parameter.to_value(
                self._suggest(parameter.name, text, parameter.default)
            )
        return super()._register(hyperparameter, overwrite)


def known(params: Params) -> Suggest:
    """Return a `Suggest` for the known parameters of a trial; for any other parameter, it raises ValueError.

    Example:
        >>> known({"units": 32})("units", "", 8)
        32
    """

    def suggest(name: str, distribution: str, default: Value) -> Value:
        if name not in params:
            raise ValueError(f"the HyperModel's space has changed: in the search it had no parameter {name}")
        value: Value = params[name]
        return value

    return suggest


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A hyperparameter as Optuna can draw it.

    Attributes:
        name: KerasTuner's name of it or, with "reverse_log", a name such as "1.1 − momentum" (see `as_parameter`).
        distribution: the distribution from which Optuna draws.
        default: the default value, on the scale on which Optuna draws.
        to_value: converts the value that Optuna drew to the value that KerasTuner's hyperparameter gets.
    """

    name: str
    distribution: BaseDistribution
    default: Value
    to_value: Callable[[Value], Value]


def as_parameter(hp: HyperParameter) -> Parameter:
    """Return the parameter that Optuna draws for a hyperparameter of KerasTuner.

    If `sampling` is "log" or "reverse_log" and there is a step, the few possible values become choices. For
    "reverse_log" without a step, Optuna draws `min_value + max_value − value` on a log scale. The parameter's name says
    so: "1.1 − momentum".

    Raises ValueError if Optuna can't draw the hyperparameter.

    Example:
        >>> as_parameter(Int("units", 8, 64, step=8)).distribution
        IntDistribution(high=64, log=False, low=8, step=8)
    """
    match hp:
        case Boolean():
            return _choices(hp, [False, True])
        case Choice():
            return _choices(hp, list(hp.values))
        case Int() | Float() if hp.sampling != "linear" and hp.step is not None:
            values = [_typed(hp, value) for value in _values_of_steps(hp)]
            return _choices(hp, values if hp.default in values else [*values, hp.default])
        case Int() | Float() if hp.sampling == "reverse_log":
            return _mirrored_range(hp)
        case Int() | Float():
            to_value = _on_step(hp) if isinstance(hp, Float) and hp.step is not None else lambda value: value
            return Parameter(
                name=hp.name,
                distribution=_range(hp, log=hp.sampling == "log"),
                default=_typed(hp, hp.default),
                to_value=to_value,
            )
    raise ValueError(f"Optuna can't draw the parameter {hp.name}: it is a {type(hp).__name__}")


def _choices(hp: HyperParameter, values: list[Value]) -> Parameter:
    return Parameter(
        name=hp.name,
        distribution=CategoricalDistribution(list(dict.fromkeys(values))),
        default=hp.default,
        to_value=lambda value: value,
    )


def _values_of_steps(hp: Any) -> list[float]:
    count = hp._get_n_values()
    if count > _MOST_CHOICES:
        raise ValueError(
            f"the parameter {hp.name} has {count:,} values with its step of {hp.step:g}. Leave out the step, or use a "
            f"larger step that gives at most {_MOST_CHOICES:,} values."
        )
    return list(hp.values)


def _mirrored_range(hp: Any) -> Parameter:
    total = hp.min_value + hp.max_value

    def mirror(value: Any) -> Value:
        # rounding may lead slightly beyond the ends of the range
        return _typed(hp, min(max(total - value, hp.min_value), hp.max_value))

    return Parameter(
        name=f"{total:g} − {hp.name}",
        distribution=_range(hp, log=True),
        default=mirror(hp.default),
        to_value=mirror,
    )


def _range(hp: Any, *, log: bool) -> BaseDistribution:
    if not math.isfinite(hp.max_value - hp.min_value):  # also if an end is infinite or NaN
        raise ValueError(f"the parameter {hp.name} has no finite range: it is from {hp.min_value} to {hp.max_value}")
    if isinstance(hp, Float):
        high = hp.max_value if hp.step is None else _last(hp)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna warns about a step without an exact decimal form
            return FloatDistribution(hp.min_value, high, log, hp.step)
    if max(abs(hp.min_value), abs(hp.max_value)) > _LARGEST_INT:
        raise ValueError(f"the parameter {hp.name} has values beyond 2**53, which Optuna can't store exactly")
    step = hp.step or 1
    return IntDistribution(hp.min_value, hp.max_value - (hp.max_value - hp.min_value) % step, log, 1 if log else step)


def _last(hp: Any) -> float:
    """Return the largest value in a range of floats with a step, computed as Optuna does it."""
    return float(Decimal(str(hp.min_value)) + (hp._get_n_values() - 1) * Decimal(str(hp.step)))


def _on_step(hp: Any) -> Callable[[Any], Value]:
    """Return a function that replaces Optuna's float by KerasTuner's for the same step; the last bit may differ."""

    def to_value(value: Any) -> Value:
        nearest: float = hp._get_value_by_index(round((value - hp.min_value) / hp.step))
        is_on_step = abs(nearest - value) <= 1e-9 * max(abs(value), abs(hp.step))
        return nearest if is_on_step else value  # a default may lie between two steps

    return to_value


def _typed(hp: HyperParameter, value: Any) -> Value:
    return int(value) if isinstance(hp, Int) else float(value)
