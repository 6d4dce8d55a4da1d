"""What a user can cause: each error is one short message and an exit code."""

_LONGEST = 2000  # characters of a message


def one_line(text: str) -> str:
    """Return a text as one line that any terminal can show, whatever names and values it quotes.

    What can't be printed (a line's end, a terminal's command, half of a character) is written as Python does;
    a long text loses its middle.
    """
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 4 :]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


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
