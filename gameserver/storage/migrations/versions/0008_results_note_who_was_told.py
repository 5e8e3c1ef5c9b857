"""Results note when their player was told."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Take the step."""
    with op.batch_alter_table("tournament_results", schema=None) as batch_op:
        batch_op.add_column(sa.Column("notified_ms", sa.BigInteger(), nullable=True))
