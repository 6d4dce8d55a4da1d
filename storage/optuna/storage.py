"""Optuna's storage with plain SQL instead of mapped objects: reading trials takes a sixth of the time and memory.

A transaction of regsearch locks the study. Within it, storing a parameter or the end of a trial takes one statement
instead of six.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    check_distribution_compatibility,
    distribution_to_json,
    json_to_distribution,
)
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, bindparam, event, update
from sqlalchemy.exc import IntegrityError

from . import lookback, tables

_NAMED = 10_000  # the most trials that a statement lists by id; for more, it reads the whole study

_trials: Any = models.TrialModel.__table__
_UNFINISHED = (TrialState.RUNNING, TrialState.WAITING)
_END = (
    update(_trials)
    .where(_trials.c.trial_id == bindparam("id"), _trials.c.state.in_(_UNFINISHED))
    .values(state=bindparam("new_state"), datetime_complete=bindparam("now"))
)
_STATES = {state.name: state for state in TrialState}

_distribution = lru_cache(maxsize=1000)(json_to_distribution)


class FastRDBStorage(RDBStorage):
    """Optuna's `RDBStorage`, but faster and able to join a transaction (`README.md` lists what it overrides).

    Atomicity: each call is its own transaction. Within `joining`, it is a part of the joined transaction.
    """

    _lookback_start = 0
    _only_whole: int | None = None
    _joined: Connection | None = None
    _ignored_error: BaseException | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        event.listen(self.scoped_session, "after_soft_rollback", self._note_rollback)

    def _note_rollback(self, *_: object) -> None:
        """Keep the error that made Optuna roll back a call: Optuna ignores some errors, but nothing was written."""
        if isinstance(error := sys.exc_info()[1], IntegrityError):
            self._ignored_error = error

    @contextmanager
    def joining(self, connection: Connection) -> Iterator[None]:
        """Make all calls in the block a part of the connection's transaction, which the caller ends.

        Raises IntegrityError at the end of the block if the database refused a write and Optuna ignored the refusal.
        """
        session = self.scoped_session
        session.remove()
        session.configure(bind=connection, join_transaction_mode="create_savepoint")
        self._joined, self._ignored_error = connection, None
        try:
            yield
            if self._ignored_error is not None:
                raise self._ignored_error
        finally:
            self._joined = None
            session.remove()
            session.configure(bind=self.engine, join_transaction_mode="conditional_savepoint")

    @contextmanager
    def reading_whole(self, trial_id: int) -> Iterator[None]:
        """Within the block, read only this unfinished trial completely; of the others, read only that they exist.

        This saves time, since Optuna's cache reads all unfinished trials again at each call.
        """
        self._only_whole = trial_id
        try:
            yield
        finally:
            self._only_whole = None

    def look_back(self, start: int) -> bool:
        """From now on, read only a part of the trials before the number `start`; return whether that is a change.

        A `start` that is smaller than the last one changes nothing. `storage/optuna/lookback.py` defines the part.
        """
        if start <= self._lookback_start:
            return False
        self._lookback_start = start
        return True

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial; raises KeyError if there is none."""
        with self._connection() as connection:
            row = connection.execute(tables.TRIAL, {"trial_id": trial_id}).one_or_none()
            if row is None:
                raise KeyError(models.NOT_FOUND_MSG)
            (trial,) = _frozen(connection, row.study_id, [row])
            return trial

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return a study's id; raises KeyError if no study has that name."""
        with self._connection() as connection:
            study_id: int | None = connection.execute(tables.STUDY_ID, {"name": study_name}).scalar()
            if study_id is None:
                raise KeyError(models.NOT_FOUND_MSG)
            return study_id

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Set a trial's state, and its values if it has any; Optuna's own method handles unusual cases."""
        if self._joined is None or not state.is_finished():
            return super().set_trial_state_values(trial_id, state, values)
        bound = {"id": trial_id, "new_state": state, "now": datetime.now(UTC).replace(tzinfo=None)}
        if self._joined.execute(_END, bound).rowcount != 1:
            return super().set_trial_state_values(trial_id, state, values)
        for objective, value in enumerate(values or ()):
            stored, kind = models.TrialValueModel.value_to_stored_repr(value)
            bound = {"trial_id": trial_id, "objective": objective, "value": stored, "value_type": kind.name}
            self._joined.execute(tables.SET_VALUE, bound)
        return True

    def _set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None,
    ) -> None:
        """Store a parameter of a trial that isn't finished; Optuna's own method handles unusual cases."""
        if self._joined is not None and previous_distribution is not None:
            check_distribution_compatibility(previous_distribution, distribution)
            distribution_json = distribution_to_json(distribution)
            bound = {
                "trial_id": trial_id,
                "name": param_name,
                "value": param_value_internal,
                "value_json": distribution_json,
            }
            if self._joined.execute(tables.SET_PARAM, bound).rowcount == 1:
                return
        super()._set_trial_param(trial_id, param_name, param_value_internal, distribution, previous_distribution)

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        if self._joined is not None:
            yield self._joined
            return
        session = self.scoped_session()
        try:
            yield session.connection()
        finally:
            session.close()

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        """Return, ordered by id, a study's trials above `trial_id_greater_than` or in `included_trial_ids`."""
        where = f"study_id = {int(study_id)}"
        if trial_id_greater_than > -1:
            below = [int(trial_id) for trial_id in included_trial_ids if trial_id <= trial_id_greater_than]
            where += f" and (trial_id > {int(trial_id_greater_than)} or trial_id in ({_id_list(below)}))"
        with self._connection() as connection:
            if self._lookback_start > 0 and trial_id_greater_than == -1:
                where += f" and {lookback.lookback_condition(connection, study_id, self._lookback_start)}"
            found = connection.exec_driver_sql(
                f"select trial_id, number, state, datetime_start, datetime_complete from trials where {where} "
                "order by trial_id"
            ).all()
            if not found and connection.execute(tables.IS_STUDY, {"study_id": study_id}).scalar() is None:
                raise KeyError(models.NOT_FOUND_MSG)
            rows = [row for row in found if states is None or _STATES[row[2]] in states]
            return _frozen(connection, study_id, rows, self._only_whole)


class _RelatedRows:
    """Reads the rows of Optuna's other tables that belong to the given trials."""

    def __init__(self, connection: Connection, study_id: int, ids: Sequence[int]) -> None:
        self._connection, self._ids = connection, ids
        if len(ids) <= _NAMED:
            self._which = f"in ({_id_list(ids)})"
        else:
            self._which = f"in (select trial_id from trials where study_id = {int(study_id)})"

    def rows(self, table: str, key: str, *columns: str) -> Iterator[Any]:
        """Return rows (trial id, columns…), ordered by the column `key`."""
        if not self._ids:
            return iter(())
        return iter(
            self._connection.exec_driver_sql(
                f"select trial_id, {', '.join(columns)} from {table} where trial_id {self._which} order by {key}"
            )
        )

    def attributes(self, table: str, key: str) -> dict[int, dict[str, Any]]:
        """Return attributes as a dict from trial id to a dict from name to value."""
        found: defaultdict[int, dict[str, Any]] = defaultdict(dict)
        for trial_id, name, value in self.rows(table, key, "key", "value_json"):
            found[trial_id][name] = json.loads(value)
        return found


def _frozen(
    connection: Connection, study_id: int, rows: Sequence[Any], only_whole: int | None = None
) -> list[FrozenTrial]:
    """Return Optuna's trial objects for rows of its table of trials; equal distributions share one object.

    If `only_whole` is a trial's id, all other unfinished trials come without parameters, values and attributes.
    """
    whole = [row.trial_id for row in rows if only_whole in (None, row.trial_id) or _STATES[row.state].is_finished()]
    parts = _RelatedRows(connection, study_id, whole)
    params: defaultdict[int, dict[str, Any]] = defaultdict(dict)
    distributions: defaultdict[int, dict[str, BaseDistribution]] = defaultdict(dict)
    columns = ("param_name", "param_value", "distribution_json")
    for trial_id, name, value, distribution_json in parts.rows("trial_params", "param_id", *columns):
        distributions[trial_id][name] = distribution = _distribution(distribution_json)
        params[trial_id][name] = distribution.to_external_repr(value)
    values: defaultdict[int, list[float]] = defaultdict(list)
    value_of = models.TrialValueModel.stored_repr_to_value
    kinds: Any = models.TrialValueModel.TrialValueType
    for trial_id, value, kind in parts.rows("trial_values", "objective", "value", "value_type"):
        values[trial_id].append(value if kind == "FINITE" else value_of(value, kinds[kind]))
    curves: defaultdict[int, dict[int, float]] = defaultdict(dict)
    point_of = models.TrialIntermediateValueModel.stored_repr_to_intermediate_value
    kinds = models.TrialIntermediateValueModel.TrialIntermediateValueType
    columns = ("step", "intermediate_value", "intermediate_value_type")
    for trial_id, step, value, kind in parts.rows("trial_intermediate_values", "trial_intermediate_value_id", *columns):
        curves[trial_id][step] = value if kind == "FINITE" else point_of(value, kinds[kind])
    user_attrs = parts.attributes("trial_user_attributes", "trial_user_attribute_id")
    system_attrs = parts.attributes("trial_system_attributes", "trial_system_attribute_id")
    return [
        FrozenTrial(
            number=row.number,
            state=_STATES[row.state],
            value=None,
            values=values.get(row.trial_id),
            datetime_start=_local(row.datetime_start),
            datetime_complete=_local(row.datetime_complete),
            params=params[row.trial_id],
            distributions=distributions[row.trial_id],
            user_attrs=user_attrs.get(row.trial_id, {}),
            system_attrs=system_attrs.get(row.trial_id, {}),
            intermediate_values=curves.get(row.trial_id, {}),
            trial_id=row.trial_id,
        )
        for row in rows
    ]


def _id_list(ids: Sequence[int]) -> str:
    """Return ids as a list for SQL. Without ids it is -1, which is no trial's id: PostgreSQL allows no empty list."""
    return ",".join(map(str, ids)) or "-1"


def _local(utc: datetime | str | None) -> datetime | None:
    """Return a time as Optuna shows it: local, without a time zone. SQLite stores it as text."""
    if utc is None:
        return None
    time = datetime.fromisoformat(utc) if isinstance(utc, str) else utc
    return time.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
