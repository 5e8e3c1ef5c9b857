"""Add chat."""

import sqlalchemy as sa
from alembic import op

from gameserver.storage.tables import Json

revision = "202611301450"
down_revision = "202611301431"
oldest = "202611301300"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "chat_channels",
        sa.Column("channel_id", sa.String(length=160), nullable=False),
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("first_number", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("channel_id", name=op.f("pk_chat_channels")),
    )
    with op.batch_alter_table("chat_channels", schema=None) as batch_op:
        batch_op.create_index("chat_channels_by_use", ["app_id", "kind", "used_ms"], unique=False)

    op.create_table(
        "chat_messages",
        sa.Column("channel_id", sa.String(length=160), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("from_id", sa.String(length=36), nullable=False),
        sa.Column("from_name", sa.Text(), nullable=True),
        sa.Column("from_pic", sa.Text(), nullable=True),
        sa.Column("content", Json(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["channel_id"],
            ["chat_channels.channel_id"],
            name=op.f("fk_chat_messages_channel_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("channel_id", "number", name=op.f("pk_chat_messages")),
    )
    with op.batch_alter_table("chat_messages", schema=None) as batch_op:
        batch_op.create_index("chat_messages_by_age", ["app_id", "created_ms"], unique=False)
        batch_op.create_index("chat_messages_by_sender", ["from_id"], unique=False)
