"""Groups in lines: who is in them, who waits to be, and what belongs to them."""

from typing import Any

from sqlalchemy import BigInteger, String, and_, bindparam, literal_column, select, tuple_

from gameserver.admin.moving import lines
from gameserver.admin.moving.kinds import APP, MOST, Found, Kind, NotTaken, Page, Taking, after, span
from gameserver.documents.documents import data_text
from gameserver.domain.social import membership
from gameserver.domain.social.groups import Acl, Role, Seat, members, read_acl, social_groups
from gameserver.rpc import Context
from gameserver.services.group.base import (
    GroupSettings,
    attributes_text,
    check_room,
    group_data,
    summary_text,
    type_of,
)
from gameserver.services.group.entity_storage import entities
from gameserver.storage import Row, Transaction, insert_row
from gameserver.wire import json

REASONS = {"INVITED_TO_JOIN": Seat.INVITED, "ASKED_TO_JOIN": Seat.REQUESTED}
"""What clients call the seats of those who are no members yet."""
REASON_OF = {seat: reason for reason, seat in REASONS.items()}


async def tell_groups(page: Page, tx: Transaction, after: list[Any] | None) -> Found:
    """Tell groups, and of their members the owners."""
    rows = await page.rows(tx, GROUPS, after or [-1, ""])
    found = [
        {
            "groupId": row["group_id"],
            "groupType": row["group_type"],
            "ownerId": row["owner_id"],
            "name": row["name"],
            "isOpenGroup": bool(row["is_open"]),
            "acl": Acl(row["acl_member"], row["acl_other"]).shown(),
            "version": row["version"],
            "data": json.read_stored(row["data"]),
            "summaryData": json.read_stored(row["summary_data"]),
            "defaultMemberAttributes": json.read_stored(row["default_attributes"]),
            "ownerAttributes": json.read_stored(row["attributes"]),
            "ownerSince": row["since_ms"],
            "createdAt": row["created_ms"],
            "updatedAt": row["updated_ms"],
        }
        for row in rows
    ]
    return found, page.following(rows, "created_ms", "group_id")


async def take_group(taking: Taking, ctx: Context, line: lines.Group) -> bool:
    """Make a group with its owner. Raises what making one does."""
    taking.must_be_here(line.owner_id)
    type_of(ctx, line.group_type)
    acl = read_acl(line.acl, "acl")
    data, indexed_id = group_data(ctx, line.data, "data")
    attributes = attributes_text(line.owner_attributes, "ownerAttributes")
    made = span(ctx, line.created_at, line.updated_at)
    is_new = await ctx.tx.unless_taken(
        membership.ADD_GROUP,
        group_id=line.group_id,
        app_id=taking.app.id,
        owner_id=line.owner_id,
        name=line.name,
        group_type=line.group_type,
        is_open=line.is_open_group,
        version=line.version,
        acl_member=acl.member,
        acl_other=acl.other,
        data=data,
        indexed_id=indexed_id,
        summary_data=summary_text(line.summary_data),
        default_attributes=attributes_text(line.default_member_attributes, "defaultMemberAttributes"),
        member_count=0,
        invited_count=0,
        requested_count=0,
        created_ms=made.created_ms,
        updated_ms=made.updated_ms,
    )
    if not is_new:
        await _lock(taking, ctx, line.group_id)
        return False
    since = made.created_ms if line.owner_since is None else line.owner_since
    await membership.give_seat(
        ctx, line.group_id, line.owner_id, None, Seat.MEMBER, Role.OWNER, attributes, since
    )
    return True


async def _lock(taking: Taking, ctx: Context, group_id: str) -> Row | None:
    """Return a group, which nobody changes until the commit; None for one that a dry run only speaks of."""
    row = await ctx.tx.one(membership.LOCK, app=taking.app.id, group=group_id)
    if row is None and group_id not in taking.promised:
        raise NotTaken(f"app {taking.app.id} has no group {group_id}; its line comes before this")
    return row


async def tell_members(page: Page, tx: Transaction, after: list[Any] | None) -> Found:
    """Tell who is in groups, but for the owners, and who waits to be."""
    rows = await page.rows(tx, MEMBERS, after or [-1, "", ""])
    found = []
    for row in rows:
        line = {
            "groupId": row["group_id"],
            "profileId": row["profile_id"],
            "role": row["role"],
            "attributes": json.read_stored(row["attributes"]),
            "since": row["since_ms"],
        }
        if (seat := Seat(row["seat"])) is not Seat.MEMBER:
            line["pendingReason"] = REASON_OF[seat]
        found.append(line)
    return found, page.following(rows, "group_ms", "group_id", "profile_id")


async def take_member(taking: Taking, ctx: Context, line: lines.GroupMember) -> bool:
    """Give a player a seat in a group, unless they have one. Raises `GroupFull`."""
    taking.must_be_here(line.profile_id)
    seat = Seat.MEMBER if line.pending_reason is None else REASONS[line.pending_reason]
    attributes = attributes_text(line.attributes, "attributes")
    group = await _lock(taking, ctx, line.group_id)
    if group is None:
        return True
    if await membership.seats(ctx.tx, taking.app.id, line.group_id, [line.profile_id]):
        return False
    if seat is Seat.MEMBER:
        check_room(ctx, group)
    since = ctx.now_ms if line.since is None else line.since
    await membership.give_seat(
        ctx, line.group_id, line.profile_id, None, seat, Role(line.role), attributes, since
    )
    return True


async def tell_entities(page: Page, tx: Transaction, after: list[Any] | None) -> Found:
    """Tell what belongs to groups, or to members in them."""
    rows = await page.rows(tx, ENTITIES, after or [-1, "", ""])
    found = [
        {
            "groupId": row["group_id"],
            "entityId": row["entity_id"],
            "entityType": row["entity_type"],
            "ownerId": row["owner_id"],
            "data": json.read_stored(row["data"]),
            "acl": Acl(row["acl_member"], row["acl_other"]).shown(),
            "version": row["version"],
            "createdAt": row["created_ms"],
            "updatedAt": row["updated_ms"],
        }
        for row in rows
    ]
    return found, page.following(rows, "group_ms", "group_id", "entity_id")


async def take_entity(taking: Taking, ctx: Context, line: lines.GroupEntity) -> bool:
    """Add an entity to a group."""
    if line.owner_id is not None:
        taking.must_be_here(line.owner_id)
    acl = read_acl(line.acl, "acl")
    data = data_text(line.data, "data", ctx.section(GroupSettings).data_bytes_max)
    if await _lock(taking, ctx, line.group_id) is None:
        return True
    made = span(ctx, line.created_at, line.updated_at)
    return await ctx.tx.unless_taken(
        ADD_ENTITY,
        group_id=line.group_id,
        entity_id=line.entity_id,
        app_id=taking.app.id,
        owner_id=line.owner_id,
        entity_type=line.entity_type,
        version=line.version,
        acl_member=acl.member,
        acl_other=acl.other,
        data=data,
        created_ms=made.created_ms,
        updated_ms=made.updated_ms,
    )


# Storage

_g, _m, _e = social_groups.c, members.c, entities.c
_AGE = (_g.created_ms, _g.group_id)
# The first condition finds the place in the index; the second one alone would not on every database.
_OF_APP = (_g.app_id == APP, _g.created_ms >= bindparam("after0", type_=BigInteger()))
_OWNER = and_(_m.group_id == _g.group_id, _m.profile_id == _g.owner_id)
GROUPS = (
    select(*_g, _m.attributes, _m.since_ms)
    .select_from(social_groups.join(members, _OWNER))
    .where(*_OF_APP, tuple_(*_AGE) > after(BigInteger(), String()))
    .order_by(*_AGE)
    .limit(MOST)
)
MEMBERS = (
    select(*_m, _g.created_ms.label("group_ms"))
    .select_from(social_groups.join(members, _m.group_id == _g.group_id))
    .where(*_OF_APP, _m.role != literal_column("'OWNER'"))
    .where(tuple_(*_AGE, _m.profile_id) > after(BigInteger(), String(), String()))
    .order_by(*_AGE, _m.profile_id)
    .limit(MOST)
)
ENTITIES = (
    select(*_e, _g.created_ms.label("group_ms"))
    .select_from(social_groups.join(entities, _e.group_id == _g.group_id))
    .where(*_OF_APP)
    .where(tuple_(*_AGE, _e.entity_id) > after(BigInteger(), String(), String()))
    .order_by(*_AGE, _e.entity_id)
    .limit(MOST)
)
ADD_ENTITY = insert_row(entities)

GROUP = Kind("group", lines.Group, ((int, str),), tell_groups, take_group)
GROUP_MEMBER = Kind("groupMember", lines.GroupMember, ((int, str, str),), tell_members, take_member)
GROUP_ENTITY = Kind("groupEntity", lines.GroupEntity, ((int, str, str),), tell_entities, take_entity)
