"""The base class of the two trainers for the built-in network."""

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from ....studies.configuration import Regularization
from ....studies.example_scores import PerExampleScores
from ....studies.spec import StudySpec
from ....studies.trial import Params, Purpose, TrialOutcome, TrialTask
from ...data.arrays import Dataset
from ...data.splits import Splits
from ..checkpoints import NO_CHECKPOINTS, Arrays, Checkpoints, TrainingCheckpoint
from ..loop import Network, TrainingRun, train_trial
from ..task_splits import TaskSplits
from ..trainer import OnEpoch, Suggest
from .keras_network import evaluate
from .network import RegularizedNetwork


class BuiltinTrainer(ABC):
    """Trains the trials of one study that uses the built-in network; see `Trainer`.

    Args:
        spec: the study.
        dataset: the study's data; examples are converted to floats only when a batch needs them.
        splits: the study's own splits.
        seed: a seed, at least 0, that replaces the study's seed; None keeps the study's seed.
    """

    def __init__(self, spec: StudySpec, dataset: Dataset, splits: Splits, seed: int | None = None) -> None:
        self.spec = spec
        self.dataset = dataset
        self.splits, self.task_splits = splits, TaskSplits(spec, dataset, splits)
        self.seed = spec.search.seed if seed is None else seed
        self.builder = RegularizedNetwork.of(spec, dataset, self.seed)

    @abstractmethod
    def network(self, regularization: Regularization, seed: int | None = None) -> Network:
        """Return the untrained network of one trial.

        Args:
            regularization: the regularization of the trial.
            seed: the seed for the initial weights and for dropout; None: the trainer's own seed.
        """

    def train(
        self,
        task: TrialTask,
        on_epoch: OnEpoch,
        checkpoints: Checkpoints = NO_CHECKPOINTS,
        suggest: Suggest | None = None,
    ) -> TrialOutcome | None:
        """Train one trial; see `Trainer`."""
        regularization = Regularization.from_params(task.params)
        run = TrainingRun(
            splits=self.task_splits.of(task),
            seed=self.seed if task.seed is None else task.seed,
            patience=regularization.patience,
            max_epochs=self.spec.training.max_epochs,
            on_epoch=on_epoch,
            checkpoints=checkpoints,
            keeps_scores=task.purpose == Purpose.CONFIRM,
        )
        return train_trial(self.network(regularization, task.seed), run)

    def look_at_test(self, task: TrialTask, weights: Arrays) -> PerExampleScores:
        """Return the scores on the test set of the plain Keras model, which users get; see `Trainer`."""
        model = self.builder.network(Regularization.from_params(task.params))
        model.set_weights(weights)
        return evaluate(model, self.dataset.x_test, self.dataset.y_test, np.arange(self.dataset.n_test))

    def test_objective(self, task: TrialTask, weights: Arrays) -> float | None:
        """Return None: the objective can be computed from the scores of the examples; see `Trainer`."""
        return None

    @abstractmethod
    def save_model(self, params: Params, state: TrainingCheckpoint, path: Path) -> None:
        """Write a trial's network as a Keras model; see `Trainer`."""
