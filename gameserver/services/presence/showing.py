"""What a player lets others see."""

from typing import Annotated

from msgspec import Meta

from gameserver.realtime import Roster
from gameserver.rpc import Context, Tx
from gameserver.services.presence.announcing import Announcer
from gameserver.services.presence.base import (
    ActivityNotEnabled,
    PresenceNotConfigured,
    PresenceNotInitialized,
    UpdatesNotEnabled,
    activity_text,
    check_enabled,
    check_updates,
    service,
)
from gameserver.services.presence.listening import not_connected
from gameserver.wire.errors import PacketTooLarge
from gameserver.wire.shapes import FreeObject, Nothing, Request


class Visibility(Request):
    visible: Annotated[bool, Meta(description="Whether others see that the player is there.")]


class Activity(Request):
    activity: Annotated[
        FreeObject, Meta(description="What the player does, in the game's own words; it replaces what was.")
    ]


@service.operation("SET_VISIBILITY", tx=Tx.NONE, errors=(PresenceNotConfigured, PresenceNotInitialized))
async def set_visibility(ctx: Context, request: Visibility) -> None:
    """Show or hide the caller: who hides looks as if they were not there. It lasts while they are present."""
    check_enabled(ctx)
    roster = ctx.core.get(Roster)
    if not await roster.show(ctx.app.id, ctx.player_id, is_visible=request.visible):  # which tells of it
        raise not_connected()


@service.operation(
    "UPDATE_ACTIVITY",
    tx=Tx.NONE,
    errors=(PresenceNotConfigured, ActivityNotEnabled, PresenceNotInitialized, PacketTooLarge),
)
async def update_activity(ctx: Context, request: Activity) -> None:
    """Set what the caller does. Those who listen hear of it, of many changes of the last: within a second."""
    check_enabled(ctx)
    text = activity_text(ctx, request.activity)
    if not await ctx.core.get(Roster).show(ctx.app.id, ctx.player_id, activity=text):
        raise not_connected()
    tell(ctx, ctx.player_id)


@service.operation(
    "FORCE_PUSH", tx=Tx.NONE, errors=(PresenceNotConfigured, UpdatesNotEnabled, PresenceNotInitialized)
)
async def force_push(ctx: Context, request: Nothing) -> None:
    """Tell those who listen to the caller what they see of them, whether or not it has changed.

    Nothing is told of who hides.
    """
    check_updates(ctx)
    if not await ctx.core.get(Roster).show(ctx.app.id, ctx.player_id):
        raise not_connected()
    tell(ctx, ctx.player_id)


def tell(ctx: Context, profile_id: str) -> None:
    """Let those who listen hear what a player shows, who does not hide, once the packet is committed."""

    async def announce() -> None:
        ctx.core.get(Announcer).shows(ctx.app.id, profile_id)

    ctx.after_commit(announce)
