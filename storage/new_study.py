"""Create a new study, in Optuna's tables and in those of regsearch."""

import json
import uuid
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime

import optuna
from optuna.study import StudyDirection
from sqlalchemy import insert

from ..studies.errors import InputError
from ..studies.objectives import OURS, metric_of
from ..studies.records import DatasetInfo
from ..studies.spec import StudySpec
from .database import Database
from .queries import UUID_ATTR
from .tables import StudyRow


def utc_now() -> datetime:
    """Return the current time as the database stores it: in UTC, without a time zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def create_study(database: Database, spec: StudySpec, dataset: DatasetInfo, versions: Mapping[str, str]) -> str:
    """Create a study and return its UUID; raises InputError if another study has this name."""
    name, study_uuid = spec.study.name, str(uuid.uuid4())
    direction = StudyDirection.MAXIMIZE if spec.search.maximizes else StudyDirection.MINIMIZE
    with database.transaction() as connection:
        try:
            study = optuna.create_study(storage=database.storage, study_name=name, direction=direction)
        except optuna.exceptions.DuplicatedStudyError as error:
            raise InputError(f"the database has a study {name} already. Choose another --name.") from error
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([_metric_name(spec.search.objective)])
        study.set_user_attr(UUID_ATTR, study_uuid)
        study.set_user_attr("data set", f"{dataset.name}, {dataset.n_train:,} + {dataset.n_test:,} rows")
        if spec.study.question:
            study.set_user_attr("question", spec.study.question)
        connection.execute(
            insert(StudyRow).values(
                study_uuid=study_uuid,
                created_at=utc_now(),
                spec=spec.to_json(),
                spec_fingerprint=spec.fingerprint(),
                source=dataset.source,
                dataset=dataset.name,
                dataset_sha256=dataset.sha256,
                n_train=dataset.n_train,
                n_test=dataset.n_test,
                versions=json.dumps(dict(versions)),
            )
        )
    return study_uuid


def _metric_name(objective: str) -> str:
    return f"select {objective.replace('_', ' ')}" if objective in OURS else metric_of(objective)
