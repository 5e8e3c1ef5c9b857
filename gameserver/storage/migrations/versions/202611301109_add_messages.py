"""Add messages."""

import sqlalchemy as sa
from alembic import op

from gameserver.storage.tables import Json

revision = "202611301109"
down_revision = "202611301101"
oldest = "202611301101"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "message_boxes",
        sa.Column("owner_id", sa.String(length=36), nullable=False),
        sa.Column("entry_id", sa.String(length=48), nullable=False),
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("msg_id", sa.String(length=36), nullable=False),
        sa.Column("msgbox", sa.String(length=8), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("is_read", sa.Boolean(), nullable=False),
        sa.Column("is_deleted", sa.Boolean(), nullable=False),
        sa.Column("is_first", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("owner_id", "entry_id", name=op.f("pk_message_boxes")),
    )
    with op.batch_alter_table("message_boxes", schema=None) as batch_op:
        batch_op.create_index(
            "message_boxes_by_age", ["owner_id", "msgbox", "created_ms", "entry_id"], unique=False
        )
        batch_op.create_index("message_boxes_by_message", ["msg_id"], unique=False)
        batch_op.create_index("message_boxes_of_app", ["app_id", "created_ms"], unique=False)

    op.create_table(
        "messages",
        sa.Column("msg_id", sa.String(length=36), nullable=False),
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("from_id", sa.String(length=36), nullable=False),
        sa.Column("message", Json(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("msg_id", name=op.f("pk_messages")),
    )
    with op.batch_alter_table("messages", schema=None) as batch_op:
        batch_op.create_index("messages_by_age", ["app_id", "created_ms"], unique=False)
        batch_op.create_index("messages_by_sender", ["from_id"], unique=False)
    if op.get_bind().dialect.name == "postgresql":  # what clauses search
        op.execute(
            "ALTER TABLE messages ADD COLUMN message_json JSONB GENERATED ALWAYS AS (message::jsonb) STORED"
        )
