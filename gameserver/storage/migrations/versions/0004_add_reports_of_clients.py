"""Add reports of clients."""

import sqlalchemy as sa
from alembic import op

from gameserver.storage.tables import Jsonb as Json

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "data_stream_counts",
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("sort", sa.String(length=8), nullable=False),
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("reports", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", "sort", name=op.f("pk_data_stream_counts")),
    )
    op.create_table(
        "data_stream_reports",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("platform", sa.String(length=128), nullable=False),
        sa.Column("game_version", sa.String(length=128), nullable=False),
        sa.Column("data", Json(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "id", name=op.f("pk_data_stream_reports")),
    )
    with op.batch_alter_table("data_stream_reports", schema=None) as batch_op:
        batch_op.create_index("data_stream_reports_by_kind", ["app_id", "kind", "id"], unique=False)
        batch_op.create_index("data_stream_reports_by_profile", ["app_id", "profile_id", "id"], unique=False)
