"""What a user can cause: each error is one short message and an exit code."""


class RegsearchError(Exception):
    """One line for the user: what was given, what is allowed, what to do next."""

    exit_code = 1


class InputError(RegsearchError):
    """Bad input, or a mismatch between what is asked and what is stored; nothing was changed."""

    exit_code = 2


class StorageError(RegsearchError):
    """The database can't be used: unavailable, full, read-only, damaged, or of another schema."""

    exit_code = 3


class UnavailableError(StorageError):
    """The database can't be used now, being locked or its disk full; later it may."""


class NoResultError(RegsearchError):
    """The search ended without an answer: no trial completed, or too many failed in a row."""

    exit_code = 4
