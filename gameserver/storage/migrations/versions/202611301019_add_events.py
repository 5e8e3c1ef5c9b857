"""Add events."""

import sqlalchemy as sa
from alembic import op

from gameserver.storage.tables import Json

revision = "202611301019"
down_revision = "202611301006"
oldest = "202611301006"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "player_events",
        sa.Column("owner_id", sa.String(length=36), nullable=False),
        sa.Column("ev_id", sa.String(length=24), nullable=False),
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("from_id", sa.String(length=36), nullable=False),
        sa.Column("event_type", sa.String(length=256), nullable=False),
        sa.Column("data", Json(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("is_told", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("owner_id", "ev_id", name=op.f("pk_player_events")),
    )
    with op.batch_alter_table("player_events", schema=None) as batch_op:
        batch_op.create_index("player_events_by_age", ["app_id", "created_ms"], unique=False)
        batch_op.create_index("player_events_by_sender", ["from_id", "ev_id"], unique=False)
