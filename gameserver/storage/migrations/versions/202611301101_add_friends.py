"""Add friends."""

import sqlalchemy as sa
from alembic import op

revision = "202611301101"
down_revision = "202611301035"
oldest = "202611301035"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "blocks",
        sa.Column("owner_id", sa.String(length=36), nullable=False),
        sa.Column("blocked_id", sa.String(length=36), nullable=False),
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner_id", "blocked_id", name=op.f("pk_blocks")),
    )
    with op.batch_alter_table("blocks", schema=None) as batch_op:
        batch_op.create_index("blocks_by_blocked", ["blocked_id"], unique=False)

    op.create_table(
        "friendships",
        sa.Column("owner_id", sa.String(length=36), nullable=False),
        sa.Column("friend_id", sa.String(length=36), nullable=False),
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("ways", sa.SmallInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner_id", "friend_id", name=op.f("pk_friendships")),
    )
    with op.batch_alter_table("friendships", schema=None) as batch_op:
        batch_op.create_index("friendships_by_age", ["owner_id", "created_ms", "friend_id"], unique=False)
        batch_op.create_index("friendships_by_friend", ["friend_id"], unique=False)

    op.drop_index("players_by_name", "players")  # another one takes its place, and finds beginnings, too
