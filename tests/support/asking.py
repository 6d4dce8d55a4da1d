"""A trainer of milliseconds that asks for its parameters, as a HyperModel's does; no TensorFlow needed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fakes
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from regsearch.search.training.checkpoints import NO_CHECKPOINTS, Checkpoints
from regsearch.search.training.trainer import OnEpoch, Suggest
from regsearch.studies.trial import TrialOutcome, TrialTask, Value

CODE = "raise RuntimeError('nobody may run or import this')\n\n\ndef build(hp):\n    return None\n"

Ask = Callable[[str, BaseDistribution, Value], Any]


def space(ask: Ask, task: TrialTask) -> None:
    """Ask for what a HyperModel with a branch would."""
    if ask("kind", CategoricalDistribution(["wide", "deep"]), "wide") == "deep":
        ask("layers", IntDistribution(2, 9), 3)
    ask("units", IntDistribution(32, 512, step=32), 64)
    ask("lr", FloatDistribution(1e-4, 1e-1, log=True), 1e-3)
    ask("rate", FloatDistribution(0.0, 0.5), 0.25)


class AskingTrainer(fakes.FakeTrainer):
    """Trains nothing, on parameters that it asks for."""

    space: Callable[[Ask, TrialTask], None] = staticmethod(space)

    def train(
        self,
        task: TrialTask,
        on_epoch: OnEpoch,
        checkpoints: Checkpoints = NO_CHECKPOINTS,
        suggest: Suggest | None = None,
    ) -> TrialOutcome | None:
        params: dict[str, Any] = {} if suggest else dict(task.params)

        def ask(name: str, distribution: BaseDistribution, default: Value) -> Any:
            if suggest is not None:
                params[name] = suggest(name, distribution_to_json(distribution), default)
            return params[name]

        self.space(ask, task)
        return super().train(replace(task, params=params), on_epoch, checkpoints)


class MeasuringTrainer(AskingTrainer):
    """Gives a figure of its own too, for studies that go by it."""

    def train(self, *arguments: Any, **options: Any) -> TrialOutcome | None:
        outcome = super().train(*arguments, **options)
        return None if outcome is None else replace(outcome, objective=outcome.select_accuracy)


def write_code(folder: Path) -> str:
    """Write a file that must not be run; return what --set takes."""
    (folder / "mine.py").write_text(CODE)
    return f"model.hypermodel={folder / 'mine.py'}:build"


if __name__ == "__main__":
    from regsearch.search.workers import worker

    worker.main(AskingTrainer)
