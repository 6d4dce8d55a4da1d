"""Create the first tables: studies, runs, trials and epochs."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables in a database that has none of regsearch."""
    op.create_table(
        "regsearch_studies",
        sa.Column("study_uuid", sa.String, primary_key=True),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("spec_fingerprint", sa.String, nullable=False),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("dataset", sa.String, nullable=False),
        sa.Column("dataset_sha256", sa.String, nullable=False),
        sa.Column("n_train", sa.Integer, nullable=False),
        sa.Column("n_test", sa.Integer, nullable=False),
        sa.Column("versions", sa.Text, nullable=False),
    )
    op.create_table(
        "regsearch_runs",
        sa.Column("run_id", sa.Integer, primary_key=True),
        sa.Column("study_uuid", sa.String, nullable=False),
        sa.Column("host", sa.String, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("engine", sa.String, nullable=False),
        sa.Column("workers", sa.Integer, nullable=False),
        sa.Column("search", sa.Text, nullable=False),
        sa.Column("sampler", sa.String, nullable=False),
        sa.Column("pruner", sa.String, nullable=False),
        sa.Column("versions", sa.Text, nullable=False),
        sa.Column("started_at", sa.DateTime, nullable=False),
        sa.Column("stop_requested_at", sa.DateTime),
        sa.Column("ended_at", sa.DateTime),
        sa.Column("outcome", sa.String),
        sa.ForeignKeyConstraint(["study_uuid"], ["regsearch_studies.study_uuid"], ondelete="CASCADE"),
    )
    op.create_index("ix_regsearch_runs_study_uuid", "regsearch_runs", ["study_uuid"])
    op.create_table(
        "regsearch_trials",
        sa.Column("study_uuid", sa.String, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("best_epoch", sa.Integer),
        sa.Column("epochs", sa.Integer),
        sa.Column("select_cross_entropy", sa.Double),
        sa.Column("select_accuracy", sa.Double),
        sa.Column("train_cross_entropy", sa.Double),
        sa.Column("train_accuracy", sa.Double),
        sa.Column("near_zero_share", sa.Double),
        sa.Column("seconds", sa.Double),
        sa.ForeignKeyConstraint(["study_uuid"], ["regsearch_studies.study_uuid"], ondelete="CASCADE"),
    )
    op.create_table(
        "regsearch_epochs",
        sa.Column("study_uuid", sa.String, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("train_loss", sa.Double, nullable=False),
        sa.Column("stop_loss", sa.Double, nullable=False),
        sa.Column("stop_cross_entropy", sa.Double, nullable=False),
        sa.Column("stop_accuracy", sa.Double, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.ForeignKeyConstraint(
            ["study_uuid", "number"],
            ["regsearch_trials.study_uuid", "regsearch_trials.number"],
            ondelete="CASCADE",
        ),
    )
