"""The errors that a user can cause: each has a message of one line and an exit code."""

import re

_LONGEST = 2000  # characters of a message
_LAYOUT = "\n\t\xa0\u2009\u202f"
_PASSWORD = re.compile(r"(\w:/+[^\s/:@]*:)\S*@")  # of a URL


def one_line(text: str) -> str:
    """Return a text as one line that any terminal can show, whatever names and values it quotes.

    Characters that can't be printed (line ends, terminal escape codes, lone surrogates) are escaped as in Python.
    A text of more than 2,000 characters loses its middle.

    Example:
        >>> from regsearch.studies.errors import one_line
        >>> print(one_line("two\\nlines"))
        two\\nlines
    """
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 4 :]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def printable(text: str) -> str:
    """Escape the characters of a text on which a terminal acts (escape codes, bells, reversed text); keep its lines.

    The escapes are those of Python. Such characters can be in names of files, in settings and in messages.

    Example:
        >>> from regsearch.studies.errors import printable
        >>> print(printable("red: \\x1b[31m"))
        red: \\x1b[31m
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _LAYOUT else c.encode("unicode_escape").decode() for c in text)


def reason_of(error: BaseException) -> str:
    """Return why something failed, on one line: the operating system's text, else the message, else the class.

    Example:
        >>> reason_of(FileNotFoundError(2, "No such file or directory", "a.npz"))
        'No such file or directory'
        >>> reason_of(ValueError("first line   second line"))
        'first line second line'
        >>> reason_of(EOFError())
        'EOFError'
    """
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__


def mask_passwords(text: str) -> str:
    """Return a text with *** for the password of each URL in it.

    Example:
        >>> from regsearch.studies.errors import mask_passwords
        >>> mask_passwords("postgresql://me:secret@host/db can't be reached")
        "postgresql://me:***@host/db can't be reached"
    """
    return _PASSWORD.sub(r"\1***@", text)


class SpaceExhaustedError(Exception):
    """A sampler has no new point to propose.

    Args:
        is_certain: True if every point of the space was tried. False if one may exist that the sampler didn't find.
    """

    def __init__(self, *, is_certain: bool = True) -> None:
        super().__init__("every point of the space was tried")
        self.is_certain = is_certain


class RegsearchError(Exception):
    """The base class of all errors that a user can cause. Its text is one line: what failed, why, and what to do.

    Example:
        >>> import regsearch
        >>> try:
        ...     regsearch.run("smokee")
        ... except regsearch.RegsearchError as error:
        ...     print(error.exit_code, str(error)[:31])
        2 no ready study is called 'smoke

    Attributes:
        exit_code: the exit code of the command line, 1 to 4.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class InputError(RegsearchError):
    """The input is wrong, or doesn't match what is stored; nothing was changed."""

    exit_code = 2


class ModelError(InputError, ValueError):
    """A HyperModel can't be searched, whatever settings it gets. At the start of a new study, this ends the study."""


class SearchSpaceChangedError(RegsearchError):
    """A HyperModel asked for hyperparameters that differ from those of earlier trials, so this trial fails."""


class StorageError(RegsearchError):
    """The database can't be used: it is unavailable, full, read-only, damaged, or has another schema."""

    exit_code = 3


class StorageUnavailableError(StorageError):
    """The database can't be used at the moment: it is locked, its disk is full, or its server can't be reached."""


class CommitInDoubtError(StorageError):
    """It is unknown whether the last transaction was committed: the connection broke, and the database stayed down."""


class NoResultError(RegsearchError):
    """The search ended without an answer: no trial was complete, or too many failed in a row."""

    exit_code = 4
