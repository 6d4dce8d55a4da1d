"""Enters finished trials into a study of `scale.py`, as a search with a median pruner would have left them."""

import json
from collections import deque
from datetime import UTC, datetime
from typing import Any

import numpy as np
import optuna
import sqlalchemy
from optuna.distributions import distribution_to_json
from optuna.storages._rdb import models
from optuna.trial import TrialState
from simulated import curve
from sqlalchemy import insert

from regsearch.storage.tables import EpochRow, TrialRow
from regsearch.studies.search_space import suggest
from regsearch.studies.spec import StudySpec

_AT_ONCE = 1000
_JUDGED = 500  # of the latest trials, for the median


def fill(engine: sqlalchemy.Engine, spec: StudySpec, trials: int, epoch_seconds: float) -> None:
    """Enter trials 1, 2, … into the only study of a database, which has trial 0."""
    with engine.connect() as connection:
        row = "select study_id, study_uuid from studies, regsearch_studies"
        study_id, uuid = connection.execute(sqlalchemy.text(row)).one()
    proposals = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    latest: list[deque[float]] = [deque(maxlen=_JUDGED) for _ in range(spec.training.max_epochs)]
    for first in range(1, trials + 1, _AT_ONCE):
        numbers = range(first, min(first + _AT_ONCE, trials + 1))
        rows = [_trial(spec, number, proposals, latest, epoch_seconds) for number in numbers]
        with engine.begin() as connection:
            _enter(connection, study_id, uuid, rows)
    with engine.begin() as connection:  # what a database does by itself, sooner or later
        connection.execute(sqlalchemy.text("analyze"))


def _trial(
    spec: StudySpec, number: int, proposals: optuna.Study, latest: list[deque[float]], epoch_seconds: float
) -> dict[str, Any]:
    trial = proposals.ask()
    suggest(trial, spec.space)
    found = trial.study._storage.get_trial(trial._trial_id)
    its = curve(found.params, number, spec.training.max_epochs, epoch_seconds)
    best, state, metrics = np.inf, TrialState.COMPLETE, its.metrics
    for epoch, figures in enumerate(its.metrics):
        best = min(best, figures.stop_cross_entropy)
        if len(latest[epoch]) > 5 and best > np.median(latest[epoch]):
            state, metrics = TrialState.PRUNED, its.metrics[: epoch + 1]
            break
    if state is TrialState.COMPLETE:
        for epoch, figures in enumerate(its.metrics):
            latest[epoch].append(figures.stop_cross_entropy)
    value = its.outcome.select_cross_entropy if state is TrialState.COMPLETE else metrics[-1].stop_cross_entropy
    return {"number": number, "state": state, "found": found, "value": value, "metrics": metrics, "its": its}


def _enter(connection: sqlalchemy.Connection, study_id: int, uuid: str, rows: list[dict[str, Any]]) -> None:
    now = datetime.now(UTC).replace(tzinfo=None)
    ids = connection.execute(
        insert(models.TrialModel.__table__).returning(models.TrialModel.trial_id, sort_by_parameter_order=True),
        [
            {
                "number": row["number"],
                "study_id": study_id,
                "state": row["state"],
                "datetime_start": now,
                "datetime_complete": now,
            }
            for row in rows
        ],
    ).scalars()
    tables: dict[Any, list[dict[str, Any]]] = {TrialRow: []}  # first: the others refer to it
    for trial_id, row in zip(ids, rows, strict=True):
        found, number = row["found"], row["number"]
        params, of_trial = tables.setdefault(models.TrialParamModel, []), {"trial_id": trial_id}
        for name, distribution in found.distributions.items():
            stored = distribution.to_internal_repr(found.params[name])
            how = distribution_to_json(distribution)
            params.append({**of_trial, "param_name": name, "param_value": stored, "distribution_json": how})
        value = {**of_trial, "objective": 0, "value": row["value"], "value_type": "FINITE"}
        tables.setdefault(models.TrialValueModel, []).append(value)
        steps, epochs = tables.setdefault(models.TrialIntermediateValueModel, []), tables.setdefault(EpochRow, [])
        for metrics in row["metrics"]:
            step = {"step": metrics.epoch, "intermediate_value": metrics.stop_cross_entropy}
            steps.append({**of_trial, **step, "intermediate_value_type": "FINITE"})
            epochs.append({"study_uuid": uuid, "number": number, **metrics.columns()})
        ours = {"study_uuid": uuid, "number": number, "attempt": 0}
        if row["state"] is TrialState.COMPLETE:
            shown = {"key": "select cross-entropy", "value_json": json.dumps(row["value"])}
            tables.setdefault(models.TrialUserAttributeModel, []).append({**of_trial, **shown})
            ours |= row["its"].outcome.columns()
        else:
            ours |= dict.fromkeys(row["its"].outcome.columns()) | {"epochs": len(row["metrics"])}
        tables[TrialRow].append(ours)
    for table, entered in tables.items():
        connection.execute(insert(table.__table__), entered)
