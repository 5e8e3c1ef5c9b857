"""A group, as those who may read it and everybody else see it."""

from collections.abc import Iterable
from typing import Annotated

from msgspec import UNSET, Meta, Raw, UnsetType
from sqlalchemy import bindparam, select

from gameserver.documents.documents import READABLE, data_out
from gameserver.domain.social import groups
from gameserver.domain.social.groups import MEMBER_OF_APP, Role, Seat, Standing, members, social_groups
from gameserver.rpc import Context
from gameserver.services.group.base import acl_of
from gameserver.storage import Row
from gameserver.wire.fields import AppId, CreatedAt, GroupId, UpdatedAt
from gameserver.wire.shapes import Reply

# Replies

RoleShown = Annotated[str, Meta(description="OWNER, ADMIN or MEMBER.")]
AttributesShown = Annotated[Raw, Meta(description="The game's own object about the member.")]
MemberCount = Annotated[int, Meta(description="How many members the group has.")]
InvitedCount = Annotated[int, Meta(description="How many players are invited and have not answered yet.")]
RequestedCount = Annotated[int, Meta(description="How many players have asked to be let in, and wait.")]
VersionShown = Annotated[
    int,
    Meta(
        description="1 when the group is made, one more for each change of the group itself, such as its"
        " data; members come and go without one."
    ),
]
GroupTypeShown = Annotated[str, Meta(description="The type of the group.")]
NameShown = Annotated[str, Meta(description="The name of the group.")]
OpenShown = Annotated[bool, Meta(description="Whether anybody may join.")]
SummaryShown = Annotated[Raw, Meta(description="What the group shows to everybody.")]
OwnerId = Annotated[str, Meta(description="The id of the player who owns the group.")]
AclShown = Annotated[
    dict[str, int],
    Meta(
        description='What members and others may do, such as `{"member": 2, "other": 0}`: 0 nothing, 1 read,'
        " 2 read and write."
    ),
]


class MemberShown(Reply):
    """A member's role, and the game's own object about them."""

    role: RoleShown
    attributes: AttributesShown


class PendingShown(MemberShown, kw_only=True):
    """The role and attributes that a player gets who comes into the group."""

    pending_reason: Annotated[str, Meta(description="INVITED_TO_JOIN or ASKED_TO_JOIN.")]


class GroupSummary(Reply):
    """A group as everybody sees it."""

    group_id: GroupId
    group_type: GroupTypeShown
    name: NameShown
    owner_id: OwnerId
    version: VersionShown
    is_open_group: OpenShown
    summary_data: SummaryShown
    member_count: MemberCount
    invited_pending_member_count: InvitedCount
    requesting_pending_member_count: RequestedCount


class GroupShown(Reply, kw_only=True):
    """A group, with as much as the caller may read."""

    game_id: AppId
    group_id: GroupId
    owner_id: OwnerId
    name: NameShown
    group_type: GroupTypeShown
    created_at: CreatedAt
    updated_at: UpdatedAt
    members: Annotated[
        dict[str, MemberShown],
        Meta(description="The members by their ids; {} where the caller may not read the group."),
    ]
    pending_members: Annotated[
        dict[str, PendingShown],
        Meta(description="Who is invited or waits to be let in, by their ids; {} for who is no member."),
    ]
    version: VersionShown
    data: Annotated[
        Raw | UnsetType,
        Meta(description="The game's own object. Absent where the caller may not read the group."),
    ] = UNSET
    summary_data: SummaryShown
    is_open_group: OpenShown
    default_member_attributes: Annotated[
        Raw, Meta(description="The attributes of members who come in without any of their own.")
    ]
    member_count: MemberCount
    invited_pending_member_count: InvitedCount
    requesting_pending_member_count: RequestedCount
    acl: AclShown


# Reading

REASONS = {Seat.INVITED: "INVITED_TO_JOIN", Seat.REQUESTED: "ASKED_TO_JOIN"}


def summary(group: Row) -> GroupSummary:
    """Return a group as everybody sees it."""
    return GroupSummary(
        group_id=group["group_id"],
        group_type=group["group_type"],
        name=group["name"],
        owner_id=group["owner_id"],
        version=group["version"],
        is_open_group=group["is_open"],
        summary_data=data_out(group["summary_data"]),
        member_count=group["member_count"],
        invited_pending_member_count=group["invited_count"],
        requesting_pending_member_count=group["requested_count"],
    )


async def read(ctx: Context, group_id: str, *, is_system: bool = False) -> GroupShown:
    """Return a group with as much as the caller may read; with everything to the system.

    Raises `UnknownGroup`, `PacketTooLarge`.
    """
    group = await ctx.tx.one(READ, app=ctx.app.id, group=group_id)
    if group is None:
        raise groups.unknown(group_id)
    [shown] = await show(ctx, [group], is_system=is_system)
    return shown


async def show(ctx: Context, found: Iterable[Row], *, is_system: bool = False) -> list[GroupShown]:
    """Return groups with as much as the caller may read. Raises `PacketTooLarge`."""
    found = list(found)
    ids = [group["group_id"] for group in found]
    rows = await ctx.tx.all(OF_GROUPS, app=ctx.app.id, groups=ids) if ids else []
    ctx.reserve_bytes(text for group in found for text in (group["data"], group["summary_data"]))
    ctx.reserve_bytes(row["attributes"] + row["profile_id"] for row in rows)
    of_group: dict[str, list[Row]] = {}
    for row in rows:
        of_group.setdefault(row["group_id"], []).append(row)
    return [_shown(ctx, group, of_group.get(group["group_id"], []), is_system=is_system) for group in found]


def _shown(ctx: Context, group: Row, rows: list[Row], *, is_system: bool) -> GroupShown:
    roles = {row["profile_id"]: Role(row["role"]) for row in rows if row["seat"] == Seat.MEMBER}
    role = roles.get(ctx.profile_id or "")
    may_read = is_system or Standing(group["group_id"], acl_of(group), role).may(READABLE)
    sees_pending = is_system or role is not None
    return GroupShown(
        game_id=group["app_id"],
        group_id=group["group_id"],
        owner_id=group["owner_id"],
        name=group["name"],
        group_type=group["group_type"],
        created_at=group["created_ms"],
        updated_at=group["updated_ms"],
        members={
            row["profile_id"]: MemberShown(role=row["role"], attributes=data_out(row["attributes"]))
            for row in rows
            if may_read and row["seat"] == Seat.MEMBER
        },
        pending_members={
            row["profile_id"]: PendingShown(
                role=row["role"],
                attributes=data_out(row["attributes"]),
                pending_reason=REASONS[Seat(row["seat"])],
            )
            for row in rows
            if sees_pending and row["seat"] != Seat.MEMBER
        },
        version=group["version"],
        data=data_out(group["data"]) if may_read else UNSET,
        summary_data=data_out(group["summary_data"]),
        is_open_group=group["is_open"],
        default_member_attributes=data_out(group["default_attributes"]),
        member_count=group["member_count"],
        invited_pending_member_count=group["invited_count"],
        requesting_pending_member_count=group["requested_count"],
        acl=acl_of(group).shown(),
    )


# Storage

_g, _m = social_groups.c, members.c
READ = select(*_g).where(groups.IS_GROUP)
OF_GROUPS = (
    select(_m.group_id, _m.profile_id, _m.seat, _m.role, _m.attributes)
    .where(_m.group_id.in_(bindparam("groups", expanding=True)), MEMBER_OF_APP)
    .order_by(_m.since_ms, _m.profile_id)
)
