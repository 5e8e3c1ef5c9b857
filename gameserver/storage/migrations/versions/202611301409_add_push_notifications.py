"""Add push notifications."""

import sqlalchemy as sa
from alembic import op

from gameserver.storage.tables import Json

revision = "202611301409"
down_revision = "202611301358"
oldest = "202611301358"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "push_deliveries",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("push_id", sa.String(length=36), nullable=False),
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("provider", sa.String(length=8), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("tries", sa.SmallInteger(), nullable=False),
        sa.Column("ready_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "push_id", "device", name=op.f("pk_push_deliveries")),
    )
    with op.batch_alter_table("push_deliveries", schema=None) as batch_op:
        batch_op.create_index("push_deliveries_by_age", ["app_id", "created_ms"], unique=False)
        batch_op.create_index(
            "push_deliveries_by_part",
            ["app_id", "push_id", "provider", "part", "state", "ready_ms"],
            unique=False,
        )
        batch_op.create_index("push_deliveries_by_player", ["profile_id"], unique=False)

    op.create_table(
        "pushes",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("push_id", sa.String(length=36), nullable=False),
        sa.Column("sender_id", sa.String(length=36), nullable=False),
        sa.Column("receiver_id", sa.String(length=36), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("content", Json(), nullable=False),
        sa.Column("reached", sa.String(length=64), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("due_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "push_id", name=op.f("pk_pushes")),
    )
    with op.batch_alter_table("pushes", schema=None) as batch_op:
        batch_op.create_index("pushes_by_age", ["app_id", "due_ms"], unique=False)
        batch_op.create_index("pushes_by_receiver", ["receiver_id"], unique=False)
        batch_op.create_index("pushes_by_sender", ["sender_id", "state"], unique=False)
