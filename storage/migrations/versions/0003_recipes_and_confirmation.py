"""Add the recipe of a trial, and tables for finalists, their trainings on fresh seeds and their test evaluations."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_CONFIRMATION = ["study_uuid", "finalist", "seed"]


def upgrade() -> None:
    """Upgrade the tables from the revision before this one."""
    op.add_column("regsearch_trials", sa.Column("recipe", sa.String))
    op.create_table(
        "regsearch_finalists",
        sa.Column("study_uuid", sa.String, primary_key=True),
        sa.Column("finalist", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("look", sa.Integer, nullable=False),
        sa.Column("trial", sa.Integer),
        sa.Column("params", sa.Text, nullable=False),
        sa.Column("roles", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["study_uuid"], ["regsearch_studies.study_uuid"], ondelete="CASCADE"),
    )
    op.create_table(
        "regsearch_confirmations",
        *_key(),
        sa.Column("look", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("best_epoch", sa.Integer),
        sa.Column("epochs", sa.Integer),
        sa.Column("select_cross_entropy", sa.Double),
        sa.Column("select_accuracy", sa.Double),
        sa.Column("train_cross_entropy", sa.Double),
        sa.Column("train_accuracy", sa.Double),
        sa.Column("near_zero_share", sa.Double),
        sa.Column("seconds", sa.Double),
        sa.Column("weights_sha256", sa.String),
        sa.Column("select_rows", sa.LargeBinary),
        sa.ForeignKeyConstraint(
            ["study_uuid", "finalist"],
            ["regsearch_finalists.study_uuid", "regsearch_finalists.finalist"],
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "regsearch_confirmation_epochs",
        *_key(),
        sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("train_loss", sa.Double, nullable=False),
        sa.Column("stop_loss", sa.Double, nullable=False),
        sa.Column("stop_cross_entropy", sa.Double, nullable=False),
        sa.Column("stop_accuracy", sa.Double, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        _belongs_to_a_confirmation(),
    )
    op.create_table(
        "regsearch_test_looks",
        *_key(),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("began_at", sa.DateTime, nullable=False),
        sa.Column("ended_at", sa.DateTime),
        sa.Column("cross_entropy", sa.Double),
        sa.Column("accuracy", sa.Double),
        sa.Column("test_rows", sa.LargeBinary),
        _belongs_to_a_confirmation(),
    )


def _key() -> list[sa.Column[object]]:
    return [
        sa.Column("study_uuid", sa.String, primary_key=True),
        sa.Column("finalist", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("seed", sa.Integer, primary_key=True, autoincrement=False),
    ]


def _belongs_to_a_confirmation() -> sa.ForeignKeyConstraint:
    theirs = [f"regsearch_confirmations.{column}" for column in _CONFIRMATION]
    return sa.ForeignKeyConstraint(_CONFIRMATION, theirs, ondelete="CASCADE")
