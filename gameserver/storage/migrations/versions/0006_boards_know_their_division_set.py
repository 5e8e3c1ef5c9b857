"""Boards know the division set that they are instances of."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column, and say it of instances that exist."""
    with op.batch_alter_table("leaderboards", schema=None) as batch_op:
        batch_op.add_column(sa.Column("div_set", sa.Text(), nullable=True))
    boards = sa.table("leaderboards", *map(sa.column, ("uid", "app_id", "board_id", "div_set")))
    instances = sa.table(
        "tournament_division_instances", *map(sa.column, ("app_id", "board_id", "board_uid", "div_set_id"))
    )
    its_set = (
        sa.select(instances.c.div_set_id)
        .where(
            instances.c.app_id == boards.c.app_id,
            instances.c.board_id == boards.c.board_id,
            instances.c.board_uid == boards.c.uid,
        )
        .limit(1)
    )
    op.execute(sa.update(boards).values(div_set=its_set.scalar_subquery()))
