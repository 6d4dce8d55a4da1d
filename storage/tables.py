"""Our own tables, beside Optuna's; keyed by a study's UUID and a trial's number, since Optuna reuses ids."""

from datetime import datetime

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

PREFIX = "regsearch_"


class Base(DeclarativeBase):
    """Our tables' metadata."""


class StudyRow(Base):
    """One study: what it is, on which data, and what it was begun with."""

    __tablename__ = "regsearch_studies"

    study_uuid: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime]  # UTC, as all times here
    spec: Mapped[str] = mapped_column(Text)  # resolved, JSON; sampler, pruner and budget are the latest run's
    spec_fingerprint: Mapped[str]
    source: Mapped[str]  # a built-in data set's name, or an .npz file's absolute path
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
    search: Mapped[str] = mapped_column(Text)  # JSON: the study's sections search and budget of this run
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
    weights_sha256: Mapped[str | None]  # of the weights that were kept; none are kept yet


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
