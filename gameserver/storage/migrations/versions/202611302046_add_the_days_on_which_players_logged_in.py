"""Add the days on which players logged in."""

import sqlalchemy as sa
from alembic import op

revision = "202611302046"
down_revision = "202611301826"
oldest = "202611301759"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "app_days",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("day_ms", sa.BigInteger(), nullable=False),
        sa.Column("new_players", sa.Integer(), nullable=True),
        sa.Column("active", sa.Integer(), nullable=True),
        sa.Column("active_month", sa.Integer(), nullable=True),
        sa.Column("of_1", sa.Integer(), nullable=True),
        sa.Column("back_1", sa.Integer(), nullable=True),
        sa.Column("of_7", sa.Integer(), nullable=True),
        sa.Column("back_7", sa.Integer(), nullable=True),
        sa.Column("of_30", sa.Integer(), nullable=True),
        sa.Column("back_30", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("app_id", "day_ms", name=op.f("pk_app_days")),
    )
    with op.batch_alter_table("players", schema=None) as batch_op:
        batch_op.add_column(sa.Column("active_day", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("active_days", sa.BigInteger(), nullable=True))
