"""Add the log of apps."""

import sqlalchemy as sa
from alembic import op

from gameserver.storage.tables import Json

revision = "202611301001"
down_revision = "202611300653"
oldest = "202611300653"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "app_log_lines",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=28), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("level", sa.String(length=8), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("context", Json(), nullable=True),
        sa.Column("face", sa.String(length=32), nullable=False),
        sa.Column("source", sa.String(length=256), nullable=False),
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "id", name=op.f("pk_app_log_lines")),
    )
    with op.batch_alter_table("app_log_lines", schema=None) as batch_op:
        batch_op.create_index("app_log_lines_by_profile", ["app_id", "profile_id", "id"], unique=False)
