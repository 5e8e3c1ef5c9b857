"""Leaderboards with their scores, and the statistics that all players share, in lines."""

from typing import Any

from sqlalchemy import BigInteger, Text, bindparam, desc, select, tuple_

from gameserver.admin.moving import lines
from gameserver.admin.moving.documents import text_of
from gameserver.admin.moving.kinds import APP, MOST, Found, Kind, NotTaken, Page, Taking, after, span
from gameserver.domain.leaderboards import (
    RECURRING,
    BoardConfig,
    EntryType,
    Leaderboards,
    Rotation,
    Stale,
)
from gameserver.domain.leaderboards.boards import boards, check_config, entries, read_board
from gameserver.domain.progress.statistics import global_statistics, read_global
from gameserver.domain.social.groups import IS_GROUP, social_groups
from gameserver.rpc import Context
from gameserver.storage import Aborted, Row, Transaction, insert_row
from gameserver.wire import json


async def tell_statistics(page: Page, tx: Transaction, _: list[Any] | None) -> Found:
    """Tell the statistics that all players share."""
    found = await read_global(tx, page.app.id)
    return ([{"statistics": found}] if found else []), None


async def take_statistics(taking: Taking, ctx: Context, line: lines.GlobalStatistics) -> bool:
    """Take values of statistics that have none."""
    added = [
        await ctx.tx.unless_taken(ADD_STATISTIC, app_id=taking.app.id, name=name, value=value, cut=0)
        for name, value in sorted(line.statistics.items())
    ]
    return any(added)


async def tell_boards(page: Page, tx: Transaction, after: list[Any] | None) -> Found:
    """Tell leaderboards."""
    rows = await page.rows(tx, BOARDS, after or [""])
    return [_board(page, row) for row in rows if _is_told(page, row)], page.following(rows, "board_id")


def _is_told(page: Page, row: Row) -> bool:
    """What tournaments make of boards is theirs, and not told."""
    is_over = row["expires_ms"] is not None and row["expires_ms"] <= page.now_ms
    return row["div_set"] is None and not is_over and row["rotation"] != Rotation.ADHOC


def _board(page: Page, row: Row) -> dict[str, Any]:
    board = read_board(row).at(page.now_ms)[0]
    return {
        "leaderboardId": board.board_id,
        "leaderboardType": board.board_type.value,
        "entryType": board.entry_type.value,
        "rotationType": board.rotation.value,
        "numDaysToRotate": board.days,
        "resetAt": board.reset_ms,
        "retainedCount": board.retained,
        "data": None if board.data is None else json.read_stored(board.data),
    }


async def take_board(taking: Taking, ctx: Context, line: lines.Leaderboard) -> bool:
    """Make a leaderboard that is neither declared nor there."""
    if line.rotation_type is Rotation.ADHOC:
        raise NotTaken("rotationType: boards of tournaments that were scheduled one by one are not taken")
    if line.rotation_type in RECURRING and line.reset_at is None:
        raise NotTaken("resetAt: a board that rotates needs a moment to count from")
    if await taking.server.core.get(Leaderboards).boards.find(ctx, line.leaderboard_id) is not None:
        return False
    config = BoardConfig(
        entry_type=line.entry_type,
        board_type=line.leaderboard_type,
        rotation=line.rotation_type,
        days=line.num_days_to_rotate if line.rotation_type is Rotation.DAYS else 0,
        reset_ms=line.reset_at,
        retained=line.retained_count,
        data=text_of(line.data),
    )
    await taking.server.core.get(Leaderboards).boards.create(
        ctx, line.leaderboard_id, check_config(config, "data")
    )
    return True


async def tell_scores(page: Page, tx: Transaction, after: list[Any] | None) -> Found:
    """Tell scores of one board; after its last ones comes the next board."""
    board_id, *place = after or [""]
    if not place:
        rows = await tx.all(BOARDS, app=page.app.id, most=1, after0=board_id)
    else:
        rows = await tx.all(BOARD, app=page.app.id, board=board_id)
    if not rows:
        return [], None
    board = read_board(rows[0]).at(page.now_ms)[0]
    if not _is_told(page, rows[0]):
        return [], [board.board_id]
    where = {"uid": board.uid, "version": board.version, "most": page.most}
    if place:
        where |= {f"after{number}": value for number, value in enumerate(place)}
    scores = await tx.all(SCORES if place else LAST_SCORES, **where)
    found = []
    for row in scores:
        line = {
            "leaderboardId": board.board_id,
            "groupId" if board.entry_type is EntryType.GROUP else "profileId": row["member_id"],
            "score": board.key(row["rank_key"]),
            "data": None if row["data"] is None else json.read_stored(row["data"]),
            "createdAt": row["created_ms"],
            "updatedAt": row["updated_ms"],
        }
        if board.board_type.is_arcade:
            line["entryId"] = row["entry_id"].removeprefix(f"{row['member_id']}:")
        found.append(line)
    following = page.following(scores, "rank_key", "seq", "entry_id")
    return found, [board.board_id, *(following or [])]


async def take_score(taking: Taking, ctx: Context, line: lines.Score) -> bool:
    """Put a score where it has been on its board."""
    leaderboards = taking.server.core.get(Leaderboards)
    board = await leaderboards.boards.find(ctx, line.leaderboard_id)
    member = await _whose(taking, ctx, line, None if board is None else board.entry_type)
    if board is None:
        if line.leaderboard_id in taking.promised:
            return True
        raise NotTaken(f"there is no leaderboard {line.leaderboard_id!r}; its line comes before this")
    if not board.uid:
        board = await leaderboards.boards.store(ctx, line.leaderboard_id)
    try:
        board = await leaderboards.boards.rotate(ctx.tx, board, ctx.now_ms)
    except Stale:
        raise Aborted("the board has just changed") from None
    place = member
    if board.board_type.is_arcade:
        if line.entry_id is None:
            raise NotTaken("entryId: players have many scores on this leaderboard; say which one it is")
        place = f"{member}:{line.entry_id}"
    created, updated = span(ctx, line.created_at, line.updated_at)
    return await leaderboards.place(
        ctx,
        board,
        member,
        place,
        line.score,
        text_of(line.data),
        created_ms=created,
        updated_ms=updated,
    )


async def _whose(taking: Taking, ctx: Context, line: lines.Score, wanted: EntryType | None) -> str:
    """Return the id of the player or group who has a score on a board of such entries."""
    if line.profile_id is not None and line.group_id is None:
        if wanted is EntryType.GROUP:
            raise NotTaken("groupId: on this leaderboard groups have scores")
        taking.must_be_here(line.profile_id)
        return line.profile_id
    if line.group_id is None or line.profile_id is not None:
        raise NotTaken("profileId: a score is of a player or of a group (groupId)")
    if wanted is EntryType.PLAYER:
        raise NotTaken("profileId: on this leaderboard players have scores")
    # The group stays until the commit, or its score would outlive it.
    row = await ctx.tx.one(HOLD_GROUP, app=taking.app.id, group=line.group_id)
    if row is None and line.group_id not in taking.promised:
        raise NotTaken(f"app {taking.app.id} has no group {line.group_id}; its line comes before this")
    return line.group_id


# Storage

BOARDS = (
    select(boards)
    .where(boards.c.app_id == APP, boards.c.board_id > bindparam("after0", type_=Text()))
    .order_by(boards.c.board_id)
    .limit(MOST)
)
BOARD = select(boards).where(boards.c.app_id == APP, boards.c.board_id == bindparam("board"))
_s = entries.c
_PLACE = (_s.rank_key, _s.seq, _s.entry_id)
_OF_BOARD = select(entries).where(_s.board_uid == bindparam("uid"), _s.version == bindparam("version"))
# The last one first: who takes them in this order has equal scores in the same order again.
LAST_SCORES = _OF_BOARD.order_by(*map(desc, _PLACE)).limit(MOST)
SCORES = LAST_SCORES.where(tuple_(*_PLACE) < after(BigInteger(), BigInteger(), Text()))
HOLD_GROUP = select(social_groups.c.group_id).where(IS_GROUP).with_for_update(read=True, key_share=True)
ADD_STATISTIC = insert_row(global_statistics)

GLOBAL_STATISTICS = Kind("globalStatistics", lines.GlobalStatistics, (), tell_statistics, take_statistics)
LEADERBOARD = Kind("leaderboard", lines.Leaderboard, ((str,),), tell_boards, take_board)
SCORE = Kind("score", lines.Score, ((str,), (str, int, int, str)), tell_scores, take_score)
