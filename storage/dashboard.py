"""optuna-dashboard for one database: on this machine only, and unable to write."""

import socketserver
from collections.abc import Iterable
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna_dashboard

from storage.database import Database
from studies.errors import InputError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

HOST = "127.0.0.1"


class _ThreadingServer(socketserver.ThreadingMixIn, WSGIServer):
    """A slow page doesn't block the others."""

    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    """Says nothing of each request."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _read_only(application: "WSGIApplication") -> "WSGIApplication":
    """Answer whatever would write with 405; the database couldn't be written anyway."""

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return application(environ, start_response)
        body = b'{"reason": "this dashboard is read-only"}'
        start_response("405 Method Not Allowed", [("Content-Type", "application/json"), ("Allow", "GET, HEAD")])
        return [body]

    return answer


def make_dashboard(database: Database, port: int) -> WSGIServer:
    """Return a server of the dashboard for a database that was opened for reading.

    Raises InputError where the port is taken.
    """
    application = _read_only(optuna_dashboard.wsgi(database.storage))
    try:
        return make_server(HOST, port, application, server_class=_ThreadingServer, handler_class=_QuietHandler)
    except (OSError, OverflowError) as error:
        raise InputError(f"port {port} can't be used ({error}): give another --port, from 1 to 65535") from error
