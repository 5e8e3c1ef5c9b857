"""What staff see of segments: who belongs to them, how far that is worked out; and a refresh of all."""

from typing import Any

import msgspec

from gameserver.admin.common import Refused, Server, app_of, limit_of
from gameserver.admin.declaring import action, by_key
from gameserver.admin.operators import CLI, Operator, note
from gameserver.admin.players import player_row
from gameserver.admin.rights import Right
from gameserver.apps import App
from gameserver.domain.segments import SegmentSettings, membership, refreshing, storage
from gameserver.domain.segments.criteria import Criteria
from gameserver.storage import Row, Transaction
from gameserver.wire import json

COUNT_MAX = 10_000  # members that are counted: lists tell "10 000+"


@action(Right.DATA_READ, "GET /apps/{app}/segments")
async def segment_list(server: Server, app: str) -> list[dict[str, Any]]:
    """Return the segments of an app, by their numbers, with how many players belong to each.

    At most 10 000 are counted; `has_more` tells that there are more. `version` is None of one that the server
    has not taken up yet.
    """
    definition = app_of(server, app)
    settings = definition.section(SegmentSettings)
    shown = []
    async with server.core.database.read() as tx:
        records = {row["segment_id"]: row for row in await tx.all(storage.RECORDS, app=app)}
        for number, (name, segment) in settings.by_id.items():
            said, most = settings.definitions[number], COUNT_MAX + 1
            row = await tx.one(storage.COUNT, app=app, definition=said, most=most)
            counted = 0 if row is None else int(row[0])
            record = records.get(number)
            shown.append(
                {
                    "segment": number,
                    "name": name,
                    "description": segment.description,
                    "testers_only": segment.testers_only,
                    "criteria": _told(segment.criteria),
                    "members": min(counted, COUNT_MAX),
                    "has_more": counted > COUNT_MAX,
                    **{key: record and record[key] for key in ("version", "created_ms", "updated_ms")},
                }
            )
    return shown


@action(Right.DATA_READ, "GET /apps/{app}/segments/refresh")
async def segment_progress(server: Server, app: str) -> dict[str, Any]:
    """Return how far the last refresh of all players has come.

    `is_whole`: all players were looked at since the segments were last changed.
    """
    definition = app_of(server, app)
    async with server.core.database.read() as tx:
        return await _progress(tx, definition)


@action(Right.JOBS_RUN, "POST /apps/{app}/segments/refresh")
async def segment_refresh(server: Server, app: str, *, by: Operator = CLI) -> dict[str, Any]:
    """Begin to work out anew, for all players, who belongs to which segment. Refused while that runs."""
    definition = app_of(server, app)
    if not definition.section(SegmentSettings).segments:
        raise Refused(f"app {app} declares no segments")

    async def start(tx: Transaction) -> dict[str, Any]:
        if not await refreshing.begin(tx, definition, server.core.clock.ms()):
            done = (await _progress(tx, definition))["players"]
            raise Refused(f"SEGMENT_REFRESH_RUNNING: a refresh runs, and has come to {done} players so far")
        await refreshing.record(tx, definition, server.core.clock.ms())
        await note(server, tx, by, "segment_refresh", app)
        return await _progress(tx, definition)

    return await server.core.database.transact(start)


@action(Right.DATA_READ, "GET /apps/{app}/segments/{segment}/members", pages=by_key("profile"))
async def segment_members(
    server: Server, app: str, segment: int, limit: int = 50, after: str = ""
) -> list[dict[str, Any]]:
    """Return the players of a segment, by their ids; `after` is the id of the last one already seen."""
    definition, most = current_segment(app_of(server, app), segment), limit_of(limit)
    async with server.core.database.read() as tx:
        rows = await tx.all(storage.LISTED, app=app, definition=definition, after=after, most=most)
    return [{"profile": row["profile_id"], "name": row["name"], "since_ms": row["since_ms"]} for row in rows]


@action(Right.PLAYERS_READ, "GET /apps/{app}/players/{profile}/segments")
async def player_segments(server: Server, app: str, profile: str) -> list[dict[str, Any]]:
    """Return the segments that a player belongs to, and since when."""
    definition = app_of(server, app)
    declared = definition.section(SegmentSettings).by_id
    async with server.core.database.read() as tx:
        await player_row(tx, app, profile)
        found = await membership.of_player(tx, definition, profile)
    return [
        {"segment": number, "name": declared[number][0], "since_ms": since} for number, since in found.items()
    ]


ACTIONS = (segment_list, segment_progress, segment_refresh, segment_members, player_segments)


def current_segment(app: App, segment: int) -> str:
    """Return what memberships of a segment bear at present."""
    current = membership.definitions(app, [segment])
    if not current:
        raise Refused(f"app {app.id} has no segment {segment}")
    return current[0]


async def _progress(tx: Transaction, app: App) -> dict[str, Any]:
    row: Row | None = await tx.one(storage.REFRESH, app=app.id)
    is_whole = await refreshing.is_whole(tx, app)
    if row is None:
        return dict.fromkeys(_REFRESH, 0) | {"is_running": False, "is_whole": is_whole}
    shown = {key: row[key] for key in _REFRESH}
    return shown | {"is_running": not row["ended_ms"], "is_whole": is_whole}


_REFRESH = ("players", "changed", "started_ms", "ended_ms")


def _told(criteria: Criteria) -> dict[str, Any]:
    """Return criteria as the definition has them: without what it does not say."""
    said: dict[str, Any] = _said(msgspec.json.decode(json.encode(criteria)))
    return said


def _said(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {name: _said(each) for name, each in value.items()}
        empty: tuple[Any, ...] = (None, [], {}, "")
        return {name: each for name, each in kept.items() if each not in empty}
    return [_said(each) for each in value] if isinstance(value, list) else value
