"""Add the SHA-256 of a trial's file of weights to its row."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Upgrade the tables from the revision before this one."""
    op.add_column("regsearch_trials", sa.Column("weights_sha256", sa.String))
