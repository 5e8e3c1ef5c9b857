"""Among equal scores the newest stands first: the numbers of changes count down."""

import msgspec
import sqlalchemy as sa
from alembic import op

from gameserver.storage.tables import Jsonb as Json

revision = "0005"
down_revision = "0004"

_TOP = 2**63 - 1


def upgrade() -> None:
    """Turn the numbers around."""
    for table in ("leaderboard_entries", "leaderboard_removals", "leaderboard_chores"):
        seq = sa.table(table, sa.column("seq", sa.BigInteger))
        op.execute(sa.update(seq).values(seq=sa.literal(_TOP, sa.BigInteger) - seq.c.seq))
    # Not the index that upkeep knew: every list is built again.
    chores = sa.table("leaderboard_chores", sa.column("identity", sa.Text))
    op.execute(sa.update(chores).where(chores.c.identity != "").values(identity="before 0005"))
    _begin_equal_scores_again()


def _begin_equal_scores_again() -> None:
    """Of a tournament that is being ranked, let all equal to the last score be looked at once more.

    Who has a result already is passed over.
    """
    closings = sa.table(
        "tournament_closings",
        sa.column("board_uid", sa.String),
        sa.column("version", sa.Integer),
        sa.column("reached", Json),
    )
    connection = op.get_bind()
    found = sa.select(closings.c.board_uid, closings.c.version, sa.cast(closings.c.reached, sa.Text))
    for uid, version, reached in connection.execute(found).all():
        state = msgspec.json.decode(reached)
        state["place"] = [state["place"][0], 0, ""]
        this = sa.and_(closings.c.board_uid == uid, closings.c.version == version)
        text = msgspec.json.encode(state).decode()
        connection.execute(sa.update(closings).where(this).values(reached=text))
