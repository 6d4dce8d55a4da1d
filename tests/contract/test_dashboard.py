"""The dashboard: reads only, answers to its own names only, and no client can hold up another."""

import csv
import http.client
import io
import ipaddress
import json
import re
import shutil
import signal
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from email.message import Message
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import fakes
import optuna
import optuna_dashboard
import pytest
from conftest import ROOT, Command
from werkzeug.serving import BaseWSGIServer

from regsearch.search import api
from regsearch.search.workers.inline import InlineEngine
from regsearch.storage import dashboard_server
from regsearch.storage.connect import open_for_reading, open_for_writing
from regsearch.storage.dashboard_server import make_dashboard
from regsearch.storage.database import Database
from regsearch.studies.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:Some regimes for parameter")  # of so few trials, says Optuna

METHODS = ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "PROXY", "ANY", "get", "post"]
SAMPLES = {  # a value for each kind of placeholder in a route
    "study_id:int": "1",
    "trial_id:int": "1",
    "filename:path": "bundle.js",
    "plot_type": "slice",
    "history_id": "some",
    "artifact_id:re:[0-9a-fA-F-]+": "ab-1",
    ":re:(/.*)?": "/studies/1",
}
ANYTHING = {  # what one route or another reads from a body
    "study_name": "new",
    "directions": ["minimize"],
    "state": "Fail",
    "user_attrs": {"note": "changed"},
    "version": 1,
    "body": "changed",
    "mode": "ChooseWorst",
    "candidates": [0, 1],
    "clicked": 1,
    "output_type": "note",
    "file": "data:text/plain;base64,AAAA",
    "filename": "changed.txt",
    "user_query": "changed",
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with one study."""
    path = tmp_path_factory.mktemp("dashboard") / "test.db"
    api.run("smoke", storage=f"sqlite:///{path}", engine=InlineEngine(fakes.FakeTrainer))
    return path


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    with open_for_reading(path) as database:
        yield database


@contextmanager
def serving(database: Database, *allow_hosts: str) -> Iterator[BaseWSGIServer]:
    with make_dashboard(database, 0, allow_hosts) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def server(database: Database) -> Iterator[BaseWSGIServer]:
    with serving(database) as server:
        yield server


def ask(
    server: BaseWSGIServer, path: str, method: str = "GET", body: str = "", **headers: str
) -> tuple[int, Message, bytes]:
    headers = {"Host": f"localhost:{server.port}", "Content_Length": str(len(body)), **headers}
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()]
    return parse(send(server, f"{method} {path} HTTP/1.1\r\n{''.join(lines)}\r\n{body}"))


def send(server: BaseWSGIServer, request: str) -> bytes:
    """Send what may be no request at all, and return everything that comes back."""
    answer = b""
    address = ("127.0.0.1", server.port)
    # it may close before it has read everything
    with socket.create_connection(address, timeout=30) as connection, suppress(ConnectionError):
        connection.sendall(request.encode())
        while part := connection.recv(65536):
            answer += part
    return answer


def parse(answer: bytes) -> tuple[int, Message, bytes]:
    file = io.BytesIO(answer)
    status = int(file.readline().split()[1])
    return status, http.client.parse_headers(file), file.read()


def call(application: Any, path: str, method: str) -> int:
    """Call a WSGI application, without a server and without our guards."""
    body = json.dumps(ANYTHING).encode()
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_ACCEPT_ENCODING": "",
        "wsgi.input": io.BytesIO(body),
    }
    setup_testing_defaults(environ)
    seen: list[str] = []
    parts = application(environ, lambda status, *_: seen.append(status))
    b"".join(parts)
    getattr(parts, "close", lambda: None)()
    return int(seen[0][:3])


def routes(storage: Any) -> dict[str, list[str]]:
    """Every route of optuna-dashboard, as a path that leads to it, and its methods."""
    app = optuna_dashboard.wsgi(storage)
    found: dict[str, list[str]] = {}
    for route in app.routes:
        path = re.sub(r"<(.*?)>(?=/|$)", lambda match: SAMPLES[match[1]], route.rule)
        matched, _ = app.router.match({"REQUEST_METHOD": route.method, "PATH_INFO": path})
        assert matched is route, f"{path} doesn't lead to {route.rule}"
        found.setdefault(path, []).append(route.method)
    assert len(found) >= 20
    return found


def test_nothing_but_get_and_head_is_accepted_on_any_route(database: Database, server: BaseWSGIServer) -> None:
    before = database.location.read_bytes()
    body = json.dumps(ANYTHING)
    accepted = []
    for path, methods in routes(database.storage).items():
        for method in {*METHODS, *methods} - {"GET", "HEAD"}:
            status, headers, answer = ask(server, path, method, body, Content_Type="application/json")
            if (status, headers["Allow"]) != (405, "GET, HEAD") or b"read-only" not in answer:
                accepted.append((method, path, status))
        for method in ("GET", "HEAD"):
            assert ask(server, path, method)[0] < 500, path
    assert accepted == []
    assert database.location.read_bytes() == before


def test_every_page_that_can_be_read_is_served(database: Database, server: BaseWSGIServer) -> None:
    for path, methods in routes(database.storage).items():
        if "GET" in methods:
            wanted = 400 if path.startswith("/artifacts") else 302 if path in ("/", "/incompatible-rdb-schema") else 200
            for headers in ({}, {"Accept_Encoding": "gzip"}, {"Accept_Encoding": "identity"}):
                assert ask(server, path, **headers)[0] == wanted, path


def test_without_our_guards_it_is_the_database_that_cannot_be_written(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)
    before = path.read_bytes()

    def call_all(database: Database) -> None:
        application = optuna_dashboard.wsgi(database.storage)
        for route, methods in routes(database.storage).items():
            for method in methods:
                call(application, route, method)

    with open_for_writing(copy) as database:
        call_all(database)
    assert copy.read_bytes() != before  # the requests are such that would change something
    with open_for_reading(path) as database:
        call_all(database)
        with pytest.raises(optuna.exceptions.StorageInternalError):
            database.storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "new")
        with pytest.raises(optuna.exceptions.StorageInternalError):
            database.storage.set_study_user_attr(1, "note", "changed")
    assert path.read_bytes() == before


def test_it_listens_on_this_machine_only(server: BaseWSGIServer) -> None:
    assert ipaddress.ip_address(server.server_address[0]).is_loopback


OURS = [
    "Host: 127.0.0.1:PORT",
    "Host: localhost:PORT",
    "HOST: LocalHost:PORT",
    "Host: [::1]:PORT",
    "Host:localhost:PORT  ",
]
FOREIGN = [
    "X: no Host at all",
    "Host:",
    "Host: evil.example.org",
    "Host: evil.example.org:PORT",
    "Host: 127.0.0.1",
    "Host: 127.0.0.1:",
    "Host: localhost:1",
    "Host: localhost:PORT1",
    "Host: localhost.:PORT",
    "Host: localhost:PORT.evil.example.org",
    "Host: localhost:PORT:PORT",
    "Host: evil.example.org#localhost:PORT",
    "Host: localhost:PORT#",
    "Host: localhost:PORT/",
    "Host: http://localhost:PORT",
    "Host: user@localhost:PORT",
    "Host: localhost:PORT@evil.example.org",
    "Host: localhost:+PORT",
    "Host: localhost: PORT",
    "Host: evil.example.org localhost:PORT",
    "Host: localhost:PORT, localhost:PORT",
    "Host: localhost:PORT\r\nHost: localhost:PORT",
    "Host: localhost:PORT\r\nHost: evil.example.org",
    "Host: evil.example.org\r\nHost: localhost:PORT",
    "Host: localhost:PORT\r\n evil.example.org",
    "Host : localhost:PORT",
    "X-Forwarded-Host: localhost:PORT",
    "Host: ::1",
    "Host: ::1:PORT",
    "Host: [::1]",
    "Host: [::1]evil.example.org:PORT",
    "Host: [::ffff:127.0.0.1]:PORT",
    "Host: 0.0.0.0:PORT",
    "Host: 127.1:PORT",
    "Host: 2130706433:PORT",
    "Host: 127.0.0.1.nip.io:PORT",
    "Host: sub.localhost:PORT",
    "Host: xlocalhost:PORT",
    "Host: \xb2localhost:PORT",
]


def ask_as(server: BaseWSGIServer, header: str, target: str = "/api/studies", version: str = " HTTP/1.1") -> int:
    header = header.replace("PORT", str(server.port))
    answer = send(server, f"GET {target}{version}\r\n{header}\r\nConnection: close\r\n\r\n")
    status, _, body = parse(answer)
    assert (b"smoke" in body) == (status == 200)
    return status


def test_only_our_own_hosts_are_answered(server: BaseWSGIServer) -> None:
    assert {header: ask_as(server, header) for header in OURS} == dict.fromkeys(OURS, 200)
    assert {header: ask_as(server, header) for header in FOREIGN} == dict.fromkeys(FOREIGN, 403)
    assert ask_as(server, "X: no Host at all", version=" HTTP/1.0") == 403
    assert ask_as(server, "X: no Host at all", version="") == 403


@pytest.mark.parametrize("port", [-1, 65536])
def test_what_is_no_port_is_refused_with_those_that_are(port: int, database: Database) -> None:
    with pytest.raises(InputError, match=rf"cannot listen on port {port}: .*\. Give another --port, up to 65535"):
        make_dashboard(database, port)


def test_at_port_80_the_port_may_be_left_out() -> None:
    for host, status in (("localhost", 200), ("localhost:80", 200), ("localhost:8080", 403), ("evil", 403)):
        environ: dict[str, Any] = {"HTTP_HOST": host, "SERVER_PORT": "80", "REQUEST_URI": "/"}
        setup_testing_defaults(environ)
        seen: list[str] = []

        def application(_: Any, start: Any) -> list[bytes]:
            start("200 OK", [])
            return []

        dashboard_server.ReadOnly(application)(environ, lambda status, *_, seen=seen: seen.append(status))
        assert int(seen[0][:3]) == status, host


def test_a_host_that_was_allowed_is_answered_at_any_port(database: Database) -> None:
    with serving(database, "Searches.Example.ORG", "[fd00::7]") as server:
        for name in ("searches.example.org", "SEARCHES.example.org:8443", "[fd00::7]", "localhost:PORT"):
            assert ask_as(server, f"Host: {name}") == 200, name
        for name in ("example.org", "x.searches.example.org", "searches.example.org.", "searches-example.org",
                     "searches.example.org:x", "localhost", "evil.example.org"):  # fmt: skip
            assert ask_as(server, f"Host: {name}") == 403, name


@pytest.mark.parametrize(
    "name", ["", "*", "*.example.org", "https://x.org", "x.org/", "x.org:443", "a b", "u@x.org", "x.org.", "ä.org",
             "x.org\n", "[x]", "::1", "a,b"],
)  # fmt: skip
def test_what_is_no_host_name_cannot_be_allowed(database: Database, name: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"--allow-host {name!r} is not a host name.")):
        make_dashboard(database, 0, [name])


def test_pages_of_other_origins_are_not_answered(server: BaseWSGIServer) -> None:
    for origin, status in {
        "http://localhost:PORT": 200,
        "https://127.0.0.1:PORT": 200,
        "http://evil.example.org": 403,
        "http://localhost": 403,
        "http://localhost:PORT.evil.example.org": 403,
        "file://localhost:PORT": 403,
        "null": 403,
        "": 403,
    }.items():
        assert ask_as(server, f"Host: localhost:PORT\r\nOrigin: {origin}") == status, origin


def test_a_target_that_names_a_host_itself_is_refused(server: BaseWSGIServer) -> None:
    for target in ("http://evil.example.org/api/studies", "http://localhost:1/api/studies", "api/studies", "*"):
        assert ask_as(server, "Host: localhost:PORT", target) == 400, target


def test_every_answer_has_the_security_headers_once(
    database: Database, server: BaseWSGIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = f"Host: localhost:{server.port}"
    wanted = {
        f"GET /dashboard HTTP/1.1\r\n{ours}": 200,
        f"GET /api/studies HTTP/1.1\r\n{ours}": 200,
        f"HEAD /api/studies HTTP/1.1\r\n{ours}": 200,
        f"GET /static/bundle.js HTTP/1.1\r\n{ours}\r\nAccept-Encoding: gzip": 200,
        f"GET /static/bundle.js HTTP/1.1\r\n{ours}\r\nRange: bytes=0-9": 206,
        f"GET / HTTP/1.1\r\n{ours}": 302,
        f"GET / HTTP/x\r\n{ours}": 400,
        f"GET /\r\n{ours}": 302,  # in HTTP/0.9
        "rubbish": 400,
        f"GET http://localhost/ HTTP/1.1\r\n{ours}": 400,
        "GET / HTTP/1.1": 403,
        f"GET /static/../index.html HTTP/1.1\r\n{ours}": 403,
        f"GET /nothing HTTP/1.1\r\n{ours}": 404,
        f"POST /api/studies HTTP/1.1\r\n{ours}": 405,
        f"GET /{'x' * 70_000} HTTP/1.1\r\n{ours}": 414,
        f"GET / HTTP/1.1\r\n{ours}\r\nX: {'x' * 70_000}": 431,
        f"GET /csv/1 HTTP/1.1\r\n{ours}": 500,
        f"GET /api/studies/1/plot/slice HTTP/1.1\r\n{ours}": 500,
        f"GET / HTTP/7.0\r\n{ours}": 505,
    }
    monkeypatch.setattr(type(database.storage), "get_study_name_from_id", lambda *_: 1 / 0)
    for request, status in wanted.items():
        found, headers, _ = parse(send(server, f"{request}\r\nConnection: close\r\n\r\n"))
        assert found == status, request[:60]
        (policy,) = headers.get_all("Content-Security-Policy", [])
        assert "frame-ancestors 'none'; base-uri 'none'; form-action 'none'" in policy
        assert "default-src 'self'" in policy
        assert "script-src 'self' 'unsafe-eval'" in policy
        assert headers.get_all("X-Content-Type-Options") == ["nosniff"]
        assert headers.get_all("Referrer-Policy") == ["no-referrer"]
        assert headers.get_all("Cross-Origin-Resource-Policy") == ["same-origin"]
        assert not headers.get_all("Access-Control-Allow-Origin")


def test_a_bug_is_answered_with_the_headers_and_reported_on_stderr_only(
    server: BaseWSGIServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dashboard_server, "_without_formulas", lambda _: 1 / 0)
    status, headers, body = ask(server, "/csv/1")
    assert status == 500
    assert {name.lower() for name, _ in dashboard_server._HEADERS} <= {name.lower() for name in headers}
    assert b"ZeroDivisionError" not in body
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_the_policy_allows_what_the_page_itself_asks_for(database: Database) -> None:
    seen: list[Mapping[str, str]] = []
    environ: dict[str, Any] = {"PATH_INFO": "/dashboard"}
    setup_testing_defaults(environ)
    page = optuna_dashboard.wsgi(database.storage)(environ, lambda _, headers, *__: seen.append(dict(headers)))
    page.close()
    theirs = {part.strip() for part in seen[0]["Content-Security-Policy"].split(";")}
    assert theirs <= set(dict(dashboard_server._HEADERS)["Content-Security-Policy"].split("; "))


def test_head_gives_the_headers_of_get_and_no_body(server: BaseWSGIServer) -> None:
    for host, target in (
        ("localhost", "/dashboard"),
        ("localhost", "/api/studies/1?after=0"),
        ("localhost", "/csv/1"),
        ("localhost", "/static/bundle.js"),
        ("localhost", "/nothing"),
        ("evil", "/dashboard"),
        ("localhost", "*"),
    ):
        seen = []
        for method in ("GET", "HEAD"):
            status, headers, body = ask(server, target, method, Host=f"{host}:{server.port}")
            del headers["Date"]
            seen.append((status, headers.items()))
            assert len(body) == (int(headers["Content-Length"]) if method == "GET" else 0), target
        assert seen[0] == seen[1]


def test_a_slow_page_does_not_hold_up_another(
    database: Database, server: BaseWSGIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, goes_on = threading.Event(), threading.Event()
    real = database.storage.get_all_studies

    def slow() -> Any:
        begun.set()
        assert goes_on.wait(60)
        return real()

    monkeypatch.setattr(database.storage, "get_all_studies", slow)
    statuses: list[int] = []
    page = threading.Thread(target=lambda: statuses.append(ask(server, "/api/studies")[0]))
    page.start()
    assert begun.wait(30)
    try:
        assert ask(server, "/api/meta")[0] == 200
        assert statuses == []
    finally:
        goes_on.set()
        page.join()
    assert statuses == [200]


@pytest.fixture
def ended(server: BaseWSGIServer, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Wait until a connection has ended on the server's side, where clients may be silent for a moment only."""
    event = threading.Event()
    real = server.shutdown_request

    def shutdown_request(request: Any) -> None:
        real(request)
        event.set()

    assert 0 < dashboard_server._Handler.timeout <= 60
    monkeypatch.setattr(dashboard_server._Handler, "timeout", 0.05)
    monkeypatch.setattr(server, "shutdown_request", shutdown_request)
    return lambda: event.wait(20)


@pytest.mark.parametrize("sent", ["", "GET /api", "GET / HTTP/1.1\r\nHost: localhost"])
def test_a_client_that_falls_silent_is_let_go(
    server: BaseWSGIServer, ended: Callable[[], bool], capfd: pytest.CaptureFixture[str], sent: str
) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(sent.encode())
        assert ended()
    assert capfd.readouterr().err == ""


def test_a_client_that_does_not_read_on_is_let_go(
    server: BaseWSGIServer, ended: Callable[[], bool], capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        host = f"Host: localhost:{server.port}"
        connection.sendall(f"GET /static/bundle.js HTTP/1.1\r\n{host}\r\n\r\n".encode())
        assert ended()
    assert capfd.readouterr().err == ""


def test_a_client_that_goes_away_is_no_error(
    server: BaseWSGIServer, ended: Callable[[], bool], capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"GET /api")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closes by a reset
    assert ended()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
@pytest.mark.parametrize("announced", ["Content-Length: 9999999999", "Transfer-Encoding: chunked"])
def test_a_get_is_answered_without_waiting_for_a_body(server: BaseWSGIServer, announced: str, kind: str) -> None:
    header = f"Host: localhost:PORT\r\nContent-Type: {kind}\r\n{announced}"
    assert ask_as(server, header, "/api/studies/1?after=0") == 200


def test_there_are_no_artifacts_and_no_language_model(server: BaseWSGIServer) -> None:
    meta = json.loads(ask(server, "/api/meta")[2])
    assert not meta["artifact_is_available"]
    assert not meta["llm_is_available"]
    assert not meta["allow_unsafe"]
    assert ask(server, "/api/artifacts/1", "POST", json.dumps(ANYTHING))[0] == 405
    assert ask(server, "/artifacts/1/ab-1")[0] == 400


def test_an_error_page_tells_nothing_of_this_machine(
    database: Database, server: BaseWSGIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError(f"S3NT1NEL {database.location}")

    monkeypatch.setattr(type(database.storage), "get_study_name_from_id", fail)
    for path, status in (
        ("/nothing", 404),
        ("/static/nothing.js", 404),
        ("/static/../_app.py", 403),
        ("/static/%2e%2e/_app.py", 403),
        ("/static//etc/passwd", 404),
        ("/api/studies/99", 404),
        ("/api/studies/1?after=x", 500),
        ("/api/studies/1/plot/slice", 500),
        ("/csv/1", 500),
    ):
        found, _, body = ask(server, path)
        assert found == status, path
        for secret in (b"S3NT1NEL", b"Traceback", b"Error(", b".db", b"site-packages", str(ROOT).encode()):
            assert secret not in body, path


def test_a_redirect_stays_here_whatever_the_client_says_of_a_proxy(server: BaseWSGIServer) -> None:
    for headers in ({}, {"X_Forwarded_Host": "evil.example.org"}, {"X_Forwarded_Proto": "ftp"}):
        status, found, _ = ask(server, "/", **headers)
        assert (status, found["Location"]) == (302, "/dashboard")


def test_a_spreadsheet_finds_no_formula_in_the_csv(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)
    texts = ["=cmd|' /C calc'!A0", "+1+1", "-1+1", "@sum(1)", "\t=1", "\r=1"]
    harmless = ['a, "b"\nc', "é = 1", "-0.25", "1e-7", "x" * 200_000]
    with open_for_writing(copy) as database:
        study = optuna.create_study(storage=database.storage, study_name="texts")
        trial = study.ask({"x": optuna.distributions.CategoricalDistribution(["=1", "=2"])})
        for number, text in enumerate(texts + harmless):
            trial.set_user_attr(f"={number:02}", text)
        study.tell(trial, -0.5)
    with open_for_reading(copy) as database, serving(database) as server:
        header, row = csv.reader(io.StringIO(ask(server, "/csv/2")[2].decode(), newline=""))
    assert header[:3] == ["Number", "State", "Value"]
    assert row[:3] == ["0", "COMPLETE", "-0.5"]
    assert row[3] in ("'=1", "'=2")
    assert row[4:] == [f"'{text}" for text in texts] + harmless


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_at_once_whoever_is_connected(path: Path, number: signal.Signals, code: int) -> None:
    with Command(path.parent).start("dashboard", "--port", "0", "--storage", f"sqlite:///{path}") as process:
        try:
            assert process.stdout is not None
            port = int(re.search(r":(\d+)/$", process.stdout.readline())[1])  # type: ignore[index]
            with socket.create_connection(("127.0.0.1", port), timeout=30) as silent:
                silent.sendall(b"GET /api")
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/meta", timeout=30) as answer:
                    assert answer.status == 200  # so the silent one has been accepted too
                process.send_signal(number)
                _, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert (process.returncode, err) == (code, "Press Ctrl-C to stop.\n")
