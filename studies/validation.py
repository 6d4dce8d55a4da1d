"""Checks the values of a study file: names, durations, options, choices, seeds and references to code."""

import json
import re
from pathlib import Path
from typing import Any

_FEWEST_SEEDS = 3  # with two, one table in ten shows a gain that doesn't exist (tests/benchmarks)
_DEEPEST_OPTIONS = 50  # levels of nested tables; pydantic can write at most 255
_HYPERMODEL = re.compile(r"(?s:.+\.py)|[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_ROOT = Path(__file__).parents[1]  # the folder of the package `regsearch`
_PACKAGES = ("search", "storage", "studies")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")


def check_name(name: str) -> str:
    """Return a study's name if it has 1 to 64 characters of A-Z a-z 0-9 . _ -, else raise ValueError.

    Example:
        >>> from regsearch.studies.validation import check_name
        >>> check_name("mnist-2")
        'mnist-2'
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"a study's name has 1 to 64 characters of A-Z a-z 0-9 . _ -; given was {name!r}")
    return name


def parse_duration(text: str) -> float:
    """Return the seconds in a duration such as "90s", "30m", "2h" or "1h30m"; a bare number means seconds.

    Example:
        >>> from regsearch.studies.validation import parse_duration
        >>> parse_duration("1h30m")
        5400.0

    Raises ValueError for another text, for 0 and for 10⁹ seconds or more.
    """
    match = _DURATION.fullmatch(text.strip())
    hours, minutes, seconds = (float(part or 0) for part in match.groups()) if match else (0.0, 0.0, 0.0)
    total = 3600 * hours + 60 * minutes + seconds
    if not 0 < total < 1e9:
        raise ValueError(f"a duration is written 90s, 30m, 2h or 1h30m and is positive; given was {text!r}")
    return total


def check_hypermodel(reference: str) -> str:
    """Return a reference to a HyperModel. Raise ValueError if it is not mine.py:Name or package.module:name."""
    code, _, name = reference.rpartition(":")
    if not _HYPERMODEL.fullmatch(code) or not name.isidentifier():
        raise ValueError(f"write it mine.py:MyHyperModel or package.module:name; given was {reference!r}")
    return reference


def is_bundled_hypermodel(reference: str) -> bool:
    """Return whether a reference names a module that comes with regsearch; its code runs without `--trust-code`.

    Example:
        >>> from regsearch.studies.validation import is_bundled_hypermodel
        >>> is_bundled_hypermodel("search.training.cnn:build"), is_bundled_hypermodel("mine.py:build")
        (True, False)
    """
    code = reference.rpartition(":")[0]
    return not code.endswith(".py") and bundled_file(code) is not None


def bundled_file(module: str) -> Path | None:
    """Return the file of a module of regsearch, with or without the prefix "regsearch."; None for other modules."""
    parts = module.removeprefix("regsearch.").split(".")
    if parts[0] not in _PACKAGES:
        return None
    path = _ROOT.joinpath(*parts).with_suffix(".py")
    return path if path.is_file() else None


def check_duration(text: str) -> str:
    """Return a duration's text. Raise ValueError if `parse_duration` can't read it."""
    parse_duration(text)
    return text


def check_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a sampler or a pruner if they are plain TOML values, else raise ValueError."""
    try:
        canonical(options)
        is_shallow = _depth(options) <= _DEEPEST_OPTIONS
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError("options are plain TOML values without dates, nan and inf") from error
    if not is_shallow:
        raise ValueError(f"options are nested at most {_DEEPEST_OPTIONS} levels deep")
    return options


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return 1 + max(map(_depth, inner), default=0)


def default_if_none(section: Any) -> Any:
    """Return a section of a study file. If the section is None, return an empty section."""
    return {} if section is None else section  # studies of early versions are stored without a section [confirm]


def check_choices(choices: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the choices. Raise ValueError if there are none, or if a choice is there twice."""
    if not choices or len(set(choices)) < len(choices):
        raise ValueError("give at least one choice, and no choice twice")
    return choices


def check_seeds(seeds: int) -> int:
    """Return a number of fresh seeds if it is 0 or at least 3, else raise ValueError."""
    if 0 < seeds < _FEWEST_SEEDS:
        raise ValueError(f"too few seeds show no spread. Give at least {_FEWEST_SEEDS}, or 0 for no confirmation.")
    return seeds


def canonical(document: Any) -> str:
    """Return a document as JSON with sorted keys, so that equal values give equal text.

    Example:
        >>> from regsearch.studies.validation import canonical
        >>> canonical({"b": 1, "a": [1, 2]})
        '{"a":[1,2],"b":1}'

    Raises ValueError for NaN and infinities.
    """
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
