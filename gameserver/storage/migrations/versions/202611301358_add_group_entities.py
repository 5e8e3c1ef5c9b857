"""Add group entities."""

import sqlalchemy as sa
from alembic import op

from gameserver.storage.tables import Json

revision = "202611301358"
down_revision = "202611301347"
oldest = "202611301300"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "group_entities",
        sa.Column("group_id", sa.String(length=36), nullable=False),
        sa.Column("entity_id", sa.String(length=36), nullable=False),
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("owner_id", sa.String(length=36), nullable=True),
        sa.Column("entity_type", sa.Text(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("acl_member", sa.SmallInteger(), nullable=False),
        sa.Column("acl_other", sa.SmallInteger(), nullable=False),
        sa.Column("data", Json(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("group_id", "entity_id", name=op.f("pk_group_entities")),
    )
    with op.batch_alter_table("group_entities", schema=None) as batch_op:
        batch_op.create_index("group_entities_by_age", ["group_id", "created_ms", "entity_id"], unique=False)
        batch_op.create_index(
            "group_entities_by_owner", ["owner_id", "created_ms", "entity_id"], unique=False
        )
        batch_op.create_index(
            "group_entities_by_type", ["group_id", "entity_type", "created_ms", "entity_id"], unique=False
        )
    if op.get_bind().dialect.name == "postgresql":  # what clauses search
        op.execute(
            "ALTER TABLE group_entities ADD COLUMN data_json JSONB GENERATED ALWAYS AS (data::jsonb) STORED"
        )
