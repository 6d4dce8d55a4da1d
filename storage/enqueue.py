"""Settings of a user's own as the parameters of a trial that waits, held against the space that the study has."""

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
    """Return the parameters that NAME=VALUE settings fix.

    Those of a HyperModel are known by the trials that it had: only what any of them asked for can be given.
    Raises InputError for a name or a value outside the study's space, and where nothing is given.
    """
    if not settings:
        raise InputError("give at least one setting, such as --param l2=1e-4")
    if study.spec.model.hypermodel is None:
        return settings_to_enqueue(settings, searched_space(study.spec))
    known = _recorded_space(database, study)
    if not known:
        raise InputError(f"no trial of {study.name} has asked for its HyperModel's parameters yet. Run a trial first.")
    if is_regularization(known):
        return settings_to_enqueue(settings, searched_space(study.spec))
    return _own_params(known, settings)


def _recorded_space(database: Database, study: StudyRecord) -> dict[str, BaseDistribution]:
    """Return the distribution of each parameter that any trial was asked for, by name."""
    with database.read() as connection:
        rows = connection.execute(LATEST_DISTRIBUTIONS, {"id": study.study_id})
        return {row.param_name: json_to_distribution(row.distribution_json) for row in rows}


def _own_params(known: Mapping[str, BaseDistribution], settings: Sequence[str]) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for setting in settings:
        # a name may have "=" in it
        name = max((name for name in known if setting.startswith(f"{name}=")), key=len, default=None)
        if name is None or name in params:
            raise InputError(
                f"--param takes each NAME=VALUE once, NAME one that a trial has asked for: {', '.join(known)}; given "
                f"was {setting!r}"
            )
        params[name] = _value(name, known[name], setting.removeprefix(f"{name}="))
    return params


def _value(name: str, among: BaseDistribution, given: str) -> Value:
    match among:
        case CategoricalDistribution():
            return _choice(name, among.choices, given)
        case IntDistribution() | FloatDistribution():
            return _number(name, among, given)
    raise AssertionError(among)


def _choice(name: str, choices: Sequence[Any], given: str) -> Value:
    found = next((choice for choice in choices if str(choice) == given), None)
    if found is None and given.lower() in _BOOLEANS:
        found = next((choice for choice in choices if choice is _BOOLEANS[given.lower()]), None)
    if found is None:
        number = _as_number(given)
        numbers = (choice for choice in choices if isinstance(choice, int | float) and not isinstance(choice, bool))
        found = next((choice for choice in numbers if choice == number), None)
    if found is None:
        raise InputError(f"{name} is one of {', '.join(map(str, choices))} in this study, not {given}.")
    value: Value = found
    return value


def _number(name: str, among: IntDistribution | FloatDistribution, given: str) -> Value:
    number = _as_number(given)
    if number is not None and among.low <= number <= among.high:
        steps = 0.0 if among.step is None else (number - among.low) / among.step
        if abs(steps - round(steps)) <= 1e-8:
            return round(number) if isinstance(among, IntDistribution) else number
    what = "a whole number" if isinstance(among, IntDistribution) else "a number"
    by = "" if among.step is None or among.step == 1 else f" in steps of {among.step:g}"
    raise InputError(f"{name} is {what} from {among.low:g} to {among.high:g}{by} in this study, not {given}.")


def _as_number(given: str) -> float | None:
    try:
        return float(given)
    except ValueError:
        return None
