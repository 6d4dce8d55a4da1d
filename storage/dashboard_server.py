"""optuna-dashboard for one database: for this machine only, and unable to change anything.

Nothing gets at what could write: only GET and HEAD are passed on, without their bodies, and the database
is opened so that it can't be written anyway. No other website gets at what can be read: a page whose name
was pointed at this machine (DNS rebinding) gives itself away by its Host.
"""

import csv
import io
import json
import re
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from http import HTTPStatus
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer, make_server
from wsgiref.util import FileWrapper

import optuna_dashboard

from regsearch.storage.database import Database
from regsearch.studies.errors import InputError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

HOST = "127.0.0.1"
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_NAME = r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\]"
_HOST_HEADER = re.compile(rf"({_NAME})(?::([0-9]{{1,5}}))?")
_SILENCE_SECONDS = 30
_LONGEST_LINE = 65536
_CHUNK = 65536
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

_HEADERS = [
    (
        "Content-Security-Policy",
        # up to script-src that of optuna-dashboard, whose parallel coordinates need 'unsafe-eval'
        "default-src 'self'; img-src 'self' data: blob:; frame-src 'self'; object-src 'none'; connect-src 'self'; "
        "style-src 'self' data: 'unsafe-inline'; script-src 'self' 'unsafe-eval'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]
_SET_HERE = {"content-length", *(name.lower() for name, _ in _HEADERS)}


def make_dashboard(database: Database, port: int, allow_hosts: Sequence[str] = ()) -> WSGIServer:
    """Return a server of the dashboard for a database that was opened for reading.

    Args:
        database: what it shows.
        port: on this machine, from 1 to 65535, or 0 for any that is free.
        allow_hosts: names under which it may be asked for too, whatever the port: those of a proxy in front.

    Raises InputError where the port is taken or a name is none.
    """
    for name in allow_hosts:
        if not re.fullmatch(_NAME, name.lower()):
            raise InputError(
                f"--allow-host {name!r} is no host name: give one such as searches.example.org, "
                "without scheme, port and path"
            )
    application = ReadOnly(optuna_dashboard.wsgi(database.storage), {name.lower() for name in allow_hosts})
    try:
        return make_server(HOST, port, application, server_class=_Server, handler_class=_Handler)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"port {port} can't be used ({error}): give another --port, up to 65535, or 0 for any"
        ) from error


class _Answer(NamedTuple):
    status: str
    headers: list[tuple[str, str]]
    body: bytes


class ReadOnly:
    """A WSGI application that passes on to another what only reads, and refuses everything else."""

    def __init__(self, application: "WSGIApplication", allow_hosts: Collection[str] = ()) -> None:
        self._application = application
        self._allow_hosts = allow_hosts

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> FileWrapper:
        """Answer a request; every answer goes out here, with the same headers."""
        status, headers, body = self._refuse(environ) or self._ask(environ)
        headers = [(name, value) for name, value in headers if name.lower() not in _SET_HERE]
        start_response(status, [*headers, ("Content-Length", str(len(body))), *_HEADERS])
        # in chunks, since the time to send one is limited
        return FileWrapper(io.BytesIO(b"" if environ["REQUEST_METHOD"] == "HEAD" else body), _CHUNK)

    def _refuse(self, environ: "WSGIEnvironment") -> _Answer | None:
        port = int(environ["SERVER_PORT"])
        # a missing Host is "", and two of them arrive joined by a comma: neither is ours
        if not self._is_allowed_host(environ.get("HTTP_HOST", ""), port):
            return _refusal(
                HTTPStatus.FORBIDDEN,
                "this dashboard has another Host; `regsearch dashboard --allow-host NAME` would allow a name",
            )
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and not self._is_allowed_host(re.sub("^https?://", "", origin), port):
            return _refusal(HTTPStatus.FORBIDDEN, "this dashboard answers to its own pages only")
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _refusal(HTTPStatus.METHOD_NOT_ALLOWED, "this dashboard is read-only", ("Allow", "GET, HEAD"))
        if not environ["PATH_INFO"].startswith("/"):  # http://other/path: its host would count, not Host
            return _refusal(HTTPStatus.BAD_REQUEST, "the target of a request is a path")
        return None

    def _is_allowed_host(self, host: str, port: int) -> bool:
        found = _HOST_HEADER.fullmatch(host.lower())
        if found is None:
            return False
        name, given = found.groups()
        return name in self._allow_hosts or (name in _LOOPBACK and int(given or 80) == port)

    def _ask(self, environ: "WSGIEnvironment") -> _Answer:
        """Ask the application, as if by a GET that has no body: it would wait for one and keep it."""
        started: list[Any] = []

        def start(*status_and_headers: Any) -> Any:
            started[:] = status_and_headers[:2]

        without_body = {
            "REQUEST_METHOD": "GET",
            "CONTENT_TYPE": "",
            "CONTENT_LENGTH": "0",
            "HTTP_TRANSFER_ENCODING": "",
        }
        # optuna-dashboard fails where there is no Accept-Encoding
        parts = self._application({"HTTP_ACCEPT_ENCODING": "", **environ, **without_body}, start)
        try:
            body = b"".join(parts)
        finally:
            getattr(parts, "close", lambda: None)()
        status, headers = started
        if dict(headers).get("Content-Type", "").startswith("text/csv"):
            body = _without_formulas(body)
        return _Answer(status, [(n, _path_of(v) if n == "Location" else v) for n, v in headers], body)


def _refusal(status: HTTPStatus, reason: str, *headers: tuple[str, str]) -> _Answer:
    body = json.dumps({"reason": reason}).encode()
    return _Answer(f"{status} {status.phrase}", [("Content-Type", "application/json"), *headers], body)


def _path_of(location: str) -> str:
    """Return a redirect's path: Bottle would put X-Forwarded-Host before it, whoever has sent that."""
    return urlsplit(location)._replace(scheme="", netloc="").geturl()


def _without_formulas(table: bytes) -> bytes:
    """Return CSV in which no text begins like a formula: a spreadsheet would compute it on opening."""
    csv.field_size_limit(sys.maxsize)
    out = io.StringIO()
    rows = csv.reader(io.StringIO(table.decode(), newline=""))
    csv.writer(out).writerows([[_as_text(cell) for cell in row] for row in rows])
    return out.getvalue().encode()


def _as_text(cell: str) -> str:
    if not cell.startswith(_FORMULA):
        return cell
    with suppress(ValueError):
        float(cell)
        return cell
    return f"'{cell}"


class _Server(ThreadingMixIn, WSGIServer):
    """A slow page doesn't block the others, and nobody waits for one at the end."""

    daemon_threads = True


class _Exchange(ServerHandler):
    """One request and its answer."""

    error_headers = [("Content-Type", "text/plain"), *_HEADERS]  # noqa: RUF012 - of the class above

    def log_exception(self, exc_info: Any) -> None:
        """Say what went wrong, unless it is that the client doesn't read on."""
        if not isinstance(exc_info[1], TimeoutError):
            super().log_exception(exc_info)


class _Handler(WSGIRequestHandler):
    """A connection: says nothing of each request, and ends when the client falls silent."""

    timeout = _SILENCE_SECONDS
    default_request_version = "HTTP/1.0"  # before it knows better, it would answer as HTTP/0.9: without headers
    server: _Server
    wfile: Any

    def handle(self) -> None:
        """Answer one request, as the class above does, but with exchanges of ours."""
        with suppress(TimeoutError, ConnectionError):
            self.raw_requestline = self.rfile.readline(_LONGEST_LINE + 1)
            if len(self.raw_requestline) > _LONGEST_LINE:
                self.requestline = self.request_version = self.command = ""
                self.send_error(HTTPStatus.REQUEST_URI_TOO_LONG)
            elif self.parse_request():
                exchange: Any = _Exchange(self.rfile, self.wfile, self.get_stderr(), self.get_environ())
                exchange.request_handler = self
                exchange.run(self.server.get_app())

    def end_headers(self) -> None:
        """Give what is answered to a line that is no request the headers too."""
        for name, value in _HEADERS:
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
