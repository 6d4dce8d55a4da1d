"""Names → Optuna pruners, which end trials that do worse than others did at the same epoch."""

import difflib
import inspect
import warnings

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner

from studies.errors import InputError
from studies.spec import StudySpec

_TRIED_TRIALS, _TRIED_EPOCHS = 8, 3


def make_pruner(spec: StudySpec) -> BasePruner:
    """Return the pruner that a study asks for.

    Raises InputError where there is no such pruner, its options are wrong, or it can't be used.
    """
    name = spec.search.pruner
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _try_out(_new(spec))
            return _new(spec)  # one that has seen nothing: some pruners learn from the first trials they see
    except InputError:
        raise
    except Exception as error:
        options = ", ".join(spec.search.pruner_options)
        with_options = f" with the pruner_options {options}" if options else ""
        without = "; `--set 'search.pruner_options={}'` leaves them out" if options else ""
        reason = " ".join(str(error).split())
        raise InputError(f"the pruner {name} can't serve this study{with_options}: {reason}{without}") from error


def _new(spec: StudySpec) -> BasePruner:
    name, options = spec.search.pruner, spec.search.pruner_options
    if name == "median":
        return MedianPruner(**options)
    if name in ("hyperband", "HyperbandPruner"):
        # explicit, since "auto" would depend on which trial happens to finish first
        resources = {"min_resource": 1, "max_resource": spec.training.max_epochs}
        return HyperbandPruner(**{**resources, **options})
    if name == "none":
        return NopPruner(**options)
    return _pruner_class(name)(**options)


def _pruner_class(name: str) -> type[BasePruner]:
    found = getattr(optuna.pruners, name, None) if name.isidentifier() else None
    if isinstance(found, type) and issubclass(found, BasePruner) and not inspect.isabstract(found):
        return found
    names = ["median", "hyperband", "none", *(c for c in optuna.pruners.__all__ if c != "BasePruner")]
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
