"""Where a database is (in an SQLite file or on a PostgreSQL server), and where the files that belong to it are."""

import hashlib
import os
import re
import shlex
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import sqlalchemy

from ..studies.errors import InputError

_USER_AND_PASSWORD = re.compile(r"[^/]*:/*[^/]*:[^/]*@")
_POSTGRES = ("postgresql", "postgresql+psycopg")
_EXAMPLES = "sqlite:///FILE, or postgresql+psycopg://USER@HOST/DATABASE for a server"
_SECRET = re.compile("password|secret", re.IGNORECASE)
_UNSAFE_CHARACTER = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True)
class Server:
    """A database on a PostgreSQL server. Its text (`str`) shows neither password nor options.

    Attributes:
        url: the parsed storage URL. Environment variables may add to it (PGPASSFILE, PGPASSWORD, PGSSLMODE, ...).
        given: the storage URL, or @FILE, as the user wrote it.
    """

    url: sqlalchemy.URL = field(repr=False)
    given: str = field(repr=False, compare=False)

    def __str__(self) -> str:
        where = {name: value for name, value in self.url.query.items() if name in ("host", "port")}
        database = self.url.database or os.environ.get("PGDATABASE")
        parts = (self.url.username, None, self.url.host, self.url.port, database, where)
        return sqlalchemy.URL.create("postgresql", *parts).render_as_string()


Location: TypeAlias = Path | Server
"""The absolute path of a file, or a server."""


def usual_storage() -> str:
    """Return the storage to use by default: $REGSEARCH_STORAGE, or regsearch.db in the current folder."""
    return os.environ.get("REGSEARCH_STORAGE") or "sqlite:///regsearch.db"


def location_of(storage: str) -> Location:
    """Parse a storage URL, and return the absolute path of a file, or a server.

    Args:
        storage: a URL, or @FILE: the path of a file that contains the URL. So a command line needs no password.

    Raises InputError if the URL can't be parsed or if this kind of database isn't supported. The message does not show
    the URL: after a typing error, the password may be in any part of it.
    """
    if storage.startswith("@"):
        return _parse(_url_in(Path(storage.removeprefix("@"))), storage)
    return _parse(storage, storage)


def as_option(location: Location) -> tuple[str, ...]:
    """Return the option that names a database in a shell command; empty for the default database.

    The option contains no password. PGPASSFILE or PGPASSWORD must provide the password.
    """
    with suppress(InputError, OSError):  # $REGSEARCH_STORAGE is invalid, or the current folder was removed
        if location == location_of(usual_storage()):
            return ()
    return ("--storage", shlex.quote(_storage_url(location)))


def command(location: Location, *words: str) -> str:
    """Return a regsearch command for a database, as a user can type it into a shell."""
    return " ".join([shlex.join(["regsearch", *words]), *as_option(location)])


def _storage_url(location: Location) -> str:
    """Return the storage URL, or @FILE, as the user gave it, without its password."""
    if isinstance(location, Path):
        path = str(_relative_path(location))
        is_text = path.isprintable()  # else it holds bytes that are not text, which a URL can't encode
        return str(sqlalchemy.URL.create("sqlite", database=path)) if is_text else f"sqlite:///{path}"
    if location.given.startswith("@"):
        return location.given
    url = location.url.set(drivername=location.given.partition(":")[0])
    options = {name: given for name, given in url.query.items() if not _SECRET.search(name)}
    parts = (url.drivername, url.username, None, url.host, url.port, url.database, options)
    return sqlalchemy.URL.create(*parts).render_as_string()


def _relative_path(path: Path) -> Path:
    with suppress(ValueError, OSError):  # the file is elsewhere, or the current folder was removed
        return path.relative_to(Path.cwd())
    return path


def files_folder(location: Location) -> Path:
    """Return the folder for a database's other files: locks, logs, states of trials, and the data of running searches.

    For a file, the folder is beside it. For a server, it is in $REGSEARCH_FILES, or else in the user's data folder.
    """
    if isinstance(location, Path):
        return location.with_name(location.name + ".d")
    url = location.url
    host, port = (url.query.get(name) or os.environ.get(f"PG{name.upper()}") for name in ("host", "port"))
    where = f"{url.host or host}-{url.port or port}-{url.database or os.environ.get('PGDATABASE')}"
    given, data = os.environ.get("REGSEARCH_FILES"), os.environ.get("XDG_DATA_HOME")
    folder = Path(given).absolute() if given else Path(data or _data_of_user()) / "regsearch"
    options = location.url.query.get("options", "")  # they may select a schema, which counts as another database
    mark = hashlib.sha256(f"{where} {options}".encode()).hexdigest()[:8]
    return folder / f"{_UNSAFE_CHARACTER.sub('-', where)}-{mark}"


def _data_of_user() -> Path:
    try:
        return Path.home() / ".local" / "share"
    except RuntimeError:
        raise InputError(
            "this user has no home directory for the files of trials. Set REGSEARCH_FILES to another directory."
        ) from None


def _url_in(file: Path) -> str:
    """Return the storage URL in a file; raises InputError if the file can't be read or shows others a password."""
    try:
        with file.expanduser().open(encoding="utf-8-sig") as opened:  # no shell expands the ~ of @~/FILE
            lines = opened.read(100_000).split()
            mode = os.fstat(opened.fileno()).st_mode
    except (OSError, ValueError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        reason = "the home folder is unknown" if isinstance(error, RuntimeError) else reason
        raise InputError(f"the file with the storage URL can't be read: {file} ({reason}).") from None
    if len(lines) != 1:
        raise InputError(f"{file} holds {len(lines)} words, not one storage URL. Write {_EXAMPLES}.")
    if mode & (stat.S_IRWXG | stat.S_IRWXO) and ("@" in lines[0] or "password" in lines[0]):
        raise InputError(f"other users can read the storage URL and its password in {file}. Run: chmod 600 {file}")
    return lines[0]


def _parse(url: str, given: str) -> Location:
    try:
        parsed = sqlalchemy.make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):  # ValueError: the port is not a number
        raise InputError("the storage URL can't be parsed. Write one such as sqlite:///regsearch.db.") from None
    if parsed.drivername in _POSTGRES:
        return _server(parsed, given)
    if parsed.get_backend_name() == "postgres":
        raise InputError(f"postgres:// is not a storage URL any more. Write {_POSTGRES[1]}://")
    if parsed.get_backend_name() == "postgresql":
        raise InputError(f"the only supported driver of PostgreSQL is psycopg. Write {_POSTGRES[1]}://")
    if parsed.get_backend_name() != "sqlite":
        raise InputError(f"a storage URL of {parsed.get_backend_name()} is not supported. Write {_EXAMPLES}.")
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise InputError(f"the driver of {parsed.drivername} is missing. Write sqlite:///FILE.")
    return _file(url, parsed)


def _server(parsed: sqlalchemy.URL, given: str) -> Server:
    if not parsed.database and not os.environ.get("PGDATABASE"):
        raise InputError(f"the storage URL names no database. Write {_POSTGRES[1]}://USER@HOST/DATABASE")
    for name, value in parsed.query.items():
        if not isinstance(value, str) and name not in ("host", "port"):  # these two may name several servers
            raise InputError("the storage URL has the same option more than once. Remove one.")
        if name == "port" and not re.fullmatch(r"[0-9,]*", value if isinstance(value, str) else ",".join(value)):
            raise InputError("the port in the storage URL is not a number. Correct it.")
    if any("\0" in str(part) for part in parsed):
        raise InputError("the storage URL contains a NUL character. Remove it.")
    if "@" in f"{parsed.host}{parsed.database}":
        raise InputError("the storage URL can't be parsed. In a password, write %40 for @ and %2F for /.")
    return Server(parsed.set(drivername=_POSTGRES[1]), given)


def _file(url: str, parsed: sqlalchemy.URL) -> Path:
    has_options = "?" in url or parsed.host or parsed.username or parsed.password or parsed.port
    if has_options or not parsed.database or parsed.database == ":memory:":
        raise InputError("a SQLite URL takes no options, host or password. Write sqlite:///FILE.")
    if _USER_AND_PASSWORD.match(url):
        raise InputError(
            "the storage URL seems to contain a password, which a file does not need. "
            "If this is really the name of a file, write sqlite:///./FILE."
        )
    if "\0" in parsed.database:
        raise InputError("the path in the storage URL contains a NUL character. Remove it.")
    try:
        return Path(parsed.database).absolute()
    except FileNotFoundError:
        raise InputError(
            "the current directory was removed. Change to another one, or give the file's absolute path."
        ) from None
