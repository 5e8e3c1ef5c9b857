"""Reading one group, and the groups of a player."""

from typing import Annotated

from msgspec import Meta
from sqlalchemy import bindparam, select

from gameserver.domain.social.groups import MEMBER_OF_APP, Seat, UnknownGroup, members, social_groups
from gameserver.rpc import Access, Context, Tx
from gameserver.services.group.base import GroupShown, GroupSummary, OfGroup, read, service, summary
from gameserver.wire.errors import PacketTooLarge
from gameserver.wire.shapes import Nothing, Reply


@service.operation("READ_GROUP", tx=Tx.READ, errors=(UnknownGroup, PacketTooLarge))
async def read_group(ctx: Context, request: OfGroup) -> GroupShown:
    """Read a group. Members, and others if its ACL says so, read its data and who is in it.

    Everybody reads the rest; members also read who is invited, and who waits to be let in.
    """
    return await read(ctx, request.group_id)


@service.operation("SYS_READ_GROUP", tx=Tx.READ, access=Access.SERVER, errors=(UnknownGroup, PacketTooLarge))
async def system_read_group(ctx: Context, request: OfGroup) -> GroupShown:
    """Read a group, whatever its ACL says. For servers."""
    return await read(ctx, request.group_id, is_system=True)


class MyGroups(Reply):
    """The groups of a player: those they are in, are invited to, and have asked to be let into."""

    groups: Annotated[list[GroupSummary], Meta(description="The groups that the player is a member of.")]
    invited: Annotated[list[GroupSummary], Meta(description="The groups that the player is invited to.")]
    requested: Annotated[
        list[GroupSummary], Meta(description="The groups that the player waits to be let into.")
    ]


@service.operation("GET_MY_GROUPS", tx=Tx.READ, errors=(PacketTooLarge,))
async def get_my_groups(ctx: Context, request: Nothing) -> MyGroups:
    """List the caller's groups, and those the caller is invited to or waits for, the oldest first."""
    rows = await ctx.tx.all(OF_PLAYER, app=ctx.app.id, profile=ctx.player_id)
    ctx.reserve_bytes(row["summary_data"] for row in rows)
    of_seat = {seat: [summary(row) for row in rows if row["seat"] == seat] for seat in Seat}
    return MyGroups(
        groups=of_seat[Seat.MEMBER], invited=of_seat[Seat.INVITED], requested=of_seat[Seat.REQUESTED]
    )


# Storage

_g, _m = social_groups.c, members.c
OF_PLAYER = (
    select(*_g, _m.seat)
    .join(members, _m.group_id == _g.group_id)
    .where(_m.profile_id == bindparam("profile"), MEMBER_OF_APP)
    .order_by(_m.since_ms, _m.group_id)
)
