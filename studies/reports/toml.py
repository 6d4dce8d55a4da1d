"""Write a study's spec and its values as TOML; the standard library can only read TOML."""

import json
from collections.abc import Mapping
from typing import Any

from ..spec import StudySpec


def as_toml(spec: StudySpec) -> str:
    """Return a study file with every default; reading it gives the same spec."""
    document = spec.model_dump(mode="json", exclude_none=True)
    return "\n\n".join(
        "\n".join([f"[{section}]", *(f"{_key(key)} = {toml_value(value)}" for key, value in keys.items())])
        for section, keys in document.items()
    )


def toml_value(value: Any) -> str:
    """Return a JSON value as TOML on one line; keys with the value None are left out."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {toml_value(item)}" for key, item in value.items() if item is not None)
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    # a JSON string is a TOML string, except for a raw DEL
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    is_bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if is_bare else json.dumps(key, ensure_ascii=False)
