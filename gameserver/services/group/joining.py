"""What players do by themselves: join, and leave."""

from gameserver.domain.social import membership
from gameserver.domain.social.groups import NotGroupMember, Role, Seat, UnknownGroup
from gameserver.players.quotas import QuotaReached
from gameserver.rpc import Context, Tx
from gameserver.services.group.base import (
    GroupFull,
    OfGroup,
    OwnerCannotLeave,
    check_may_join,
    check_pending,
    check_room,
    of_group,
    service,
)
from gameserver.storage import Row, locks
from gameserver.wire.shapes import Empty


@service.operation(
    "JOIN_GROUP",
    "JOIN_MEMBER_TO_GROUP",
    tx=Tx.WRITE,
    locks=of_group,
    errors=(UnknownGroup, GroupFull, QuotaReached),
)
async def join_group(ctx: Context, request: OfGroup) -> None:
    """Become a member of an open group; ask to be let into any other.

    Who is invited becomes a member of that one, too. To join twice, or ask twice, changes nothing. Refused: a
    group that is full; more groups than the caller may be in.
    """
    await locks.take(ctx.tx, [locks.player_lock(ctx.player_id)])
    group = await membership.lock(ctx.tx, ctx.app.id, request.group_id)
    seat = await _seat(ctx, request.group_id)
    before = None if seat is None else Seat(seat["seat"])
    if before is Seat.MEMBER:
        return
    if group["is_open"] or before is Seat.INVITED:
        await come_in(ctx, group, seat)
    elif before is None:
        check_pending(ctx, group)
        await check_may_join(ctx, ctx.player_id, group["group_type"], Seat.REQUESTED)
        await membership.put(
            ctx,
            request.group_id,
            ctx.player_id,
            None,
            Seat.REQUESTED,
            Role.MEMBER,
            group["default_attributes"],
        )


async def come_in(ctx: Context, group: Row, seat: Row | None) -> None:
    """Make the caller, who is locked like the group, a member: as invited, or with the group's defaults.

    Raises `GroupFull`, `QuotaReached`.
    """
    check_room(ctx, group)
    await check_may_join(ctx, ctx.player_id, group["group_type"], Seat.MEMBER)
    is_invited = seat is not None and seat["seat"] == Seat.INVITED
    await membership.put(
        ctx,
        group["group_id"],
        ctx.player_id,
        None if seat is None else Seat(seat["seat"]),
        Seat.MEMBER,
        Role(seat["role"]) if seat is not None and is_invited else Role.MEMBER,
        seat["attributes"] if seat is not None and is_invited else group["default_attributes"],
    )


@service.operation(
    "LEAVE_GROUP",
    tx=Tx.WRITE,
    locks=of_group,
    errors=(UnknownGroup, NotGroupMember, OwnerCannotLeave),
)
async def leave_group(ctx: Context, request: OfGroup) -> None:
    """Leave a group. With its last member the group ends.

    Refused: the owner while there are other members; see LEAVE_GROUP_AUTO.
    """
    group, seat = await _lock_as_member(ctx, request.group_id)
    if seat["role"] == Role.OWNER and group["member_count"] > 1:
        raise OwnerCannotLeave("the owner does not leave while there are other members")
    await membership.leave(ctx, group, ctx.player_id)


@service.operation("LEAVE_GROUP_AUTO", tx=Tx.WRITE, locks=of_group, errors=(UnknownGroup, NotGroupMember))
async def leave_group_auto(ctx: Context, request: OfGroup) -> Empty:
    """Leave a group. When its owner does, the admin who has logged in last owns it, or else the member.

    With its last member the group ends.
    """
    group, _ = await _lock_as_member(ctx, request.group_id)
    await membership.leave(ctx, group, ctx.player_id)
    return Empty()


async def _seat(ctx: Context, group_id: str) -> Row | None:
    found = await membership.seats(ctx.tx, ctx.app.id, group_id, [ctx.player_id])
    return found.get(ctx.player_id)


async def _lock_as_member(ctx: Context, group_id: str) -> tuple[Row, Row]:
    """Lock a group, and return it with the caller's row in it. Raises `UnknownGroup`, `NotGroupMember`."""
    group = await membership.lock(ctx.tx, ctx.app.id, group_id)
    seat = await _seat(ctx, group_id)
    if seat is None or seat["seat"] != Seat.MEMBER:
        raise NotGroupMember("the caller is not a member of the group")
    return group, seat
