"""Add lanes of jobs."""

import sqlalchemy as sa
from alembic import op

revision = "202611301300"
down_revision = "202611301109"
oldest = "202611301109"


def upgrade() -> None:
    """Take the step."""
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("lane", sa.String(length=160), server_default=sa.text("''"), nullable=False)
        )
        batch_op.drop_index(batch_op.f("jobs_by_ready"))
        batch_op.create_index("jobs_by_ready", ["name", "ready_ms", "lane"], unique=False)
