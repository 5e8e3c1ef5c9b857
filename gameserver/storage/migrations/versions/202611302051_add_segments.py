"""Add segments."""

import sqlalchemy as sa
from alembic import op

from gameserver.storage.tables import Json

revision = "202611302051"
down_revision = "202611302046"
oldest = "202611301759"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "segment_clients",
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("platform", sa.String(length=128), nullable=False),
        sa.Column("version", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", name=op.f("pk_segment_clients")),
    )
    op.create_table(
        "segment_members",
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("segment_id", sa.Integer(), nullable=False),
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("definition", sa.String(length=32), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", "segment_id", name=op.f("pk_segment_members")),
    )
    with op.batch_alter_table("segment_members", schema=None) as batch_op:
        batch_op.create_index(
            "segment_members_by_segment", ["app_id", "definition", "profile_id"], unique=False
        )

    op.create_table(
        "segment_refreshes",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=16), nullable=False),
        sa.Column("last_profile_id", sa.String(length=36), nullable=False),
        sa.Column("players", sa.BigInteger(), nullable=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=False),
        sa.Column("whole_digest", sa.String(length=16), nullable=False),
        sa.Column("whole_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", name=op.f("pk_segment_refreshes")),
    )
    op.create_table(
        "segments",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("segment_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("testers_only", sa.Boolean(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "segment_id", name=op.f("pk_segments")),
    )
    with op.batch_alter_table("pushes", schema=None) as batch_op:
        batch_op.add_column(sa.Column("targets", Json(), nullable=True))
