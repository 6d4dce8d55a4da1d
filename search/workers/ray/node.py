"""The Ray actor that runs one worker process on a node, with a directory for the files of the worker's trial.

When the actor ends, it leaves nothing on the node. It sends checkpoints, results and the log to the coordinator's
machine together with the worker's messages. If the node is the coordinator's machine, the actor sends only the log.
"""

import os
import select
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ....studies.errors import InputError
from ....studies.files import TEMPORARY
from ....studies.trial import TrialTask
from ....studies.trial_files import CHECKPOINT
from ...data.arrays import KEYS
from ...data.shared import write_arrays
from ...machine import processor, versions
from ...training.hypermodel.code import HyperModelCode, read_code
from ...training.setup import TrainerSetup
from ..protocol import READY_LINE, EpochFinished, from_line, task_to_line
from ..worker_process import (
    BAD_MESSAGE,
    DEATH_POLL_SECONDS,
    GRACE_SECONDS,
    WORKER_COMMAND,
    WorkerProcess,
    is_worn_out,
    last_line,
)
from .shared_folder import SharedFolder

TRIALS, SNAPSHOTS = "trials", "snapshots"
DECIDING = ("TF_", "XLA_", "KERAS_", "OMP_", "MKL_", "OPENBLAS_", "CUBLAS_", "NVIDIA_TF32")
"""Prefixes of environment variables that may change the last bits of a result; nodes use the coordinator's values."""

_FILE_POLL_SECONDS = 0.01
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


@dataclass(frozen=True, kw_only=True)
class NodeSetup:
    """What a node must know before its worker starts.

    Attributes:
        setup: what the worker must know, with paths that are valid on the coordinator's machine.
        machine: the identity of the coordinator's machine, see `this_machine`.
        command: the command that starts a worker; None: use the regsearch that is installed on the node.
        environment: the coordinator's variables that may change a result, see `DECIDING`.
        code: the HyperModel's file, if the study has one.
        is_here: whether the node is certainly the coordinator's machine. Then the worker uses the coordinator's files
            directly.
    """

    setup: TrainerSetup
    machine: str
    command: Sequence[str] | None
    environment: Mapping[str, str]
    code: HyperModelCode | None
    is_here: bool


@dataclass(frozen=True, kw_only=True)
class NodeInfo:
    """The host name, the processor and the library versions of a node."""

    host: str
    processor: str
    versions: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class WorkerOutput:
    """What a worker has written since its previous output.

    Attributes:
        lines: the worker's messages.
        files: the contents of the new files, by their paths in the worker's directory.
        log: the new part of the worker's log.
        ending: how the worker's process ended; None while it runs.
        last_words: the last line of the log if the process has ended.
    """

    lines: Sequence[str]
    files: Mapping[str, bytes]
    log: bytes
    ending: str | None = None
    last_words: str = ""


def this_machine() -> str:
    """Return an id of this machine that is new after each boot, or "" if the system has none."""
    try:
        return Path(_BOOT_ID).read_text().strip()
    except OSError:
        return ""


class NodeWorker:
    """The actor that runs one worker process on a node.

    Args:
        node: what the node must know.
        data: a list with one reference to the data in Ray's object store; an empty list if `node.is_here`.
    """

    def __init__(self, node: NodeSetup, data: Sequence[Any]) -> None:
        self._command = WORKER_COMMAND if node.command is None else tuple(node.command)
        local = {name: value for name, value in os.environ.items() if not name.startswith(DECIDING)}
        self._environment = {**local, **node.environment}
        self._folders = [SharedFolder()]
        self._folder = self._folders[0].path
        for name in (TRIALS, SNAPSHOTS):
            (self._folder / name).mkdir()
        self._is_here = node.is_here
        self._setup = node.setup if node.is_here else self._localized(node, data)
        self._log = self._folder / "worker.log"
        self._sent_stamps: dict[Path, tuple[int, int]] = {}  # for each file that the coordinator has
        self._log_read = 0
        self._awaited_suffix: str | None = None  # of the checkpoint that the worker still writes
        self._close_lock = threading.Lock()
        self._is_closed = False
        self._worker = self._new_worker()

    def info(self) -> NodeInfo:
        """Return the host name, the processor and the library versions of the node."""
        return NodeInfo(host=socket.gethostname(), processor=processor(), versions=versions())

    def train(self, task: TrialTask, files: Mapping[str, bytes]) -> WorkerOutput:
        """Start or resume a trial from the coordinator's files; return the worker's next output."""
        for path in (self._folder / TRIALS).iterdir():
            path.unlink(missing_ok=True)
        self._sent_stamps.clear()
        self._awaited_suffix = None
        for name, content in files.items():
            path = self._folder / TRIALS / name
            path.write_bytes(content)
            self._sent_stamps[path] = _stamp(path)
        if is_worn_out(self._worker.trials, self._setup.spec):
            self._worker.process.terminate()
            self._worker.end(time.monotonic() + GRACE_SECONDS)
            self._worker = self._new_worker()
        self._worker.trials += 1
        self._worker.send(task_to_line(task))
        return self.listen()

    def reply_and_listen(self, line: str) -> WorkerOutput:
        """Send the worker a reply that lets its trial continue; return the worker's next output."""
        self._worker.send(line)
        return self.listen()

    def reply(self, line: str) -> None:
        """Send the worker a reply that ends its trial."""
        self._worker.send(line)

    def listen(self) -> WorkerOutput:
        """Wait until the worker sends a message, writes a file or ends; return its new output."""
        while True:
            seconds = DEATH_POLL_SECONDS if self._awaited_suffix is None else _FILE_POLL_SECONDS
            if select.select([self._worker], [], [], seconds)[0] or self._worker.has_exited():
                lines = self._worker.read_lines()
                if lines is None:
                    return self._take_end()
                try:
                    messages = [from_line(line) for line in lines if line + "\n" != READY_LINE]
                except ValueError as error:
                    self._worker.kill()
                    return self._take_end(f"{BAD_MESSAGE}: {error}")
                for event in messages:
                    if isinstance(event, EpochFinished) and not self._is_here:
                        self._awaited_suffix = f".{event.metrics.epoch + 1}{CHECKPOINT}"
                if lines:
                    return self._collect_output(lines)
            elif (output := self._collect_output([])).files:
                return output

    def close(self) -> None:
        """End the worker's process and remove all its files from the node."""
        with self._close_lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._worker.kill()
            self._worker.end(time.monotonic() + GRACE_SECONDS)
            for folder in self._folders:
                folder.leave()

    def _take_end(self, reason: str | None = None) -> WorkerOutput:
        """Return the last output of a worker that was killed or has ended."""
        ending = self._worker.end(time.monotonic() + GRACE_SECONDS)
        return self._collect_output([], ending=reason or ending, last_words=last_line(self._log))

    def _collect_output(self, lines: Sequence[str], ending: str | None = None, last_words: str = "") -> WorkerOutput:
        return WorkerOutput(
            lines=lines, files=self._new_files(), log=self._new_log(), ending=ending, last_words=last_words
        )

    def _new_worker(self) -> WorkerProcess:
        return WorkerProcess(self._command, self._setup, self._log, self._environment)

    def _localized(self, node: NodeSetup, data: Sequence[Any]) -> TrainerSetup:
        """Return the worker's setup with paths that are valid on this node."""
        setup = replace(
            node.setup,
            files=None if node.setup.files is None else str(self._folder / TRIALS),
            snapshots=None if node.setup.snapshots is None else str(self._folder / SNAPSHOTS),
        )
        if data and not (node.machine == this_machine() and setup.shared and Path(setup.shared).is_dir()):
            self._folders.append(SharedFolder(f"data-{setup.sha256[:32]}", lambda folder: _write(data[0], folder)))
            setup = replace(setup, shared=str(self._folders[-1].path))
        if node.code is not None and not _has(setup, node.code):
            path = self._folder / node.code.path.name
            path.write_bytes(node.code.source)
            spec = setup.spec.changed(model={"hypermodel": f"{path}:{node.code.name}"})
            setup = replace(setup, spec=spec)
        return setup

    def _new_files(self) -> dict[str, bytes]:
        """Return the files that are new since the last call, without those that are still being written."""
        new = {}
        for name in (TRIALS, SNAPSHOTS):
            for path in (self._folder / name).iterdir():
                try:
                    stamp = _stamp(path)
                    if (
                        self._sent_stamps.get(path) == stamp
                        or path.name.startswith(".")
                        or path.name.endswith(TEMPORARY)
                    ):
                        continue
                    new[f"{name}/{path.name}"] = path.read_bytes()
                    if self._awaited_suffix is not None and path.name.endswith(self._awaited_suffix):
                        self._awaited_suffix = None
                except FileNotFoundError:  # the worker removed an old checkpoint meanwhile
                    continue
                self._sent_stamps[path] = stamp
                if name == SNAPSHOTS:
                    path.unlink()
                    del self._sent_stamps[path]
        return new

    def _new_log(self) -> bytes:
        with self._log.open("rb") as log:
            log.seek(self._log_read)
            content = log.read()
        self._log_read += len(content)
        return content


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_ino


def _write(reference: Any, folder: Path) -> None:
    """Copy the arrays from Ray's object store into a directory that all workers on this node map into memory."""
    import ray

    arrays: dict[str, Any] = ray.get(reference)
    write_arrays({key: arrays[key] for key in KEYS}, folder)


def _has(setup: TrainerSetup, code: HyperModelCode) -> bool:
    """Return whether the HyperModel's original file is on this node. If so, modules beside it can be imported too."""
    try:
        return read_code(setup.spec.model.hypermodel or "").sha256 == code.sha256
    except InputError:
        return False
