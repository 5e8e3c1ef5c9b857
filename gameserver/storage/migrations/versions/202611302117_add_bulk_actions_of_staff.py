"""Add bulk actions of staff."""

import sqlalchemy as sa
from alembic import op

from gameserver.storage.tables import Json

revision = "202611302117"
down_revision = "202611302104"
# The oldest step whose servers can work with these tables, beside those of this one. A step that only adds
# tables and indexes, or columns with a default, lets those of the step before go on: "202611302104".
oldest = "202611301759"


def upgrade() -> None:
    """Take the step."""
    op.create_table(
        "staff_bulk_parts",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("bulk_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("ids", Json(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "bulk_id", "number", name=op.f("pk_staff_bulk_parts")),
    )
    op.create_table(
        "staff_bulk_players",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("bulk_id", sa.String(length=32), nullable=False),
        sa.Column("profile_id", sa.String(length=36), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("before", Json(), nullable=True),
        sa.PrimaryKeyConstraint("app_id", "bulk_id", "profile_id", name=op.f("pk_staff_bulk_players")),
    )
    with op.batch_alter_table("staff_bulk_players", schema=None) as batch_op:
        batch_op.create_index("staff_bulk_players_by_age", ["at_ms"], unique=False)
        batch_op.create_index("staff_bulk_players_by_profile", ["profile_id"], unique=False)

    op.create_table(
        "staff_bulks",
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("staff", sa.String(length=64), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("given", Json(), nullable=False),
        sa.Column("what", Json(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("changed", sa.Integer(), nullable=False),
        sa.Column("skipped", sa.Integer(), nullable=False),
        sa.Column("refused", sa.Integer(), nullable=False),
        sa.Column("undoes", sa.String(length=32), nullable=False),
        sa.Column("undone_by", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "id", name=op.f("pk_staff_bulks")),
    )
    with op.batch_alter_table("staff_bulks", schema=None) as batch_op:
        batch_op.create_index("staff_bulks_by_age", ["at_ms"], unique=False)
