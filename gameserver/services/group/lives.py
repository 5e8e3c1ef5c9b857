"""What becomes of groups in a player's life: deleted, and become one with another."""

from gameserver.domain.social import group_webhooks, groups, membership
from gameserver.domain.social.groups import Role, Seat
from gameserver.rpc import PLAYER_DELETE, PLAYER_MERGE, Context
from gameserver.services.group.base import service

service.keeps(*groups.KEPT)
for event in group_webhooks.ALL:
    service.emits(event)


@service.on(PLAYER_DELETE)
async def forget_player(ctx: Context, profile_id: str) -> None:
    """Let a player leave all groups; what they own goes on as after LEAVE_GROUP_AUTO."""
    for row in await ctx.tx.all(membership.OF_PLAYER, app=ctx.app.id, profile=profile_id):
        group_id = row["group_id"]
        group = await membership.lock(ctx.tx, ctx.app.id, group_id)
        seat = (await membership.seats(ctx.tx, ctx.app.id, group_id, [profile_id])).get(profile_id)
        if seat is None:
            continue
        if seat["seat"] == Seat.MEMBER:
            await membership.leave(ctx, group, profile_id)
        else:
            await membership.take_out(ctx, group_id, profile_id, Seat(seat["seat"]))


@service.on(PLAYER_MERGE)
async def give_to(ctx: Context, profile_id: str, target: str) -> None:
    """Give the player who stays what the other has to do with groups.

    In a group where both have something, they keep what is more: a member before one who is invited, and the
    higher role. The attributes are those of the player who stays, if they were a member.
    """
    for row in await ctx.tx.all(membership.OF_PLAYER, app=ctx.app.id, profile=profile_id):
        await _give(ctx, row["group_id"], profile_id, target)


ROLES = (Role.MEMBER, Role.ADMIN, Role.OWNER)
SEATS = (Seat.REQUESTED, Seat.INVITED, Seat.MEMBER)


async def _give(ctx: Context, group_id: str, profile_id: str, target: str) -> None:
    await membership.lock(ctx.tx, ctx.app.id, group_id)
    seats = await membership.seats(ctx.tx, ctx.app.id, group_id, [profile_id, target])
    goes, stays = seats.get(profile_id), seats.get(target)
    if goes is None:
        return
    seat, role, attributes = Seat(goes["seat"]), Role(goes["role"]), goes["attributes"]
    before = None if stays is None else Seat(stays["seat"])
    await membership.take_out(ctx, group_id, profile_id, seat)
    if stays is not None and before is not None:
        if SEATS.index(before) > SEATS.index(seat):
            return
        if before is seat:
            role, attributes = max(role, Role(stays["role"]), key=ROLES.index), stays["attributes"]
    await membership.put(ctx, group_id, target, before, seat, role, attributes)
    if role is Role.OWNER:
        await ctx.tx.defer(membership.SET_OWNER, app=ctx.app.id, group=group_id, owner=target)
