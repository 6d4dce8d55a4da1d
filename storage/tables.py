"""The tables of regsearch, beside those of Optuna. Their keys are UUIDs and trial numbers, since Optuna reuses its ids.

A *test analysis* evaluates all finalists on the test set, for all seeds that are planned by then. The columns `look`
hold the number of a test analysis, counted from 1. When a later test analysis is planned, the results of the
earlier ones are known.
"""

from datetime import datetime

from sqlalchemy import ForeignKey, ForeignKeyConstraint, LargeBinary, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

PREFIX = "regsearch_"

METRICS = (
    "best_epoch",
    "epochs",
    "select_cross_entropy",
    "select_accuracy",
    "train_cross_entropy",
    "train_accuracy",
    "near_zero_share",
    "seconds",
)
"""The columns with the results of a training, in the tables of trials and of confirmations."""


class Base(DeclarativeBase):
    """The metadata of regsearch's tables."""


_RESULTS, _EXTRAS = 1, 2  # sort orders: shared columns come after the table's own, which have 0


class TrainingResult:
    """The columns with the results of a training; they are NULL until it has ended."""

    best_epoch: Mapped[int | None] = mapped_column(sort_order=_RESULTS)
    epochs: Mapped[int | None] = mapped_column(sort_order=_RESULTS)
    select_cross_entropy: Mapped[float | None] = mapped_column(sort_order=_RESULTS)
    select_accuracy: Mapped[float | None] = mapped_column(sort_order=_RESULTS)
    train_cross_entropy: Mapped[float | None] = mapped_column(sort_order=_RESULTS)
    train_accuracy: Mapped[float | None] = mapped_column(sort_order=_RESULTS)
    near_zero_share: Mapped[float | None] = mapped_column(sort_order=_RESULTS)
    seconds: Mapped[float | None] = mapped_column(sort_order=_RESULTS)
    weights_sha256: Mapped[str | None] = mapped_column(sort_order=_RESULTS)  # the SHA-256 of the weights' file


class EpochFigures:
    """The columns with the figures of one epoch; `seconds` is how long it took."""

    train_loss: Mapped[float] = mapped_column(sort_order=_RESULTS)
    stop_loss: Mapped[float] = mapped_column(sort_order=_RESULTS)
    stop_cross_entropy: Mapped[float] = mapped_column(sort_order=_RESULTS)
    stop_accuracy: Mapped[float] = mapped_column(sort_order=_RESULTS)
    seconds: Mapped[float] = mapped_column(sort_order=_RESULTS)


class StudyRow(Base):
    """One study: its definition, its data, and the versions that it was started with."""

    __tablename__ = "regsearch_studies"

    study_uuid: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]  # in UTC, like all times in these tables
    # JSON with all defaults; sampler, pruner and budget are those of the latest run
    spec: Mapped[str] = mapped_column(Text)
    spec_fingerprint: Mapped[str]
    source: Mapped[str]  # a built-in data set's name, or the absolute path of the user's own
    dataset: Mapped[str]
    dataset_sha256: Mapped[str]
    n_train: Mapped[int]
    n_test: Mapped[int]
    versions: Mapped[str] = mapped_column(Text)  # JSON: python, tensorflow, keras, optuna, regsearch


class RunRow(Base):
    """One run of a study's coordinator."""

    __tablename__ = "regsearch_runs"

    run_id: Mapped[int] = mapped_column(primary_key=True)
    study_uuid: Mapped[str] = mapped_column(ForeignKey("regsearch_studies.study_uuid", ondelete="CASCADE"), index=True)
    host: Mapped[str]
    pid: Mapped[int]
    engine: Mapped[str]
    workers: Mapped[int]
    search: Mapped[str] = mapped_column(Text)  # JSON: the study's sections search, confirm and budget of this run
    sampler: Mapped[str]
    pruner: Mapped[str]
    versions: Mapped[str] = mapped_column(Text)
    started_at: Mapped[datetime]
    stop_requested_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str | None]


class TrialRow(TrainingResult, Base):
    """The part of a trial that Optuna's tables don't hold: its attempt, its recipe and its results."""

    __tablename__ = "regsearch_trials"

    study_uuid: Mapped[str] = mapped_column(
        ForeignKey("regsearch_studies.study_uuid", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True)
    recipe: Mapped[str | None]  # the name of the recipe whose configuration it has
    attempt: Mapped[int]
    reason: Mapped[str | None] = mapped_column(Text)  # why it failed


class EpochRow(EpochFigures, Base):
    """One epoch of one trial."""

    __tablename__ = "regsearch_epochs"
    __table_args__ = (
        ForeignKeyConstraint(
            ["study_uuid", "number"],
            ["regsearch_trials.study_uuid", "regsearch_trials.number"],
            ondelete="CASCADE",
        ),
    )

    study_uuid: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)


class FinalistRow(Base):
    """One finalist: a configuration that is trained again on fresh seeds. Finalists are numbered from 0."""

    __tablename__ = "regsearch_finalists"

    study_uuid: Mapped[str] = mapped_column(
        ForeignKey("regsearch_studies.study_uuid", ondelete="CASCADE"), primary_key=True
    )
    finalist: Mapped[int] = mapped_column(primary_key=True)
    look: Mapped[int]  # the number of the test analysis that added it, counted from 1
    trial: Mapped[int | None]  # the number of its trial; a baseline may have none
    params: Mapped[str] = mapped_column(Text)  # JSON
    roles: Mapped[str] = mapped_column(Text)  # JSON: why it was chosen


class ConfirmationRow(TrainingResult, Base):
    """One finalist trained on one fresh seed."""

    __tablename__ = "regsearch_confirmations"
    __table_args__ = (
        ForeignKeyConstraint(
            ["study_uuid", "finalist"],
            ["regsearch_finalists.study_uuid", "regsearch_finalists.finalist"],
            ondelete="CASCADE",
        ),
    )

    study_uuid: Mapped[str] = mapped_column(primary_key=True)
    finalist: Mapped[int] = mapped_column(primary_key=True)
    seed: Mapped[int] = mapped_column(primary_key=True)  # counted from 0
    look: Mapped[int]  # the number of the test analysis that it belongs to
    attempt: Mapped[int]
    state: Mapped[str]  # waiting, running, complete or failed
    reason: Mapped[str | None] = mapped_column(Text)  # why it failed
    # the scores of each example of the selection split, see studies/example_scores.py
    select_rows: Mapped[bytes | None] = mapped_column(LargeBinary, sort_order=_EXTRAS)
    # the objective on the selection split; NULL unless it is a metric of a HyperModel
    objective: Mapped[float | None] = mapped_column(sort_order=_EXTRAS)


class ConfirmationEpochRow(EpochFigures, Base):
    """One epoch of one finalist on one fresh seed."""

    __tablename__ = "regsearch_confirmation_epochs"
    __table_args__ = (
        ForeignKeyConstraint(
            ["study_uuid", "finalist", "seed"],
            [
                "regsearch_confirmations.study_uuid",
                "regsearch_confirmations.finalist",
                "regsearch_confirmations.seed",
            ],
            ondelete="CASCADE",
        ),
    )

    study_uuid: Mapped[str] = mapped_column(primary_key=True)
    finalist: Mapped[int] = mapped_column(primary_key=True)
    seed: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True)


class TestEvaluationRow(Base):
    """One test evaluation. The row is written before the evaluation starts, and the results are added at its end."""

    __tablename__ = "regsearch_test_looks"
    __table_args__ = (
        ForeignKeyConstraint(
            ["study_uuid", "finalist", "seed"],
            [
                "regsearch_confirmations.study_uuid",
                "regsearch_confirmations.finalist",
                "regsearch_confirmations.seed",
            ],
            ondelete="CASCADE",
        ),
    )

    study_uuid: Mapped[str] = mapped_column(primary_key=True)
    finalist: Mapped[int] = mapped_column(primary_key=True)
    seed: Mapped[int] = mapped_column(primary_key=True)
    attempt: Mapped[int]
    began_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    cross_entropy: Mapped[float | None]
    accuracy: Mapped[float | None]
    test_rows: Mapped[bytes | None] = mapped_column(LargeBinary)  # scores of each test example
    objective: Mapped[float | None]  # on the test set; NULL unless it is a metric of a HyperModel


class RoundRow(Base):
    """What a race decided at the end of one round, written as the round ends. Rounds are numbered from 0."""

    __tablename__ = "regsearch_rounds"

    study_uuid: Mapped[str] = mapped_column(
        ForeignKey("regsearch_studies.study_uuid", ondelete="CASCADE"), primary_key=True
    )
    round: Mapped[int] = mapped_column(primary_key=True)
    look: Mapped[int]  # the number of the test analysis that it belongs to
    seeds: Mapped[int]  # the number of seeds that the contenders were trained on by then
    most_seeds: Mapped[int]  # the largest number of seeds that the user requested for them
    ended_at: Mapped[datetime]
    is_over: Mapped[bool]  # whether no further round followed
    drops: Mapped[str] = mapped_column(Text)  # JSON: see storage/race_rounds.py
