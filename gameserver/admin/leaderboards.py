"""What staff do with leaderboards."""

from typing import Any

from sqlalchemy import bindparam, select

from gameserver.admin.common import Refused, Server, app_of
from gameserver.admin.declaring import action
from gameserver.admin.operators import CLI, Operator, note
from gameserver.admin.rights import Right
from gameserver.domain.leaderboards import Leaderboards
from gameserver.domain.leaderboards.boards import boards as leaderboards

LEADERBOARD_IDS = (
    select(leaderboards.c.board_id)
    .where(leaderboards.c.app_id == bindparam("app"))
    .order_by(leaderboards.c.board_id)
)


@action(Right.DATA_READ, "GET /apps/{app}/leaderboards")
async def leaderboard_list(server: Server, app: str) -> list[str]:
    """Return the ids of all leaderboards of an app."""
    app_of(server, app)
    async with server.core.database.read() as tx:
        return [row["board_id"] for row in await tx.all(LEADERBOARD_IDS, app=app)]


@action(Right.BOARDS_CHANGE, "POST /apps/{app}/leaderboards/{board}/rebuild")
async def leaderboard_rebuild(server: Server, app: str, board: str, *, by: Operator = CLI) -> dict[str, Any]:
    """Build the ranks of a leaderboard again, from the scores in SQL."""
    app_of(server, app)
    entries = await server.core.get(Leaderboards).rebuild(app, board)
    if entries is None:
        raise Refused(f"app {app} has no leaderboard {board}")
    async with server.core.database.write() as tx:
        await note(server, tx, by, "leaderboard_rebuild", app, target=board, after={"entries": entries})
    return {"leaderboard": board, "entries": entries}
