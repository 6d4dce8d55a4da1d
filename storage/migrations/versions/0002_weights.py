"""A trial's row can name its weights: the SHA-256 of what was kept of them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Go from the revision before to this one."""
    op.add_column("regsearch_trials", sa.Column("weights_sha256", sa.String))
