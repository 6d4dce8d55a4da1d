"""Creates a study's sampler from its name.

Each trial gets a new sampler. So a resumed search proposes the same configurations as a search without interruption.
"""

import difflib
import inspect
import os
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from ...studies.errors import InputError, SpaceExhaustedError
from ...studies.recipes import contest_of
from ...studies.search_space import enumerate_points, suggest
from ...studies.spec import CONTEST, SpaceSpec, StudySpec
from ..seeds import derive_seed
from .contest_sampler import ContestSampler, HyperModelContestSampler
from .define_by_run import DefineByRunSampler
from .grid_sampler import GridSampler
from .point_sampler import PointSampler, key_of_settings
from .retry_samplers import RandomChoices, SkippingQMCSampler


class SamplerFactory(Protocol):
    """Creates the sampler of the trial with a given number; see `sampler_factory`."""

    def __call__(self, number: int, retry: int = 0, /) -> BaseSampler: ...


_Factory = Callable[[int], BaseSampler]
_SeedOf = Callable[[int], int]

KERAS_TUNER = "keras-tuner:bayesian"
"""The name of the sampler that uses KerasTuner's Bayesian optimization."""

REMOVED = {
    "keras-tuner:random": ("random", "Use random or qmc"),
    "keras-tuner:grid": ("grid", "Use grid, which tries the values that search.sampler_options list"),
}
"""For the name of each removed sampler: its replacement, and advice. Stored studies may still use these names."""

GRIDS = ("grid", "GridSampler")
"""The names of the samplers that visit the points of a grid. A grid need not have every point of the space."""

_MOST_RETRIES = 5  # from this retry on, choices are drawn at random
_TRIED_TRIALS = 12  # for `_try_out`: Optuna's samplers draw fewer trials at random before they use a model


def sampler_factory(spec: StudySpec, *, searches: bool = True) -> SamplerFactory:
    """Return a function that creates the study's sampler for a trial.

    A stochastic sampler gets a seed that is derived from the study's seed and the trial's number. Grid and QMC keep
    the study's seed, because another seed for each trial would destroy the order of their points.

    If a proposed configuration was tried before, the function is called again with `retry` = 1, 2, and so on. Each
    retry has another seed. From the fifth retry on, categorical values are drawn at random, and the sampler draws only
    numbers. Otherwise the sampler could for ever propose a categorical value without any number, such as "no
    regularization".

    Args:
        spec: the study.
        searches: whether the sampler will propose trials. If not, a removed sampler is accepted.

    Raises InputError if there is no such sampler, its options are wrong, or it can't be used with the search space.

    Example:
        >>> type(sampler_factory(StudySpec().changed(search={"sampler": "tpe"}))(0)).__name__
        'TPESampler'
    """
    name, options = spec.search.sampler, dict(spec.search.sampler_options)
    if name in REMOVED:
        if searches:
            raise _removed_sampler_error(name, spec)
        return _without_retries(RandomSampler)  # it proposes no trial
    _check_sampler(name, options, spec)
    try:
        factory = _factory(name, options, spec)
        if spec.model.hypermodel is not None:
            factory(0)
            return _without_retries(_define_by_run(factory, name, options, spec))
        if name != KERAS_TUNER:  # `check_options` checks its options, and its model takes seconds
            _try_out(factory, spec.space)
        return _with_retries(factory, name, options, spec)
    except InputError:
        raise
    except Exception as error:
        with_options = f" with the sampler_options {', '.join(options)}" if options else ""
        without = " Leave them out with `--set 'search.sampler_options={}'`." if options else ""
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise InputError(f"the sampler {name!r} can't serve this study{with_options}: {reason}.{without}") from error


def _removed_sampler_error(name: str, spec: StudySpec) -> InputError:
    replacement, advice = REMOVED[name]
    command = f"regsearch run STUDY --name {shlex.quote(spec.study.name)} --set search.sampler={replacement}"
    return InputError(f"the sampler {name!r} was removed. {advice}: `{command}`, which also resumes a stored study.")


def _check_sampler(name: str, options: Mapping[str, Any], spec: StudySpec) -> None:
    if name == CONTEST:
        _check_contest(spec)
    if "seed" in options:
        raise InputError(
            "sampler_options can't have a seed: all seeds derive from search.seed. Set search.seed instead."
        )
    if spec.model.hypermodel is not None and name in (*GRIDS, KERAS_TUNER):
        raise InputError(
            f"the sampler {name!r} needs a space that is known beforehand, but a HyperModel's space is not. "
            "Use another sampler."
        )


def _check_contest(spec: StudySpec) -> None:
    """Raise InputError if the sampler `contest` has an option, or if the space has only combinations of techniques."""
    if spec.search.sampler_options:
        raise InputError(
            f"the sampler 'contest' has no options, but got {', '.join(spec.search.sampler_options)}. "
            "Leave them out with `--set 'search.sampler_options={}'`."
        )
    contest = contest_of(spec)
    if not contest.contestants and not contest.has_baseline:
        raise InputError(
            "the sampler 'contest' can't tune a technique alone: this study's space has only combinations. Change "
            "[space] so that every technique can be off, or use `--set search.sampler=tpe`."
        )


def _without_retries(factory: _Factory) -> SamplerFactory:
    return lambda number, retry=0: factory(number)


def _with_retries(factory: _Factory, name: str, options: Mapping[str, Any], spec: StudySpec) -> SamplerFactory:
    """Return a factory that changes the seed at each retry. It ignores retries for a grid, which has no repeats."""
    if name in GRIDS:
        return _without_retries(factory)

    def make(number: int, retry: int = 0, /) -> BaseSampler:
        if retry == 0:
            return factory(number)
        sampler = _factory(name, options, spec, retry)(number)
        if retry < _MOST_RETRIES:
            return sampler
        random = RandomSampler(seed=derive_seed(spec.search.seed, "choices", number, retry))
        return random if isinstance(sampler, PointSampler) else RandomChoices(random, sampler)

    return make


def _factory(name: str, options: Mapping[str, Any], spec: StudySpec, retry: int = 0) -> _Factory:
    """Return a function that creates a trial's sampler without Optuna's warnings about experimental classes."""

    def seed_of(number: int) -> int:
        return derive_seed(spec.search.seed, "sampler", number, *([retry] if retry else []))

    make = _factory_by_name(name, options, spec, seed_of, retry)

    def make_quietly(number: int) -> BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make(number)

    return make_quietly


def _factory_by_name(name: str, options: Mapping[str, Any], spec: StudySpec, seed_of: _SeedOf, retry: int) -> _Factory:
    if name == CONTEST:
        contest = contest_of(spec)
        return lambda number: ContestSampler(contest, TPESampler(seed=seed_of(number)))
    if name in GRIDS:
        points = enumerate_points(options.get("search_space", options), spec.space)
        key_of = key_of_settings(spec)
        return lambda number: GridSampler(points, RandomSampler(seed=seed_of(number)), key_of)
    if name == KERAS_TUNER:
        return _keras_tuner(options, spec, seed_of)
    if name == "tpe":
        # Optuna's default model. A joint model of each group of parameters (`group=True`) is experimental, and it was
        # no better on this space (see tests/benchmarks/sampler_forms.py)
        return lambda number: TPESampler(seed=seed_of(number), **options)
    if name == "random":
        return lambda number: RandomSampler(seed=seed_of(number), **options)
    if name in ("qmc", "QMCSampler"):
        return _qmc(options, spec, seed_of, retry)
    sampler_class = _sampler_class(name)
    if "seed" in inspect.signature(sampler_class).parameters:
        return lambda number: sampler_class(seed=seed_of(number), **options)
    return lambda number: sampler_class(**options)


def _qmc(options: Mapping[str, Any], spec: StudySpec, seed_of: _SeedOf, retry: int) -> _Factory:
    def make(number: int) -> BaseSampler:
        independent = RandomSampler(seed=seed_of(number))  # for parameters that the first trial did not have
        arguments = {"warn_independent_sampling": False, **options}
        return SkippingQMCSampler(retry, seed=spec.search.seed % 2**32, independent_sampler=independent, **arguments)

    return make


def _keras_tuner(options: Mapping[str, Any], spec: StudySpec, seed_of: _SeedOf) -> _Factory:
    with _without_stderr():  # the import takes seconds, because KerasTuner imports TensorFlow
        from .keras_tuner import BayesianOracleSampler, check_options
    check_options(options)
    return lambda number: BayesianOracleSampler(spec.space, seed_of(number), options)


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Discard what TensorFlow's libraries write directly to file descriptor 2 when they are loaded."""
    sys.stderr.flush()
    with open(os.devnull, "wb") as devnull:
        stderr = os.dup(2)
        os.dup2(devnull.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _sampler_class(name: str) -> Callable[..., BaseSampler]:
    """Return a class of optuna.samplers. Raises InputError, with the nearest name, if there is no such class."""
    sampler_class = getattr(optuna.samplers, name, None) if name.isidentifier() else None
    if (
        isinstance(sampler_class, type)
        and issubclass(sampler_class, BaseSampler)
        and not inspect.isabstract(sampler_class)
    ):
        return sampler_class
    classes = [c for c in optuna.samplers.__all__ if c.endswith("Sampler") and not c.startswith("Base")]
    names = [CONTEST, "tpe", "random", "qmc", "grid", KERAS_TUNER, *classes]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"Use {', '.join(names)}."
    raise InputError(f"unknown sampler {name!r}. {hint}")


def _define_by_run(factory: _Factory, name: str, options: Mapping[str, Any], spec: StudySpec) -> _Factory:
    if name == CONTEST:
        contest = contest_of(spec)
        tpe_factory = _define_by_run(_factory("tpe", {}, spec), "tpe", {}, spec)
        return lambda number: HyperModelContestSampler(contest, tpe_factory(number))

    def make_for(parameter: str, number: int) -> BaseSampler:
        seed = derive_seed(spec.search.seed, f"parameter {parameter}")
        return _factory(name, options, spec.changed(search={"seed": seed}))(number)

    return lambda number: DefineByRunSampler(factory(number), lambda parameter: make_for(parameter, number))


def _try_out(factory: _Factory, space: SpaceSpec) -> None:
    """Let a sampler propose trials of a study in memory, so that its errors appear before a real study is stored."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(storage=optuna.storages.InMemoryStorage())
        for number in range(_TRIED_TRIALS):
            study.sampler = factory(number)
            try:
                trial = study.ask()
            except SpaceExhaustedError:
                return
            suggest(trial, space)
            study._storage.set_trial_state_values(trial._trial_id, optuna.trial.TrialState.COMPLETE, [number])
