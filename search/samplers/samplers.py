"""Names → Optuna samplers, made anew for each trial so that a resumed search proposes what it would have."""

import difflib
import inspect
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from regsearch.search.quiet_tensorflow import quiet_stderr
from regsearch.search.samplers.contest_sampler import ContestSampler, HyperModelContestSampler
from regsearch.search.samplers.define_by_run import DefineByRunSampler
from regsearch.search.samplers.point_sampler import KeyOf, PointSampler, key_of_settings, tried_keys
from regsearch.search.seeds import derive_seed
from regsearch.studies.errors import InputError, SpaceExhaustedError, reason_of
from regsearch.studies.recipes import contest_of
from regsearch.studies.search_space import enumerate_points, suggest
from regsearch.studies.spec import CONTEST, SpaceSpec, StudySpec


class SamplerFactory(Protocol):
    """Gives the sampler for a trial's number; see `sampler_factory`."""

    def __call__(self, number: int, retry: int = 0, /) -> BaseSampler: ...


_Factory = Callable[[int], BaseSampler]

KERAS_TUNER = ("keras-tuner:random", "keras-tuner:bayesian", "keras-tuner:grid")
"""The samplers that are KerasTuner's oracles."""

_GRIDS = ("grid", "GridSampler")
GRIDS = (*_GRIDS, "keras-tuner:grid")
"""The samplers that visit the points of a grid, which needn't be all of the space."""

_POINT_ATTR = "regsearch:grid_point"
_MOST_RETRIES = 5  # of a sampler that repeats itself; then choices are drawn at random
_TRIED_TRIALS = 12  # beyond the random start of every sampler of Optuna


def sampler_factory(spec: StudySpec) -> SamplerFactory:
    """Return what makes the sampler that a study asks for.

    A stochastic sampler is seeded from (study seed, trial number); grid and QMC, which would lose their
    order by that, keep the study's seed. If a proposal was tried before, the factory is called again with a `retry`
    of 1 and more, from which the seed then derives too; from the fifth on choices are drawn at random, and
    only numbers by the sampler: one that is sure of a choice without numbers would propose it for ever.
    Raises InputError where there is no such sampler, its options are wrong, or it can't serve the space.
    """
    name, options = spec.search.sampler, dict(spec.search.sampler_options)
    if name == CONTEST:
        _check_contest(spec)
    if "seed" in options:
        raise InputError("sampler_options can't have a seed: all seeds derive from search.seed")
    if spec.model.hypermodel is not None and name in (*_GRIDS, *KERAS_TUNER):
        raise InputError(f"the sampler {name} needs a space that is known beforehand, which a HyperModel's isn't")
    try:
        factory = _factory(name, options, spec)
        if spec.model.hypermodel is not None:
            factory(0)
            return _once(_define_by_run(factory, name, options, spec))
        if name not in KERAS_TUNER:  # whose options are checked one by one, and whose model takes seconds
            _try_out(factory, spec.space)
        return _asked_again(factory, name, options, spec)
    except InputError:
        raise
    except Exception as error:
        with_options = f" with the sampler_options {', '.join(options)}" if options else ""
        without = "; `--set 'search.sampler_options={}'` leaves them out" if options else ""
        raise InputError(
            f"the sampler {name} can't serve this study{with_options}: {reason_of(error)}{without}"
        ) from error


def _once(factory: _Factory) -> SamplerFactory:
    return lambda number, retry=0: factory(number)


def _asked_again(factory: _Factory, name: str, options: Mapping[str, Any], spec: StudySpec) -> SamplerFactory:
    """Return a factory that gives, for a retry, a sampler with another seed; a grid has no use for one."""
    if name in GRIDS:
        return _once(factory)

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
    seed = spec.search.seed

    def trial_seed(number: int) -> int:
        return derive_seed(seed, "sampler", number, *([retry] if retry else []))

    def tpe(number: int) -> BaseSampler:
        # Optuna's defaults: modelling the gated groups together did no better on this space
        # (tests/benchmarks/sampler_forms.py), and is experimental
        return TPESampler(seed=trial_seed(number), **options)

    def random(number: int) -> BaseSampler:
        return RandomSampler(seed=trial_seed(number), **options)

    def qmc(number: int) -> BaseSampler:
        rest = RandomSampler(seed=trial_seed(number))  # for parameters that the first trial didn't have
        quiet = {"warn_independent_sampling": False}
        return _QMCSampler(retry, seed=seed % 2**32, independent_sampler=rest, **{**quiet, **options})

    def grid(number: int) -> BaseSampler:
        return GridSampler(points, RandomSampler(seed=trial_seed(number)), key_of)

    def by_contest(number: int) -> BaseSampler:
        return ContestSampler(contest, TPESampler(seed=trial_seed(number)))

    if name == CONTEST:
        contest = contest_of(spec)
        return _quiet(by_contest)
    if name in _GRIDS:
        points = enumerate_points(options.get("search_space", options), spec.space)
        key_of = key_of_settings(spec)
        return _quiet(grid)
    if name in KERAS_TUNER:
        with quiet_stderr():
            from regsearch.search.samplers.keras_tuner import (
                make_sampler,  # takes seconds: KerasTuner brings TensorFlow,
            )

        return _quiet(make_sampler(name, options, spec, trial_seed))
    short = {"tpe": tpe, "random": random, "qmc": qmc, "QMCSampler": qmc}
    if name in short:
        return _quiet(short[name])
    sampler_class = _sampler_class(name, [CONTEST, "tpe", "random", "qmc", "grid", *KERAS_TUNER])
    if "seed" in inspect.signature(sampler_class).parameters:
        return _quiet(lambda number: sampler_class(seed=trial_seed(number), **options))
    return _quiet(lambda number: sampler_class(**options))


def _define_by_run(factory: _Factory, name: str, options: Mapping[str, Any], spec: StudySpec) -> _Factory:
    if name == CONTEST:
        contest = contest_of(spec)
        by_tpe = _define_by_run(_factory("tpe", {}, spec), "tpe", {}, spec)
        return lambda number: HyperModelContestSampler(contest, by_tpe(number))

    def alone(parameter: str, number: int) -> BaseSampler:
        seed = derive_seed(spec.search.seed, f"parameter {parameter}")
        return _factory(name, options, spec.changed(search={"seed": seed}))(number)

    return lambda number: DefineByRunSampler(factory(number), lambda parameter: alone(parameter, number))


def _check_contest(spec: StudySpec) -> None:
    """Raise InputError for options, which the contest has none of, and for a space without a technique alone."""
    if spec.search.sampler_options:
        raise InputError(
            f"the sampler contest has no options; given were {', '.join(spec.search.sampler_options)}. "
            "`--set 'search.sampler_options={}'` leaves them out"
        )
    contest = contest_of(spec)
    if not contest.contestants and not contest.has_baseline:
        raise InputError(
            "the sampler contest can't tune a technique alone: this study's space has only combinations. Let every "
            "technique be off in [space], or give `--set search.sampler=tpe`"
        )


def _sampler_class(name: str, short_names: Sequence[str]) -> Callable[..., BaseSampler]:
    found = getattr(optuna.samplers, name, None) if name.isidentifier() else None
    if isinstance(found, type) and issubclass(found, BaseSampler) and not inspect.isabstract(found):
        return found
    classes = [c for c in optuna.samplers.__all__ if c.endswith("Sampler") and not c.startswith("Base")]
    near = difflib.get_close_matches(name, [*short_names, *classes], n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join([*short_names, *classes])}"
    raise InputError(f"no sampler is called {name!r}: {hint}")


def _quiet(factory: _Factory) -> _Factory:
    """Keep Optuna's remarks on experimental classes from users who didn't choose the class."""

    def make(number: int) -> BaseSampler:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return factory(number)

    return make


def _try_out(factory: _Factory, space: SpaceSpec) -> None:
    """Let a sampler propose some trials of a study in memory: what it can't do shows before a real one."""
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


class RandomChoices(BaseSampler):
    """Draws choices at random, and numbers by another sampler, each parameter for itself."""

    def __init__(self, choices: BaseSampler, numbers: BaseSampler) -> None:
        self._choices, self._numbers = choices, numbers

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Hand it on."""
        self._numbers.before_trial(study, trial)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Nothing is drawn together."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing is drawn together."""
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw one parameter."""
        sampler = self._choices if isinstance(param_distribution, CategoricalDistribution) else self._numbers
        return sampler.sample_independent(study, trial, param_name, param_distribution)


class _QMCSampler(QMCSampler):
    """Optuna's, which goes on in its sequence where the trial's proposals before were tried already.

    Args:
        skipped: so many points of the sequence are left out.
    """

    def __init__(self, skipped: int, **options: Any) -> None:
        super().__init__(**options)
        self._skipped = skipped

    def _find_sample_id(self, study: optuna.Study, search_space: dict[str, BaseDistribution]) -> int:
        for _ in range(self._skipped):
            super()._find_sample_id(study, search_space)
        return super()._find_sample_id(study, search_space)


class GridSampler(PointSampler):
    """Visits each distinct point of a conditional grid once, in the order given.

    Optuna's own runs the whole product, which repeats a point for every value of what is off there,
    and with several workers visits a point again while it still runs.

    Args:
        points: of the grid.
        for_enqueued: proposes what the settings of an enqueued trial leave open.
        key_of: tells which points train alike, of which one is visited; None: each is.
    """

    def __init__(
        self,
        points: Sequence[Mapping[str, Any]],
        for_enqueued: BaseSampler,
        key_of: KeyOf | None = None,
    ) -> None:
        super().__init__(for_enqueued)
        self._points = {json.dumps(point, sort_keys=True): point for point in points}
        self._key_of = key_of

    def next_point(self, study: optuna.Study, trial: FrozenTrial) -> Mapping[str, Any]:
        """Take the next point; raises SpaceExhaustedError where none is left."""
        past = [one for one in study.get_trials(deepcopy=False) if one.number != trial.number]
        taken = {one.system_attrs.get(_POINT_ATTR) for one in past}
        left = (key for key in self._points if key not in taken)
        if self._key_of is not None:
            tried, key_of = tried_keys(past, self._key_of), self._key_of
            left = (key for key in left if key_of(self._points[key]) not in tried)
        key = next(left, None)
        if key is None:
            raise SpaceExhaustedError
        study._storage.set_trial_system_attr(trial._trial_id, _POINT_ATTR, key)
        return self._points[key]
