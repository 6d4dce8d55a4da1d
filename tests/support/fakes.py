"""A trainer of milliseconds, and a worker process that has it: `python tests/support/fakes.py`.

What a trial gives depends on its parameters alone. What goes wrong is told by $FAKE_FAULTS, a JSON object
of trial number → fault: "die" (always), "die once", "fork and die", "garbage", "forge", "raise", "exit",
"diverge", "hang" (always), "hang once", and on the test rows a loss of "inf" or "nan". An epoch
takes $FAKE_EPOCH_SECONDS, writing a state $FAKE_SAVE_SECONDS; the file $FAKE_CHILD gets the id of a forked child. Each
epoch that is trained is a line "number epoch" of the file $FAKE_TRAINED.
"""

import hashlib
import json
import os
import signal
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from regsearch.search.training.checkpoints import (
    NO_CHECKPOINTS,
    Arrays,
    Checkpoints,
    FileCheckpoints,
    TrainingCheckpoint,
)
from regsearch.search.training.early_stopping import EarlyStopping
from regsearch.search.training.setup import TrainerSetup
from regsearch.search.training.trainer import DivergedError, OnEpoch, Suggest
from regsearch.studies.configuration import Regularization
from regsearch.studies.example_scores import PerExampleScores
from regsearch.studies.trial import EpochMetrics, Params, Purpose, TrialOutcome, TrialTask


class FakeTrainer:
    """Trains nothing, and answers like a trainer."""

    def __init__(self, setup: TrainerSetup) -> None:
        self.max_epochs = setup.spec.training.max_epochs
        self.seconds = float(os.environ.get("FAKE_EPOCH_SECONDS", "0"))

    def train(
        self,
        task: TrialTask,
        on_epoch: OnEpoch,
        checkpoints: Checkpoints = NO_CHECKPOINTS,
        suggest: Suggest | None = None,
    ) -> TrialOutcome | None:
        asked: object = dict(task.params) if task.seed is None else [dict(task.params), task.seed]
        text = json.dumps(asked, sort_keys=True)
        quality = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)
        base = quality / 2**32
        patience = Regularization.from_params(task.params).patience
        state = checkpoints.latest() or TrainingCheckpoint(stopping=EarlyStopping(patience=patience))
        if not all(on_epoch(metrics) for metrics in state.curve):
            return None
        while len(state.curve) < self.max_epochs and not state.stopping.is_over:
            epoch = len(state.curve)
            time.sleep(self.seconds)
            self.go_wrong(task, epoch)
            self.say_trained(task, epoch)
            loss = base + 1 / (epoch + 2) + 0.1 * ((quality >> epoch) & 1)
            metrics = EpochMetrics(
                epoch=epoch,
                train_loss=loss / 2,
                stop_loss=loss,
                stop_cross_entropy=loss,
                stop_accuracy=1 / (1 + loss),
                seconds=0.0,
            )
            state = TrainingCheckpoint(
                curve=(*state.curve, metrics),
                stopping=state.stopping.after(epoch, loss),
                network=[np.full(4, loss)],
            )
            checkpoints.save(state)
            if not on_epoch(metrics):
                return None
        return TrialOutcome(
            best_epoch=state.stopping.best_epoch or 0,
            epochs=len(state.curve),
            select_cross_entropy=base,
            select_accuracy=1 / (1 + base),
            train_cross_entropy=base / 2,
            train_accuracy=1 / (1 + base / 2),
            near_zero_share=0.5,
            seconds=0.0,
            weights_sha256=checkpoints.save_weights([np.full(4, base)]),
            select_rows=figures(base).to_text() if task.purpose == Purpose.CONFIRM else None,
        )

    def look_at_test(self, task: TrialTask, weights: Arrays) -> PerExampleScores:
        return self.with_fault(task, figures(float(weights[0][0])))

    def test_objective(self, task: TrialTask, weights: Arrays) -> float | None:
        return None

    def with_fault(self, task: TrialTask, rows: PerExampleScores) -> PerExampleScores:
        fault = faults().get(str(task.number))
        if fault in ("inf", "nan"):
            rows.losses[0] = float(fault)
        return rows

    def save_model(self, params: Params, state: TrainingCheckpoint, path: Path) -> None:
        path.write_bytes(state.network[0].tobytes())

    def say_trained(self, task: TrialTask, epoch: int) -> None:
        if "FAKE_TRAINED" in os.environ:
            with open(os.environ["FAKE_TRAINED"], "a") as file:
                file.write(f"{task.number} {epoch}\n")

    def go_wrong(self, task: TrialTask, epoch: int) -> None:
        fault = faults().get(str(task.number))
        if fault == "die" or (fault == "die once" and task.attempt == 0 and epoch == 1):
            os._exit(7)
        if fault == "fork and die":
            fork_and_die()
        if fault in ("garbage", "forge"):
            write_to_pipes(b"\xff garbage\n" if fault == "garbage" else forged(task.number + 1))
        if fault == "raise":
            raise ValueError("a fault was asked for")
        if fault == "exit":
            sys.exit("it was asked for")
        if fault == "diverge":
            raise DivergedError(epoch)
        if fault == "hang" or (fault == "hang once" and task.attempt == 0 and epoch == 1):
            time.sleep(600)


def fork_and_die() -> None:
    """Leave a child that has all files of this process; its id is in the file $FAKE_CHILD."""
    child = os.fork()
    if child == 0:
        time.sleep(600)
    Path(os.environ["FAKE_CHILD"]).write_text(str(child))
    os.kill(os.getpid(), signal.SIGKILL)


def write_to_pipes(content: bytes) -> None:
    """Write to every pipe that this process may write to, as code of a user can."""
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if stat.S_ISFIFO(os.fstat(int(name)).st_mode):
                os.write(int(name), content)


def forged(number: int) -> bytes:
    """Return a message about another trial."""
    return json.dumps({"event": "TrialFailed", "number": number, "attempt": 0, "reason": "forged"}).encode() + b"\n"


def faults() -> dict[str, str]:
    """What goes wrong, by trial number."""
    found: dict[str, str] = json.loads(os.environ.get("FAKE_FAULTS", "{}"))
    return found


def environment() -> dict[str, str]:
    """What workers elsewhere must be given to behave as those here."""
    return {name: value for name, value in os.environ.items() if name.startswith("FAKE_")}


def figures(base: float) -> PerExampleScores:
    """Twenty rows whose mean loss is the quality."""
    spread = np.linspace(-0.01, 0.01, 20)
    return PerExampleScores(losses=(base + spread).astype(np.float32), hits=spread < 0.01 - 0.02 * base)


def save_slowly() -> None:
    """Let each state take $FAKE_SAVE_SECONDS to be written."""
    seconds, write = float(os.environ.get("FAKE_SAVE_SECONDS", "0")), FileCheckpoints._write

    def written(self: FileCheckpoints, state: TrainingCheckpoint) -> None:
        time.sleep(seconds)
        write(self, state)

    FileCheckpoints._write = written  # type: ignore[method-assign]


if __name__ == "__main__":
    from regsearch.search.workers import worker

    save_slowly()
    worker.main(FakeTrainer)
