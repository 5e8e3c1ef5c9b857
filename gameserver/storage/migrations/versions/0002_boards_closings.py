"""Note the tournaments whose results are being made."""

import sqlalchemy as sa
from alembic import op

from gameserver.storage.tables import Jsonb as Json

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "tournament_closings",
        sa.Column("board_uid", sa.String(length=36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("app_id", sa.String(length=64), nullable=False),
        sa.Column("board_id", sa.Text(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=False),
        sa.Column("sign", sa.Integer(), nullable=False),
        sa.Column("pays", sa.Boolean(), nullable=False),
        sa.Column("reached", Json(), nullable=False),
        sa.PrimaryKeyConstraint("board_uid", "version", name="pk_tournament_closings"),
    )
