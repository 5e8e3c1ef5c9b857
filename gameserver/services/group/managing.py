"""What the owner and the admins of a group do with others: add, change and remove members."""

from typing import Any

from gameserver.domain.social import membership
from gameserver.domain.social.friends import UserBlocked
from gameserver.domain.social.groups import Role, Seat, Standing, UnknownGroup
from gameserver.players.profiles import UnknownPlayer
from gameserver.players.quotas import QuotaReached
from gameserver.rpc import Access, Context, Tx
from gameserver.services.group.base import (
    MANAGE_ERRORS,
    Attributes,
    CannotAddOwner,
    CannotRemoveOwner,
    GroupFull,
    InvalidGroupRole,
    MemberDiffers,
    MemberNotFound,
    NewRoleName,
    OfMember,
    RoleName,
    attributes_text,
    check_exists,
    check_may_join,
    check_player,
    check_room,
    count_change,
    lock_as,
    lock_to_manage,
    of_member,
    read_role,
    service,
)
from gameserver.services.group.telling import Told, tell
from gameserver.storage import Row, locks
from gameserver.wire import json
from gameserver.wire.errors import PacketTooLarge

COME_ERRORS = (CannotAddOwner, InvalidGroupRole, PacketTooLarge, UnknownPlayer, MemberDiffers, GroupFull)


class WithRole(OfMember, kw_only=True):
    role: RoleName = None
    attributes: Attributes = None


# Adding


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
    count_change(ctx)
    await locks.take(ctx.tx, [locks.player_lock(request.profile_id)])
    group = await lock_to_manage(ctx, request.group_id)
    await check_player(ctx, request.profile_id)
    await bring_in(ctx, group, request, await seat_of(ctx, request))


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
    await bring_in(ctx, group, request, await seat_of(ctx, request))


async def bring_in(ctx: Context, group: Row, request: WithRole, seat: Row | None) -> None:
    """Make a player, who is locked like the group, a member with the role and attributes of a request.

    Raises what `COME_ERRORS` says, and `QuotaReached`.
    """
    role = read_role(request.role)
    before = None if seat is None else Seat(seat["seat"])
    if seat is not None and before is Seat.MEMBER:
        check_same(seat, role, request.attributes)
        return
    text = chosen_attributes(group, request.attributes)
    check_room(ctx, group)
    await check_may_join(ctx, request.profile_id, group["group_type"], Seat.MEMBER)
    await membership.put(ctx, request.group_id, request.profile_id, before, Seat.MEMBER, role, text)
    await tell(ctx, Told.MEMBER_JOINED, group, request.profile_id, managers=True)


# Changing


class ChangeMember(OfMember, kw_only=True):
    role: NewRoleName = None
    attributes: Attributes = None


CHANGE_ERRORS = (MemberNotFound, InvalidGroupRole, PacketTooLarge)


@service.operation(
    "UPDATE_GROUP_MEMBER",
    "UPDATE_MEMBER_OF_GROUP",
    tx=Tx.WRITE,
    locks=of_member,
    errors=(*MANAGE_ERRORS, *CHANGE_ERRORS),
)
async def update_member(ctx: Context, request: ChangeMember) -> None:
    """Give a member another role, or other attributes. The owner and admins of the group may.

    The owner makes another member the owner with the role OWNER, and is an admin then. What is null or left
    out stays. Refused: another role for the owner, who hands the group over instead.
    """
    count_change(ctx)
    group, standing = await lock_as(ctx, request.group_id)
    standing.check_manages()
    await _update(ctx, group, request, standing)


@service.operation(
    "SYS_UPDATE_GROUP_MEMBER",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=of_member,
    errors=(UnknownGroup, *CHANGE_ERRORS),
)
async def system_update_member(ctx: Context, request: ChangeMember) -> None:
    """Give a member another role, or other attributes, as UPDATE_GROUP_MEMBER does. For servers.

    With the role OWNER a member owns the group, and who has owned it is an admin.
    """
    group = await membership.lock(ctx.tx, ctx.app.id, request.group_id)
    await _update(ctx, group, request, None)


async def _update(ctx: Context, group: Row, request: ChangeMember, standing: Standing | None) -> None:
    seat = await seat_of(ctx, request)
    if seat is None or seat["seat"] != Seat.MEMBER:
        raise MemberNotFound("the player is not a member of the group")
    before = Role(seat["role"])
    role = read_role(request.role, may_be_owner=True) if request.role else before
    text = None if request.attributes is None else attributes_text(request.attributes)
    if before is Role.OWNER and role is not Role.OWNER:
        raise InvalidGroupRole("data.role: the owner hands the group over, and gets no other role")
    if before is not Role.OWNER and role is Role.OWNER:
        if standing is not None and standing.role is not Role.OWNER:
            standing.refuse()
        await membership.hand_over(ctx, request.group_id, group["owner_id"], request.profile_id)
    await membership.change(ctx, request.group_id, request.profile_id, role, text)
    await tell(ctx, Told.MEMBER_CHANGED, group, request.profile_id)


# Removing


@service.operation(
    "REMOVE_GROUP_MEMBER",
    tx=Tx.WRITE,
    locks=of_member,
    errors=(*MANAGE_ERRORS, MemberNotFound, CannotRemoveOwner),
)
async def remove_member(ctx: Context, request: OfMember) -> None:
    """Remove a member from a group. Its owner and admins may.

    Refused: the owner; a player who is no member.
    """
    count_change(ctx)
    group = await lock_to_manage(ctx, request.group_id)
    await _remove(ctx, group, request)


@service.operation(
    "SYS_REMOVE_GROUP_MEMBER",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=of_member,
    errors=(UnknownGroup, MemberNotFound, CannotRemoveOwner),
)
async def system_remove_member(ctx: Context, request: OfMember) -> None:
    """Remove a member from a group. For servers. Refused: the owner; a player who is no member."""
    group = await membership.lock(ctx.tx, ctx.app.id, request.group_id)
    await _remove(ctx, group, request)


async def _remove(ctx: Context, group: Row, request: OfMember) -> None:
    seat = await seat_of(ctx, request)
    if seat is None or seat["seat"] != Seat.MEMBER:
        raise MemberNotFound("the player is not a member of the group")
    if seat["role"] == Role.OWNER:
        raise CannotRemoveOwner("the owner is not removed from a group")
    await membership.take_out(ctx, request.group_id, request.profile_id, Seat.MEMBER)
    await tell(ctx, Told.MEMBER_GONE, group, request.profile_id, managers=True)


# Rules


async def seat_of(ctx: Context, request: OfMember) -> Row | None:
    """Return what the player of a request has to do with its group."""
    found = await membership.seats(ctx.tx, ctx.app.id, request.group_id, [request.profile_id])
    return found.get(request.profile_id)


def chosen_attributes(group: Row, attributes: dict[str, Any] | None) -> str:
    """Return a new member's attributes as they are stored: those named, or the group's. `PacketTooLarge`."""
    return group["default_attributes"] if attributes is None else attributes_text(attributes)


def check_same(seat: Row, role: Role, attributes: dict[str, Any] | None) -> None:
    """Raise `MemberDiffers` where a member has another role than is wanted, or other attributes."""
    differs = attributes is not None and json.read_stored(seat["attributes"]) != attributes
    if Role(seat["role"]) is not role or differs:
        raise MemberDiffers("the player is a member already, with another role or other attributes")
