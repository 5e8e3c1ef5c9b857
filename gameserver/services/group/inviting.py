"""Invitations, and requests to be let in: a player and a group agree, in one order or the other."""

from gameserver.domain.social import membership
from gameserver.domain.social.friends import UserBlocked
from gameserver.domain.social.groups import Seat, UnknownGroup
from gameserver.players.quotas import QuotaReached
from gameserver.rpc import Context, Tx
from gameserver.services.group.base import (
    MANAGE_ERRORS,
    GroupFull,
    NoJoinRequest,
    NotInvited,
    OfGroup,
    OfMember,
    check_may_join,
    check_pending,
    check_player,
    count_change,
    lock_to_manage,
    of_group,
    of_member,
    read_role,
    service,
)
from gameserver.services.group.joining import come_in, own_seat
from gameserver.services.group.managing import (
    COME_ERRORS,
    WithRole,
    bring_in,
    check_same,
    chosen_attributes,
    seat_of,
)
from gameserver.services.group.telling import Told, tell
from gameserver.storage import Row, locks

# Invitations


@service.operation(
    "INVITE_GROUP_MEMBER",
    "INVITE_MEMBER_TO_GROUP",
    tx=Tx.WRITE,
    locks=of_member,
    errors=(*MANAGE_ERRORS, *COME_ERRORS, UserBlocked, QuotaReached),
)
async def invite_member(ctx: Context, request: WithRole) -> None:
    """Invite a player to a group, with the role and attributes they will have. Its owner and admins may.

    Who has asked to be let in becomes a member at once; who is invited already is invited with what this call
    says. Refused: the role OWNER; a player who has blocked the caller; more invitations than the player or
    the group may have; a member who has another role or other attributes.
    """
    count_change(ctx)
    await locks.take(ctx.tx, [locks.player_lock(request.profile_id)])
    group = await lock_to_manage(ctx, request.group_id)
    await check_player(ctx, request.profile_id)
    role, seat = read_role(request.role), await seat_of(ctx, request)
    before = None if seat is None else Seat(seat["seat"])
    if seat is not None and before is Seat.MEMBER:
        check_same(seat, role, request.attributes)
        return
    if before is Seat.REQUESTED:
        await bring_in(ctx, group, request, seat)
        return
    text = chosen_attributes(group, request.attributes)
    if before is None:
        check_pending(ctx, group)
        await check_may_join(ctx, request.profile_id, group["group_type"], Seat.INVITED)
    await membership.put(ctx, request.group_id, request.profile_id, before, Seat.INVITED, role, text)
    await tell(ctx, Told.INVITED, group, request.profile_id)


@service.operation(
    "CANCEL_GROUP_INVITATION", tx=Tx.WRITE, locks=of_member, errors=(*MANAGE_ERRORS, NotInvited)
)
async def cancel_invitation(ctx: Context, request: OfMember) -> None:
    """Take an invitation to a group back. Its owner and admins may. Refused: a player who is not invited."""
    count_change(ctx)
    group = await lock_to_manage(ctx, request.group_id)
    check_seat(await seat_of(ctx, request), Seat.INVITED)
    await membership.take_out(ctx, request.group_id, request.profile_id, Seat.INVITED)
    await tell(ctx, Told.INVITATION_CANCELLED, group, request.profile_id)


@service.operation(
    "ACCEPT_GROUP_INVITATION",
    tx=Tx.WRITE,
    locks=of_group,
    errors=(UnknownGroup, NotInvited, GroupFull, QuotaReached),
)
async def accept_invitation(ctx: Context, request: OfGroup) -> None:
    """Become a member of a group that the caller is invited to, with the role of the invitation.

    Refused: who is not invited; a group that is full; more groups than the caller may be in.
    """
    count_change(ctx)
    await locks.take(ctx.tx, [locks.player_lock(ctx.player_id)])
    group = await membership.lock(ctx.tx, ctx.app.id, request.group_id)
    seat = await own_seat(ctx, request.group_id)
    check_seat(seat, Seat.INVITED)
    await come_in(ctx, group, seat)


@service.operation("REJECT_GROUP_INVITATION", tx=Tx.WRITE, locks=of_group, errors=(UnknownGroup, NotInvited))
async def reject_invitation(ctx: Context, request: OfGroup) -> None:
    """Decline an invitation to a group. Refused: who is not invited."""
    count_change(ctx)
    group = await membership.lock(ctx.tx, ctx.app.id, request.group_id)
    check_seat(await own_seat(ctx, request.group_id), Seat.INVITED)
    await membership.take_out(ctx, request.group_id, ctx.player_id, Seat.INVITED)
    await tell(ctx, Told.INVITATION_REJECTED, group, ctx.player_id, managers=True)


# Requests


@service.operation(
    "APPROVE_GROUP_JOIN_REQUEST",
    tx=Tx.WRITE,
    locks=of_member,
    errors=(*MANAGE_ERRORS, *COME_ERRORS[:3], NoJoinRequest, GroupFull, QuotaReached),
)
async def approve_request(ctx: Context, request: WithRole) -> None:
    """Let a player in who has asked, with a role and attributes. The owner and admins of the group may.

    Refused: the role OWNER; a player who has not asked, or has as many groups as they may; a group that is
    full.
    """
    count_change(ctx)
    await locks.take(ctx.tx, [locks.player_lock(request.profile_id)])
    group = await lock_to_manage(ctx, request.group_id)
    read_role(request.role)
    seat = await seat_of(ctx, request)
    check_seat(seat, Seat.REQUESTED)
    await bring_in(ctx, group, request, seat)


@service.operation(
    "REJECT_GROUP_JOIN_REQUEST", tx=Tx.WRITE, locks=of_member, errors=(*MANAGE_ERRORS, NoJoinRequest)
)
async def reject_request(ctx: Context, request: OfMember) -> None:
    """Do not let a player in who has asked. The owner and admins of the group may.

    Refused: a player who has not asked.
    """
    count_change(ctx)
    group = await lock_to_manage(ctx, request.group_id)
    check_seat(await seat_of(ctx, request), Seat.REQUESTED)
    await membership.take_out(ctx, request.group_id, request.profile_id, Seat.REQUESTED)
    await tell(ctx, Told.REQUEST_REJECTED, group, request.profile_id)


@service.operation(
    "DELETE_GROUP_JOIN_REQUEST", tx=Tx.WRITE, locks=of_group, errors=(UnknownGroup, NoJoinRequest)
)
async def delete_request(ctx: Context, request: OfGroup) -> None:
    """No longer ask to be let into a group. Refused: who has not asked."""
    count_change(ctx)
    await membership.lock(ctx.tx, ctx.app.id, request.group_id)
    check_seat(await own_seat(ctx, request.group_id), Seat.REQUESTED)
    await membership.take_out(ctx, request.group_id, ctx.player_id, Seat.REQUESTED)


# Rules


def check_seat(seat: Row | None, wanted: Seat) -> None:
    """Raise `NotInvited`, or `NoJoinRequest`, unless a player is invited, or has asked."""
    if seat is not None and seat["seat"] == wanted:
        return
    if wanted is Seat.INVITED:
        raise NotInvited("the player is not invited to the group")
    raise NoJoinRequest("the player has not asked to be let into the group")
