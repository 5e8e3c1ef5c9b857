"""Players who are present without a connection, as devices that only ask now and then. For servers."""

from typing import Annotated

from msgspec import Meta

from gameserver.domain.social import friends
from gameserver.players.profiles import UnknownPlayer
from gameserver.realtime import Roster
from gameserver.rpc import Access, Context, Tx
from gameserver.services.presence.base import (
    ActivityNotEnabled,
    PresenceNotConfigured,
    PresenceNotInitialized,
    activity_text,
    check_enabled,
    service,
)
from gameserver.services.presence.showing import tell
from gameserver.wire.errors import PacketTooLarge
from gameserver.wire.fields import ProfileId
from gameserver.wire.shapes import FreeObject, Request


class OfPlayer(Request):
    profile_id: ProfileId


class Initialize(OfPlayer):
    visible: Annotated[bool, Meta(description="Whether others see that the player is there.")] = True
    activity: Annotated[
        FreeObject | None, Meta(description="What the player does; nothing leaves what was.")
    ] = None
    expiry_secs: Annotated[
        Annotated[int, Meta(ge=1, le=86400)] | None,
        Meta(description="How many seconds the player is present; nothing: as many as the app says."),
    ] = None


class Extend(OfPlayer):
    seconds: Annotated[
        Annotated[int, Meta(ge=1, le=2**31)] | None,
        Meta(
            description="By how many seconds; nothing: as many as the app says, and never more than it says."
        ),
    ] = None


@service.operation(
    "SYS_INITIALIZE_PRESENCE",
    tx=Tx.READ,
    access=Access.SERVER,
    errors=(PresenceNotConfigured, ActivityNotEnabled, UnknownPlayer, PacketTooLarge),
)
async def sys_initialize_presence(ctx: Context, request: Initialize) -> None:
    """Let a player be present for a time, without a connection. What was set before is replaced."""
    settings = check_enabled(ctx)
    text = activity_text(ctx, request.activity)
    there, _ = await friends.receivers(ctx.tx, ctx.app.id, "", [request.profile_id])
    if not there:
        raise UnknownPlayer(f"there is no player {request.profile_id[:64]!r}")
    until_ms = ctx.now_ms + 1000 * (request.expiry_secs or settings.stay_seconds)
    await ctx.core.get(Roster).keep(
        ctx.app.id, request.profile_id, until_ms, is_visible=request.visible, activity=text
    )
    tell(ctx, request.profile_id)


@service.operation(
    "SYS_EXTEND_PX_EXPIRY",
    tx=Tx.NONE,
    access=Access.SERVER,
    errors=(PresenceNotConfigured, PresenceNotInitialized),
)
async def sys_extend_px_expiry(ctx: Context, request: Extend) -> None:
    """Let a player be present for longer. Refused: players who are not."""
    settings = check_enabled(ctx)
    seconds = min(request.seconds or settings.stay_seconds, settings.stay_more_seconds)
    if not await ctx.core.get(Roster).extend(ctx.app.id, request.profile_id, 1000 * seconds):
        raise PresenceNotInitialized("the player is not present")


@service.operation(
    "SYS_TERMINATE_PRESENCE",
    tx=Tx.NONE,
    access=Access.SERVER,
    errors=(PresenceNotConfigured, PresenceNotInitialized),
)
async def sys_terminate_presence(ctx: Context, request: OfPlayer) -> None:
    """End the time that a server has given a player. Who has a connection is present as long as that."""
    check_enabled(ctx)
    if not await ctx.core.get(Roster).drop(ctx.app.id, request.profile_id):
        raise PresenceNotInitialized("the player is not present")
