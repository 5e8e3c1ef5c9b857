"""What staff do with leaderboards: look, take a cheater's score out and put it back, build ranks again."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
from sqlalchemy import bindparam, select

from gameserver.admin.common import LIMIT_MAX, ORIGIN, Refused, Server, app_of, limit_of, reading
from gameserver.admin.declaring import Do, Rows, action, at_once, by_count
from gameserver.admin.operators import CLI, Operator, note, noted
from gameserver.admin.players import player_row
from gameserver.admin.rights import Right
from gameserver.domain.leaderboards import CURRENT, Board, EntryType, Leaderboards, RankedPages, Version
from gameserver.domain.leaderboards.boards import boards as leaderboards
from gameserver.domain.leaderboards.boards import entries, read_board
from gameserver.domain.leaderboards.periods import period_minutes
from gameserver.domain.leaderboards.store import PAGE_AFTER, declared
from gameserver.domain.leaderboards.tournaments import phase_times, read_schedule, read_settings
from gameserver.domain.social import groups
from gameserver.rpc import Context
from gameserver.storage import Row, locks
from gameserver.storage.beginnings import beginning, starts_with
from gameserver.wire.errors import GameError

STANDINGS_MAX = 50
FIRST_MAX = 1_000_000_000
_ENTRY = tuple(str(column.name) for column in entries.c)

LEADERBOARD_IDS = (
    select(leaderboards.c.board_id)
    .where(leaderboards.c.app_id == bindparam("app"))
    .order_by(leaderboards.c.board_id)
)


BY_BEGINNING = (
    select(leaderboards.c.board_id)
    .where(leaderboards.c.app_id == bindparam("app"), starts_with(leaderboards.c.board_id))
    .limit(bindparam("most"))
)


@action(Right.DATA_READ, "GET /apps/{app}/leaderboards")
async def leaderboard_list(server: Server, app: str) -> list[str]:
    """Return the ids of all leaderboards of an app."""
    app_of(server, app)
    async with server.core.database.read() as tx:
        return [row["board_id"] for row in await tx.all(LEADERBOARD_IDS, app=app)]


async def _pages_of_boards(ask: Do, _: Server, __: Mapping[str, Any]) -> AsyncIterator[Rows]:
    """Read all boards: those that nothing is stored of come with the last page, and tell no place."""
    rows = await ask(limit=LIMIT_MAX)
    yield rows
    while len(rows) == LIMIT_MAX and rows[-1]["is_stored"]:
        rows = await ask(limit=LIMIT_MAX, after=rows[-1]["board"])
        yield rows


@action(Right.DATA_READ, "GET /apps/{app}/boards", pages=_pages_of_boards)
async def board_list(server: Server, app: str, limit: int = 50, after: str = "") -> list[dict[str, Any]]:
    """Return leaderboards of an app by their ids; behind the last, those that are only declared.

    `after` is the id of the last one already seen of those that are stored.
    """
    definition, most = app_of(server, app), limit_of(limit)
    async with reading(server, definition) as ctx:
        rows = await ctx.tx.all(PAGE_AFTER, app=app, after=after, most=most)
        found = [read_board(row) for row in rows]
        if len(rows) < most:
            store = ctx.core.get(Leaderboards).boards
            made = await store.find_many(ctx, list(declared(definition)))
            found += [board for _, board in sorted(made.items()) if not board.uid]
    return [_board_shown(each.at(ctx.now_ms)[0]) for each in found]


@action(Right.DATA_READ, "GET /apps/{app}/boards/search", pages=at_once)
async def board_search(server: Server, app: str, text: str, limit: int = 20) -> list[str]:
    """Return the ids of leaderboards that begin with a text, those that are only declared included."""
    definition, most = app_of(server, app), limit_of(limit)
    if not text:
        raise Refused("say how the board's id begins")
    async with server.core.database.read() as tx:
        rows = await tx.all(BY_BEGINNING, app=app, most=most, **beginning(text))
    stored = {row["board_id"] for row in rows}
    return sorted(name for name in stored | set(declared(definition)) if name.startswith(text))[:most]


@action(Right.DATA_READ, "GET /apps/{app}/boards/{board}")
async def board_show(server: Server, app: str, board: str) -> dict[str, Any]:
    """Return a leaderboard: how it is made, the versions that can be read, the tournament that runs on it.

    `rebuilding`: how many scores are done where the process that answers builds its ranks again.
    """
    async with reading(server, app_of(server, app)) as ctx:
        store = ctx.core.get(Leaderboards).boards
        rebuilding = ctx.core.get(Leaderboards).rebuilding.get((app, board))
        stored = await _find(ctx, board)
        now, unstored = stored.at(ctx.now_ms)
        ended = {each.version: each for each in await store.ended_versions(ctx.tx, now)} if now.uid else {}
        ended |= {each.version: each for each in unstored}
        kept = [each for each in ended.values() if now.retains(each.version)]
    versions = [_version_shown(each) for each in sorted(kept, key=lambda each: -each.version)]
    running = {
        "version": now.version,
        "started_ms": now.started_ms,
        "ended_ms": None,
        "is_tournament": bool(now.t_period),
    }
    return _board_shown(now) | {
        "data": now.data,
        "rebuilding": rebuilding,
        "versions": [running, *versions],
        "tournament": _tournament(now),
        "scheduled": [
            {"starting_ms": each.starting_at, "ending_ms": each.ending_at, "tournaments": each.codes}
            for each in read_schedule(now.t_schedule)
        ],
    }


@action(
    Right.DATA_READ, "GET /apps/{app}/boards/{board}/ranks", pages=by_count("first", "entries", "version")
)
async def board_ranks(
    server: Server,
    app: str,
    board: str,
    version: int = CURRENT,
    first: int = 0,
    limit: int = 50,
    around: str = "",
) -> dict[str, Any]:
    """Return ranks of a version of a leaderboard: from an index (from 0), or around a player or group."""
    most = limit_of(limit)
    if not 0 <= first <= FIRST_MAX:
        raise Refused("the first index is 0 or more")

    async def read(found: Board) -> tuple[Board, int, RankedPages]:
        chosen = _version_of(found, version)
        boards = ctx.core.get(Leaderboards)
        if around:
            half = most // 2
            return found, chosen, await boards.around(ctx, found, chosen, around, half, half)
        return found, chosen, await boards.page(ctx, found, chosen, first, first + most - 1)

    async with reading(server, app_of(server, app)) as ctx:
        done = await ctx.core.get(Leaderboards).reading(ctx, board, read)
        if done is None:
            raise Refused(f"app {app} has no leaderboard {board[:64]}")
        found, chosen, page = done
        names: Mapping[str, groups.Group] = {}
        if found.entry_type is EntryType.GROUP:
            names = await groups.some(ctx.tx, app, [entry.row["member_id"] for entry in page.entries])
    return {
        "board": found.board_id,
        "version": chosen,
        "is_running": chosen == found.version,
        "size": page.size,
        "entries": [
            {
                "rank": place + 1,
                "member": row["member_id"],
                "name": names[row["member_id"]].name if row["member_id"] in names else row["name"],
                **_score_shown(found, row),
            }
            for place, row in page.entries
        ],
    }


@action(Right.DATA_READ, "GET /apps/{app}/players/{profile}/boards", pages=at_once)
async def player_boards(server: Server, app: str, profile: str) -> list[dict[str, Any]]:
    """Return where a player stands: each score that can be read, with its rank."""

    async def one(found: Board, version: int, entry: str) -> dict[str, Any] | None:
        async def read(board: Board) -> RankedPages:
            return await boards.index.around(ctx, board, version, entry, 0, 0, backwards=False)

        page = await boards.reading(ctx, found.board_id, read)
        if page is None or not page.entries:
            return None
        [(place, row)] = page.entries
        return {
            "board": found.board_id,
            "type": str(found.board_type),
            "version": version,
            "is_running": version == found.version,
            "is_tournament": found.t_enabled,
            "rank": place + 1,
            "size": page.size,
            **_score_shown(found, row),
        }

    async with reading(server, app_of(server, app)) as ctx:
        boards = ctx.core.get(Leaderboards)
        places = await boards.everywhere(ctx, profile, STANDINGS_MAX)
        shown = [await one(*place) for place in places if place[0].retains(place[1])]
    return sorted(
        (each for each in shown if each is not None),
        key=lambda each: (each["board"], -each["version"], each["rank"]),
    )


@action(Right.BOARDS_CHANGE, "POST /apps/{app}/boards/{board}/scores/remove")
async def score_remove(
    server: Server,
    app: str,
    board: str,
    member: str,
    version: int = CURRENT,
    entry: str = "",
    *,
    by: Operator = CLI,
) -> dict[str, Any]:
    """Remove the scores of a player or group from a version of a leaderboard; its ranks close up.

    `entry` names one of several scores that a board keeps of a player. `change` in the answer is what
    `score_restore` takes. Tournaments that have paid already stay paid.
    """

    async def work(ctx: Context) -> dict[str, Any]:
        found = (await _find(ctx, board)).at(ctx.now_ms)[0]
        chosen = _version_of(found, version)
        rows = await ctx.core.get(Leaderboards).take_out(ctx, found, chosen, member, entry)
        if not rows:
            raise Refused("there is no such score any more")
        before = {"board": board, "entries": [{name: row[name] for name in _ENTRY} for row in rows]}
        target, profile = f"{board}.{chosen}", _profile(found, member)
        change = await note(
            server, ctx.tx, by, "score_remove", app, profile=profile, target=target, before=before, whole=True
        )
        return {"board": board, "version": chosen, "removed": len(rows), "change": change}

    return await server.runner.do(work, app_of(server, app), ORIGIN)


@action(Right.BOARDS_CHANGE, "POST /apps/{app}/scores/{change}/restore")
async def score_restore(server: Server, app: str, change: str, *, by: Operator = CLI) -> dict[str, Any]:
    """Put scores back that `score_remove` has removed, exactly as they were: score, time, data and rank."""

    async def work(ctx: Context) -> dict[str, Any]:
        row = await noted(ctx.tx, app, change, "score_remove")
        if row is None or row["before"] is None:
            raise Refused("the journal has no such removal any more")
        before = msgspec.json.decode(row["before"])
        found = (await _find(ctx, before["board"])).at(ctx.now_ms)[0]
        rows = before["entries"]
        if any(each["board_uid"] != found.uid or not found.retains(each["version"]) for each in rows):
            raise Refused("the leaderboard has moved on: nobody can read that version any more")
        await _hold(ctx, found, rows[0]["member_id"])
        if not await ctx.core.get(Leaderboards).put_back(ctx, found, rows):
            raise Refused("there is a score in this place again, so nothing was put back")
        await note(
            server, ctx.tx, by, "score_restore", app,
            profile=row["profile_id"], target=row["target"], after=before,
        )  # fmt: skip
        return {"board": found.board_id, "restored": len(rows), "profile": row["profile_id"]}

    return await server.runner.do(work, app_of(server, app), ORIGIN)


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


# What actions have in common


async def _find(ctx: Context, board_id: str) -> Board:
    """Return a board as it is stored. Raises `Refused`."""
    found = await ctx.core.get(Leaderboards).boards.find(ctx, board_id, fresh=True)
    if found is None:
        raise Refused(f"app {ctx.app.id} has no leaderboard {board_id[:64]}")
    return found


def _version_of(board: Board, version: int) -> int:
    try:
        return board.find_version(version)
    except GameError as error:
        raise Refused(f"the leaderboard has had versions 1 to {board.version}") from error


async def _hold(ctx: Context, board: Board, member: str) -> None:
    """Keep a player or group until the commit, or their score would be left behind. Raises `Refused`."""
    if board.entry_type is EntryType.PLAYER:
        await locks.take(ctx.tx, [locks.player_lock(member)])
        await player_row(ctx.tx, ctx.app.id, member)
        return
    try:
        await groups.hold(ctx.tx, ctx.app.id, member, None)
    except GameError as error:
        raise Refused(str(error)) from error


def _profile(board: Board, member: str) -> str:
    return member if board.entry_type is EntryType.PLAYER else ""


def _score_shown(board: Board, row: Row) -> dict[str, Any]:
    return {
        "entry": row["entry_id"],
        "score": board.key(row["rank_key"]),
        "data": row["data"],
        "created_ms": row["created_ms"],
        "updated_ms": row["updated_ms"],
    }


def _board_shown(board: Board) -> dict[str, Any]:
    return {
        "board": board.board_id,
        "entry_type": str(board.entry_type),
        "type": str(board.board_type),
        "rotation": str(board.rotation),
        "days": board.days,
        "version": board.version,
        "retained": board.retained,
        "started_ms": board.started_ms,
        "reset_ms": board.reset_ms,
        "has_tournaments": board.t_enabled,
        "is_template": board.t_template_only,
        "division_set": board.div_set,
        "is_stored": bool(board.uid),
    }


def _version_shown(version: Version) -> dict[str, Any]:
    return {
        "version": version.version,
        "started_ms": version.started_ms,
        "ended_ms": version.ended_ms,
        "is_tournament": bool(version.t_period),
    }


def _tournament(board: Board) -> dict[str, Any] | None:
    """Return the tournament that runs on a board: its templates, and when its phases are."""
    settings = read_settings(board.t_period)
    if settings is None or board.reset_ms is None:
        return None
    minutes = period_minutes(board.rotation, board.days, board.started_ms, board.reset_ms)
    times = phase_times(settings.phases, minutes, board.reset_ms)
    return {
        "tournaments": settings.codes,
        "registration_ms": [times.t_registration_start, times.t_registration_end],
        "play_ms": [times.t_play_start, times.t_play_end],
        "results_ms": times.t_processing_start_at,
    }


ACTIONS = (
    leaderboard_list,
    leaderboard_rebuild,
    board_list,
    board_search,
    board_show,
    board_ranks,
    player_boards,
    score_remove,
    score_restore,
)
