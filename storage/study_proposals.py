"""Start a study's next trial: an enqueued trial, a recipe, or a new proposal of the sampler."""

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
"""How often to ask the sampler again, each time with another seed, if its proposal was tried before."""

_RETRIES_IN_FINITE_SPACE = 5  # after these, take the first point that was not tried


class UnusableError(Exception):
    """The settings of an enqueued trial can't be trained, or an earlier trial had the same settings."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.number = number


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A trial that was started, and the origin of its configuration."""

    task: TrialTask
    origin: str


class StudyProposals:
    """Starts the trials of one study. Each method runs within a transaction of its caller.

    Args:
        database: the database that holds the study.
        study_uuid: regsearch's id of the study.
        study_id: Optuna's id of the study.
        spec: the study as it is searched now.
        study_for: takes the number of a trial and of a retry (from 0); returns Optuna's study with a sampler for them.
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
    def _avoids_repeats(self) -> bool:
        return self._spec.search.rules >= 2

    def ask(self, connection: Connection, *, is_exhausted: bool) -> Proposal | Done:
        """Start one more trial, unless the study has all its trials or the sampler has nothing left to propose.

        Raises SpaceExhaustedError if every point of the space was tried, and UnusableError for an enqueued trial that
        can't be trained. After an error, the caller must roll the transaction back.

        Args:
            connection: the connection of the transaction.
            is_exhausted: whether the sampler has reported already that it has nothing left.
        """
        trials = study_sql.count(connection, self._uuid, self._study_id)
        if trials.finished + trials.running >= self._spec.budget.trials:
            return Done(DoneReason.EXHAUSTED if is_exhausted else DoneReason.TOTAL)
        if self._avoids_repeats:
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
        """If the sampler `contest` has proposed a recipe, record and return the recipe's name; else return None."""
        name = self._recipe_names.get(Regularization.from_params(params)) if params else None
        if name is not None:
            trial_id = self._database.storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
            study_sql.set_user_attrs(connection, trial_id, {"recipe": name})
        return name

    def refuse(self, connection: Connection, number: int, reason: str) -> None:
        """Record that an enqueued trial failed, because its settings can't be trained or were tried before."""
        connection.execute(insert(TrialRow).values(study_uuid=self._uuid, number=number, attempt=0, reason=reason))
        storage = self._database.storage
        trial_id = storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
        storage.set_trial_state_values(trial_id, TrialState.RUNNING)
        storage.set_trial_user_attr(trial_id, "reason", reason)
        storage.set_trial_state_values(trial_id, TrialState.FAIL)

    def trial_with(self, connection: Connection, params: Mapping[str, Any]) -> int | None:
        """Return the number of the first trial that had the same settings; None if there is no such trial.

        The result is also None if the settings leave a parameter open, so that several points of the space fit.
        """
        if not self._avoids_repeats:
            return None
        self._tried.read(connection)
        return self._earlier(params)

    def repeated(self, connection: Connection, number: int, trial_id: int) -> int | None:
        """Return the number of an earlier trial with the same settings as this trial of a HyperModel, or None."""
        if not self._avoids_repeats or self._spec.model.hypermodel is None:
            return None
        self._tried.read(connection, leave_out=number)
        return self._tried.trial_of(self._database.storage.get_trial(trial_id).params)

    def _begin_new(
        self, connection: Connection, number: int, fixed: Mapping[str, Any], *, recipe: str | None, is_waiting: bool
    ) -> dict[str, Any]:
        """Start a trial with a new proposal and return its parameters; undo each proposal that an earlier trial had."""
        earlier = None
        for study in self._studies(number, fixed):
            with self._database.savepoint(connection) as savepoint:
                try:
                    params = self._begin(study, number, recipe=recipe, is_waiting=is_waiting)
                    earlier = self._tried.trial_of(params) if self._avoids_repeats and params else None
                    if earlier is None:
                        return params
                except SpaceExhaustedError as error:
                    if error.is_certain or not self._avoids_repeats:
                        raise
                savepoint.rollback()
        if is_waiting and earlier is not None:
            raise UnusableError(number, same_settings(earlier))
        raise SpaceExhaustedError

    def _studies(self, number: int, fixed: Mapping[str, Any]) -> Iterator[OptunaStudy]:
        """Yield Optuna's study for each proposal. In a finite space, the last proposal is a point that is new."""
        yield self._study_for(number, 0)
        if not self._avoids_repeats or self._spec.model.hypermodel is not None:
            return
        is_countable = is_finite(self._spec.space, fixed)
        left = self._first_left(fixed) if is_countable else None
        if is_countable and left is None:
            return
        for retry in range(1, _RETRIES_IN_FINITE_SPACE if is_countable else MOST_RETRIES):
            yield self._study_for(number, retry)
        if left is not None:
            study = self._study_for(number, 0)
            study.sampler = _point_sampler(left)
            yield study

    def _first_left(self, fixed: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the first point of a finite space that no trial has had; None if all points were tried."""
        all_points = points(self._spec.space, self._spec.training.max_epochs, fixed)
        return next((point for point in all_points if self._tried.trial_of(point) is None), None)

    def _begin(self, study: OptunaStudy, number: int, *, recipe: str | None, is_waiting: bool) -> dict[str, Any]:
        if recipe is not None:  # no other process sees it before this transaction ends
            study.enqueue_trial(self._recipes[recipe], user_attrs={"recipe": recipe})
        trial = study.ask()
        assert trial.number == number
        if self._spec.model.hypermodel is not None:
            return {}  # the worker asks for them during the training
        try:
            return suggest(trial, self._spec.space)
        except (ValueError, TypeError) as error:
            if not is_waiting:
                raise
            raise UnusableError(number, f"its enqueued settings can't be used: {error}") from error

    def _earlier(self, fixed: Mapping[str, Any]) -> int | None:
        """Return the number of a trial with exactly these settings; None if there is none or a choice is left."""
        if not self._avoids_repeats or not fixed:
            return None
        try:
            point = fixed if self._spec.model.hypermodel is not None else self._only_point(fixed)
            return None if point is None else self._tried.trial_of(point)
        except (ValueError, TypeError):  # no trial has such values: the trial is refused when it starts
            return None

    def _only_point(self, fixed: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the only point of the space with these fixed parameters; None if there are several points."""
        space = self._spec.space
        if not is_finite(space, fixed):
            return None
        first, *others = itertools.islice(points(space, self._spec.training.max_epochs, fixed), 2)
        return None if others else first

    def _enqueued(self, number: int) -> Mapping[str, Any]:
        """Return the fixed parameters of an enqueued trial."""
        storage = self._database.storage
        trial_id = storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
        fixed: Mapping[str, Any] = storage.get_trial(trial_id).system_attrs.get("fixed_params", {})
        return fixed

    def _next_recipe(self, connection: Connection) -> str | None:
        """Return the first recipe that no trial has tried, by its name or by its settings; None if all were tried."""
        if not self._recipes:
            return None
        names = study_sql.recipes_tried(connection, self._uuid)
        known = self._known_recipes(connection)
        left = (name for name, params in known.items() if name not in names and self._is_new(params))
        return next(left, None)

    def _is_new(self, params: Mapping[str, Any]) -> bool:
        return not self._avoids_repeats or not params or self._tried.trial_of(params) is None

    def _known_recipes(self, connection: Connection) -> dict[str, dict[str, Any]]:
        """Return a dict from the names of the recipes to their settings.

        A HyperModel with regsearch's space has more recipes after the trial of its defaults, which they build on.
        """
        if self._recipes.keys() == {DEFAULTS}:
            defaults = study_sql.recipes_trial_id(connection, self._uuid, self._study_id, DEFAULTS)
            if defaults is not None:
                self._recipes |= tried_after_defaults(self._spec, self._database.storage.get_trial(defaults).params)
        return self._recipes


def same_settings(number: int) -> str:
    """Return the reason why a trial was not trained: an earlier trial had the same settings."""
    return f"the same settings as trial {number}"


def _point_sampler(point: Mapping[str, Any]) -> BaseSampler:
    """Return a sampler that proposes only this point."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return PartialFixedSampler(dict(point), RandomSampler(seed=0))
