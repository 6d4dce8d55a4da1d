"""Processes that end, as by kill -9, at their k-th commit, write, fsync, rename or removal.

`ForkServer` starts `python tests/support/crashing.py`, a process of one thread that has imported everything, and
asks it to fork: a search of fake trials then begins in milliseconds, and its death is a real one.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

LAYERS = ("commits", "writes", "fsyncs", "renames", "removals")
STATEMENTS = "statements"  # a layer of its own: within a transaction, a kill is one before its commit
_MOST_SECONDS = 300

SETTINGS = ["search.sampler_options={n_startup_trials=3}", "search.pruner_options={n_startup_trials=2}"]
FAULTS = '{"4": "diverge", "6": "raise"}'


class Ended(NamedTuple):
    """How a forked process ended.

    Attributes:
        code: its exit code, or minus the signal that ended it.
        where: the point where it was killed; None: it never came there.
        points: how many points of each layer it passed; only of one that wasn't killed.
        err: what it wrote on stderr.
    """

    code: int
    where: str | None
    points: dict[str, int]
    err: str

    @property
    def was_killed(self) -> bool:
        return self.code == -signal.SIGKILL and self.where is not None


class ForkServer:
    """Starts forks; a context manager."""

    def __init__(self) -> None:
        threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # a process of many threads doesn't fork well
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **threads},
        )

    def __enter__(self) -> "ForkServer":
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait()
        self._process.stdout.close()  # type: ignore[union-attr]

    def small_study(
        self,
        folder: Path,
        settings: Sequence[str] = SETTINGS,
        at: tuple[str, int] | None = None,
        storage: str = "sqlite:///regsearch.db",
    ) -> Ended:
        """Search, or go on searching, a study of eight trials; see `small_study` below."""
        return self._ask(call="small_study", folder=str(folder), arguments=list(settings), at=at, storage=storage)

    def command(self, folder: Path, *arguments: str, **options: Any) -> Ended:
        """Run the command with fake trials in the same process.

        Options: `patience_seconds` to wait for a database that is away; `file_bytes` that a file may have.
        """
        return self._ask(call="command", folder=str(folder), arguments=arguments, **options)

    def _ask(self, **request: Any) -> Ended:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))


class Points:
    """Counts what this process does to its disk, and ends it at one point."""

    def __init__(self, at: Sequence[Any] | None, say: Callable[[str], None]) -> None:
        self.passed = dict.fromkeys((*LAYERS, STATEMENTS), 0)
        self._at, self._say, self._lock = at, say, threading.Lock()

    def point(self, layer: str, where: str) -> None:
        with self._lock:
            self.passed[layer] += 1
            if self._at == [layer, self.passed[layer]]:
                self._say(where)
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: Any, name: str, layer: str) -> None:
        """Let there be a point before and one after each call of a function."""
        real = getattr(owner, name)

        def wrapped(*arguments: Any, **options: Any) -> Any:
            shown = " ".join(Path(a).name for a in arguments if isinstance(a, str | Path))
            self.point(layer, f"before {name} {shown}")
            result = real(*arguments, **options)
            self.point(layer, f"after {name} {shown}")
            return result

        setattr(owner, name, wrapped)

    def install(self) -> None:
        import io

        import sqlalchemy
        from sqlalchemy.engine.default import DefaultDialect

        import regsearch.studies.files

        points = self

        class File(io.BufferedWriter):
            """Is written in two halves, with points around them."""

            def write(self, content: Any) -> int:
                half = len(content) // 2
                points.point("writes", "before a write")
                super().write(content[:half])
                self.flush()
                points.point("writes", "in the middle of a write")
                super().write(content[half:])
                self.flush()
                points.point("writes", "after a write")
                return len(content)

        regsearch.studies.files.open = lambda descriptor, mode: File(io.FileIO(descriptor, mode))  # type: ignore[attr-defined]
        sqlalchemy.event.listen(
            sqlalchemy.Engine, "before_cursor_execute", lambda *a: self.point(STATEMENTS, f"before {a[2][:60]}")
        )
        self.around(DefaultDialect, "do_commit", "commits")
        self.around(os, "fsync", "fsyncs")
        for name in ("rename", "replace"):
            self.around(os, name, "renames")
        for name in ("unlink", "rmdir"):
            self.around(os, name, "removals")


def small_study(settings: Sequence[str], storage: str) -> None:
    """Search with two trials, then one that is enqueued, up to eight, of which one diverges and one raises."""
    import fakes
    from helpers import rows

    from regsearch.search import api
    from regsearch.search.run.progress import Progress
    from regsearch.search.workers.inline import InlineEngine
    from regsearch.studies.errors import RegsearchError

    def run(trials: int) -> None:
        engine = InlineEngine(fakes.FakeTrainer)
        quiet = Progress()
        api.run("smoke", storage=storage, engine=engine, workers=1, trials=trials, settings=settings, progress=quiet)

    try:
        begun = len(rows(storage))
    except RegsearchError:
        begun = 0
    if begun < 3:
        run(2)
        if len(rows(storage)) == 2:
            api.enqueue("smoke", ["l2=1e-4", "dropout=off"], storage=storage)
    run(8)


def command(arguments: Sequence[str], patience_seconds: float = 180.0) -> None:
    """Run the command with fake trials in this process."""
    import fakes

    import regsearch.search.run.retry
    import regsearch.search.workers.engines
    from regsearch.search.cli import commands
    from regsearch.search.workers.inline import InlineEngine

    regsearch.search.workers.engines.make_engine = lambda name: InlineEngine(fakes.FakeTrainer)
    regsearch.search.run.retry.RETRY_SECONDS = patience_seconds
    regsearch.search.run.retry.POLL_SECONDS = min(1.0, patience_seconds / 4)
    sys.argv = ["regsearch", *arguments]
    commands.main()


def _fork(request: Mapping[str, Any]) -> int:
    """What a forked process does."""
    from helpers import wait_for_each_checkpoint

    rest = dict(request)
    call, arguments, at = rest.pop("call"), rest.pop("arguments"), rest.pop("at", None)
    folder = Path(rest.pop("folder"))
    os.chdir(folder)
    out = os.open("/dev/null", os.O_RDWR)
    err = os.open(folder.with_name(folder.name + ".err"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for source, target in ((out, 0), (out, 1), (err, 2)):
        os.dup2(source, target)
    os.environ["REGSEARCH_FILES"] = str(folder)
    os.environ["FAKE_FAULTS"] = FAULTS if call == "small_study" else "{}"
    if "file_bytes" in rest:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        most = rest.pop("file_bytes")
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    signal.alarm(_MOST_SECONDS)
    points = Points(at, lambda where: _note(folder, where))
    wait_for_each_checkpoint()
    points.install()
    try:
        {"small_study": small_study, "command": command}[call](arguments, **rest)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    if "file_bytes" not in request:
        _note(folder, json.dumps(points.passed))
    return code


def _note(folder: Path, text: str) -> None:
    """Write beside the folder, past all that is counted."""
    descriptor = os.open(folder.with_name(folder.name + ".note"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(descriptor, text.encode())
    os.close(descriptor)


def _serve() -> None:
    import traceback

    import fakes  # noqa: F401 - imported once, for all forks
    import helpers  # noqa: F401

    from regsearch.search.data import load_dataset
    from regsearch.search.workers import worker  # noqa: F401

    load_dataset("digits")
    for line in sys.stdin:
        request = json.loads(line)
        folder = Path(request["folder"])
        note = folder.with_name(folder.name + ".note")
        note.unlink(missing_ok=True)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = _fork(request)
            except BaseException:  # noqa: BLE001 - a fork must never come back here
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        noted = note.read_text() if note.exists() else ""
        is_killed = code == -signal.SIGKILL
        err = folder.with_name(folder.name + ".err").read_text()
        where, points = (noted or None, {}) if is_killed else (None, json.loads(noted or "{}"))
        sys.stdout.write(json.dumps({"code": code, "where": where, "points": points, "err": err}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
