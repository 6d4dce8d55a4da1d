"""Creates a study's pruner from its name. A pruner ends trials that are worse than others were at the same epoch."""

import difflib
import inspect
import math
import warnings
from collections.abc import Collection

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from ...studies.configuration import Regularization, is_regularization
from ...studies.contest.contestants import contestant_of, is_out
from ...studies.errors import InputError
from ...studies.recipes import contest_of
from ...studies.spec import CONTEST, StudySpec

WARM_UP_EPOCHS, PEERS = 2, 3
"""Defaults of the pruner `contest`: how many epochs every trial trains, and how many finished trials a median needs."""

WARM_UP_STEPS = 300
"""By default, the pruners `median` and `hyperband` prune no trial before this number of training steps."""

_FEWEST_WARM_UP_EPOCHS = 2
_LARGEST_WARM_UP = 3  # the warm-up takes at most a third of a trial's epochs
_TRIED_TRIALS, _TRIED_EPOCHS = 8, 3  # how many trials and epochs `_try_out` runs in memory


def make_pruner(spec: StudySpec, train_rows: int | None = None) -> BasePruner:
    """Return the pruner that a study names.

    Args:
        spec: the study.
        train_rows: how many examples a trial trains on. If it is None, the warm-up is as short as possible.

    Raises InputError if there is no such pruner, its options are wrong, or it can't be used with the study.

    Example:
        >>> type(make_pruner(StudySpec().changed(search={"pruner": "none", "pruner_options": {}}))).__name__
        'NopPruner'
    """
    name = spec.search.pruner
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _try_out(_new(spec, train_rows))
            return _new(spec, train_rows)  # a new one: the first may have learnt from the trials in memory
    except InputError:
        raise
    except Exception as error:
        options = ", ".join(spec.search.pruner_options)
        with_options = f" with the pruner_options {options}" if options else ""
        without = " Leave them out with `--set 'search.pruner_options={}'`." if options else ""
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(f"the pruner {name!r} can't serve this study{with_options}: {reason}.{without}") from error


def warm_up_epochs(spec: StudySpec, train_rows: int | None) -> int:
    """Return how many epochs a trial trains before it may be pruned, at least 1.

    Together these epochs should have `WARM_UP_STEPS` steps. So a technique that learns slowly is not judged by its slow
    start, even if an epoch has few steps. But the warm-up takes at most a third of all epochs, or two epochs if a third
    is less.
    """
    if spec.search.rules < 2:
        return 1
    longest = spec.training.max_epochs
    steps = WARM_UP_STEPS if train_rows is None else math.ceil(train_rows / spec.training.batch_size)
    wanted = max(math.ceil(WARM_UP_STEPS / steps), _FEWEST_WARM_UP_EPOCHS)
    return min(wanted, max(longest // _LARGEST_WARM_UP, _FEWEST_WARM_UP_EPOCHS), longest)


def _new(spec: StudySpec, train_rows: int | None) -> BasePruner:
    name, options = spec.search.pruner, spec.search.pruner_options
    if name == CONTEST:
        return ContestPruner(contest_of(spec).contestants, **options)
    first_prunable_epoch = warm_up_epochs(spec, train_rows) - 1  # counted from 0
    if name == "median":
        return MedianPruner(**{"n_warmup_steps": first_prunable_epoch, **options})
    if name in ("hyperband", "HyperbandPruner"):
        # explicit, because "auto" would depend on which trial finishes first
        resources = {"min_resource": max(first_prunable_epoch, 1), "max_resource": spec.training.max_epochs}
        return HyperbandPruner(**{**resources, **options})
    if name == "none":
        return NopPruner(**options)
    return _pruner_class(name)(**options)


def _pruner_class(name: str) -> type[BasePruner]:
    pruner_class = getattr(optuna.pruners, name, None) if name.isidentifier() else None
    if isinstance(pruner_class, type) and issubclass(pruner_class, BasePruner) and not inspect.isabstract(pruner_class):
        return pruner_class
    names = [CONTEST, "median", "hyperband", "none", *(c for c in optuna.pruners.__all__ if c != "BasePruner")]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"Use {', '.join(names)}."
    raise InputError(f"unknown pruner {name!r}. {hint}")


def _try_out(pruner: BasePruner) -> None:
    """Let a pruner judge trials of a study in memory, so that its errors appear before a real study is stored."""
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage(), pruner=pruner)
    for number in range(_TRIED_TRIALS):
        trial = study.ask()
        for epoch in range(_TRIED_EPOCHS):
            trial.report(number + 1 / (epoch + 1), epoch)
            trial.should_prune()
        study.tell(trial, number)


class ContestPruner(BasePruner):
    """Ends a trial that is worse than the median of its own contestant's trials.

    A contestant is one technique, or several that are tuned together. So a trial is not judged by trials of others. All
    trials of a HyperModel that has its own hyperparameters count as one contestant.

    Args:
        contestants: the names of the study's contestants; see `regsearch.studies.contest.contestants.contestant_name`.
        n_warmup_epochs: how many epochs every trial trains before it may be pruned, at least 1.
        n_peers: how many finished trials the median needs, at least 1.

    Raises ValueError for a number below 1, and for any other option.
    """

    def __init__(
        self,
        contestants: Collection[str],
        n_warmup_epochs: int = WARM_UP_EPOCHS,
        n_peers: int = PEERS,
        **others: object,
    ) -> None:
        if others:
            raise ValueError(f"its options are n_warmup_epochs and n_peers, but got {next(iter(others))}")
        for name, value in (("n_warmup_epochs", n_warmup_epochs), ("n_peers", n_peers)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number, at least 1, but is {value!r}")
        self._contestants = contestants
        self._n_warmup_epochs, self._n_peers = n_warmup_epochs, n_peers

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Return whether a trial must end after its latest epoch."""
        step = trial.last_step
        if step is None or step + 1 < self._n_warmup_epochs:
            return False
        sign = -1 if study.direction == StudyDirection.MAXIMIZE else 1
        own = self._contestant(trial)
        peers = [
            _best_until(past, step, sign)
            for past in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
            if past.intermediate_values and self._contestant(past) == own
        ]
        return is_out(_best_until(trial, step, sign), peers, self._n_peers)

    def _contestant(self, trial: FrozenTrial) -> tuple[str, float | None] | None:
        """Return a trial's contestant and learning rate; None if a HyperModel has its own hyperparameters.

        Trials with another learning rate learn slower or faster, so they are not compared.
        """
        if not is_regularization(trial.params):
            return None
        settings = Regularization.from_params(trial.params)
        return contestant_of(settings, self._contestants), settings.learning_rate


def _best_until(trial: FrozenTrial, step: int, sign: int) -> float:
    """Return a trial's best (smallest) value up to a step; the trial may have ended before this step."""
    return min(sign * value for epoch, value in trial.intermediate_values.items() if epoch <= step)
