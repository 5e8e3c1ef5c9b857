"""How players come into groups and out of them, and how groups begin and end.

Whoever changes who is in a group holds the lock of the group's row, from `lock`. The counts of the group, and
who owns it, change in the same transaction as the rows of its members.
"""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Integer, String, bindparam, case, delete, select, update

from gameserver.domain.social.group_webhooks import GroupCreated, GroupDeleted, GroupJoined, GroupLeft
from gameserver.domain.social.groups import (
    GROUP_DELETE,
    IN_GROUP,
    IS_GROUP,
    IS_MEMBER,
    MEMBER_GONE,
    MEMBER_IDS,
    MEMBER_JOINED,
    MEMBER_OF_APP,
    Acl,
    GroupWork,
    Role,
    Seat,
    members,
    social_groups,
    unknown,
)
from gameserver.players.profiles import players
from gameserver.players.webhooks import emit
from gameserver.storage import Row, Transaction, insert_row, upsert


async def lock(tx: Transaction, app_id: str, group_id: str) -> Row:
    """Return a group whose row nobody else changes until the transaction ends. Raises `UnknownGroup`."""
    row = await tx.one(LOCK, app=app_id, group=group_id)
    if row is None:
        raise unknown(group_id)
    return row


async def seats(tx: Transaction, app_id: str, group_id: str, profile_ids: Collection[str]) -> dict[str, Row]:
    """Return what some players have to do with a group, by their ids; those who have nothing are missing."""
    rows = await tx.all(SEATS, app=app_id, group=group_id, profiles=sorted(set(profile_ids)))
    return {row["profile_id"]: row for row in rows}


async def create(
    work: GroupWork,
    group_id: str,
    owner_id: str,
    *,
    name: str,
    group_type: str,
    is_open: bool = False,
    acl: Acl,
    data: str = "{}",
    indexed_id: str | None = None,
    summary_data: str = "{}",
    owner_attributes: str = "{}",
    default_attributes: str = "{}",
) -> None:
    """Make a group with one member, its owner."""
    await work.tx.defer(
        ADD_GROUP,
        group_id=group_id,
        app_id=work.app.id,
        owner_id=owner_id,
        name=name,
        group_type=group_type,
        is_open=is_open,
        version=1,
        acl_member=acl.member,
        acl_other=acl.other,
        data=data,
        indexed_id=indexed_id,
        summary_data=summary_data,
        default_attributes=default_attributes,
        member_count=0,
        invited_count=0,
        requested_count=0,
        created_ms=work.now_ms,
        updated_ms=work.now_ms,
    )
    created = GroupCreated(profile_id=owner_id, group_id=group_id, group_type=group_type)
    await emit(work.tx, work.app, created, work.now_ms)
    await put(work, group_id, owner_id, None, Seat.MEMBER, Role.OWNER, owner_attributes)


async def put(
    work: GroupWork,
    group_id: str,
    profile_id: str,
    before: Seat | None,
    seat: Seat,
    role: Role,
    attributes: str,
) -> None:
    """Give a player a seat in a group instead of the one they had. The caller has looked for room."""
    await give_seat(work, group_id, profile_id, before, seat, role, attributes, work.now_ms)
    if seat is Seat.MEMBER and before is not Seat.MEMBER:
        joined = GroupJoined(profile_id=profile_id, group_id=group_id)
        await emit(work.tx, work.app, joined, work.now_ms)
        for hook in work.core.hooks.of(MEMBER_JOINED):
            await hook(work, group_id, profile_id)


async def give_seat(
    work: GroupWork,
    group_id: str,
    profile_id: str,
    before: Seat | None,
    seat: Seat,
    role: Role,
    attributes: str,
    since_ms: int,
) -> None:
    """Do what `put` does, and tell nobody: for what has happened elsewhere, at some time."""
    await work.tx.defer(
        PUT,
        group_id=group_id,
        profile_id=profile_id,
        app_id=work.app.id,
        seat=seat,
        role=role,
        attributes=attributes,
        since_ms=since_ms,
    )
    if before is not seat:
        await _count(work, group_id, before, seat)


async def take_out(work: GroupWork, group_id: str, profile_id: str, seat: Seat) -> None:
    """Leave a player nothing to do with a group. The owner hands over before."""
    await work.tx.defer(TAKE_OUT, app=work.app.id, group=group_id, profile=profile_id)
    await _count(work, group_id, seat, None)
    if seat is Seat.MEMBER:
        await emit(work.tx, work.app, GroupLeft(profile_id=profile_id, group_id=group_id), work.now_ms)
        for hook in work.core.hooks.of(MEMBER_GONE):
            await hook(work, group_id, profile_id)


async def _count(work: GroupWork, group_id: str, before: Seat | None, after: Seat | None) -> None:
    more = {seat: (after is seat) - (before is seat) for seat in Seat}
    await work.tx.defer(
        COUNT,
        app=work.app.id,
        group=group_id,
        members=more[Seat.MEMBER],
        invited=more[Seat.INVITED],
        requested=more[Seat.REQUESTED],
    )


async def change(
    work: GroupWork, group_id: str, profile_id: str, role: Role, attributes: str | None = None
) -> None:
    """Give a member a role other than OWNER, and attributes unless None."""
    await work.tx.defer(
        CHANGE, app=work.app.id, group=group_id, profile=profile_id, new_role=role, new_attributes=attributes
    )


async def hand_over(work: GroupWork, group_id: str, owner_id: str, to_id: str) -> None:
    """Make a member the owner of a group; who has owned it stays as an admin."""
    await change(work, group_id, owner_id, Role.ADMIN)
    await change(work, group_id, to_id, Role.OWNER)
    await work.tx.defer(SET_OWNER, app=work.app.id, group=group_id, owner=to_id)


async def successor(tx: Transaction, app_id: str, group_id: str) -> str | None:
    """Return who owns a group next: the admin, else the member, who has logged in last; None without any."""
    row = await tx.one(SUCCESSOR, app=app_id, group=group_id)
    return None if row is None else str(row["profile_id"])


async def leave(work: GroupWork, group: Row, profile_id: str) -> bool:
    """Let a member leave a group that is locked; False when the group has ended with its last member.

    An owner's place goes to `successor`.
    """
    group_id = group["group_id"]
    if group["owner_id"] == profile_id:
        heir = await successor(work.tx, work.app.id, group_id)
        if heir is None:
            await end(work, group_id)
            return False
        await hand_over(work, group_id, profile_id, heir)
    await take_out(work, group_id, profile_id, Seat.MEMBER)
    return True


async def end(work: GroupWork, group_id: str) -> list[str]:
    """Delete a group that is locked, with all that others keep of it; returns who was a member."""
    rows = await work.tx.all(MEMBER_IDS, app=work.app.id, group=group_id)
    there = [row["profile_id"] for row in rows]
    deleted = GroupDeleted(profile_id="", group_id=group_id, member_ids=there)
    await emit(work.tx, work.app, deleted, work.now_ms)
    for hook in work.core.hooks.of(GROUP_DELETE):
        await hook(work, group_id, there)
    await work.tx.defer(DELETE_MEMBERS, app=work.app.id, group=group_id)
    await work.tx.defer(DELETE_GROUP, app=work.app.id, group=group_id)
    return there


# Storage

_g, _m = social_groups.c, members.c
LOCK = select(*_g).where(IS_GROUP).with_for_update()
TRY_LOCK = select(*_g).where(IS_GROUP).with_for_update(skip_locked=True)  # no row when others have it
SEATS = select(*_m).where(IN_GROUP, _m.profile_id.in_(bindparam("profiles", expanding=True)))
ADD_GROUP = insert_row(social_groups)
PUT = upsert(members, ["group_id", "profile_id"], ["seat", "role", "attributes", "since_ms"])
_ONE = (IN_GROUP, _m.profile_id == bindparam("profile"))
TAKE_OUT = delete(members).where(*_ONE)
_NEW_ATTRIBUTES: Any = bindparam("new_attributes", type_=_m.attributes.type)
CHANGE = (
    update(members)
    .where(*_ONE)
    .values(
        role=bindparam("new_role", type_=String),
        attributes=case((_NEW_ATTRIBUTES.is_(None), _m.attributes), else_=_NEW_ATTRIBUTES),
    )
)
COUNT = (
    update(social_groups)
    .where(IS_GROUP)
    .values(
        member_count=_g.member_count + bindparam("members", type_=Integer),
        invited_count=_g.invited_count + bindparam("invited", type_=Integer),
        requested_count=_g.requested_count + bindparam("requested", type_=Integer),
    )
)
SET_OWNER = update(social_groups).where(IS_GROUP).values(owner_id=bindparam("owner", type_=String))
SUCCESSOR = (
    select(_m.profile_id)
    .join(players, players.c.profile_id == _m.profile_id)
    .where(IN_GROUP, IS_MEMBER, _m.role != Role.OWNER.value)
    .order_by(_m.role, players.c.last_login_ms.desc(), _m.profile_id)  # ADMIN before MEMBER
    .limit(1)
)
DELETE_MEMBERS = delete(members).where(IN_GROUP)
DELETE_GROUP = delete(social_groups).where(IS_GROUP)
OF_PLAYER = (
    select(_m.group_id, _m.seat)
    .where(_m.profile_id == bindparam("profile"), MEMBER_OF_APP)
    .order_by(_m.group_id)
)
