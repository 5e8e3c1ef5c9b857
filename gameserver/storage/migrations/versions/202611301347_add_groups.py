"""Add groups."""

import sqlalchemy as sa
from alembic import op

from gameserver.storage.tables import Json

revision = "202611301347"
down_revision = "202611301300"
oldest = "202611301300"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "group_members",
        sa.Column("group_id", sa.String(length=36), nullable=False),
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("seat", sa.String(length=16), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("attributes", Json(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("group_id", "profile_id", name=op.f("pk_group_members")),
    )
    with op.batch_alter_table("group_members", schema=None) as batch_op:
        batch_op.create_index(
            "group_members_by_player", ["profile_id", "seat", "since_ms", "group_id"], unique=False
        )
        batch_op.create_index(
            "group_members_owner",
            ["group_id"],
            unique=True,
            sqlite_where=sa.text("role = 'OWNER'"),
            postgresql_where=sa.text("role = 'OWNER'"),
        )

    op.create_table(
        "social_groups",
        sa.Column("group_id", sa.String(length=36), nullable=False),
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("owner_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("group_type", sa.String(length=64), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("acl_member", sa.SmallInteger(), nullable=False),
        sa.Column("acl_other", sa.SmallInteger(), nullable=False),
        sa.Column("data", Json(), nullable=False),
        sa.Column("indexed_id", sa.Text(), nullable=True),
        sa.Column("summary_data", Json(), nullable=False),
        sa.Column("default_attributes", Json(), nullable=False),
        sa.Column("member_count", sa.Integer(), nullable=False),
        sa.Column("invited_count", sa.Integer(), nullable=False),
        sa.Column("requested_count", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("group_id", name=op.f("pk_social_groups")),
    )
    with op.batch_alter_table("social_groups", schema=None) as batch_op:
        batch_op.create_index("social_groups_by_age", ["app_id", "created_ms", "group_id"], unique=False)
        batch_op.create_index("social_groups_by_chance", ["app_id", "group_id"], unique=False)
        batch_op.create_index(
            "social_groups_by_indexed_id", ["app_id", "indexed_id", "created_ms", "group_id"], unique=False
        )
        batch_op.create_index(
            "social_groups_by_type", ["app_id", "group_type", "created_ms", "group_id"], unique=False
        )
        batch_op.create_index(
            "social_groups_to_join",
            ["app_id", "group_type", "member_count", "created_ms"],
            unique=False,
            sqlite_where=sa.text("is_open IS 1"),
            postgresql_where=sa.text("is_open IS true"),
        )
    if op.get_bind().dialect.name == "postgresql":  # what clauses search
        for column in ("data", "summary_data"):
            op.execute(
                f"ALTER TABLE social_groups ADD COLUMN {column}_json JSONB"
                f" GENERATED ALWAYS AS ({column}::jsonb) STORED"
            )
