"""The service, its part of `app.toml`, its refusals, and what its operations share."""

from typing import Annotated, Any, Literal

from msgspec import Meta, field
from sqlalchemy import bindparam, func, select

from gameserver.apps import Settings
from gameserver.documents import documents
from gameserver.documents.documents import (
    DATA_BYTES_MAX,
    DataBytes,
    data_text,
)
from gameserver.domain.social import friends, groups, membership
from gameserver.domain.social.friends import UserBlocked
from gameserver.domain.social.groups import (
    MEMBER_OF_APP,
    Acl,
    MemberAclMissing,
    MemberAclMoreRestrictive,
    NotGroupMember,
    Role,
    Seat,
    Standing,
    UnknownGroup,
    group_lock,
    members,
    social_groups,
)
from gameserver.players.profiles import UnknownPlayer
from gameserver.players.quotas import QuotaReached, QuotaSettings
from gameserver.rpc import Caller, Context, Service
from gameserver.storage import Row, locks
from gameserver.wire import json
from gameserver.wire.errors import GameError, NotAllowed, PacketTooLarge
from gameserver.wire.shapes import FreeObject, Request

NAME_MAX = 256  # characters of a group's name
SUMMARY_BYTES_MAX = 10 << 10
ATTRIBUTES_BYTES_MAX = 2 << 10  # every read of a group tells those of all members
MEMBERS_MAX = 5000  # of a group: reads of a group tell them all
SAMPLE = """\
# Groups of players. Each has a type, which says how many members one may have, how many groups of the type
# a player may own and be in (0: as many as [quotas] allow), who makes them ("players" or "servers"), and how
# many players may wait to be let in.
[group]
#data_bytes_max = 102400
# Whether players hear by their real-time connections of invitations, of who joins and leaves, and the like.
#events = true
#[group.types.clan]
#members = 50
#owned = 1
#joined = 1
#made_by = "players"
#pending = 100
"""

_TypeName = Annotated[str, Meta(min_length=1, max_length=64)]


class GroupType(Settings, kw_only=True):
    """A type of groups, and its limits."""

    members: Annotated[
        int, Meta(ge=1, le=MEMBERS_MAX, description="Members that a group may have, its owner included.")
    ] = 100
    owned: Annotated[
        int, Meta(ge=0, le=10_000, description="Groups of the type that a player may own; 0: no limit.")
    ] = 0
    joined: Annotated[
        int,
        Meta(
            ge=0,
            le=10_000,
            description="Groups of the type that a player may be in, their own included; 0: no limit.",
        ),
    ] = 0
    made_by: Annotated[
        Literal["players", "servers"], Meta(description="Who makes groups of the type: players or servers.")
    ] = "players"
    pending: Annotated[
        int,
        Meta(ge=0, le=10_000, description="Players who may be invited to a group, or wait to be let in."),
    ] = 100


class GroupSettings(Settings, kw_only=True):
    """Groups of players."""

    types: Annotated[
        dict[_TypeName, GroupType],
        Meta(description="Types of groups by their names."),
    ] = field(default_factory=dict)
    data_bytes_max: DataBytes = DATA_BYTES_MAX
    events: Annotated[
        bool, Meta(description="Whether real-time connections hear what happens in a player's groups.")
    ] = True


service = Service("group", section=GroupSettings, sample=SAMPLE)

# Errors


class MemberNotFound(GameError):
    """The player named is not a member of the group."""

    reason_code = 40385


class CannotAddOwner(GameError):
    """Nobody comes into a group as its owner."""

    reason_code = 40452


class InvalidGroupRole(GameError):
    """There is no such role."""

    reason_code = 40454


class CannotRemoveOwner(GameError):
    """The owner is not removed from a group."""

    reason_code = 40455


class NotInvited(GameError):
    """The player is not invited to the group."""

    reason_code = 40456


class GroupFull(GameError):
    """The group has as many members as its type allows."""

    reason_code = 40457


class OwnerCannotLeave(GameError):
    """The owner does not leave while there are other members."""

    reason_code = 40458


class GroupVersionMismatch(GameError):
    """The group has changed since the caller read it. Nothing was written."""

    reason_code = 40460


class UnknownGroupType(GameError):
    """The app has no such type of groups."""

    reason_code = 40467


class NoMatchingGroup(GameError):
    """There is no group to join that matches."""

    reason_code = 40468


class NoJoinRequest(GameError):
    """The player has not asked to be let into the group."""

    reason_code = 40734


class TooManyMembersForType(GameError):
    """The group has more members than the type allows."""

    reason_code = 40748


class MemberDiffers(GameError):
    """The player is a member already, with another role or other attributes. Nothing was written."""

    reason_code = 40749


ACL_ERRORS = (MemberAclMissing, MemberAclMoreRestrictive)
MANAGE_ERRORS = (UnknownGroup, NotGroupMember, NotAllowed)

# Fields of requests

NewGroupId = Annotated[
    str,
    Meta(
        min_length=1, max_length=documents.TYPE_MAX, description="The id of the group, as a list answers it."
    ),
]
OtherProfileId = Annotated[
    str, Meta(min_length=1, max_length=documents.TYPE_MAX, description="The id of the player.")
]
GroupTypeName = Annotated[
    str, Meta(min_length=1, max_length=64, description="The type of the group, as the app declares it.")
]
GroupName = Annotated[str, Meta(max_length=NAME_MAX, description="The name of the group.")]
IsOpen = Annotated[
    bool | None,
    Meta(description="true: anybody may join; false, null or nothing: players ask to be let in."),
]
GroupAclField = Annotated[
    dict[str, Any] | str | None,
    Meta(
        description='What members and others may do: `{"member": 2, "other": 0}`, with 0 for nothing, 1 for'
        ' reading and 2 for writing. Members may do no less than others. Null, "" or nothing: members write,'
        " others do nothing."
    ),
]
GroupData = Annotated[
    FreeObject | None,
    Meta(
        description="An object of the game's own; null or nothing: {}. Names in it hold neither `$` nor a"
        " dot. Groups are found fast by the text in its `indexedId`, whatever the ACL says."
    ),
]
SummaryData = Annotated[
    FreeObject | None,
    Meta(description="An object of the game's own, up to 10 KiB, which everybody sees; null or nothing: {}."),
]
Attributes = Annotated[
    FreeObject | None,
    Meta(description="An object of the game's own about the member, up to 2 KiB; null or nothing: {}."),
]
RoleName = Annotated[
    str | None, Meta(description="The role: ADMIN or MEMBER. Null, empty or nothing: MEMBER.")
]
NewRoleName = Annotated[
    str | None, Meta(description="The role: OWNER, ADMIN or MEMBER. Null, empty or nothing: as it is.")
]
GroupVersion = (
    Annotated[
        int,
        Meta(
            ge=-1,
            le=2**53,
            description="The version of the group that the caller has seen. If another one is stored the call"
            " is refused, and changes nothing. -1, null or nothing: no check.",
        ),
    ]
    | None
)


class OfGroup(Request):
    group_id: NewGroupId


class OfMember(OfGroup, kw_only=True):
    profile_id: OtherProfileId


# Rules


def of_group(ctx: Context, request: OfGroup) -> list[str]:
    """Return the lock of a group."""
    return [group_lock(ctx.app.id, request.group_id)]


def of_member(ctx: Context, request: OfMember) -> list[str]:
    """Return the locks of a player and a group."""
    return [locks.player_lock(request.profile_id), group_lock(ctx.app.id, request.group_id)]


def type_of(ctx: Context, name: str) -> GroupType:
    """Return a type of groups. Raises `UnknownGroupType`."""
    found = ctx.section(GroupSettings).types.get(name)
    if found is None:
        raise UnknownGroupType(f"the app has no group type {name[:64]!r}")
    return found


def limits_of(ctx: Context, group: Row) -> GroupType:
    """Return the limits of a group; one whose type the app no longer declares has those of a plain type."""
    return ctx.section(GroupSettings).types.get(group["group_type"]) or GroupType()


def read_role(name: str | None, *, may_be_owner: bool = False) -> Role:
    """Return a role; null and "" are MEMBER. Raises `InvalidGroupRole`, `CannotAddOwner`."""
    try:
        role = Role((name or Role.MEMBER).upper())
    except ValueError:
        raise InvalidGroupRole("data.role: expected ADMIN or MEMBER") from None
    if role is Role.OWNER and not may_be_owner:
        raise CannotAddOwner("data.role: nobody comes into a group as its owner")
    return role


def attributes_text(attributes: dict[str, Any] | None, where: str = "data.attributes") -> str:
    """Return attributes as they are stored. Raises `PacketTooLarge`."""
    return _small(attributes, where, ATTRIBUTES_BYTES_MAX)


def summary_text(summary: dict[str, Any] | None) -> str:
    """Return summary data as it is stored. Raises what `documents.data_text` raises."""
    return data_text(summary or {}, "data.summaryData", SUMMARY_BYTES_MAX)


def group_data(ctx: Context, data: dict[str, Any] | None, where: str = "data.data") -> tuple[str, str | None]:
    """Return data as it is stored, and the id it is found by. Raises what `documents.data_text` raises."""
    text = data_text(data or {}, where, ctx.section(GroupSettings).data_bytes_max)
    return text, indexed_id(data or {})


def indexed_id(data: dict[str, Any]) -> str | None:
    """Return the id that data is found by, if that is text of a reasonable length."""
    found = data.get("indexedId")
    return found if isinstance(found, str) and len(found) <= documents.TYPE_MAX else None


def _small(found: dict[str, Any] | None, where: str, most: int) -> str:
    text = json.encode_free(found or {})
    if len(text) > most:
        raise PacketTooLarge(f"{where}: at most {most} bytes of JSON, got {len(text)}")
    return text.decode()


def check_room(ctx: Context, group: Row) -> None:
    """Raise `GroupFull` where a group has no room for another member."""
    most = limits_of(ctx, group).members
    if group["member_count"] >= most:
        raise GroupFull(f"a group of the type {group['group_type']!r} has {most} members at most")


def check_pending(ctx: Context, group: Row) -> None:
    """Raise `QuotaReached` where as many players wait for a group as its type allows."""
    most = limits_of(ctx, group).pending
    if ctx.caller is Caller.CLIENT and group["invited_count"] + group["requested_count"] >= most:
        raise QuotaReached(f"{most} players at most are invited to a group, or wait for it (pending)")


async def check_may_join(
    ctx: Context, profile_id: str, group_type: str, seat: Seat, *, as_owner: bool = False
) -> None:
    """Raise `QuotaReached` where a player has as many groups as they may. Servers are free of it.

    The player is locked, so no two packets pass the limit together.
    """
    if ctx.caller is not Caller.CLIENT:
        return
    limits, quotas = (
        ctx.section(GroupSettings).types.get(group_type) or GroupType(),
        ctx.section(QuotaSettings),
    )
    rows = await ctx.tx.all(SEATS_OF, app=ctx.app.id, profile=profile_id)
    if seat is not Seat.MEMBER:
        if sum(row["count"] for row in rows if row["seat"] != Seat.MEMBER) >= quotas.group_requests:
            raise QuotaReached(
                f"a player may be invited to, or wait for, {quotas.group_requests} groups (group_requests)"
            )
        return
    seated = [row for row in rows if row["seat"] == Seat.MEMBER]
    of_type = [row for row in seated if row["group_type"] == group_type]
    owned = sum(row["count"] for row in of_type if row["role"] == Role.OWNER)
    if sum(row["count"] for row in seated) >= quotas.groups:
        raise QuotaReached(f"a player may be in {quotas.groups} groups (groups)")
    if limits.joined and sum(row["count"] for row in of_type) >= limits.joined:
        raise QuotaReached(f"a player may be in {limits.joined} groups of the type {group_type!r} (joined)")
    if as_owner and limits.owned and owned >= limits.owned:
        raise QuotaReached(f"a player may own {limits.owned} groups of the type {group_type!r} (owned)")


def count_change(ctx: Context) -> None:
    """Count a change that a client makes to who is in a group. Raises `RateLimited`."""
    if ctx.caller is Caller.CLIENT:
        ctx.core.quotas.change_group(ctx.app, ctx.player_id, ctx.now_ms)


async def check_player(ctx: Context, profile_id: str) -> None:
    """Raise `UnknownPlayer`, or `UserBlocked` where a player has blocked the caller or is blocked by them."""
    if profile_id == ctx.profile_id:
        return
    caller = ctx.profile_id or ""
    there = await friends.look(ctx.tx, ctx.app.id, caller, [profile_id])
    if profile_id not in there:
        raise UnknownPlayer(f"there is no player {profile_id[:64]!r}")
    if there[profile_id]["is_blocked"]:
        raise UserBlocked("the player and the caller: one has blocked the other")


async def check_exists(ctx: Context, profile_id: str) -> None:
    """Raise `UnknownPlayer`."""
    if profile_id not in await friends.look(ctx.tx, ctx.app.id, "", [profile_id]):
        raise UnknownPlayer(f"there is no player {profile_id[:64]!r}")


async def lock_as(ctx: Context, group_id: str) -> tuple[Row, Standing]:
    """Lock a group, and return it with what it allows the caller. Raises `UnknownGroup`."""
    group = await membership.lock(ctx.tx, ctx.app.id, group_id)
    role = await groups.role_of(ctx.tx, ctx.app.id, group_id, ctx.player_id)
    return group, Standing(group_id, acl_of(group), role)


async def lock_to_manage(ctx: Context, group_id: str) -> Row:
    """Lock a group that the caller owns or is an admin of. Raises `MANAGE_ERRORS`."""
    group, standing = await lock_as(ctx, group_id)
    standing.check_manages()
    return group


def acl_of(group: Row) -> Acl:
    """Return a group's ACL."""
    return Acl(group["acl_member"], group["acl_other"])


# Storage

_g, _m = social_groups.c, members.c
SEATS_OF = (
    select(_m.seat, _m.role, _g.group_type, func.count().label("count"))
    .join(social_groups, _g.group_id == _m.group_id)
    .where(_m.profile_id == bindparam("profile"), MEMBER_OF_APP)
    .group_by(_m.seat, _m.role, _g.group_type)
)
