"""What players do by themselves: join a group, or any that fits, and leave."""

from typing import Annotated, Literal

from msgspec import Meta
from sqlalchemy import and_, exists, or_, select

from gameserver.documents import query
from gameserver.documents.documents import READABLE
from gameserver.documents.query import InvalidFieldInWhere, InvalidWhere, WhereField
from gameserver.domain.social import membership
from gameserver.domain.social.groups import (
    FIELDS,
    IS_MEMBER,
    IS_OPEN,
    NotGroupMember,
    Role,
    Seat,
    UnknownGroup,
    members,
    social_groups,
)
from gameserver.players.quotas import QuotaReached
from gameserver.rpc import Context, Tx
from gameserver.services.group.base import (
    GroupFull,
    GroupTypeName,
    NoMatchingGroup,
    OfGroup,
    OwnerCannotLeave,
    UnknownGroupType,
    check_may_join,
    check_pending,
    check_room,
    count_change,
    limits_of,
    of_group,
    service,
    type_of,
)
from gameserver.services.group.listing import CANDIDATES, asks_for_data, some_by_chance
from gameserver.services.group.showing import READ, GroupShown, GroupSummary, read, summary
from gameserver.services.group.telling import Told, tell
from gameserver.storage import Row, locks
from gameserver.wire.errors import PacketTooLarge
from gameserver.wire.shapes import Empty, Request

TRIED_MAX = 50  # groups that are tried, should others take their last places meanwhile
TYPES_MAX = 20  # of one call
_g, _m = social_groups.c, members.c


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
    count_change(ctx)
    await locks.take(ctx.tx, [locks.player_lock(ctx.player_id)])
    group = await membership.lock(ctx.tx, ctx.app.id, request.group_id)
    seat = await own_seat(ctx, request.group_id)
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
        await tell(ctx, Told.REQUESTED, group, ctx.player_id, managers=True)


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
    await tell(ctx, Told.MEMBER_JOINED, group, ctx.player_id, managers=True)


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
    count_change(ctx)
    group, seat = await _lock_as_member(ctx, request.group_id)
    if seat["role"] == Role.OWNER and group["member_count"] > 1:
        raise OwnerCannotLeave("the owner does not leave while there are other members")
    if await membership.leave(ctx, group, ctx.player_id):
        await tell(ctx, Told.MEMBER_GONE, group, ctx.player_id, managers=True)


@service.operation("LEAVE_GROUP_AUTO", tx=Tx.WRITE, locks=of_group, errors=(UnknownGroup, NotGroupMember))
async def leave_group_auto(ctx: Context, request: OfGroup) -> Empty:
    """Leave a group. When its owner does, the admin who has logged in last owns it, or else the member.

    With its last member the group ends.
    """
    count_change(ctx)
    group, _ = await _lock_as_member(ctx, request.group_id)
    if await membership.leave(ctx, group, ctx.player_id):
        await tell(ctx, Told.MEMBER_GONE, group, ctx.player_id, managers=True)
    return Empty()


# Joining any group that fits


class AutoJoin(Request):
    auto_join_strategy: Annotated[
        Literal["JoinFirstGroup", "JoinRandomGroup"],
        Meta(
            description="JoinFirstGroup: the group that is nearest to being full, of these the newest;"
            " JoinRandomGroup: any of the first 1000."
        ),
    ]
    where: WhereField = None

    @property
    def asked(self) -> WhereField:
        """The clause that groups must meet."""
        return self.where


class AutoJoinType(AutoJoin, kw_only=True):
    group_type: GroupTypeName
    data_query_json: Annotated[WhereField, Meta(description="Another name of `where`.")] = None

    @property
    def asked(self) -> WhereField:
        """The clause that groups must meet."""
        return self.where or self.data_query_json


class AutoJoinTypes(AutoJoin, kw_only=True):
    group_types: Annotated[
        list[GroupTypeName],
        Meta(
            min_length=1, max_length=TYPES_MAX, description="The types of groups, as the app declares them."
        ),
    ]


AUTO_ERRORS = (
    UnknownGroupType,
    NoMatchingGroup,
    InvalidWhere,
    InvalidFieldInWhere,
    QuotaReached,
)


def of_any_group(ctx: Context, request: AutoJoin) -> list[str]:
    """Return the locks of all groups, for nobody knows yet which one it will be."""
    return locks.shared_locks(ctx.app.id)


@service.operation("AUTO_JOIN_GROUP", tx=Tx.WRITE, locks=of_any_group, errors=(*AUTO_ERRORS, PacketTooLarge))
async def auto_join(ctx: Context, request: AutoJoinType) -> GroupShown:
    """Join an open group of a type that has room, and meets a clause; returns it.

    The clause may ask for what LIST_GROUPS_PAGE may, and for `data` of groups whose members may read it.
    Refused: a type that the app does not declare; when there is no such group.
    """
    group = await _join_any(ctx, [request.group_type], request)
    return await read(ctx, group["group_id"])


@service.operation("AUTO_JOIN_GROUP_MULTI", tx=Tx.WRITE, locks=of_any_group, errors=AUTO_ERRORS)
async def auto_join_multi(ctx: Context, request: AutoJoinTypes) -> GroupSummary:
    """Join an open group of one of several types, as AUTO_JOIN_GROUP does; returns what everybody sees of it.

    Refused: a type that the app does not declare; when there is no such group.
    """
    group = await _join_any(ctx, request.group_types, request)
    found = await ctx.tx.one(READ, app=ctx.app.id, group=group["group_id"])
    assert found is not None, "the caller is a member of it"
    return summary(found)


async def _join_any(ctx: Context, types: list[str], request: AutoJoin) -> Row:
    """Join the first group that has room when its turn comes; returns it. Raises `AUTO_ERRORS`.

    Groups that others are just changing are tried after all others, in one order, so that nobody waits in a
    circle.
    """
    count_change(ctx)
    await locks.take(ctx.tx, [locks.player_lock(ctx.player_id)])
    most = {name: type_of(ctx, name).members for name in types}
    with_room = [and_(_g.group_type == name, _g.member_count < most[name]) for name in sorted(most)]
    condition = and_(_g.app_id == ctx.app.id, IS_OPEN, or_(*with_room), query.where(request.asked, FIELDS))
    condition &= ~exists().where(_m.group_id == _g.group_id, _m.profile_id == ctx.player_id, IS_MEMBER)
    if asks_for_data(query.as_object(request.asked, "data.where")):
        condition &= _g.acl_member >= READABLE  # or it would tell members what they may not read
    # In this order an index has those with room together, however many are full.
    first = (_g.member_count.desc(), _g.created_ms.desc(), _g.group_id.desc())
    is_first = request.auto_join_strategy == "JoinFirstGroup"
    most_ids = TRIED_MAX if is_first else CANDIDATES
    found = await ctx.tx.search(select(_g.group_id).where(condition).order_by(*first).limit(most_ids))
    ids = [row["group_id"] for row in found]
    if not is_first:
        ids = some_by_chance(ctx, ids, TRIED_MAX)
    for is_busy in (False, True):
        statement = membership.LOCK if is_busy else membership.TRY_LOCK
        for group_id in sorted(ids) if is_busy else list(ids):
            group = await ctx.tx.one(statement, app=ctx.app.id, group=group_id)
            if group is None:
                continue
            ids.remove(group_id)
            if group["is_open"] and group["member_count"] < limits_of(ctx, group).members:
                await come_in(ctx, group, await own_seat(ctx, group_id))
                return group
    raise NoMatchingGroup("there is no group to join that matches")


# Rules


async def own_seat(ctx: Context, group_id: str) -> Row | None:
    """Return what the caller has to do with a group."""
    found = await membership.seats(ctx.tx, ctx.app.id, group_id, [ctx.player_id])
    return found.get(ctx.player_id)


async def _lock_as_member(ctx: Context, group_id: str) -> tuple[Row, Row]:
    """Lock a group, and return it with the caller's row in it. Raises `UnknownGroup`, `NotGroupMember`."""
    group = await membership.lock(ctx.tx, ctx.app.id, group_id)
    seat = await own_seat(ctx, group_id)
    if seat is None or seat["seat"] != Seat.MEMBER:
        raise NotGroupMember("the caller is not a member of the group")
    return group, seat
