"""Sending to the players of segments, or to all: at once, at a time, or when it is that time with them."""

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from gameserver.domain.leaderboards.periods import read_time
from gameserver.domain.push import sending
from gameserver.domain.push.content import Content, MissingBody
from gameserver.domain.segments import SegmentSettings, membership
from gameserver.domain.segments import storage as segments
from gameserver.domain.segments.membership import UnknownSegment
from gameserver.rpc import Access, Context, Tx
from gameserver.services.push_notification.base import (
    Alerting,
    PushNotConfigured,
    Ready,
    SegmentIds,
    Targets,
    Templated,
    UnknownTemplate,
    check_configured,
    service,
)
from gameserver.services.push_notification.scheduling import AHEAD_MAX_MS, StartDate
from gameserver.storage.timeline import DAY_MS
from gameserver.wire.errors import GameError, InvalidParameterValue, MissingParameter, PacketTooLarge
from gameserver.wire.shapes import Nothing, Reply

HOUR_MS, MINUTE_MS = 3_600_000, 60_000
READY_ERRORS: tuple[type[GameError], ...] = (UnknownSegment, PacketTooLarge, PushNotConfigured)
TEXT_ERRORS: tuple[type[GameError], ...] = (MissingBody, *READY_ERRORS)
RICH_ERRORS: tuple[type[GameError], ...] = (UnknownTemplate, *TEXT_ERRORS)

# Which there are


class PushSegment(Reply):
    segment_id: Annotated[int, Meta(description="The number of the segment, as the app declares it.")]
    name: Annotated[str, Meta(description="What the app calls it.")]
    testers_only: Annotated[bool, Meta(description="Whether only testers belong to it.")]
    description: Annotated[str, Meta(description="For people: who belongs to it.")]


class PushSegments(Reply):
    segments: Annotated[list[PushSegment], Meta(description="The app's segments, by their numbers.")]


@service.operation("GET_ALL_SEGMENTS", tx=Tx.NONE, access=Access.SERVER)
async def get_all(ctx: Context, request: Nothing) -> PushSegments:
    """List the segments of the app, whose players notifications can be sent to."""
    return PushSegments(
        segments=[
            PushSegment(
                segment_id=number,
                name=name,
                testers_only=segment.testers_only,
                description=segment.description,
            )
            for number, (name, segment) in ctx.section(SegmentSettings).by_id.items()
        ]
    )


# At once


class NormalizedToSegments(Alerting, kw_only=True):
    segment_id_list: SegmentIds = None


@service.operation("SEND_NORMALIZED_TO_SEGMENTS", tx=Tx.WRITE, access=Access.SERVER, errors=TEXT_ERRORS)
async def send_normalized(ctx: Context, request: NormalizedToSegments) -> Targets:
    """Send a title, a text and data of the game to the players of segments, or to all.

    Refused: unknown segments, no text or too much.
    """
    return await to_many(ctx, request.segment_id_list, request.content())


class RawToSegments(Ready, kw_only=True):
    segment_id_list: SegmentIds = None


@service.operation("SEND_RAW_TO_SEGMENTS", tx=Tx.WRITE, access=Access.SERVER, errors=READY_ERRORS)
async def send_raw(ctx: Context, request: RawToSegments) -> Targets:
    """Send what is ready for each platform to the players of segments, or to all.

    Refused: unknown segments, nothing for any platform or too much.
    """
    return await to_many(ctx, request.segment_id_list, request.content())


class RichToSegments(Templated, kw_only=True):
    segment_id_list: SegmentIds = None


@service.operation("SEND_RICH_TO_SEGMENTS", tx=Tx.WRITE, access=Access.SERVER, errors=RICH_ERRORS)
async def send_rich(ctx: Context, request: RichToSegments) -> Targets:
    """Send a template of the app to the players of segments, or to all, each in their language.

    Refused: unknown templates, substitutions with which one says nothing, unknown segments.
    """
    return await to_many(ctx, request.segment_id_list, request.content(ctx))


async def to_many(ctx: Context, segment_ids: list[int] | None, told: Content) -> Targets:
    """Send to the players of segments, or to all. Raises `UnknownSegment`, `PushNotConfigured`."""
    check_configured(ctx)
    wanted = None if segment_ids is None else membership.check(ctx.app, segment_ids)
    await sending.send_to_many(
        ctx.tx, ctx.app, ctx.core.new_id(), told, ctx.now_ms, ctx.now_ms, segments=wanted
    )
    return Targets(estimated_targets=await sending.estimate(ctx.tx, ctx.app, wanted))


# Later

LocalTime = Annotated[
    str | None,
    Meta(
        description="When, by the clock where each player is: hours and minutes such as 15:00. Null or "
        "nothing: everywhere at `startDateUTC`."
    ),
]
Minimize = Annotated[
    bool | None,
    Meta(description="true: make jobs only for time zones in which there are players; takes longer."),
]


class Jobs(Reply):
    notification_jobs: Annotated[
        int, Meta(description="How many jobs will send it: one for each time zone, with a local time.")
    ]


class NormalizedLater(NormalizedToSegments, kw_only=True):
    local_time: LocalTime = None
    minimize_jobs: Minimize = None
    start_date_utc: StartDate = msgspec.field(default=None, name="startDateUTC")


class RawLater(RawToSegments, kw_only=True):
    local_time: LocalTime = None
    minimize_jobs: Minimize = None
    start_date_utc: StartDate = msgspec.field(default=None, name="startDateUTC")


class RichLater(RichToSegments, kw_only=True):
    local_time: LocalTime = None
    minimize_jobs: Minimize = None
    start_date_utc: StartDate = msgspec.field(default=None, name="startDateUTC")


Later = NormalizedLater | RawLater | RichLater


async def find_times(ctx: Context, request: Later) -> list[tuple[float | None, int]]:
    """Return the time zones for which there is to be a job, and when it is due; None: all of them."""
    start_ms = read_time(request.start_date_utc, "data.startDateUTC")
    if start_ms is not None and start_ms > ctx.now_ms + AHEAD_MAX_MS:
        raise InvalidParameterValue("data.startDateUTC: expected a time within a year")
    base_ms = max(start_ms or 0, ctx.now_ms)
    if request.local_time is None:
        if start_ms is None:
            raise MissingParameter("data: localTime or startDateUTC is required")
        return [(None, base_ms)]
    minutes = read_local_time(request.local_time)
    wanted = None
    if request.segment_id_list is not None:
        wanted = membership.definitions(ctx.app, membership.check(ctx.app, request.segment_id_list))
    zones = set(sending.ZONES)
    if request.minimize_jobs:
        async with ctx.core.database.read() as tx:
            if wanted is None:
                rows = await tx.all(segments.ZONES_OF_ALL, app=ctx.app.id)
            else:
                rows = await tx.all(segments.ZONES, app=ctx.app.id, definitions=wanted)
        zones = {sending.zone_of(row[0]) for row in rows}
    return [(zone, local_due_ms(base_ms, minutes, zone)) for zone in sorted(zones)]


def read_local_time(text: str) -> int:
    """Return a time of the day in minutes. Raises `InvalidParameterValue`."""
    found = re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", text)
    if found is None:
        raise InvalidParameterValue("data.localTime: expected hours and minutes such as 15:00")
    return int(found[1]) * 60 + int(found[2])


def local_due_ms(base_ms: int, minutes: int, zone: float) -> int:
    """Return when it is that time of the day in a time zone for the first time from a moment on."""
    ahead_ms = round(zone * HOUR_MS)
    due_ms = (base_ms + ahead_ms) // DAY_MS * DAY_MS + minutes * MINUTE_MS - ahead_ms
    return due_ms if due_ms >= base_ms else due_ms + DAY_MS


@service.operation(
    "SCHEDULE_NORMALIZED_NOTIFICATIONS",
    tx=Tx.WRITE,
    access=Access.SERVER,
    prepare=find_times,
    errors=TEXT_ERRORS,
)
async def schedule_normalized(ctx: Context, request: NormalizedLater) -> Jobs:
    """Send a title, a text and data of the game to the players of segments, or to all, at a time.

    With `localTime` when it is that time where each player is, from `startDateUTC` on, or from now. Who
    belongs to the segments is looked up then. Refused: no time, one that is too far ahead, unknown
    segments, no text or too much.
    """
    return await _schedule(ctx, request, request.content())


@service.operation(
    "SCHEDULE_RAW_NOTIFICATIONS",
    tx=Tx.WRITE,
    access=Access.SERVER,
    prepare=find_times,
    errors=READY_ERRORS,
)
async def schedule_raw(ctx: Context, request: RawLater) -> Jobs:
    """Send what is ready for each platform to the players of segments, or to all, at a time."""
    return await _schedule(ctx, request, request.content())


@service.operation(
    "SCHEDULE_RICH_NOTIFICATIONS",
    tx=Tx.WRITE,
    access=Access.SERVER,
    prepare=find_times,
    errors=RICH_ERRORS,
)
async def schedule_rich(ctx: Context, request: RichLater) -> Jobs:
    """Send a template of the app to the players of segments, or to all, at a time, each in their language."""
    return await _schedule(ctx, request, request.content(ctx))


async def _schedule(ctx: Context, request: Later, told: Content) -> Jobs:
    check_configured(ctx)
    wanted = None if request.segment_id_list is None else membership.check(ctx.app, request.segment_id_list)
    times: list[tuple[float | None, int]] = ctx.prepared
    for zone, due_ms in times:
        await sending.send_to_many(
            ctx.tx, ctx.app, ctx.core.new_id(), told, ctx.now_ms, due_ms, segments=wanted, zone=zone
        )
    return Jobs(notification_jobs=len(times))
