"""Making groups, and ending them."""

from typing import Annotated

from msgspec import Meta

from gameserver.documents.documents import InvalidFieldName, version_wanted
from gameserver.domain.social import membership
from gameserver.domain.social.groups import Role, Seat, UnknownGroup, read_acl
from gameserver.players.profiles import UnknownPlayer
from gameserver.players.quotas import QuotaReached
from gameserver.rpc import Access, Context, Tx
from gameserver.services.group.base import (
    ACL_ERRORS,
    MANAGE_ERRORS,
    Attributes,
    GroupAclField,
    GroupData,
    GroupName,
    GroupSettings,
    GroupTypeName,
    GroupVersion,
    GroupVersionMismatch,
    IsOpen,
    OfGroup,
    OtherProfileId,
    SummaryData,
    UnknownGroupType,
    attributes_text,
    check_exists,
    check_may_join,
    count_change,
    group_data,
    lock_as,
    of_group,
    service,
    summary_text,
    type_of,
)
from gameserver.services.group.showing import GroupShown, read
from gameserver.services.group.telling import Told, push
from gameserver.storage import Row, locks
from gameserver.wire.errors import NotAllowed, PacketTooLarge
from gameserver.wire.shapes import Request

MAKE_ERRORS = (*ACL_ERRORS, UnknownGroupType, InvalidFieldName, PacketTooLarge)


class CreateGroup(Request):
    name: GroupName
    group_type: GroupTypeName
    is_open_group: IsOpen = None
    acl: GroupAclField = None
    owner_attributes: Annotated[Attributes, Meta(description="Attributes of the owner.")] = None
    default_member_attributes: Annotated[
        Attributes, Meta(description="Attributes of members who come in without any of their own.")
    ] = None
    data: GroupData = None
    summary_data: SummaryData = None


@service.operation("CREATE_GROUP", tx=Tx.WRITE, errors=(*MAKE_ERRORS, NotAllowed, QuotaReached))
async def create_group(ctx: Context, request: CreateGroup) -> GroupShown:
    """Make a group that the caller owns.

    Refused: types that the app does not declare, or lets servers alone make groups of; more groups than the
    caller may own or be in; an ACL that allows members less than others.
    """
    count_change(ctx)
    if type_of(ctx, request.group_type).made_by != "players" and not ctx.caller.is_studio:
        raise NotAllowed(f"servers alone make groups of the type {request.group_type!r}")
    return await _create(ctx, request, ctx.player_id)


class SystemCreateGroup(CreateGroup, kw_only=True):
    owner_id: Annotated[OtherProfileId, Meta(description="The id of the player who owns the group.")]
    json_data: Annotated[GroupData, Meta(description="Another name of `data`.")] = None


@service.operation(
    "SYS_CREATE_GROUP",
    tx=Tx.WRITE,
    locks=lambda _, request: [locks.player_lock(request.owner_id)],
    access=Access.SERVER,
    errors=(*MAKE_ERRORS, UnknownPlayer),
)
async def system_create_group(ctx: Context, request: SystemCreateGroup) -> GroupShown:
    """Make a group that a player owns. For servers, which no limit of the player holds back."""
    await check_exists(ctx, request.owner_id)
    if request.data is None:
        request.data = request.json_data
    return await _create(ctx, request, request.owner_id, is_system=True)


async def _create(
    ctx: Context, request: CreateGroup, owner_id: str, *, is_system: bool = False
) -> GroupShown:
    type_of(ctx, request.group_type)
    acl = read_acl(request.acl)
    data, indexed_id = group_data(ctx, request.data)
    summary_data = summary_text(request.summary_data)
    owner_attributes = attributes_text(request.owner_attributes, "data.ownerAttributes")
    default_attributes = attributes_text(request.default_member_attributes, "data.defaultMemberAttributes")
    await locks.take(ctx.tx, [locks.player_lock(owner_id)])
    if not is_system:
        await check_may_join(ctx, owner_id, request.group_type, Seat.MEMBER, as_owner=True)
    group_id = ctx.core.new_id()
    await membership.create(
        ctx,
        group_id,
        owner_id,
        name=request.name,
        group_type=request.group_type,
        is_open=bool(request.is_open_group),
        acl=acl,
        data=data,
        indexed_id=indexed_id,
        summary_data=summary_data,
        owner_attributes=owner_attributes,
        default_attributes=default_attributes,
    )
    return await read(ctx, group_id, is_system=is_system)


class DeleteGroup(OfGroup, kw_only=True):
    version: GroupVersion = None


@service.operation("DELETE_GROUP", tx=Tx.WRITE, locks=of_group, errors=(*MANAGE_ERRORS, GroupVersionMismatch))
async def delete_group(ctx: Context, request: DeleteGroup) -> None:
    """Delete a group, with everything that belongs to it. Its owner alone may.

    Refused: another version than the one named.
    """
    group, standing = await lock_as(ctx, request.group_id)
    if standing.role is not Role.OWNER:
        standing.refuse()
    check_version(group, request.version)
    await _end(ctx, group)


@service.operation(
    "SYS_DELETE_GROUP",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=of_group,
    errors=(UnknownGroup, GroupVersionMismatch),
)
async def system_delete_group(ctx: Context, request: DeleteGroup) -> None:
    """Delete a group, with everything that belongs to it. For servers."""
    group = await membership.lock(ctx.tx, ctx.app.id, request.group_id)
    check_version(group, request.version)
    await _end(ctx, group)


async def _end(ctx: Context, group: Row) -> None:
    there = await membership.end(ctx, group["group_id"])
    if ctx.section(GroupSettings).events:
        push(ctx, Told.DELETED, group, None, there)


def check_version(group: Row, version: int | None) -> None:
    """Raise `GroupVersionMismatch` unless a group has the version that a request names, if it names one."""
    wanted = version_wanted(version)
    if wanted not in (-1, group["version"]):
        raise GroupVersionMismatch(
            f"the group {group['group_id']!r} has version {group['version']}, not {wanted}"
        )
