"""Add refusals."""

import sqlalchemy as sa
from alembic import op

revision = "202611301759"
down_revision = "202611301714"
oldest = "202611301714"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "refusals",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=28), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("session", sa.String(length=64), nullable=False),
        sa.Column("face", sa.String(length=32), nullable=False),
        sa.Column("operation", sa.String(length=96), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("reason_code", sa.Integer(), nullable=False),
        sa.Column("request_id", sa.String(length=32), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "id", name=op.f("pk_refusals")),
    )
    with op.batch_alter_table("refusals", schema=None) as batch_op:
        batch_op.create_index("refusals_by_profile", ["app_id", "profile_id", "id"], unique=False)
        batch_op.create_index("refusals_by_reason", ["app_id", "reason_code", "id"], unique=False)
