"""Examines versions, machine, database and data before a search. It changes and downloads nothing."""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..storage.checks.confirmation import check_confirmation
from ..storage.checks.filesystem import filesystem_warnings
from ..storage.checks.integrity import check_integrity
from ..storage.connect import is_new, open_for_reading
from ..storage.location import command, location_of
from ..storage.queries import get_study, study_names
from ..storage.schema import NoStudiesError
from ..storage.sqlite import journal_mode
from ..studies.errors import InputError, RegsearchError, StorageError
from ..studies.spec import StudySpec
from ..studies.study_file import read_study, with_options
from . import api
from .data import examination, load_dataset, located, mnist, source_kind
from .data.arrays import Dataset, DataUnavailableError
from .machine import core_count, versions

_NO_MNIST = "MNIST is not here. Keras downloads it when a study needs it"
_NO_MNIST_YET = f"{_NO_MNIST}. If the download fails, the study uses digits instead"


@dataclass(frozen=True, kw_only=True)
class Check:
    """What `doctor` found about one subject.

    Attributes:
        subject: what was examined, such as "database".
        finding: the result in words.
        is_well: whether the subject is in order.
        exit_code: the exit code of `doctor` that follows from this check. It is 0 if the subject is in order, and for a
            warning.
    """

    subject: str
    finding: str
    is_well: bool = True
    exit_code: int = 0

    @property
    def mark(self) -> str:
        """The first word of the check's line: ok, BAD or WARN."""
        return "ok  " if self.is_well else "BAD " if self.exit_code else "WARN"


def examine(storage: str | None, data: str | None = None, settings: Sequence[str] = ()) -> list[Check]:
    """Examine all subjects. A problem is reported as a check and raises no error.

    Args:
        storage: see `regsearch.search.api.storage_url`.
        data: see `regsearch.search.api.run`. By default, `doctor` only looks whether MNIST is on this machine.
        settings: strings "section.key=value" that change the study `mnist`, such as "data.image_size=[32, 32]".

    Raises InputError for invalid settings, and for settings without data.
    """
    if data is None and settings:
        raise InputError("--set can only be used with --data. Give --data, too.")
    spec = with_options(read_study("mnist", settings), data=data)
    packages = ", ".join(f"{package} {number}" for package, number in versions().items())
    return [
        Check(subject="versions", finding=packages),
        Check(subject="machine", finding=f"{platform.platform()}, {core_count()} cores for this process"),
        Check(subject="SQLite", finding=f"journal mode {journal_mode()[0]}: {journal_mode()[1]}"),
        _checked("database", lambda: _examine_database(storage)),
        *_examine_place(storage),
        *([_checked("data", _examine_mnist)] if data is None else _examine_data(spec)),
    ]


def as_text(checks: Sequence[Check]) -> str:
    """Return the checks as text, one line each."""
    return "\n".join(f"{check.mark} {check.subject}: {check.finding}" for check in checks)


def as_json(checks: Sequence[Check]) -> dict[str, Any]:
    """Return the checks by subject, ready for JSON."""
    return {check.subject: {"ok": check.is_well, "finding": check.finding} for check in checks}


def _checked(subject: str, examination: Callable[[], str]) -> Check:
    try:
        return Check(subject=subject, finding=examination())
    except RegsearchError as error:
        return Check(subject=subject, finding=str(error), is_well=False, exit_code=error.exit_code)


def _examine_database(storage: str | None) -> str:
    location = location_of(api.storage_url(storage))
    if isinstance(location, Path) and not location.parent.is_dir():
        folder = location.parent
        raise StorageError(
            f"{location} can't be created: there is no directory {folder}. Create it, or name another file."
        )
    if is_new(location):
        run = command(location, "run")
        is_file = isinstance(location, Path)
        return f"{location} {f'is not there yet: `{run}` creates it' if is_file else f'is empty: `{run}` fills it'}"
    try:
        with open_for_reading(location) as database:
            check_integrity(database)
            described = database.described()
            names = study_names(database)
            for name in names:
                study = get_study(database, name)
                with database.read() as connection:
                    check_confirmation(connection, study)
    except NoStudiesError as error:
        return str(error)
    return f"{location} is undamaged, {len(names)} {'study' if len(names) == 1 else 'studies'}, {described}"


def _examine_place(storage: str | None) -> list[Check]:
    """Return a warning if the file system, the permissions or the free space don't suit the database's file."""
    try:
        location = location_of(api.storage_url(storage))
        warnings = filesystem_warnings(location) if isinstance(location, Path) else []
    except (RegsearchError, OSError):  # `_examine_database` reports this error
        return []
    return [Check(subject="place", finding="; ".join(warnings), is_well=False)] if warnings else []


def _examine_mnist() -> str:
    found = mnist.find()
    return _NO_MNIST_YET if found is None else f"{mnist.read(found)} in {found}"


def _examine_data(spec: StudySpec) -> list[Check]:
    """Return checks that describe a study's data, and warnings about what looks wrong in them."""
    try:
        dataset, where = _load(spec)
    except RegsearchError as error:
        return [Check(subject="data", finding=str(error), is_well=False, exit_code=error.exit_code)]
    held_out = [] if dataset.held_out is None else [Check(subject="data test examples", finding=dataset.held_out)]
    doubts = examination.doubts(dataset, spec)
    return [
        Check(subject="data", finding=f"{dataset}{where}"),
        Check(subject="data rows", finding=examination.rows(dataset)),
        Check(subject="data classes", finding=examination.classes(dataset)),
        *held_out,
        _checked("data splits", lambda: examination.split_sizes(dataset, spec)),
        *(Check(subject=f"data {subject}", finding=doubt, is_well=False) for subject, doubt in doubts.items()),
    ]


def _load(spec: StudySpec) -> tuple[Dataset, str]:
    """Return a study's data and the words " in PATH" (empty for built-in data); download nothing."""
    source = spec.data.source
    if source in ("auto", "mnist"):
        found = mnist.find()
        if found is not None:
            return mnist.read(found), f" in {found}"
        if source == "mnist":
            raise DataUnavailableError(_NO_MNIST)
        source = "digits"
    where = "" if source_kind(source) == "built-in" else f" in {located(source)}"
    return load_dataset(source, spec.data.image_size), where
