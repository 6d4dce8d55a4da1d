"""Serve optuna-dashboard for one database: to this machine only, and read-only.

Only GET and HEAD requests reach optuna-dashboard, without their bodies. The database is opened for reading only.
Another website can't read the pages, even if its name points to this machine (DNS rebinding). Requests for that name
have the wrong Host header, so they are refused.
"""

import csv
import io
import json
import re
import socket
import sys
from collections.abc import Collection, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit
from wsgiref.util import FileWrapper

import optuna_dashboard
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from ..studies.errors import InputError
from ..studies.reports.trials import without_formula
from .database import Database

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

HOST = "127.0.0.1"
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_NAME = r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\]"
_HOST_HEADER = re.compile(rf"({_NAME})(?::([0-9]{{1,5}}))?")
_SILENCE_SECONDS = 30
_CHUNK = 65536  # bytes of a response that are sent at once
_LARGEST_PORT = 65535

_HEADERS = [
    (
        "Content-Security-Policy",
        # optuna-dashboard's own policy up to script-src; its parallel coordinates need 'unsafe-eval'
        "default-src 'self'; img-src 'self' data: blob:; frame-src 'self'; object-src 'none'; connect-src 'self'; "
        "style-src 'self' data: 'unsafe-inline'; script-src 'self' 'unsafe-eval'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
]
_OWN_HEADERS = {"content-length", *(name.lower() for name, _ in _HEADERS)}


def make_dashboard(database: Database, port: int, allow_hosts: Sequence[str] = ()) -> ThreadedWSGIServer:
    """Return a server that shows a database in optuna-dashboard. The database must be open for reading.

    Args:
        database: the database to show.
        port: the port on this machine, from 1 to 65535; 0 takes any free port, and the server's `port` says which.
        allow_hosts: more names that are allowed in a Host header, with any port, such as the name of a proxy.

    Raises InputError if the port can't be used, or if a name is not a host name.
    """
    for name in allow_hosts:
        if not re.fullmatch(_NAME, name.lower()):
            raise InputError(
                f"--allow-host {name!r} is not a host name. "
                "Give one such as searches.example.org, without scheme, port and path."
            )
    application = ReadOnly(optuna_dashboard.wsgi(database.storage), {name.lower() for name in allow_hosts})
    # bind the socket here, since werkzeug ends the process if the port is taken; the server duplicates it
    with _listen(port) as listener:
        return _Server(HOST, port, application, _Handler, fd=listener.fileno())


def _listen(port: int) -> socket.socket:
    try:
        if not 0 <= port <= _LARGEST_PORT:
            raise OSError("it is out of range")
        return socket.create_server((HOST, port))
    except OSError as error:
        raise InputError(
            f"cannot listen on port {port}: {error}. Give another --port, up to {_LARGEST_PORT}, or 0 for any free one."
        ) from error


class _Answer(NamedTuple):
    status: str
    headers: list[tuple[str, str]]
    body: bytes


class ReadOnly:
    """A WSGI application that passes reading requests on to another application, and refuses all others."""

    def __init__(self, application: "WSGIApplication", allow_hosts: Collection[str] = ()) -> None:
        self._application = application
        self._allow_hosts = allow_hosts

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> FileWrapper:
        """Answer a request, without the application's own security headers: the server adds others."""
        status, headers, body = self._refuse(environ) or self._ask(environ)
        headers = [(name, value) for name, value in headers if name.lower() not in _OWN_HEADERS]
        start_response(status, [*headers, ("Content-Length", str(len(body)))])
        # in chunks, since the timeout applies to each chunk
        return FileWrapper(io.BytesIO(b"" if environ["REQUEST_METHOD"] == "HEAD" else body), _CHUNK)

    def _refuse(self, environ: "WSGIEnvironment") -> _Answer | None:
        port = int(environ["SERVER_PORT"])
        # given http://other/path, werkzeug would use that host instead of the Host header
        if not environ["REQUEST_URI"].startswith("/"):
            return _refusal(HTTPStatus.BAD_REQUEST, "the target of a request must be a path")
        # a missing Host header is "", and two headers arrive joined by a comma: neither is allowed
        if not self._is_allowed_host(environ.get("HTTP_HOST", "").strip(" \t"), port):
            return _refusal(
                HTTPStatus.FORBIDDEN,
                "this Host name is not allowed; start the dashboard with `--allow-host NAME` to allow it",
            )
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and not self._is_allowed_host(re.sub("^https?://", "", origin), port):
            return _refusal(HTTPStatus.FORBIDDEN, "this dashboard answers to its own pages only")
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _refusal(HTTPStatus.METHOD_NOT_ALLOWED, "this dashboard is read-only", ("Allow", "GET, HEAD"))
        return None

    def _is_allowed_host(self, host: str, port: int) -> bool:
        """Return whether a Host header names this server. Werkzeug's `host_is_trusted` would ignore ports and [::1]."""
        match = _HOST_HEADER.fullmatch(host.lower())
        if match is None:
            return False
        name, host_port = match.groups()
        return name in self._allow_hosts or (name in _LOOPBACK and int(host_port or 80) == port)

    def _ask(self, environ: "WSGIEnvironment") -> _Answer:
        """Pass a request to the application as a GET without a body: the application would wait for a body."""
        started: list[Any] = []

        def start(*status_and_headers: Any) -> Any:
            started[:] = status_and_headers[:2]

        without_body = {
            "REQUEST_METHOD": "GET",
            "CONTENT_TYPE": "",
            "CONTENT_LENGTH": "0",
            "HTTP_TRANSFER_ENCODING": "",
        }
        # optuna-dashboard fails without the header Accept-Encoding
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
    """Return only the path of a redirect. Its host may be forged, since any client can send X-Forwarded-Host."""
    return urlsplit(location)._replace(scheme="", netloc="").geturl()


def _without_formulas(table: bytes) -> bytes:
    """Return a CSV table whose formulas are made plain text, so that no spreadsheet program computes them."""
    csv.field_size_limit(sys.maxsize)
    out = io.StringIO()
    rows = csv.reader(io.StringIO(table.decode(), newline=""))
    csv.writer(out).writerows([[without_formula(cell) for cell in row] for row in rows])
    return out.getvalue().encode()


class _Handler(WSGIRequestHandler):
    """A handler that closes its connection if the client falls silent. It logs no requests."""

    timeout = _SILENCE_SECONDS
    protocol_version = "HTTP/1.0"
    default_request_version = "HTTP/1.0"  # else it answers malformed requests without headers

    def end_headers(self) -> None:
        """Add the security headers to every response, also if the request was malformed."""
        for name, value in _HEADERS:
            self.send_header(name, value)
        super().end_headers()

    def log(self, type: str, message: str, *args: object) -> None:
        """Log nothing; the server itself prints the application's errors."""


class _Server(ThreadedWSGIServer):
    """A server with a thread for each connection. When it closes, it doesn't wait for these threads."""

    def log(self, type: str, message: str, *args: object) -> None:
        """Print an application's error to stderr, however werkzeug's logger is configured."""
        sys.stderr.write(f"{message % args if args else message}\n")
