"""Add a table for the rounds of a race, and columns for the metrics that a HyperModel defines."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Upgrade the tables from the revision before this one."""
    op.create_table(
        "regsearch_rounds",
        sa.Column("study_uuid", sa.String, primary_key=True),
        sa.Column("round", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("look", sa.Integer, nullable=False),
        sa.Column("seeds", sa.Integer, nullable=False),
        sa.Column("most_seeds", sa.Integer, nullable=False),
        sa.Column("ended_at", sa.DateTime, nullable=False),
        sa.Column("is_over", sa.Boolean, nullable=False),
        sa.Column("drops", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["study_uuid"], ["regsearch_studies.study_uuid"], ondelete="CASCADE"),
    )
    op.add_column("regsearch_confirmations", sa.Column("objective", sa.Double))
    op.add_column("regsearch_test_looks", sa.Column("objective", sa.Double))
