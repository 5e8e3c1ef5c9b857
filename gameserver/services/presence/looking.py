"""Who is there."""

from typing import Annotated

from msgspec import Meta

from gameserver.domain.social import friends, groups
from gameserver.domain.social.friends import PLATFORMS
from gameserver.domain.social.groups import NotGroupMember, UnknownGroup
from gameserver.rpc import Access, Context, Tx
from gameserver.services.presence.base import (
    IncludeOffline,
    InvalidGroupId,
    PresenceNotConfigured,
    Presences,
    TooManyProfileIds,
    check_enabled,
    listed,
    seen_by,
    service,
)
from gameserver.wire.fields import ProfileId
from gameserver.wire.shapes import Request

Platform = Annotated[
    str | None,
    Meta(
        description="By which way the friends are friends: `brainCloud` (the game), `Facebook`, `Steam`, "
        "`PlaystationNetwork`; `all` or nothing: by any."
    ),
]


class OfPlatform(Request):
    platform: Platform = None
    friend_platform: Annotated[str | None, Meta(description="Another name of `platform`.")] = None


class OfFriends(OfPlatform):
    include_offline: IncludeOffline = False


class OfGroup(Request):
    group_id: Annotated[str, Meta(description="The id of the group. The caller is a member of it.")]


class OfMembers(OfGroup):
    include_offline: IncludeOffline = False


class OfProfiles(Request):
    profile_ids: Annotated[list[ProfileId], Meta(description="The ids of the players; at most 500.")]


class OfUsers(OfProfiles):
    include_offline: IncludeOffline = False


@service.operation("GET_PRESENCE_OF_FRIENDS", tx=Tx.READ, errors=(PresenceNotConfigured, InvalidGroupId))
async def get_presence_of_friends(ctx: Context, request: OfFriends) -> Presences:
    """Tell which of the caller's friends are there, and what they do."""
    check_enabled(ctx)
    return await seen_by(ctx, await friends_of(ctx, request), with_offline=request.include_offline)


@service.operation(
    "GET_PRESENCE_OF_GROUP",
    tx=Tx.READ,
    errors=(PresenceNotConfigured, InvalidGroupId, NotGroupMember),
)
async def get_presence_of_group(ctx: Context, request: OfMembers) -> Presences:
    """Tell which members of a group are there, the caller among them. Refused: groups of others."""
    check_enabled(ctx)
    return await seen_by(ctx, await members_of(ctx, request), with_offline=request.include_offline)


@service.operation(
    "GET_PRESENCE_OF_USERS",
    tx=Tx.READ,
    access=Access.SIGNED_IN,
    errors=(PresenceNotConfigured, TooManyProfileIds),
)
async def get_presence_of_users(ctx: Context, request: OfUsers) -> Presences:
    """Tell which of some players are there. Ids of nobody are left out."""
    check_enabled(ctx)
    return await seen_by(ctx, listed(request.profile_ids), with_offline=request.include_offline)


# Rules


async def friends_of(ctx: Context, request: OfPlatform) -> list[str]:
    """Return the caller's friends of a platform. Raises `InvalidGroupId` for no platform."""
    platform = request.platform or request.friend_platform or "all"
    if platform.lower() == "all":
        return await friends.of_player(ctx.tx, ctx.app.id, ctx.player_id)
    for name, way in PLATFORMS.items():
        if name.lower() == platform.lower():
            return await friends.of_player(ctx.tx, ctx.app.id, ctx.player_id, way)
    raise InvalidGroupId(f"data.platform: expected all or {', '.join(PLATFORMS)}")


async def members_of(ctx: Context, request: OfGroup) -> list[str]:
    """Return the members of a group of the caller's. Raises `InvalidGroupId`, `NotGroupMember`."""
    try:
        await groups.check_member(ctx.tx, ctx.app.id, request.group_id, ctx.player_id)
        return await groups.member_ids(ctx.tx, ctx.app.id, request.group_id)
    except UnknownGroup as error:
        raise InvalidGroupId(str(error)) from None
