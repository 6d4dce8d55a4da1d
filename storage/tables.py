"""Our own tables, beside Optuna's; keyed by a study's UUID and a trial's number, since Optuna reuses ids."""

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
"""The columns with what a training gave, of trials and of confirmations."""


class Base(DeclarativeBase):
    """Our tables' metadata."""


class StudyRow(Base):
    """One study: what it is, on which data, and what it was begun with."""

    __tablename__ = "regsearch_studies"

    study_uuid: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]  # UTC, as all times here
    spec: Mapped[str] = mapped_column(Text)  # resolved, JSON; sampler, pruner and budget are the latest run's
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


class TrialRow(Base):
    """What Optuna has no place for: a trial's attempts, and what it gave."""

    __tablename__ = "regsearch_trials"

    study_uuid: Mapped[str] = mapped_column(
        ForeignKey("regsearch_studies.study_uuid", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True)
    recipe: Mapped[str | None]  # whose settings it has, if the sampler did not propose them
    attempt: Mapped[int]
    reason: Mapped[str | None] = mapped_column(Text)  # why it failed
    best_epoch: Mapped[int | None]
    epochs: Mapped[int | None]
    select_cross_entropy: Mapped[float | None]
    select_accuracy: Mapped[float | None]
    train_cross_entropy: Mapped[float | None]
    train_accuracy: Mapped[float | None]
    near_zero_share: Mapped[float | None]
    seconds: Mapped[float | None]
    weights_sha256: Mapped[str | None]  # of the file that they were written to


class EpochRow(Base):
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
    train_loss: Mapped[float]
    stop_loss: Mapped[float]
    stop_cross_entropy: Mapped[float]
    stop_accuracy: Mapped[float]
    seconds: Mapped[float]


class FinalistRow(Base):
    """One configuration that is trained again on fresh seeds, counted from 0 in the order of choice."""

    __tablename__ = "regsearch_finalists"

    study_uuid: Mapped[str] = mapped_column(
        ForeignKey("regsearch_studies.study_uuid", ondelete="CASCADE"), primary_key=True
    )
    finalist: Mapped[int] = mapped_column(primary_key=True)
    look: Mapped[int]  # that it came with
    trial: Mapped[int | None]  # that it was; a baseline may be none
    params: Mapped[str] = mapped_column(Text)  # JSON
    roles: Mapped[str] = mapped_column(Text)  # JSON: why it is one


class ConfirmationRow(Base):
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
    look: Mapped[int]  # counted from 1; what came after the first was asked for when test figures were known
    attempt: Mapped[int]
    state: Mapped[str]  # waiting, running, complete or failed
    reason: Mapped[str | None] = mapped_column(Text)  # why it failed
    best_epoch: Mapped[int | None]
    epochs: Mapped[int | None]
    select_cross_entropy: Mapped[float | None]
    select_accuracy: Mapped[float | None]
    train_cross_entropy: Mapped[float | None]
    train_accuracy: Mapped[float | None]
    near_zero_share: Mapped[float | None]
    seconds: Mapped[float | None]
    weights_sha256: Mapped[str | None]
    select_rows: Mapped[bytes | None] = mapped_column(LargeBinary)  # see studies/example_scores.py
    objective: Mapped[float | None]  # on the select rows, if it is a metric of a HyperModel's


class ConfirmationEpochRow(Base):
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
    train_loss: Mapped[float]
    stop_loss: Mapped[float]
    stop_cross_entropy: Mapped[float]
    stop_accuracy: Mapped[float]
    seconds: Mapped[float]


class TestEvaluationRow(Base):
    """The ledger of test looks: a row is entered before the evaluation begins, and its figures when it has ended."""

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
    test_rows: Mapped[bytes | None] = mapped_column(LargeBinary)  # see studies/example_scores.py
    objective: Mapped[float | None]  # on the test rows, if it is a metric of a HyperModel's


class RoundRow(Base):
    """What a race decided at the end of a round, counted from 0; the transaction that ended the round wrote it."""

    __tablename__ = "regsearch_rounds"

    study_uuid: Mapped[str] = mapped_column(
        ForeignKey("regsearch_studies.study_uuid", ondelete="CASCADE"), primary_key=True
    )
    round: Mapped[int] = mapped_column(primary_key=True)
    look: Mapped[int]  # that it belongs to
    seeds: Mapped[int]  # on how many the contenders were trained by then
    most_seeds: Mapped[int]  # on how many they could be, as it was asked for
    ended_at: Mapped[datetime]
    is_over: Mapped[bool]  # whether no further round followed
    drops: Mapped[str] = mapped_column(Text)  # JSON: see storage/race_rounds.py
