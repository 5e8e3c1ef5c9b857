"""Changing what a group is, other than who is in it."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sqlalchemy import BigInteger, SmallInteger, bindparam, update

from gameserver.documents.documents import (
    WRITABLE,
    Increments,
    InvalidFieldName,
    incremented,
)
from gameserver.domain.social import membership
from gameserver.domain.social.groups import IS_GROUP, Acl, UnknownGroup, read_acl, social_groups
from gameserver.rpc import Access, Context, Tx
from gameserver.services.group.base import (
    ACL_ERRORS,
    MANAGE_ERRORS,
    GroupAclField,
    GroupData,
    GroupName,
    GroupSettings,
    GroupTypeName,
    GroupVersion,
    GroupVersionMismatch,
    OfGroup,
    SummaryData,
    TooManyMembersForType,
    UnknownGroupType,
    acl_of,
    group_data,
    indexed_id,
    lock_as,
    lock_to_manage,
    of_group,
    service,
    summary_text,
    type_of,
)
from gameserver.services.group.making import check_version
from gameserver.services.group.showing import GroupShown, read
from gameserver.storage import Row
from gameserver.wire import json
from gameserver.wire.errors import InvalidParameterType, InvalidParameterValue, PacketTooLarge

WRITE_ERRORS = (*MANAGE_ERRORS, GroupVersionMismatch, InvalidFieldName, PacketTooLarge)
SYSTEM_WRITE_ERRORS = (UnknownGroup, GroupVersionMismatch, InvalidFieldName, PacketTooLarge)

# Data


class UpdateData(OfGroup, kw_only=True):
    version: GroupVersion = None
    data: GroupData = None


@service.operation("UPDATE_GROUP_DATA", tx=Tx.WRITE, locks=of_group, errors=WRITE_ERRORS)
async def update_data(ctx: Context, request: UpdateData) -> GroupShown:
    """Replace a group's data. Who may is said by the group's ACL; owner and admins always may.

    Groups are found fast by the text in `data.indexedId`. Refused: another version than the one named.
    """
    group = await _lock_to_write(ctx, request.group_id)
    return await _set_data(ctx, group, request)


@service.operation(
    "SYS_UPDATE_GROUP_DATA",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=of_group,
    errors=SYSTEM_WRITE_ERRORS,
)
async def system_update_data(ctx: Context, request: UpdateData) -> GroupShown:
    """Replace a group's data, whatever its ACL says. For servers."""
    group = await membership.lock(ctx.tx, ctx.app.id, request.group_id)
    return await _set_data(ctx, group, request, is_system=True)


async def _set_data(ctx: Context, group: Row, request: UpdateData, *, is_system: bool = False) -> GroupShown:
    check_version(group, request.version)
    data, found_by = group_data(ctx, request.data)
    await change(ctx, group, data=data, indexed_id=found_by)
    return await read(ctx, request.group_id, is_system=is_system)


class IncrementData(OfGroup, kw_only=True):
    data: Increments


@service.operation(
    "INCREMENT_GROUP_DATA",
    tx=Tx.WRITE,
    locks=of_group,
    errors=(
        *MANAGE_ERRORS,
        InvalidFieldName,
        InvalidParameterType,
        InvalidParameterValue,
        PacketTooLarge,
    ),
)
async def increment_data(ctx: Context, request: IncrementData) -> None:
    """Add to numbers of a group's data. Who may is said by the group's ACL; owner and admins always may."""
    await _increment(ctx, await _lock_to_write(ctx, request.group_id), request)


@service.operation(
    "SYS_INCREMENT_GROUP_DATA",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=of_group,
    errors=(UnknownGroup, InvalidFieldName, InvalidParameterType, InvalidParameterValue, PacketTooLarge),
)
async def system_increment_data(ctx: Context, request: IncrementData) -> None:
    """Add to numbers of a group's data, whatever its ACL says. For servers."""
    await _increment(ctx, await membership.lock(ctx.tx, ctx.app.id, request.group_id), request)


async def _increment(ctx: Context, group: Row, request: IncrementData) -> None:
    most = ctx.section(GroupSettings).data_bytes_max
    text = incremented(group["data"], request.data, bytes_max=most)
    await change(ctx, group, data=text, indexed_id=indexed_id(json.read_stored(text)))


class UpdateSummary(OfGroup, kw_only=True):
    version: GroupVersion = None
    summary_data: SummaryData = None


@service.operation("UPDATE_GROUP_SUMMARY_DATA", tx=Tx.WRITE, locks=of_group, errors=WRITE_ERRORS)
async def update_summary(ctx: Context, request: UpdateSummary) -> GroupShown:
    """Replace what a group shows to everybody. Who may write its data may do this.

    Refused: another version than the one named.
    """
    group = await _lock_to_write(ctx, request.group_id)
    return await _set_summary(ctx, group, request)


@service.operation(
    "SYS_UPDATE_GROUP_SUMMARY_DATA",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=of_group,
    errors=SYSTEM_WRITE_ERRORS,
)
async def system_update_summary(ctx: Context, request: UpdateSummary) -> GroupShown:
    """Replace what a group shows to everybody. For servers."""
    group = await membership.lock(ctx.tx, ctx.app.id, request.group_id)
    return await _set_summary(ctx, group, request, is_system=True)


async def _set_summary(
    ctx: Context, group: Row, request: UpdateSummary, *, is_system: bool = False
) -> GroupShown:
    check_version(group, request.version)
    await change(ctx, group, summary_data=summary_text(request.summary_data))
    return await read(ctx, request.group_id, is_system=is_system)


# The rest


class UpdateName(OfGroup, kw_only=True):
    name: GroupName


@service.operation("UPDATE_GROUP_NAME", tx=Tx.WRITE, locks=of_group, errors=MANAGE_ERRORS)
async def update_name(ctx: Context, request: UpdateName) -> None:
    """Give a group another name. Its owner and admins may."""
    await change(ctx, await lock_to_manage(ctx, request.group_id), name=request.name)


@service.operation(
    "SYS_UPDATE_GROUP_NAME", tx=Tx.WRITE, access=Access.SERVER, locks=of_group, errors=(UnknownGroup,)
)
async def system_update_name(ctx: Context, request: UpdateName) -> None:
    """Give a group another name. For servers."""
    await change(ctx, await membership.lock(ctx.tx, ctx.app.id, request.group_id), name=request.name)


class GroupWithFiles(GroupShown, kw_only=True):
    """A group, with as much as the caller may read, and its files."""

    group_file_tree: Annotated[None, Meta(description="Its folders and files; null: it has none.")]


class UpdateAcl(OfGroup, kw_only=True):
    acl: GroupAclField = None


@service.operation("UPDATE_GROUP_ACL", tx=Tx.WRITE, locks=of_group, errors=(*MANAGE_ERRORS, *ACL_ERRORS))
async def update_acl(ctx: Context, request: UpdateAcl) -> GroupWithFiles:
    """Say what members and others may do with a group's data. Its owner and admins may.

    Refused: an ACL that allows members less than others, or does not say what members may do.
    """
    acl = read_acl(request.acl)
    return await _set_acl(ctx, await lock_to_manage(ctx, request.group_id), acl)


@service.operation(
    "SYS_UPDATE_GROUP_ACL",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=of_group,
    errors=(UnknownGroup, *ACL_ERRORS),
)
async def system_update_acl(ctx: Context, request: UpdateAcl) -> GroupWithFiles:
    """Say what members and others may do with a group's data. For servers."""
    acl = read_acl(request.acl)
    group = await membership.lock(ctx.tx, ctx.app.id, request.group_id)
    return await _set_acl(ctx, group, acl, is_system=True)


async def _set_acl(ctx: Context, group: Row, acl: Acl, *, is_system: bool = False) -> GroupWithFiles:
    await change(ctx, group, acl=acl)
    shown = await read(ctx, group["group_id"], is_system=is_system)
    # Nothing puts files into groups yet.
    return GroupWithFiles(**msgspec.structs.asdict(shown), group_file_tree=None)


class SetOpen(OfGroup, kw_only=True):
    is_open_group: Annotated[
        bool, Meta(description="true: anybody may join; false: players ask to be let in.")
    ]


@service.operation("SET_GROUP_OPEN", tx=Tx.WRITE, locks=of_group, errors=MANAGE_ERRORS)
async def set_open(ctx: Context, request: SetOpen) -> None:
    """Say whether anybody may join a group. Its owner and admins may. Who waits to be let in still waits."""
    group = await lock_to_manage(ctx, request.group_id)
    await change(ctx, group, is_open=request.is_open_group)


@service.operation(
    "SYS_SET_GROUP_OPEN", tx=Tx.WRITE, access=Access.SERVER, locks=of_group, errors=(UnknownGroup,)
)
async def system_set_open(ctx: Context, request: SetOpen) -> None:
    """Say whether anybody may join a group. For servers."""
    group = await membership.lock(ctx.tx, ctx.app.id, request.group_id)
    await change(ctx, group, is_open=request.is_open_group)


class ChangeType(OfGroup, kw_only=True):
    group_type: GroupTypeName


@service.operation(
    "SYS_CHANGE_GROUP_TYPE",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=of_group,
    errors=(UnknownGroup, UnknownGroupType, TooManyMembersForType),
)
async def system_change_type(ctx: Context, request: ChangeType) -> None:
    """Give a group another type. For servers.

    Refused: a type that the app does not declare, or whose groups have fewer members than the group has.
    """
    most = type_of(ctx, request.group_type).members
    group = await membership.lock(ctx.tx, ctx.app.id, request.group_id)
    if group["member_count"] > most:
        raise TooManyMembersForType(f"a group of the type {request.group_type!r} has {most} members at most")
    await change(ctx, group, group_type=request.group_type)


# Rules


async def _lock_to_write(ctx: Context, group_id: str) -> Row:
    """Lock a group whose data the caller may write. Raises `MANAGE_ERRORS`."""
    group, standing = await lock_as(ctx, group_id)
    standing.check(WRITABLE)
    return group


async def change(ctx: Context, group: Row, *, acl: Acl | None = None, **new: Any) -> None:
    """Change columns of a group that is locked; its version goes up."""
    acl = acl or acl_of(group)
    values = {name: group[name] for name in CHANGED} | new
    await ctx.tx.defer(
        CHANGE,
        app=ctx.app.id,
        group=group["group_id"],
        new_acl_member=acl.member,
        new_acl_other=acl.other,
        now_ms=ctx.now_ms,
        **{f"new_{name}": value for name, value in values.items()},
    )


# Storage

_g = social_groups.c
CHANGED = ("name", "group_type", "is_open", "data", "indexed_id", "summary_data")
CHANGE = (
    update(social_groups)
    .where(IS_GROUP)
    .values(
        version=_g.version + 1,
        updated_ms=bindparam("now_ms", type_=BigInteger),
        acl_member=bindparam("new_acl_member", type_=SmallInteger),
        acl_other=bindparam("new_acl_other", type_=SmallInteger),
        **{name: bindparam(f"new_{name}", type_=_g[name].type) for name in CHANGED},
    )
)
