"""Add hours of what the server counted."""

import sqlalchemy as sa
from alembic import op

revision = "202612010045"
down_revision = "202611302117"
# The oldest step whose servers can work with these tables, beside those of this one. A step that only adds
# tables and indexes, or columns with a default, lets those of the step before go on: "202611302117".
oldest = "202611301759"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "app_hours",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("hour_ms", sa.BigInteger(), nullable=False),
        sa.Column("logins", sa.BigInteger(), nullable=False),
        sa.Column("refusals", sa.BigInteger(), nullable=False),
        sa.Column("online", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "hour_ms", name=op.f("pk_app_hours")),
    )
    with op.batch_alter_table("app_hours", schema=None) as batch_op:
        batch_op.create_index("app_hours_by_time", ["hour_ms"], unique=False)

    op.create_table(
        "server_hours",
        sa.Column("hour_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.Column("sockets", sa.BigInteger(), nullable=False),
        sa.Column("job_late_ms", sa.BigInteger(), nullable=False),
        sa.Column("packets", sa.BigInteger(), nullable=False),
        sa.Column("packets_failed", sa.BigInteger(), nullable=False),
        sa.Column("messages", sa.BigInteger(), nullable=False),
        sa.Column("messages_refused", sa.BigInteger(), nullable=False),
        sa.Column("messages_failed", sa.BigInteger(), nullable=False),
        sa.Column("bucket_0", sa.BigInteger(), nullable=False),
        sa.Column("bucket_1", sa.BigInteger(), nullable=False),
        sa.Column("bucket_2", sa.BigInteger(), nullable=False),
        sa.Column("bucket_3", sa.BigInteger(), nullable=False),
        sa.Column("bucket_4", sa.BigInteger(), nullable=False),
        sa.Column("bucket_5", sa.BigInteger(), nullable=False),
        sa.Column("bucket_6", sa.BigInteger(), nullable=False),
        sa.Column("bucket_7", sa.BigInteger(), nullable=False),
        sa.Column("bucket_8", sa.BigInteger(), nullable=False),
        sa.Column("bucket_9", sa.BigInteger(), nullable=False),
        sa.Column("bucket_10", sa.BigInteger(), nullable=False),
        sa.Column("bucket_11", sa.BigInteger(), nullable=False),
        sa.Column("bucket_12", sa.BigInteger(), nullable=False),
        sa.Column("bucket_13", sa.BigInteger(), nullable=False),
        sa.Column("bucket_14", sa.BigInteger(), nullable=False),
        sa.Column("bucket_15", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour_ms", name=op.f("pk_server_hours")),
    )
