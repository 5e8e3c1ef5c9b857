"""What the owner and the admins of a group do with others: add, invite, let in, and part from them."""

from typing import Any

from gameserver.domain.social import membership
from gameserver.domain.social.friends import UserBlocked
from gameserver.domain.social.groups import Role, Seat, UnknownGroup
from gameserver.players.profiles import UnknownPlayer
from gameserver.players.quotas import QuotaReached
from gameserver.rpc import Access, Context, Tx
from gameserver.services.group.base import (
    MANAGE_ERRORS,
    Attributes,
    CannotAddOwner,
    GroupFull,
    InvalidGroupRole,
    MemberDiffers,
    OfMember,
    RoleName,
    attributes_text,
    check_exists,
    check_may_join,
    check_player,
    check_room,
    lock_to_manage,
    of_member,
    read_role,
    service,
)
from gameserver.storage import Row, locks
from gameserver.wire import json
from gameserver.wire.errors import PacketTooLarge

COME_ERRORS = (CannotAddOwner, InvalidGroupRole, PacketTooLarge, UnknownPlayer, MemberDiffers, GroupFull)


class WithRole(OfMember, kw_only=True):
    role: RoleName = None
    attributes: Attributes = None


@service.operation(
    "ADD_GROUP_MEMBER",
    "ADD_MEMBER_TO_GROUP",
    tx=Tx.WRITE,
    locks=of_member,
    errors=(*MANAGE_ERRORS, *COME_ERRORS, UserBlocked, QuotaReached),
)
async def add_member(ctx: Context, request: WithRole) -> None:
    """Make a player a member of a group. Its owner and admins may.

    Without attributes the member gets the group's default ones. Refused: the role OWNER; a group that is
    full; a player who has blocked the caller, or has as many groups as they may; a member who has another
    role or other attributes.
    """
    await locks.take(ctx.tx, [locks.player_lock(request.profile_id)])
    group = await lock_to_manage(ctx, request.group_id)
    await check_player(ctx, request.profile_id)
    await bring_in(ctx, group, request)


@service.operation(
    "SYS_ADD_GROUP_MEMBER",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=of_member,
    errors=(UnknownGroup, *COME_ERRORS),
)
async def system_add_member(ctx: Context, request: WithRole) -> None:
    """Make a player a member of a group, as ADD_GROUP_MEMBER does. For servers."""
    await locks.take(ctx.tx, [locks.player_lock(request.profile_id)])
    group = await membership.lock(ctx.tx, ctx.app.id, request.group_id)
    await check_exists(ctx, request.profile_id)
    await bring_in(ctx, group, request)


async def bring_in(ctx: Context, group: Row, request: WithRole, seat: Row | None = None) -> None:
    """Make a player, who is locked like the group, a member with the role and attributes of a request.

    Raises what `COME_ERRORS` says, and `QuotaReached`.
    """
    role = read_role(request.role)
    found = await membership.seats(ctx.tx, ctx.app.id, request.group_id, [request.profile_id])
    seat = found.get(request.profile_id)
    before = None if seat is None else Seat(seat["seat"])
    if seat is not None and before is Seat.MEMBER:
        check_same(seat, role, request.attributes)
        return
    text = chosen_attributes(group, request.attributes)
    check_room(ctx, group)
    await check_may_join(ctx, request.profile_id, group["group_type"], Seat.MEMBER)
    await membership.put(ctx, request.group_id, request.profile_id, before, Seat.MEMBER, role, text)


def chosen_attributes(group: Row, attributes: dict[str, Any] | None) -> str:
    """Return a new member's attributes as they are stored: those named, or the group's. `PacketTooLarge`."""
    return group["default_attributes"] if attributes is None else attributes_text(attributes)


def check_same(seat: Row, role: Role, attributes: dict[str, Any] | None) -> None:
    """Raise `MemberDiffers` where a member has another role than is wanted, or other attributes."""
    differs = attributes is not None and json.read_stored(seat["attributes"]) != attributes
    if Role(seat["role"]) is not role or differs:
        raise MemberDiffers("the player is a member already, with another role or other attributes")
