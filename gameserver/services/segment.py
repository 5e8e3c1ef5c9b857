"""segment: to which segments of the app's players somebody belongs."""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta

from gameserver.apps import App
from gameserver.domain.segments import SAMPLE, SegmentSettings, membership, refreshing, storage
from gameserver.frame import Parts
from gameserver.players.logins import LOGGED_IN, LoginFollower
from gameserver.rpc import PLAYER_MERGE, PLAYER_RESET, Access, Context, Service, Tx
from gameserver.storage import Database
from gameserver.wire.shapes import Empty, Nothing, Reply

service = Service("segment", section=SegmentSettings, sample=SAMPLE)

# Operations

SegmentId = Annotated[int, Meta(description="The number of the segment, as the app declares it.")]
SegmentName = Annotated[str, Meta(description="What the app calls it.")]


class MySegment(Reply):
    segment_id: SegmentId
    name: SegmentName


class MySegments(Reply):
    segments: Annotated[list[MySegment], Meta(description="The player's segments, by their numbers.")]


@service.operation("GET_MY_SEGMENTS_LEGACY", tx=Tx.READ, access=Access.SERVER)
async def get_mine(ctx: Context, request: Nothing) -> MySegments:
    """Return the segments that a player belongs to, as of the last login or refresh.

    For scripts and servers, on behalf of a player.
    """
    declared = ctx.section(SegmentSettings).by_id
    mine = await membership.of_player(ctx.tx, ctx.app, ctx.player_id)
    return MySegments(segments=[MySegment(segment_id=number, name=declared[number][0]) for number in mine])


@service.operation("REFRESH_MY_SEGMENTS", tx=Tx.WRITE, access=Access.SERVER)
async def refresh_mine(ctx: Context, request: Nothing) -> Empty:
    """Work out anew to which segments a player belongs, as each login does: after a level, for instance.

    For scripts and servers, on behalf of a player.
    """
    profile_id = ctx.player_id
    if ctx.section(SegmentSettings).segments:
        await membership.refresh_in(ctx.tx, ctx.app, [profile_id], ctx.now_ms)
    return Empty()


class SegmentShown(Reply):
    segment_id: SegmentId
    name: SegmentName
    description: Annotated[str, Meta(description="For people: who belongs to it.")]
    testers_only: Annotated[bool, Meta(description="Whether only testers belong to it.")]
    created_at: Annotated[int, Meta(description="When the server first saw it: ms since 1970-01-01 UTC.")]
    updated_at: Annotated[int, Meta(description="When it was last changed: ms since 1970-01-01 UTC.")]
    version: Annotated[int, Meta(description="How often it was changed; from 1 on.")]


class SegmentList(Reply):
    segments: Annotated[list[SegmentShown], Meta(description="The app's segments, by their numbers.")]


@service.operation(
    "SYS_GET_SEGMENT_LIST",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=lambda ctx, _: [refreshing.records_lock(ctx.app)],
)
async def get_list(ctx: Context, request: Nothing) -> SegmentList:
    """List the segments of the app, without their criteria."""
    declared = ctx.section(SegmentSettings).by_id
    rows = await refreshing.record(ctx.tx, ctx.app, ctx.now_ms)
    return SegmentList(
        segments=[
            SegmentShown(
                segment_id=number,
                name=name,
                description=segment.description,
                testers_only=segment.testers_only,
                created_at=rows[number]["created_ms"],
                updated_at=rows[number]["updated_ms"],
                version=rows[number]["version"],
            )
            for number, (name, segment) in declared.items()
        ]
    )


# Rules


def _has_segments(app: App) -> bool:
    return bool(app.section(SegmentSettings).segments)


async def _follow_login(
    parts: Parts, app: App, profile_id: str, facts: Mapping[str, Any], now_ms: int
) -> None:
    await membership.refresh(parts.get(Database), app, [profile_id], now_ms, membership.Client.of(facts))


service.subscribe(LOGGED_IN, LoginFollower(_has_segments, _follow_login))


@service.on(PLAYER_RESET)
async def _begin_again(ctx: Context, profile_id: str) -> None:
    """Work out anew what a player without game data belongs to, once the data is gone."""
    _refresh_soon(ctx, profile_id)


@service.on(PLAYER_MERGE)
async def _follow_merge(ctx: Context, profile_id: str, target: str) -> None:
    """Work out anew what a player belongs to who has become two."""
    _refresh_soon(ctx, target)


def _refresh_soon(ctx: Context, profile_id: str) -> None:
    async def refresh() -> None:
        await membership.refresh(ctx.core.database, ctx.app, [profile_id], ctx.now_ms)

    if _has_segments(ctx.app):
        ctx.after_commit(refresh)


# What the server does by itself

service.runs(refreshing.WATCH, refreshing.REFRESH)
service.keeps(*storage.KEPT)
