"""How a study's next trial is begun: a waiting one, a recipe's, or one that the sampler proposes, and none twice."""

import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, PartialFixedSampler, RandomSampler
from optuna.trial import TrialState
from sqlalchemy import Connection, insert

from ..studies.configuration import Regularization
from ..studies.errors import SpaceExhaustedError
from ..studies.finite_space import is_finite, points
from ..studies.recipes import DEFAULTS, initial_recipes, recipe_names, tried_after_defaults
from ..studies.search_space import suggest
from ..studies.spec import CONTEST, StudySpec
from ..studies.trial import Done, DoneReason, TrialTask
from . import study_sql
from .database import Database
from .optuna.study import OptunaStudy
from .tables import TrialRow
from .tried_configurations import TriedConfigurations

MOST_RETRIES = 60
"""How often the sampler is asked again, with another seed, when it proposes what was tried before."""

_RETRIES_IN_FINITE_SPACE = 5  # then the first point is taken that was not tried


class UnusableError(Exception):
    """A waiting trial's settings can't be trained, or needn't be."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.number = number


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A trial that was started, and where its configuration comes from."""

    task: TrialTask
    origin: str


class StudyProposals:
    """Begins the trials of one study; each method is part of a transaction of its caller.

    Args:
        database: the study's.
        study_uuid, study_id: ours, and Optuna's.
        spec: the study as it is searched now.
        study_for: gives Optuna's study with the sampler of a trial's number and a retry, counted from 0.
    """

    def __init__(
        self,
        database: Database,
        study_uuid: str,
        study_id: int,
        spec: StudySpec,
        study_for: Callable[[int, int], OptunaStudy],
    ) -> None:
        self._database, self._uuid, self._study_id, self._spec = database, study_uuid, study_id, spec
        self._study_for = study_for
        self._recipes = initial_recipes(spec)
        self._recipe_names = recipe_names(spec) if spec.search.sampler == CONTEST else {}
        self._tried = TriedConfigurations(study_uuid, study_id, spec)

    @property
    def _checks(self) -> bool:
        return self._spec.search.rules >= 2

    def ask(self, connection: Connection, *, is_exhausted: bool) -> Proposal | Done:
        """Start one more trial, unless the study has its total or its sampler has nothing left.

        Raises SpaceExhaustedError if every point of the space was tried, and UnusableError for a waiting trial that
        can't be trained. The caller must roll back what was written until then.

        Args:
            connection: of the transaction.
            is_exhausted: whether the sampler has reported already that it has nothing left.
        """
        trials = study_sql.count(connection, self._uuid, self._study_id)
        if trials.finished + trials.running >= self._spec.budget.trials:
            return Done(DoneReason.EXHAUSTED if is_exhausted else DoneReason.TOTAL)
        if self._checks:
            self._tried.read(connection)
        is_waiting = trials.first_waiting is not None
        number = trials.first_waiting if is_waiting else trials.all
        recipe = None if is_waiting else self._next_recipe(connection)
        if is_exhausted and not is_waiting and recipe is None:
            return Done(DoneReason.EXHAUSTED)
        fixed = self._enqueued(number) if is_waiting else self._recipes.get(recipe or "", {})
        if is_waiting and (earlier := self._earlier(fixed)) is not None:
            raise UnusableError(number, same_settings(earlier))
        params = self._begin_new(connection, number, fixed, recipe=recipe, is_waiting=is_waiting)
        origin = "enqueued" if is_waiting else "sampler" if recipe is None else f"recipe {recipe}"
        recipe = recipe or self._name_as_recipe(connection, number, params)
        connection.execute(insert(TrialRow).values(study_uuid=self._uuid, number=number, attempt=0, recipe=recipe))
        return Proposal(task=TrialTask(number=number, attempt=0, params=params), origin=origin)

    def _name_as_recipe(self, connection: Connection, number: int, params: Mapping[str, Any]) -> str | None:
        """Enter the name of the recipe whose settings a contest has proposed, and return it; None if it is none."""
        name = self._recipe_names.get(Regularization.from_params(params)) if params else None
        if name is not None:
            trial_id = self._database.storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
            study_sql.set_user_attrs(connection, trial_id, {"recipe": name})
        return name

    def refuse(self, connection: Connection, number: int, reason: str) -> None:
        """Fail a waiting trial, whose settings were enqueued past us."""
        connection.execute(insert(TrialRow).values(study_uuid=self._uuid, number=number, attempt=0, reason=reason))
        storage = self._database.storage
        trial_id = storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
        storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        storage.set_trial_user_attr(trial_id, "reason", reason)
        storage.set_trial_state_values(trial_id, TrialState.FAIL)

    def trial_with(self, connection: Connection, params: Mapping[str, Any]) -> int | None:
        """Return the number of the first trial that had the settings that a user gives; None if none had.

        What isn't given is open, unless the space leaves only one value for it.
        """
        if not self._checks:
            return None
        self._tried.read(connection)
        return self._earlier(params)

    def repeated(self, connection: Connection, number: int, trial_id: int) -> int | None:
        """Return which earlier trial had the settings that a HyperModel's trial has asked for; None if none had."""
        if not self._checks or self._spec.model.hypermodel is None:
            return None
        self._tried.read(connection, leave_out=number)
        return self._tried.trial_of(self._database.storage.get_trial(trial_id).params)

    def _begin_new(
        self, connection: Connection, number: int, fixed: Mapping[str, Any], *, recipe: str | None, is_waiting: bool
    ) -> dict[str, Any]:
        """Begin a trial and return its parameters, which no trial had before; each proposal that one had is undone."""
        earlier = None
        for study in self._studies(number, fixed):
            with self._database.savepoint(connection) as savepoint:
                try:
                    params = self._begin(study, number, recipe=recipe, is_waiting=is_waiting)
                    earlier = self._tried.trial_of(params) if self._checks and params else None
                    if earlier is None:
                        return params
                except SpaceExhaustedError as error:
                    if error.is_certain or not self._checks:
                        raise
                savepoint.rollback()
        if is_waiting and earlier is not None:
            raise UnusableError(number, same_settings(earlier))
        raise SpaceExhaustedError

    def _studies(self, number: int, fixed: Mapping[str, Any]) -> Iterator[OptunaStudy]:
        """Yield Optuna's study for one proposal after the other; for the last, with a point that was not tried."""
        yield self._study_for(number, 0)
        if not self._checks or self._spec.model.hypermodel is not None:
            return
        is_countable = is_finite(self._spec.space, fixed)
        left = self._first_left(fixed) if is_countable else None
        if is_countable and left is None:
            return
        for retry in range(1, _RETRIES_IN_FINITE_SPACE if is_countable else MOST_RETRIES):
            yield self._study_for(number, retry)
        if left is not None:
            study = self._study_for(number, 0)
            study.sampler = _at(left)
            yield study

    def _first_left(self, fixed: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the first point of a finite space that was not tried."""
        all_points = points(self._spec.space, self._spec.training.max_epochs, fixed)
        return next((point for point in all_points if self._tried.trial_of(point) is None), None)

    def _begin(self, study: OptunaStudy, number: int, *, recipe: str | None, is_waiting: bool) -> dict[str, Any]:
        if recipe is not None:  # it waits within this transaction only: nobody else can take it
            study.enqueue_trial(self._recipes[recipe], user_attrs={"recipe": recipe})
        trial = study.ask()
        assert trial.number == number
        if self._spec.model.hypermodel is not None:
            return {}  # it is asked by who trains it
        try:
            return suggest(trial, self._spec.space)
        except (ValueError, TypeError) as error:
            if not is_waiting:
                raise
            raise UnusableError(number, f"its enqueued settings can't be used: {error}") from error

    def _earlier(self, fixed: Mapping[str, Any]) -> int | None:
        """Return which trial had settings that fix everything; None if none had, or if they leave something open."""
        if not self._checks or not fixed:
            return None
        try:
            point = fixed if self._spec.model.hypermodel is not None else self._only_point(fixed)
            return None if point is None else self._tried.trial_of(point)
        except (ValueError, TypeError):  # of a kind that no trial has: it is refused when it is begun
            return None

    def _only_point(self, fixed: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the one point that fixed parameters leave; None if they leave several."""
        space = self._spec.space
        if not is_finite(space, fixed):
            return None
        first, *others = itertools.islice(points(space, self._spec.training.max_epochs, fixed), 2)
        return None if others else first

    def _enqueued(self, number: int) -> Mapping[str, Any]:
        """Return the parameters that a waiting trial's settings fix."""
        storage = self._database.storage
        trial_id = storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
        fixed: Mapping[str, Any] = storage.get_trial(trial_id).system_attrs.get("fixed_params", {})
        return fixed

    def _next_recipe(self, connection: Connection) -> str | None:
        """Return the name of the first recipe that no trial of the study was yet, and whose settings none had."""
        if not self._recipes:
            return None
        names = study_sql.recipes_tried(connection, self._uuid)
        known = self._known_recipes(connection)
        left = (name for name, params in known.items() if name not in names and self._is_new(params))
        return next(left, None)

    def _is_new(self, params: Mapping[str, Any]) -> bool:
        return not self._checks or not params or self._tried.trial_of(params) is None

    def _known_recipes(self, connection: Connection) -> dict[str, dict[str, Any]]:
        """Return the recipes by name; those of a HyperModel that asks for our space are known from its defaults."""
        if self._recipes.keys() == {DEFAULTS}:
            defaults = study_sql.recipes_trial_id(connection, self._uuid, self._study_id, DEFAULTS)
            if defaults is not None:
                self._recipes |= tried_after_defaults(self._spec, self._database.storage.get_trial(defaults).params)
        return self._recipes


def same_settings(number: int) -> str:
    """Return why a trial wasn't trained whose settings an earlier one had."""
    return f"the same settings as trial {number}"


def _at(point: Mapping[str, Any]) -> BaseSampler:
    """Return a sampler that proposes one point."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return PartialFixedSampler(dict(point), RandomSampler(seed=0))
