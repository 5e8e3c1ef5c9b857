"""Reading one group, and the groups of a player."""

from typing import Annotated

from msgspec import Meta, Raw
from sqlalchemy import bindparam, select

from gameserver.documents.documents import data_out
from gameserver.domain.social import groups, membership
from gameserver.domain.social.groups import (
    MEMBER_OF_APP,
    NotGroupMember,
    Seat,
    UnknownGroup,
    members,
    social_groups,
)
from gameserver.players.fields import FriendData, PictureUrl, PlayerName
from gameserver.players.profiles import players
from gameserver.rpc import Access, Context, Tx
from gameserver.services.group.base import OfGroup, OfMember, OtherProfileId, service
from gameserver.services.group.showing import READ, GroupShown, GroupSummary, MemberShown, read, summary
from gameserver.wire.errors import NotAllowed, PacketTooLarge
from gameserver.wire.shapes import Nothing, Reply, Request


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


class OfPlayer(Request):
    profile_id: OtherProfileId


class GroupsOfPlayer(Reply):
    groups: Annotated[list[GroupSummary], Meta(description="The groups that the player is a member of.")]


@service.operation("LIST_GROUPS_WITH_MEMBER", tx=Tx.READ, errors=(PacketTooLarge,))
async def list_groups_with_member(ctx: Context, request: OfPlayer) -> GroupsOfPlayer:
    """List the groups that a player is a member of, as everybody sees them, the oldest membership first."""
    rows = await ctx.tx.all(OF_PLAYER, app=ctx.app.id, profile=request.profile_id)
    of_member = [row for row in rows if row["seat"] == Seat.MEMBER]
    ctx.reserve_bytes(row["summary_data"] for row in of_member)
    return GroupsOfPlayer(groups=[summary(row) for row in of_member])


# Parts of a group


class DataOfGroup(Reply):
    data: Annotated[Raw, Meta(description="The game's own object.")]


@service.operation(
    "READ_GROUP_DATA", tx=Tx.READ, errors=(UnknownGroup, NotGroupMember, NotAllowed, PacketTooLarge)
)
async def read_group_data(ctx: Context, request: OfGroup) -> DataOfGroup:
    """Read a group's data. Refused: who may not, as the group's ACL says."""
    await groups.require(ctx.tx, ctx.app.id, request.group_id, ctx.player_id)
    return await _data(ctx, request.group_id)


@service.operation(
    "SYS_READ_GROUP_DATA", tx=Tx.READ, access=Access.SERVER, errors=(UnknownGroup, PacketTooLarge)
)
async def system_read_group_data(ctx: Context, request: OfGroup) -> DataOfGroup:
    """Read a group's data, whatever its ACL says. For servers."""
    return await _data(ctx, request.group_id)


async def _data(ctx: Context, group_id: str) -> DataOfGroup:
    row = await ctx.tx.one(READ, app=ctx.app.id, group=group_id)
    if row is None:
        raise groups.unknown(group_id)
    ctx.reserve_bytes([row["data"]])
    return DataOfGroup(data=data_out(row["data"]))


class MemberProfile(MemberShown, kw_only=True):
    """A member, and how the player shows themselves. Servers alone read the address, players get null."""

    player_name: PlayerName
    email_address: Annotated[
        str | None, Meta(description="The contact address, which servers alone read; null to players.")
    ]
    pic: PictureUrl
    summary_friend_data: FriendData


@service.operation(
    "READ_GROUP_MEMBERS",
    "READ_MEMBERS_OF_GROUP",
    tx=Tx.READ,
    errors=(UnknownGroup, NotGroupMember, NotAllowed, PacketTooLarge),
)
async def read_members(ctx: Context, request: OfGroup) -> dict[str, MemberProfile]:
    """Read the members of a group, by their ids. Refused: who may not, as the group's ACL says."""
    await groups.require(ctx.tx, ctx.app.id, request.group_id, ctx.player_id)
    return await _members(ctx, request.group_id)


@service.operation(
    "SYS_READ_GROUP_MEMBERS", tx=Tx.READ, access=Access.SERVER, errors=(UnknownGroup, PacketTooLarge)
)
async def system_read_members(ctx: Context, request: OfGroup) -> dict[str, MemberProfile]:
    """Read the members of a group with their contact addresses, whatever its ACL says. For servers."""
    return await _members(ctx, request.group_id, is_system=True)


async def _members(ctx: Context, group_id: str, *, is_system: bool = False) -> dict[str, MemberProfile]:
    rows = await ctx.tx.all(MEMBERS, app=ctx.app.id, group=group_id)
    if not rows:  # a group without members is gone
        raise groups.unknown(group_id)
    ctx.reserve_bytes((row["summary_friend_data"] or "") + row["attributes"] for row in rows)
    return {
        row["profile_id"]: MemberProfile(
            role=row["role"],
            attributes=data_out(row["attributes"]),
            player_name=row["name"] or "",
            email_address=row["contact_email"] if is_system else None,
            pic=row["picture_url"],
            summary_friend_data=None
            if row["summary_friend_data"] is None
            else data_out(row["summary_friend_data"]),
        )
        for row in rows
    }


class IsMember(Reply):
    """Whether a player is a member of a group; role and attributes are null where not."""

    is_group_member: Annotated[bool, Meta(description="Whether the player is a member of the group.")]
    role: Annotated[str | None, Meta(description="OWNER, ADMIN or MEMBER.")]
    attributes: Annotated[Raw | None, Meta(description="The game's own object about the member.")]


@service.operation("SYS_IS_GROUP_MEMBER", tx=Tx.READ, access=Access.SERVER, errors=(UnknownGroup,))
async def system_is_member(ctx: Context, request: OfMember) -> IsMember:
    """Tell whether a player is a member of a group, and as what. For servers."""
    await groups.one(ctx.tx, ctx.app.id, request.group_id)
    found = await membership.seats(ctx.tx, ctx.app.id, request.group_id, [request.profile_id])
    seat = found.get(request.profile_id)
    if seat is None or seat["seat"] != Seat.MEMBER:
        return IsMember(is_group_member=False, role=None, attributes=None)
    return IsMember(is_group_member=True, role=seat["role"], attributes=data_out(seat["attributes"]))


# Storage

_g, _m = social_groups.c, members.c
OF_PLAYER = (
    select(*_g, _m.seat)
    .join(members, _m.group_id == _g.group_id)
    .where(_m.profile_id == bindparam("profile"), MEMBER_OF_APP)
    .order_by(_m.since_ms, _m.group_id)
)
MEMBERS = (
    select(
        _m.profile_id,
        _m.role,
        _m.attributes,
        players.c.name,
        players.c.contact_email,
        players.c.picture_url,
        players.c.summary_friend_data,
    )
    .outerjoin(players, players.c.profile_id == _m.profile_id)
    .where(groups.IN_GROUP, groups.IS_MEMBER)
    .order_by(_m.since_ms, _m.profile_id)
)
