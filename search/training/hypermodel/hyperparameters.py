"""KerasTuner's hyperparameters as suggestions of an Optuna trial, each asked for when the HyperModel comes to it."""

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

from regsearch.search.training.trainer import Suggest
from regsearch.studies.batch_norm import KERAS_MOMENTUM
from regsearch.studies.spec import SpaceSpec
from regsearch.studies.trial import Params, Value

_MOST_CHOICES = 1000
_LARGEST_INT = 2**53  # Optuna keeps numbers as floats


class OptunaHyperParameters(keras_tuner.HyperParameters):
    """Takes the value of every active parameter from whom it asks, once; all else is KerasTuner's own.

    Args:
        suggest: asked for each.
        regularization: what `search.regularized` asks for.
        batch_norm_momentum: of the BatchNormalization that it places.
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
        # one that is there under other conditions has its value already, as in KerasTuner
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
    """Return what answers with a trial's parameters, which are all known."""

    def suggest(name: str, distribution: str, default: Value) -> Value:
        if name not in params:
            raise ValueError(f"its space is another than in the search: there it had no parameter {name}")
        value: Value = params[name]
        return value

    return suggest


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A hyperparameter as Optuna can draw it.

    Attributes:
        name: KerasTuner's, or what is drawn in its place: "1.1 − momentum".
        distribution: Optuna's.
        default: as it is drawn.
        to_value: what KerasTuner's hyperparameter is, of what was drawn.
    """

    name: str
    distribution: BaseDistribution
    default: Value
    to_value: Callable[[Value], Value]


def as_parameter(hp: HyperParameter) -> Parameter:
    """Return how Optuna draws a hyperparameter; raises ValueError, with the reason, for what it can't draw.

    A multiplied step (`sampling="log"` with `step`) gives few values, which become choices. For `reverse_log`, the
    distance from the other end of the range is drawn on a log scale: the parameter is then called by that.
    """
    match hp:
        case Boolean():
            return _choices(hp, [False, True])
        case Choice():
            return _choices(hp, list(hp.values))
        case Int() | Float() if hp.sampling != "linear" and hp.step is not None:
            values = [_typed(hp, value) for value in _stepped(hp)]
            return _choices(hp, values if hp.default in values else [*values, hp.default])
        case Int() | Float() if hp.sampling == "reverse_log":
            return _mirrored(hp)
        case Int() | Float():
            to_value = _on_step(hp) if isinstance(hp, Float) and hp.step is not None else lambda value: value
            return Parameter(
                name=hp.name,
                distribution=_range(hp, log=hp.sampling == "log"),
                default=_typed(hp, hp.default),
                to_value=to_value,
            )
    raise ValueError(f"the parameter {hp.name} is a {type(hp).__name__}, which Optuna can't draw")


def _choices(hp: HyperParameter, values: list[Value]) -> Parameter:
    return Parameter(
        name=hp.name,
        distribution=CategoricalDistribution(list(dict.fromkeys(values))),
        default=hp.default,
        to_value=lambda value: value,
    )


def _stepped(hp: Any) -> list[float]:
    count = hp._get_n_values()
    if count > _MOST_CHOICES:
        raise ValueError(
            f"the parameter {hp.name} has {count:,} values by its step of {hp.step:g}: leave out the step, or take a "
            f"larger one that gives at most {_MOST_CHOICES:,}"
        )
    return list(hp.values)


def _mirrored(hp: Any) -> Parameter:
    total = hp.min_value + hp.max_value

    def mirror(value: Any) -> Value:
        # as close to the ends as floats allow, which may be a bit beyond
        return _typed(hp, min(max(total - value, hp.min_value), hp.max_value))

    return Parameter(
        name=f"{total:g} − {hp.name}",
        distribution=_range(hp, log=True),
        default=mirror(hp.default),
        to_value=mirror,
    )


def _range(hp: Any, *, log: bool) -> BaseDistribution:
    if isinstance(hp, Float):
        high = hp.max_value if hp.step is None else _last(hp)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a step that no decimal number is
            return FloatDistribution(hp.min_value, high, log, hp.step)
    if max(abs(hp.min_value), abs(hp.max_value)) > _LARGEST_INT:
        raise ValueError(f"the parameter {hp.name} has values beyond 2**53, which Optuna can't keep exactly")
    step = hp.step or 1
    return IntDistribution(hp.min_value, hp.max_value - (hp.max_value - hp.min_value) % step, log, 1 if log else step)


def _last(hp: Any) -> float:
    """Return the largest value of a range of floats with a step, as Optuna adds them up."""
    return float(Decimal(str(hp.min_value)) + (hp._get_n_values() - 1) * Decimal(str(hp.step)))


def _on_step(hp: Any) -> Callable[[Any], Value]:
    """Return what gives KerasTuner's own float for a value: Optuna's may differ from it in the last bit."""

    def to_value(value: Any) -> Value:
        there: float = hp._get_value_by_index(round((value - hp.min_value) / hp.step))
        is_on_step = abs(there - value) <= 1e-9 * max(abs(value), abs(hp.step))
        return there if is_on_step else value  # a default needn't be

    return to_value


def _typed(hp: HyperParameter, value: Any) -> Value:
    return int(value) if isinstance(hp, Int) else float(value)
