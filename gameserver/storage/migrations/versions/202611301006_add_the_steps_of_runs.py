"""Add the steps of runs."""

import sqlalchemy as sa
from alembic import op

revision = "202611301006"
down_revision = "202611301001"
oldest = "202611300653"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "run_steps",
        sa.Column("run", sa.String(length=200), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("calls", sa.LargeBinary(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run", "number", name=op.f("pk_run_steps")),
    )
    with op.batch_alter_table("run_steps", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_run_steps_expires_ms"), ["expires_ms"], unique=False)
