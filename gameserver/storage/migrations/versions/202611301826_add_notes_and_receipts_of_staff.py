"""Add notes and receipts of staff."""

import sqlalchemy as sa
from alembic import op

revision = "202611301826"
down_revision = "202611301824"
oldest = "202611301759"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "staff_notes",
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("note_id", sa.String(length=28), nullable=False),
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("staff", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("is_pinned", sa.Boolean(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", "note_id", name=op.f("pk_staff_notes")),
    )
    op.create_table(
        "staff_receipts",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("receipt", sa.String(length=200), nullable=False),
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("currency", sa.String(length=64), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("staff", sa.String(length=64), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "receipt", name=op.f("pk_staff_receipts")),
    )
    with op.batch_alter_table("staff_receipts", schema=None) as batch_op:
        batch_op.create_index("staff_receipts_by_profile", ["profile_id"], unique=False)
