"""Add outgoing webhooks."""

import sqlalchemy as sa
from alembic import op

from gameserver.storage.tables import Json

revision = "202611301431"
down_revision = "202611301409"
# The oldest step whose servers can work with these tables, beside those of this one. A step that only adds
# tables and indexes, or columns with a default, lets those of the step before go on: "202611301300".
oldest = "202611301300"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "webhook_deliveries",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=93), nullable=False),
        sa.Column("target", sa.String(length=64), nullable=False),
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("data", Json(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("tried_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "id", name=op.f("pk_webhook_deliveries")),
    )
    with op.batch_alter_table("webhook_deliveries", schema=None) as batch_op:
        batch_op.create_index("webhook_deliveries_by_profile", ["app_id", "profile_id", "id"], unique=False)
        batch_op.create_index(
            "webhook_deliveries_open",
            ["app_id", "target", "state"],
            unique=False,
            sqlite_where=sa.text("state <> 'delivered'"),
            postgresql_where=sa.text("state <> 'delivered'"),
        )

    op.create_table(
        "webhook_targets",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("failing_since_ms", sa.BigInteger(), nullable=True),
        sa.Column("disabled_ms", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "name", name=op.f("pk_webhook_targets")),
    )
