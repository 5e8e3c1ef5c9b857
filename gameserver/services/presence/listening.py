"""Who hears by themselves what becomes of whom. It lasts as long as the connection."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Annotated

from msgspec import Meta

from gameserver.domain.social import friends
from gameserver.domain.social.groups import NotGroupMember
from gameserver.frame import Parts
from gameserver.realtime import Channels, TooManyChannels
from gameserver.rpc import Context, Tx
from gameserver.services.presence.base import (
    InvalidGroupId,
    PresenceNotConfigured,
    PresenceNotInitialized,
    Presences,
    TooManyListeners,
    TooManyProfileIds,
    UpdatesNotEnabled,
    channels_of_app,
    check_updates,
    listed,
    presence_channel,
    seen_by,
    service,
)
from gameserver.services.presence.looking import OfGroup, OfPlatform, OfProfiles, friends_of, members_of
from gameserver.sessions import Session
from gameserver.wire.errors import NoSession
from gameserver.wire.shapes import Nothing

Bidirectional = Annotated[
    bool,
    Meta(description="true lets the others hear of the caller, too: those of them who are connected."),
]
STOPPING = (PresenceNotConfigured, UpdatesNotEnabled, PresenceNotInitialized, NoSession)
ERRORS = (*STOPPING, TooManyListeners)


class ForFriends(OfPlatform):
    bidirectional: Bidirectional = False


class ForGroup(OfGroup):
    bidirectional: Bidirectional = False


class ForProfiles(OfProfiles):
    bidirectional: Bidirectional = False


@service.operation("REGISTER_LISTENERS_FOR_FRIENDS", tx=Tx.READ, errors=(*ERRORS, InvalidGroupId))
async def register_listeners_for_friends(ctx: Context, request: ForFriends) -> Presences:
    """Let the caller's connections hear of friends, and tell which of them are there now."""
    check_updates(ctx)
    return await listen(ctx, await friends_of(ctx, request), both_ways=request.bidirectional)


@service.operation(
    "REGISTER_LISTENERS_FOR_GROUP", tx=Tx.READ, errors=(*ERRORS, InvalidGroupId, NotGroupMember)
)
async def register_listeners_for_group(ctx: Context, request: ForGroup) -> Presences:
    """Let the caller's connections hear of the members of a group, and tell which of them are there now."""
    check_updates(ctx)
    return await listen(ctx, await members_of(ctx, request), both_ways=request.bidirectional)


@service.operation("REGISTER_LISTENERS_FOR_PROFILES", tx=Tx.READ, errors=(*ERRORS, TooManyProfileIds))
async def register_listeners_for_profiles(ctx: Context, request: ForProfiles) -> Presences:
    """Let the caller's connections hear of some players, and tell which of them are there now."""
    check_updates(ctx)
    return await listen(ctx, listed(request.profile_ids), both_ways=request.bidirectional)


@service.operation("STOP_LISTENING", tx=Tx.NONE, errors=STOPPING)
async def stop_listening(ctx: Context, request: Nothing) -> None:
    """Let the caller's connections hear of nobody any more. Who hears of the caller still does."""
    check_updates(ctx)
    session = session_of(ctx)
    if not await ctx.core.get(Channels).leave_all(session, channels_of_app(ctx.app.id)):
        raise not_connected()


# Rules


@service.on(friends.PLAYER_BLOCKED)
async def part(parts: Parts, app_id: str, profile_id: str, others: Collection[str]) -> None:
    """Let a player, and those whom they have blocked, hear of each other no more."""
    channels, own = parts.get(Channels), presence_channel(app_id, profile_id)
    await asyncio.gather(
        *[channels.expel(app_id, each, own) for each in others],
        *[channels.expel(app_id, profile_id, presence_channel(app_id, each)) for each in others],
    )


async def listen(ctx: Context, profile_ids: Sequence[str], *, both_ways: bool) -> Presences:
    """Let the caller hear of players; of those alone who do not block the caller, and are not blocked either.

    Raises `TooManyListeners`, and then nobody is listened to anew; `PresenceNotInitialized`.
    """
    session, channels, most = session_of(ctx), ctx.core.get(Channels), check_updates(ctx).listened_to
    known = await friends.look(ctx.tx, ctx.app.id, ctx.player_id, profile_ids)
    wanted = [each for each in known if each != ctx.player_id and not known[each]["is_blocked"]]
    if len(wanted) > most:
        raise TooManyListeners(f"a connection listens to at most {most} players at once")
    try:
        joined = await channels.join_all(session, [presence_channel(ctx.app.id, each) for each in wanted])
    except TooManyChannels as error:
        raise TooManyListeners(str(error)) from None
    if not joined:
        raise not_connected()
    if both_ways:
        own = presence_channel(ctx.app.id, ctx.player_id)
        await asyncio.gather(*[channels.invite(ctx.app.id, each, own) for each in wanted])
    # Whoever has blocked somebody meanwhile may have parted the two before they came together.
    again = await friends.look(ctx.tx, ctx.app.id, ctx.player_id, wanted) if wanted else {}
    if parted := [each for each, row in again.items() if row["is_blocked"]]:
        await part(ctx.core.parts, ctx.app.id, ctx.player_id, parted)
    return await seen_by(ctx, profile_ids, with_offline=False)


def session_of(ctx: Context) -> Session:
    """Return the session whose connections listen. Raises `NoSession`."""
    if ctx.session is None:
        raise ctx.session_error or NoSession("only a session has connections: log in first")
    return ctx.session


def not_connected() -> PresenceNotInitialized:
    """Return the refusal of who has no connection."""
    return PresenceNotInitialized("the player has no real-time connection: connect first")
