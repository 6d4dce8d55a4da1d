"""The log file of a run: one line for each message of the logger `regsearch`. Only the owner can read a new file."""

import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, TextIO, TypeVar
from urllib.parse import quote

from ...storage.location import Location
from ...studies.errors import InputError, mask_passwords, one_line

logger = logging.getLogger("regsearch")
logger.addHandler(logging.NullHandler())  # silent, unless the user adds a handler

_SECRET_OPTION = re.compile("password|secret", re.IGNORECASE)


class _Result(Protocol):
    """The result of a run, such as `regsearch.RunResult`."""

    @property
    def ended(self) -> str: ...

    @property
    def exit_code(self) -> int: ...


R = TypeVar("R", bound=_Result)


@contextmanager
def run_log(path: str | Path | None, study: str, location: Location, message: Callable[[str], None]) -> Iterator[None]:
    """Append the lines of the logger `regsearch` to a file while the block runs; if the path is None, do nothing.

    A line has the time in UTC, the level, the study and the message. A password is written as ***.

    Args:
        path: the file. If it doesn't exist, it is created so that only its owner can read and write it.
        study: the name of the study that runs.
        location: the database.
        message: prints a line for the user if the file can't be written any more. The run continues.

    Raises InputError if the file can't be opened.
    """
    if path is None:
        yield
        return
    handler = _RunHandler(_open_log(path), message)
    handler.setFormatter(_LineFormatter(study, _secrets(location)))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(min(level or logging.INFO, logging.INFO))
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
        handler.close()


def logged(command: str, location: Location, run: Callable[[], R]) -> R:
    """Call `run` and return its result; log when the command starts, and with which exit code it ends."""
    logger.info("%s started, storage %s", command, location)
    try:
        result = run()
    except BaseException as error:
        code = getattr(error, "exit_code", 130 if isinstance(error, KeyboardInterrupt) else 1)
        message = mask_passwords(str(error))  # masked here, too, for handlers that the user added
        logger.error("%s ended with code %s: %s: %s", command, code, type(error).__name__, message)
        raise
    logger.info("%s ended with code %s: %s", command, result.exit_code, result.ended)
    return result


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Let Optuna log only errors while the block runs; then restore the level that the user had set."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(level, optuna.logging.ERROR))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)


class _LineFormatter(logging.Formatter):
    """Formats a record as one line, in which passwords are replaced by ***."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self, study: str, secrets: list[str]) -> None:
        super().__init__("{asctime} {levelname} {study} {message}", style="{", defaults={"study": study})
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return one_line(mask_passwords(text))


class _RunHandler(logging.StreamHandler[TextIO]):
    """Writes to an open file. If writing fails, it prints one message, and the run continues."""

    def __init__(self, file: TextIO, message: Callable[[str], None]) -> None:
        super().__init__(file)
        self._message = message
        self._has_failed = False

    def handleError(self, record: logging.LogRecord) -> None:
        if not self._has_failed:
            self._has_failed = True
            self._message("--log: the file can't be written any more. The run continues without it.")

    def close(self) -> None:
        super().close()
        with suppress(OSError):  # the disk is full; `handleError` has printed a message
            self.stream.close()


def _open_log(path: str | Path) -> TextIO:
    try:
        descriptor = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except (OSError, ValueError) as error:  # ValueError: a NUL character
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"--log: {str(path)!r} can't be written: {reason}. Name a file that you may write.") from None
    return open(descriptor, "a", encoding="utf-8", errors="backslashreplace")


def _secrets(location: Location) -> list[str]:
    """Return the passwords that this process knows, the longest first: each as it is, and as it is written in a URL."""
    passwords = [os.environ.get("PGPASSWORD")]
    if not isinstance(location, Path):
        passwords.append(location.url.password)
        options = location.url.query.items()
        passwords += [value for name, value in options if _SECRET_OPTION.search(name) and isinstance(value, str)]
    secrets = {form for secret in passwords if secret for form in (secret, quote(secret, safe=""))}
    return sorted(secrets, key=len, reverse=True)
