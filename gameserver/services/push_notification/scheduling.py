"""Sending later: at a time, or after so many minutes, to the devices that the player has then."""

from typing import Annotated

import msgspec
from msgspec import Meta

from gameserver.domain.leaderboards.periods import read_time
from gameserver.domain.push import sending, storage
from gameserver.domain.push.content import Content, MissingBody
from gameserver.players.profiles import UnknownPlayer
from gameserver.players.quotas import QuotaReached
from gameserver.rpc import Context, Tx
from gameserver.services.push_notification.base import (
    CONTENT_ERRORS,
    Alerting,
    ProfileId,
    Ready,
    Templated,
    UnknownTemplate,
    check_configured,
    check_receiver,
    count,
    service,
)
from gameserver.storage.timeline import DAY_MS
from gameserver.wire.errors import GameError, InvalidParameterValue, MissingParameter

AHEAD_MAX_MS = 366 * DAY_MS
MINUTE_MS = 60_000
ERRORS: tuple[type[GameError], ...] = (UnknownPlayer, QuotaReached, *CONTENT_ERRORS)


Receiver = Annotated[ProfileId, Meta(description="The player who gets it.")]
StartDate = Annotated[
    float | str | None,
    Meta(
        description="When: ms since 1970-01-01 UTC, or a date and time; one that is over means now. At most "
        "a year ahead."
    ),
]
Minutes = Annotated[
    float | None, Meta(description="Without `startDateUTC`: in how many minutes; at most those of a year.")
]


class ScheduleNormalized(Alerting, kw_only=True):
    profile_id: Receiver
    start_date_utc: StartDate = msgspec.field(default=None, name="startDateUTC")
    minutes_from_now: Minutes = None


@service.operation("SCHEDULE_NORMALIZED_NOTIFICATION", tx=Tx.WRITE, errors=(MissingBody, *ERRORS))
async def schedule_normalized(ctx: Context, request: ScheduleNormalized) -> None:
    """Send a title, a text and data of the game to a player at a time.

    Refused: unknown players, no text or too much, no time or one that is too far ahead, more than may wait.
    """
    await _schedule(ctx, request, request.content())


class ScheduleRaw(Ready, kw_only=True):
    profile_id: Receiver
    start_date_utc: StartDate = msgspec.field(default=None, name="startDateUTC")
    minutes_from_now: Minutes = None


@service.operation("SCHEDULE_RAW_NOTIFICATION", tx=Tx.WRITE, errors=ERRORS)
async def schedule_raw(ctx: Context, request: ScheduleRaw) -> None:
    """Send a player what is ready for each platform at a time."""
    await _schedule(ctx, request, request.content())


class ScheduleRich(Templated, kw_only=True):
    profile_id: Receiver
    start_date_utc: StartDate = msgspec.field(default=None, name="startDateUTC")
    minutes_from_now: Minutes = None


@service.operation("SCHEDULE_RICH_NOTIFICATION", tx=Tx.WRITE, errors=(UnknownTemplate, MissingBody, *ERRORS))
async def schedule_rich(ctx: Context, request: ScheduleRich) -> None:
    """Send a template of the app to a player at a time, in the language that they have then."""
    await _schedule(ctx, request, request.content(ctx))


def due_ms(start: float | str | None, minutes: float | None, now_ms: int) -> int:
    """Return when a notification is sent. Raises `MissingParameter`, `InvalidParameterValue`."""
    at_ms = read_time(start, "data.startDateUTC")
    if at_ms is None:
        if minutes is None:
            raise MissingParameter("data: startDateUTC or minutesFromNow is required")
        if not 0 <= minutes <= AHEAD_MAX_MS / MINUTE_MS:
            raise InvalidParameterValue("data.minutesFromNow: expected 0 to the minutes of a year")
        at_ms = now_ms + round(minutes * MINUTE_MS)
    if at_ms > now_ms + AHEAD_MAX_MS:
        raise InvalidParameterValue("data.startDateUTC: expected a time within a year")
    return max(at_ms, now_ms)


Scheduled = ScheduleNormalized | ScheduleRaw | ScheduleRich


async def _schedule(ctx: Context, request: Scheduled, told: Content) -> None:
    check_configured(ctx)
    at_ms, receiver = due_ms(request.start_date_utc, request.minutes_from_now, ctx.now_ms), request.profile_id
    count(ctx, 1)
    if not await check_receiver(ctx, receiver):
        return
    size = len(msgspec.json.encode(told))
    await ctx.add_to_quota(storage.QUOTA, ctx.profile_id or "", count=1, size=size)
    await sending.schedule(
        ctx.tx, ctx.app, ctx.core.new_id(), ctx.profile_id or "", receiver, told, ctx.now_ms, at_ms
    )
