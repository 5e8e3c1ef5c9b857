"""Finding groups: pages, and some by chance."""

import uuid
from typing import Annotated, Any

from msgspec import Meta
from sqlalchemy import ColumnElement, bindparam, select

from gameserver.documents import query
from gameserver.documents.paging import (
    EarlierContext,
    InvalidContext,
    NextContext,
    PageContext,
    PageOffset,
    Results,
    UnreadableContext,
    read_context,
    read_page,
)
from gameserver.documents.query import InvalidFieldInWhere, InvalidWhere, WhereField
from gameserver.domain.social.groups import FIELDS, OF_APP, readable_by, social_groups
from gameserver.rpc import Access, Context, Tx
from gameserver.services.group.base import service
from gameserver.services.group.showing import GroupShown, show, summary
from gameserver.wire.errors import PacketTooLarge
from gameserver.wire.shapes import Reply, Request

PAGE_ERRORS = (UnreadableContext, InvalidContext, InvalidWhere, InvalidFieldInWhere, PacketTooLarge)
RANDOM_MAX = 100  # groups with all their members
RANDOM_DEFAULT = 50
CANDIDATES = 1000  # among which chance decides

# Pages


class ListGroups(Request):
    context: PageContext = None


class ListGroupsByOffset(Request):
    context: EarlierContext = None
    page_offset: PageOffset = 0


class GroupPage(Reply):
    """A page of groups as everybody sees them, and the context of the next call."""

    context: NextContext
    results: Annotated[Results, Meta(description="The page; its items are groups as GET_MY_GROUPS has them.")]


@service.operation("LIST_GROUPS_PAGE", tx=Tx.READ, errors=PAGE_ERRORS)
async def list_groups(ctx: Context, request: ListGroups) -> GroupPage:
    """Read a page of all groups, the oldest first unless the context says otherwise. 500 rows at most.

    A search may ask for `groupId`, `groupType`, `name`, `ownerId`, `isOpenGroup`, `memberCount`, `version`,
    `createdAt`, `updatedAt`, members of `summaryData`, and `data.indexedId`. One that asks for more of `data`
    finds only groups whose data the caller may read.
    """
    return await _page(ctx, request.context, 0)


@service.operation("LIST_GROUPS_PAGE_BY_OFFSET", tx=Tx.READ, errors=PAGE_ERRORS)
async def list_groups_by_offset(ctx: Context, request: ListGroupsByOffset) -> GroupPage:
    """Read a page of groups before or after one that was read earlier."""
    return await _page(ctx, request.context, request.page_offset)


@service.operation("SYS_LIST_GROUPS_PAGE", tx=Tx.READ, access=Access.SERVER, errors=PAGE_ERRORS)
async def system_list_groups(ctx: Context, request: ListGroups) -> GroupPage:
    """Read a page of all groups, as LIST_GROUPS_PAGE does, searching the data of all. For servers."""
    return await _page(ctx, request.context, 0, is_system=True)


@service.operation("SYS_LIST_GROUPS_PAGE_BY_OFFSET", tx=Tx.READ, access=Access.SERVER, errors=PAGE_ERRORS)
async def system_list_groups_by_offset(ctx: Context, request: ListGroupsByOffset) -> GroupPage:
    """Read a page of groups before or after one that was read earlier. For servers."""
    return await _page(ctx, request.context, request.page_offset, is_system=True)


async def _page(ctx: Context, context: PageContext, offset: int, *, is_system: bool = False) -> GroupPage:
    reader = "groups" if is_system else f"groups/{ctx.player_id}"
    page = read_context(context, offset, reader)
    scope = of_app(ctx)
    if not is_system and (
        asks_for_data(query.as_object(page.search, "data.context.searchCriteria"))
        or asks_for_data(query.as_object(page.sort, "data.context.sortCriteria"))
    ):
        scope &= readable_by(ctx.player_id)
    found = await read_page(ctx.tx, page, tuple(_g), scope, FIELDS)
    ctx.reserve_bytes(row["summary_data"] for row in found.rows)
    return GroupPage(context=found.context, results=found.results([summary(row) for row in found.rows]))


# By chance


class GetRandom(Request):
    where: WhereField = None
    max_return: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=2**53,
                description=f"How many groups are wanted: {RANDOM_DEFAULT} where it says nothing, and"
                f" {RANDOM_MAX} at most.",
            ),
        ]
        | None
    ) = None


class RandomGroups(Reply):
    groups: Annotated[list[GroupShown], Meta(description="The groups, each once.")]
    count: Annotated[int, Meta(description="How many they are.")]


@service.operation(
    "GET_RANDOM_GROUPS_MATCHING",
    tx=Tx.READ,
    errors=(InvalidWhere, InvalidFieldInWhere, PacketTooLarge),
)
async def get_random(ctx: Context, request: GetRandom) -> RandomGroups:
    """Choose by chance among the groups that match, as LIST_GROUPS_PAGE searches them; none comes twice."""
    return await _random(ctx, request)


@service.operation(
    "SYS_GET_RANDOM_GROUPS_MATCHING",
    tx=Tx.READ,
    access=Access.SERVER,
    errors=(InvalidWhere, InvalidFieldInWhere, PacketTooLarge),
)
async def system_get_random(ctx: Context, request: GetRandom) -> RandomGroups:
    """Choose by chance among the groups that match, searching the data of all. For servers."""
    return await _random(ctx, request, is_system=True)


async def _random(ctx: Context, request: GetRandom, *, is_system: bool = False) -> RandomGroups:
    condition = of_app(ctx) & query.where(request.where, FIELDS)
    if not is_system and asks_for_data(query.as_object(request.where, "data.where")):
        condition &= readable_by(ctx.player_id)
    most = min(request.max_return or RANDOM_DEFAULT, RANDOM_MAX)
    ids = await by_chance(ctx, condition, most)
    rows = {row["group_id"]: row for row in await ctx.tx.all(SOME, app=ctx.app.id, groups=ids)}
    shown = await show(ctx, [rows[group_id] for group_id in ids if group_id in rows], is_system=is_system)
    return RandomGroups(groups=shown, count=len(shown))


async def by_chance(ctx: Context, condition: ColumnElement[bool], most: int) -> list[str]:
    """Return the ids of so many groups under a condition, in an order of chance.

    Ids are random, so those behind a random one are as good as any. Among more than `CANDIDATES` groups the
    choice falls on ones whose ids are near each other; it never reads them all.
    """
    start = str(uuid.UUID(bytes=ctx.core.random_bytes(16)))
    ids = select(_g.group_id).where(condition).order_by(_g.group_id).limit(CANDIDATES)
    found = [row["group_id"] for row in await ctx.tx.search(ids.where(_g.group_id >= start))]
    if len(found) < CANDIDATES:
        found += [row["group_id"] for row in await ctx.tx.search(ids.where(_g.group_id < start))]
    return some_by_chance(ctx, found[:CANDIDATES], most)


def some_by_chance(ctx: Context, ids: list[str], most: int) -> list[str]:
    """Return so many of some ids, in an order of chance."""
    dice = [(ctx.core.random_bytes(8), group_id) for group_id in ids]
    return [group_id for _, group_id in sorted(dice)[:most]]


# Rules


def of_app(ctx: Context) -> ColumnElement[bool]:
    """Return the condition for all groups of the app."""
    return _g.app_id == ctx.app.id


def asks_for_data(asked: Any) -> bool:
    """Tell whether a clause or an order speaks of a group's data, but for `data.indexedId`."""
    if isinstance(asked, dict):
        return any(
            (name == "data" or (name.startswith("data.") and name != "data.indexedId"))
            or asks_for_data(value)
            for name, value in asked.items()
        )
    return isinstance(asked, list) and any(map(asks_for_data, asked))


# Storage

_g = social_groups.c
SOME = select(*_g).where(_g.group_id.in_(bindparam("groups", expanding=True)), OF_APP)
