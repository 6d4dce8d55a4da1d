"""Turn a user's NAME=VALUE settings into the parameters of an enqueued trial, checked against the study's space."""

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    json_to_distribution,
)

from ..studies.configuration import is_regularization, settings_to_enqueue
from ..studies.errors import InputError
from ..studies.records import StudyRecord
from ..studies.search_space import searched_space
from ..studies.trial import Value
from .database import Database
from .optuna.tables import LATEST_DISTRIBUTIONS

_BOOLEANS = {"on": True, "true": True, "off": False, "false": False}


def params_to_enqueue(database: Database, study: StudyRecord, settings: Sequence[str]) -> dict[str, Any]:
    """Turn settings of the form NAME=VALUE into a dict from parameter to value.

    The parameters of a HyperModel are known only from its trials. So each NAME must be a parameter that a trial has
    asked for. Raises InputError if there is no setting, or if a name or a value is outside the study's space.
    """
    if not settings:
        raise InputError("give at least one setting, such as --param l2=1e-4")
    if study.spec.model.hypermodel is None:
        return settings_to_enqueue(settings, searched_space(study.spec))
    known = _recorded_space(database, study)
    if not known:
        raise InputError(
            f"the parameters of {study.name} are not known yet: no trial has asked for one. Run a trial first."
        )
    if is_regularization(known):
        return settings_to_enqueue(settings, searched_space(study.spec))
    return _own_params(known, settings)


def _recorded_space(database: Database, study: StudyRecord) -> dict[str, BaseDistribution]:
    """Return a dict from the name of each parameter in the study's trials to its distribution."""
    with database.read() as connection:
        rows = connection.execute(LATEST_DISTRIBUTIONS, {"id": study.study_id})
        return {row.param_name: json_to_distribution(row.distribution_json) for row in rows}


def _own_params(known: Mapping[str, BaseDistribution], settings: Sequence[str]) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for setting in settings:
        # a name may contain "=": take the longest name that fits
        name = max((name for name in known if setting.startswith(f"{name}=")), key=len, default=None)
        if name is None:
            raise InputError(
                f"can't use --param {setting!r}: it is not NAME=VALUE with a known name. Use one of {', '.join(known)}."
            )
        if name in params:
            raise InputError(f"can't use --param {setting!r}: {name} was given before. Give each name once.")
        params[name] = _value(name, known[name], setting.removeprefix(f"{name}="))
    return params


def _value(name: str, distribution: BaseDistribution, text: str) -> Value:
    match distribution:
        case CategoricalDistribution():
            return _choice(name, distribution.choices, text)
        case IntDistribution() | FloatDistribution():
            return _number(name, distribution, text)
    raise AssertionError(distribution)


def _choice(name: str, choices: Sequence[Any], text: str) -> Value:
    found = next((choice for choice in choices if str(choice) == text), None)
    if found is None and text.lower() in _BOOLEANS:
        found = next((choice for choice in choices if choice is _BOOLEANS[text.lower()]), None)
    if found is None:
        number = _as_number(text)
        numbers = (choice for choice in choices if isinstance(choice, int | float) and not isinstance(choice, bool))
        found = next((choice for choice in numbers if choice == number), None)
    if found is None:
        raise InputError(f"{name} is one of {', '.join(map(str, choices))} in this study, not {text}.")
    value: Value = found
    return value


def _number(name: str, distribution: IntDistribution | FloatDistribution, text: str) -> Value:
    number = _as_number(text)
    if number is not None and distribution.low <= number <= distribution.high:
        steps = 0.0 if distribution.step is None else (number - distribution.low) / distribution.step
        if abs(steps - round(steps)) <= 1e-8:
            return round(number) if isinstance(distribution, IntDistribution) else number
    what = "a whole number" if isinstance(distribution, IntDistribution) else "a number"
    by = "" if distribution.step is None or distribution.step == 1 else f" in steps of {distribution.step:g}"
    raise InputError(
        f"{name} is {what} from {distribution.low:g} to {distribution.high:g}{by} in this study, not {text}."
    )


def _as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
