"""What a user can cause: each error is one short message and an exit code."""

import re

_LONGEST = 2000  # characters of a message
_PASSWORD = re.compile(r"(\w:/+[^\s/:@]*:)\S*@")  # of a URL


def one_line(text: str) -> str:
    """Return a text as one line that any terminal can show, whatever names and values it quotes.

    What can't be printed (a line's end, a terminal's command, half of a character) is written as Python does;
    a long text loses its middle.
    """
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 4 :]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def mask_passwords(text: str) -> str:
    """Return a text with *** for the password of each URL in it.

    Example:
        >>> mask_passwords("postgresql://me:secret@host/db can't be reached")
        "postgresql://me:***@host/db can't be reached"
    """
    return _PASSWORD.sub(r"\1***@", text)


class SpaceExhaustedError(Exception):
    """A sampler proposes nothing more.

    Args:
        is_certain: whether every point that it could propose was begun; else it only found no other.
    """

    def __init__(self, *, is_certain: bool = True) -> None:
        super().__init__("every point of the space was tried")
        self.is_certain = is_certain


class RegsearchError(Exception):
    """One line for the user: what was given, what is allowed, what to do next."""

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class InputError(RegsearchError):
    """Bad input, or a mismatch between what is asked and what is stored; nothing was changed."""

    exit_code = 2


class SearchSpaceChangedError(RegsearchError):
    """What a HyperModel asks for can't be given; that trial fails."""


class StorageError(RegsearchError):
    """The database can't be used: unavailable, full, read-only, damaged, or of another schema."""

    exit_code = 3


class StorageUnavailableError(StorageError):
    """The database can't be used now: it is locked, its disk full, or its server away; later it may."""


class CommitInDoubtError(StorageError):
    """Whether the last transaction was committed isn't known: its answer was lost, and the database stayed away."""


class NoResultError(RegsearchError):
    """The search ended without an answer: no trial completed, or too many failed in a row."""

    exit_code = 4
