"""Keys of a study file that were added later, with the values by which studies without them behave."""

from typing import Any

_ADDED_LATER = "addedLater"


def added_later(meant_before: Any) -> dict[str, Any]:
    """Return the `json_schema_extra` of a key that older studies lack.

    Args:
        meant_before: the value by which those studies behave. A stored study without the key is read with this value,
            which is not part of its fingerprint.
    """
    return {_ADDED_LATER: meant_before}


def meant_before(section: Any) -> dict[str, Any]:
    """Return the keys of a section that were added later, each with the value by which older studies behave."""
    extras = {key: field.json_schema_extra for key, field in section.model_fields.items()}
    return {
        key: extra[_ADDED_LATER] for key, extra in extras.items() if isinstance(extra, dict) and _ADDED_LATER in extra
    }
