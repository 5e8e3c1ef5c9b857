"""Add what the server counted."""

import sqlalchemy as sa
from alembic import op

revision = "202611301824"
down_revision = "202611301759"
oldest = "202611301759"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "app_minutes",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("minute_ms", sa.BigInteger(), nullable=False),
        sa.Column("process", sa.String(length=64), nullable=False),
        sa.Column("logins", sa.BigInteger(), nullable=False),
        sa.Column("refusals", sa.BigInteger(), nullable=False),
        sa.Column("online", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "minute_ms", "process", name=op.f("pk_app_minutes")),
    )
    with op.batch_alter_table("app_minutes", schema=None) as batch_op:
        batch_op.create_index("app_minutes_by_time", ["minute_ms"], unique=False)

    op.create_table(
        "server_minutes",
        sa.Column("minute_ms", sa.BigInteger(), nullable=False),
        sa.Column("process", sa.String(length=64), nullable=False),
        sa.Column("version", sa.String(length=32), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("sockets", sa.Integer(), nullable=False),
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
        sa.PrimaryKeyConstraint("minute_ms", "process", name=op.f("pk_server_minutes")),
    )
