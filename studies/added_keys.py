"""Keys of a study file that later versions added, and the value that each of them has in older studies."""

from typing import Any

_ADDED_LATER = "addedLater"


def added_later(meant_before: Any) -> dict[str, Any]:
    """Return the `json_schema_extra` of a key that older studies do not have.

    Args:
        meant_before: the value that describes how older studies behave. A stored study without the key is read as if it
            had this value. While the key has this value, it is not part of a study's fingerprint.
    """
    return {_ADDED_LATER: meant_before}


def meant_before(section: Any) -> dict[str, Any]:
    """Return the keys that later versions added to a section, as a dict from key to its value in older studies."""
    extras = {key: field.json_schema_extra for key, field in section.model_fields.items()}
    return {
        key: extra[_ADDED_LATER] for key, extra in extras.items() if isinstance(extra, dict) and _ADDED_LATER in extra
    }
