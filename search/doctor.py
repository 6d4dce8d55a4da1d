"""Examines what a search stands on: versions, machine, database and data; changes and fetches nothing."""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from search import api
from search.data import mnist
from search.machine import core_count, versions
from storage.database import database_path, is_new, journal_mode, open_for_reading
from storage.integrity import check_integrity
from storage.place import troubles
from storage.queries import get_study, study_names
from storage.schema import NoStudiesError
from studies.errors import RegsearchError, StorageError


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was examined; exit_code is what `doctor` ends with if it is not well, 0 for a mere warning."""

    subject: str
    finding: str
    is_well: bool = True
    exit_code: int = 0

    @property
    def mark(self) -> str:
        """How it is called at the beginning of a line."""
        return "ok  " if self.is_well else "BAD " if self.exit_code else "WARN"


def examine(storage: str | None) -> list[Check]:
    """Examine everything; what is wrong is a finding, not an error."""
    found = ", ".join(f"{package} {number}" for package, number in versions().items())
    return [
        Check(subject="versions", finding=found),
        Check(subject="machine", finding=f"{platform.platform()}, {core_count()} cores for this process"),
        Check(subject="SQLite", finding=f"journal mode {journal_mode()[0]}: {journal_mode()[1]}"),
        _checked("database", lambda: _examine_database(storage)),
        *_examine_place(storage),
        _checked("data", _examine_mnist),
    ]


def as_text(checks: Sequence[Check]) -> str:
    """Return the findings for a person."""
    return "\n".join(f"{check.mark} {check.subject}: {check.finding}" for check in checks)


def as_json(checks: Sequence[Check]) -> dict[str, Any]:
    """Return the findings for a program."""
    return {check.subject: {"ok": check.is_well, "finding": check.finding} for check in checks}


def _checked(subject: str, examination: Callable[[], str]) -> Check:
    try:
        return Check(subject=subject, finding=examination())
    except RegsearchError as error:
        return Check(subject=subject, finding=str(error), is_well=False, exit_code=error.exit_code)


def _examine_database(storage: str | None) -> str:
    path = database_path(api.storage_url(storage))
    if not path.parent.is_dir():
        raise StorageError(f"{path} can't be created: there is no folder {path.parent}; make it, or name another file")
    if is_new(path):
        return f"{path} is not there yet; the first `regsearch run` creates it"
    try:
        with open_for_reading(path) as database:
            mode = check_integrity(database)
            names = study_names(database)
            for name in names:
                get_study(database, name)
    except NoStudiesError as error:
        return str(error)
    change = "" if mode == journal_mode()[0] else f" (the next search makes it {journal_mode()[0]})"
    return f"{path} is whole, {len(names)} studies, {path.stat().st_size:,} bytes, journal mode {mode}{change}"


def _examine_place(storage: str | None) -> list[Check]:
    """Warn of where the database lies; say nothing where it lies well, or nowhere."""
    try:
        path = database_path(api.storage_url(storage))
        found = troubles(path)
    except (RegsearchError, OSError):  # the check of the database says so
        return []
    return [Check(subject="place", finding="; ".join(found), is_well=False)] if found else []


def _examine_mnist() -> str:
    found = mnist.find()
    if found is None:
        return "MNIST is not here; Keras fetches it with the first study, and without a network digits stand in"
    return f"{mnist.read(found)} in {found}"
