"""Names → Optuna pruners, which end trials that do worse than others did at the same epoch."""

import difflib
import inspect
import math
import warnings
from collections.abc import Collection

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from regsearch.studies.configuration import Regularization, is_regularization
from regsearch.studies.contest.contestants import contestant_of, is_out
from regsearch.studies.errors import InputError
from regsearch.studies.recipes import contest_of
from regsearch.studies.spec import CONTEST, StudySpec

WARM_UP_EPOCHS, PEERS = 2, 3
"""What a contest's pruner waits for: epochs that every trial trains, and trials of the same contestant."""

WARM_UP_STEPS = 300
"""Training steps before which `median` and `hyperband` prune nothing, unless the study's options say else."""

_FEWEST_WARM_UP_EPOCHS = 2
_LARGEST_WARM_UP = 3  # the part of a trial's epochs: a third
_TRIED_TRIALS, _TRIED_EPOCHS = 8, 3


def make_pruner(spec: StudySpec, train_rows: int | None = None) -> BasePruner:
    """Return the pruner that a study asks for.

    Args:
        spec: the study.
        train_rows: on how many rows a trial trains; None: not known, the warm-up is then as short as can be.

    Raises InputError where there is no such pruner, its options are wrong, or it can't be used.
    """
    name = spec.search.pruner
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _try_out(_new(spec, train_rows))
            return _new(spec, train_rows)  # one that has seen nothing: some learn from the first trials they see
    except InputError:
        raise
    except Exception as error:
        options = ", ".join(spec.search.pruner_options)
        with_options = f" with the pruner_options {options}" if options else ""
        without = "; `--set 'search.pruner_options={}'` leaves them out" if options else ""
        reason = " ".join(str(error).split())
        raise InputError(f"the pruner {name} can't serve this study{with_options}: {reason}{without}") from error


def warm_up_epochs(spec: StudySpec, train_rows: int | None) -> int:
    """Return how many epochs a trial trains before it may be pruned, at least 1.

    They have `WARM_UP_STEPS` steps: a technique that learns slowly, where an epoch has few steps, is judged by more
    than a slow start. They are two at least, and at most a third of all epochs.
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
    first_judged = warm_up_epochs(spec, train_rows) - 1  # counted from 0
    if name == "median":
        return MedianPruner(**{"n_warmup_steps": first_judged, **options})
    if name in ("hyperband", "HyperbandPruner"):
        # explicit, since "auto" would depend on which trial happens to finish first
        resources = {"min_resource": max(first_judged, 1), "max_resource": spec.training.max_epochs}
        return HyperbandPruner(**{**resources, **options})
    if name == "none":
        return NopPruner(**options)
    return _pruner_class(name)(**options)


def _pruner_class(name: str) -> type[BasePruner]:
    found = getattr(optuna.pruners, name, None) if name.isidentifier() else None
    if isinstance(found, type) and issubclass(found, BasePruner) and not inspect.isabstract(found):
        return found
    names = [CONTEST, "median", "hyperband", "none", *(c for c in optuna.pruners.__all__ if c != "BasePruner")]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
    raise InputError(f"no pruner is called {name!r}: {hint}")


def _try_out(pruner: BasePruner) -> None:
    """Let it judge some trials of a study in memory: what it can't do shows before a real one."""
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage(), pruner=pruner)
    for number in range(_TRIED_TRIALS):
        trial = study.ask()
        for epoch in range(_TRIED_EPOCHS):
            trial.report(number + 1 / (epoch + 1), epoch)
            trial.should_prune()
        study.tell(trial, number)


class ContestPruner(BasePruner):
    """Ends trials that do worse than the median of their own contestant: a technique is never judged by another.

    A HyperModel's own settings are one contestant.

    Args:
        contestants: of the study, by `regsearch.studies.contest.proposals.contestant_name`.
        n_warmup_epochs: how many epochs every trial trains, at least 1.
        n_peers: of how many finished trials there must be a median, at least 1.

    Raises ValueError for fewer.
    """

    def __init__(
        self,
        contestants: Collection[str],
        n_warmup_epochs: int = WARM_UP_EPOCHS,
        n_peers: int = PEERS,
        **others: object,
    ) -> None:
        if others:
            raise ValueError(f"it has the options n_warmup_epochs and n_peers; given was {next(iter(others))}")
        for name, value in (("n_warmup_epochs", n_warmup_epochs), ("n_peers", n_peers)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is a whole number from 1 on; given was {value!r}")
        self._contestants = contestants
        self._n_warmup_epochs, self._n_peers = n_warmup_epochs, n_peers

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Return whether a trial is to end after its last epoch."""
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
        """Return whose trial it is, and its learning rate: another rate is slower or faster by nature."""
        if not is_regularization(trial.params):
            return None
        settings = Regularization.from_params(trial.params)
        return contestant_of(settings, self._contestants), settings.learning_rate


def _best_until(trial: FrozenTrial, step: int, sign: int) -> float:
    """Return the best value until a step, the least being the best; of a trial that ended before, its best."""
    return min(sign * value for at, value in trial.intermediate_values.items() if at <= step)
