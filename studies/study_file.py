"""Reads a study from the catalog or from a TOML file, and applies settings to it."""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from .errors import InputError
from .spec import StudySpec

CATALOG = Path(__file__).parent / "catalog"

_STUDY_FILE_BYTES = 1_000_000  # more than any study file has; a wrong path may name a huge file
_UNION_MEMBER = re.compile(r"function-after\[.*\]|literal\[.*\]")


def catalog_names() -> list[str]:
    """Return the names of the ready studies, sorted."""
    return sorted(path.stem for path in CATALOG.glob("*.toml"))


def read_study(study: str, settings: Iterable[str] = ()) -> StudySpec:
    """Read a ready study by its name, or a study file by its path, and apply settings.

    Args:
        study: the name of a ready study, or a path that ends with .toml or has a /.
        settings: each is "section.key=value"; a value that is not valid TOML is taken as plain text.

    Example:
        >>> from regsearch.studies.study_file import read_study
        >>> read_study("digits", ["training.max_epochs=5"]).training.max_epochs
        5

    Raises InputError if the file can't be read, and for an unknown key or a wrong value.
    """
    path = _path_of(study)
    document = _read_toml(path)
    document.setdefault("study", {})
    if isinstance(document["study"], dict):
        document["study"].setdefault("name", path.stem)
        if path.parent == CATALOG and any(
            setting.partition("=")[0].strip() == "model.hypermodel" for setting in settings
        ):
            document["study"].pop("question", None)  # the question is about the network that the setting replaces
    for setting in settings:
        _apply(setting, document)
    return _validated(document, path.name)


def given_keys(study: str, settings: Iterable[str] = ()) -> frozenset[str]:
    """Return the keys "section.key" that a user gave, in the settings or in the user's own study file.

    Example:
        >>> from regsearch.studies.study_file import given_keys
        >>> given_keys("digits", ["training.max_epochs=5"])
        frozenset({'training.max_epochs'})

    Raises InputError for the same reasons as `read_study`.
    """
    path = _path_of(study)
    document = {} if path.parent == CATALOG else _read_toml(path)
    for setting in settings:
        _apply(setting, document)
    sections = ((name, keys) for name, keys in document.items() if isinstance(keys, dict))
    return frozenset(f"{name}.{key}" for name, keys in sections for key in keys)


def with_options(
    spec: StudySpec,
    *,
    name: str | None = None,
    trials: int | None = None,
    data: str | None = None,
    top: int | None = None,
    seeds: int | None = None,
) -> StudySpec:
    """Return a copy of a study with the values of command-line options. An option that is None changes nothing.

    Example:
        >>> from regsearch.studies.study_file import read_study, with_options
        >>> with_options(read_study("digits"), trials=7).budget.trials
        7

    Raises InputError for the same reasons as `read_study`.
    """
    options = {
        ("study", "name"): name,
        ("budget", "trials"): trials,
        ("data", "source"): data,
        ("confirm", "top"): top,
        ("confirm", "seeds"): seeds,
    }
    document = spec.model_dump(mode="json", exclude_unset=True)
    for (section, key), value in options.items():
        if value is not None:
            document[section] = {**(document.get(section) or {}), key: value}
    return _validated(document, "the options")


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a study file, for editors."""
    return StudySpec.model_json_schema()


def _path_of(study: str) -> Path:
    """Return the path of a study file; raises InputError for a name that is neither a ready study nor a path."""
    path = Path(study)
    if study in catalog_names():
        return CATALOG / f"{study}.toml"
    if path.suffix != ".toml" and "/" not in study:
        near = difflib.get_close_matches(study, catalog_names(), n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(catalog_names())}"
        raise InputError(f"no ready study is called {study!r}: {hint} (or give the path of a .toml file)")
    return path


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(_STUDY_FILE_BYTES + 1)
    except OSError as error:
        raise InputError(f"the study file {path} can't be read: {error.strerror}") from error
    if len(content) > _STUDY_FILE_BYTES:
        raise InputError(f"{path} is not a study file: it is larger than {_STUDY_FILE_BYTES:,} bytes")
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(f"the study file {path} is not UTF-8 text (byte {error.start})") from error
    except (ValueError, RecursionError, MemoryError) as error:  # ValueError: also a number with thousands of digits
        raise InputError(f"the study file {path} is not valid TOML: {error}") from error


def _apply(setting: str, document: dict[str, Any]) -> None:
    """Set "section.key=value" in the content of a study file; a value that is not valid TOML is taken as plain text."""
    key, equals, text = setting.partition("=")
    parts = key.strip().split(".")
    if not equals or len(parts) < 2 or not all(parts):
        raise InputError(f"--set takes SECTION.KEY=VALUE, such as training.max_epochs=5; given was {setting!r}")
    for part in parts[:-1]:
        document = document.setdefault(part, {})
        if not isinstance(document, dict):
            raise InputError(f"--set {setting}: {part!r} is a value, not a section")
    try:
        value = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        value = {"value": text}
    document[parts[-1]] = value["value"] if len(value) == 1 else text


def _validated(document: Mapping[str, Any], origin: str) -> StudySpec:
    try:
        return StudySpec.model_validate(document)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise InputError(f"{origin}: {_describe(faults[0])}{more}") from error


def _describe(fault: Mapping[str, Any]) -> str:
    if not fault["loc"]:  # the fault concerns several keys together
        return str(fault["msg"]).removeprefix("Value error, ")
    # pydantic adds the union member that it tried to the location; users know only the keys
    *parents, last = [str(part) for part in fault["loc"]]
    location = [part for part in parents if not _UNION_MEMBER.fullmatch(part)]
    if fault["type"] == "extra_forbidden" or not _UNION_MEMBER.fullmatch(last):
        location.append(last)
    key = ".".join(location)
    if fault["type"] == "extra_forbidden":
        section: Any = StudySpec
        for part in location[:-1]:
            section = _section_of(section, part)
        allowed = list(section.model_fields) if section is not None else []
        near = difflib.get_close_matches(location[-1], allowed, n=1)
        hint = f"did you mean {near[0]}?" if near else f"allowed are {', '.join(allowed)}"
        return f"unknown key {key}: {hint}"
    message = fault["msg"].removeprefix("Value error, ")
    message = re.sub(r"a valid dictionary or instance of \w+Range", "a table { low = …, high = … }", message)
    if fault["type"] == "value_error":
        return f"{key}: {message}"
    return f"{key}: {message[0].lower()}{message[1:]}; given was {_shortened(fault['input'])}"


def _section_of(section: Any, key: str) -> Any:
    """Return the class of the section called `key` in `section`; None if the key holds a plain value."""
    if section is None or key not in section.model_fields:
        return None
    annotation = section.model_fields[key].annotation
    candidates = [annotation, *getattr(annotation, "__args__", ())]
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)


def _shortened(value: Any) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number with thousands of digits, or a thousand nested tables
        return "a value too long to show"
    return text if len(text) <= 80 else f"{text[:77]}..."
