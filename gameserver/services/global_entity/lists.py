"""Operations on many entities: lists, counts, choices by chance, pages."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from msgspec import Meta
from sqlalchemy import ColumnElement, Select, func, select

from gameserver.documents import query
from gameserver.documents.documents import NOTHING, READABLE, Id
from gameserver.documents.list_counts import ListCounts, Listing, Part
from gameserver.documents.paging import (
    ROWS_MAX,
    EntityPage,
    GetPage,
    GetPageOffset,
    InvalidContext,
    UnreadableContext,
    read_context,
    read_page,
)
from gameserver.documents.query import InvalidFieldInWhere, InvalidWhere, OrderBy, WhereField
from gameserver.rpc import Access, Context, Tx
from gameserver.services.global_entity import storage
from gameserver.services.global_entity.rules import EntityCount, EntityList, entity, service
from gameserver.storage import Row
from gameserver.wire.errors import InvalidParameterValue, PacketTooLarge
from gameserver.wire.shapes import FreeObjectOrText, Request

LISTED_DEFAULT = 50
OF_SYSTEM = "system"  # whoever reads the entities that belong to nobody
WHERE_ERRORS = (InvalidWhere, InvalidFieldInWhere)
LIST_ERRORS = (*WHERE_ERRORS, PacketTooLarge)
PAGE_ERRORS = (UnreadableContext, InvalidContext, *LIST_ERRORS)

# Lists

Where = FreeObjectOrText | None


class Criteria(Request):
    """What to look for.

    `where` may ask for `entityType`, `entityIndexedId`, `createdAt`, `updatedAt`, `ownerId`, `timeToLive`,
    `entityId`, `version`, `expiresAt`, `acl.other` and all of `data`.
    """

    where: WhereField = None


class Some(Criteria):
    """`maxReturn`: 50 when left out, at most 500 also when more are asked for."""

    max_return: Annotated[
        int | None,
        Meta(
            description="Entities to answer with at most: 50 when nothing is sent, and never more than 500."
        ),
    ] = None


class GetList(Some):
    order_by: OrderBy = None


class Hinted(Criteria):
    """`hintJson` names indexes for a database that needs to be told which to use."""

    hint_json: Annotated[
        Where,
        Meta(description="Which indexes to use, for other servers; it must be an object, and has no effect."),
    ] = None


class HintedList(GetList):
    hint_json: Annotated[
        Where,
        Meta(description="Which indexes to use, for other servers; it must be an object, and has no effect."),
    ] = None


class HintedSome(Some):
    hint_json: Annotated[
        Where,
        Meta(description="Which indexes to use, for other servers; it must be an object, and has no effect."),
    ] = None


class ByIndexedId(Request):
    entity_indexed_id: Annotated[
        Id, Meta(description="The id of the game's own choice that the entities were made with.")
    ]
    max_return: Annotated[
        int | None,
        Meta(
            description="Entities to answer with at most: 50 when nothing is sent, and never more than 500."
        ),
    ] = None


@service.operation("GET_LIST", tx=Tx.READ, access=Access.SIGNED_IN, errors=LIST_ERRORS)
async def get_list(ctx: Context, request: GetList) -> EntityList:
    """List the entities the caller may read that match a where clause.

    They come in the order asked for, or the oldest first.
    """
    return await _list(ctx, request, _visible(ctx))


@service.operation("GET_LIST_WITH_HINT", tx=Tx.READ, access=Access.SIGNED_IN, errors=LIST_ERRORS)
async def get_list_with_hint(ctx: Context, request: HintedList) -> EntityList:
    """List like GET_LIST. The hint is checked and has no effect."""
    _check_hint(request.hint_json)
    return await _list(ctx, request, _visible(ctx))


@service.operation("GET_LIST_COUNT", tx=Tx.READ, access=Access.SIGNED_IN, errors=WHERE_ERRORS)
async def get_list_count(ctx: Context, request: Criteria) -> EntityCount:
    """Count the entities the caller may read that match a where clause."""
    return await _count(ctx, request, _visible(ctx))


@service.operation("GET_LIST_COUNT_WITH_HINT", tx=Tx.READ, access=Access.SIGNED_IN, errors=WHERE_ERRORS)
async def get_list_count_with_hint(ctx: Context, request: Hinted) -> EntityCount:
    """Count like GET_LIST_COUNT. The hint is checked and has no effect."""
    _check_hint(request.hint_json)
    return await _count(ctx, request, _visible(ctx))


@service.operation("GET_LIST_BY_INDEXED_ID", tx=Tx.READ, access=Access.SIGNED_IN, errors=(PacketTooLarge,))
async def get_list_by_indexed_id(ctx: Context, request: ByIndexedId) -> EntityList:
    """List the entities with an indexed id that the caller may read, the oldest first."""
    of_id = storage.entities.c.indexed_id == request.entity_indexed_id
    conditions = [_visible(ctx).condition, of_id]
    rows = await ctx.tx.all(_some(conditions, query.order(None, storage.FIELDS), request.max_return))
    return _listed(ctx, rows)


@service.operation("GET_RANDOM_ENTITIES_MATCHING", tx=Tx.READ, access=Access.SIGNED_IN, errors=LIST_ERRORS)
async def get_random(ctx: Context, request: Some) -> EntityList:
    """Choose by chance among the entities the caller may read that match a where clause; none comes twice."""
    return await _random(ctx, request)


@service.operation(
    "GET_RANDOM_ENTITIES_MATCHING_WITH_HINT", tx=Tx.READ, access=Access.SIGNED_IN, errors=LIST_ERRORS
)
async def get_random_with_hint(ctx: Context, request: HintedSome) -> EntityList:
    """Choose like GET_RANDOM_ENTITIES_MATCHING. The hint is checked and has no effect."""
    _check_hint(request.hint_json)
    return await _random(ctx, request)


@service.operation("GET_SYSTEM_ENTITY_LIST", tx=Tx.READ, access=Access.SERVER, errors=LIST_ERRORS)
async def get_system_list(ctx: Context, request: GetList) -> EntityList:
    """List the entities that belong to nobody and match a where clause, whatever their ACL."""
    return await _list(ctx, request, _of_system(ctx))


@service.operation(
    "GET_SYSTEM_ENTITY_LIST_WITH_HINT", tx=Tx.READ, access=Access.SIGNED_IN, errors=LIST_ERRORS
)
async def get_system_list_with_hint(ctx: Context, request: HintedList) -> EntityList:
    """List the entities that belong to nobody; to clients, those that others may read.

    The hint has no effect.
    """
    _check_hint(request.hint_json)
    return await _list(ctx, request, _of_system(ctx))


@service.operation("GET_SYSTEM_ENTITY_LIST_COUNT", tx=Tx.READ, access=Access.SERVER, errors=WHERE_ERRORS)
async def get_system_list_count(ctx: Context, request: Criteria) -> EntityCount:
    """Count the entities that belong to nobody and match a where clause, whatever their ACL."""
    return await _count(ctx, request, _of_system(ctx))


@service.operation(
    "GET_SYSTEM_ENTITY_LIST_COUNT_WITH_HINT", tx=Tx.READ, access=Access.SIGNED_IN, errors=WHERE_ERRORS
)
async def get_system_list_count_with_hint(ctx: Context, request: Hinted) -> EntityCount:
    """Count the entities that belong to nobody; for clients, those that others may read.

    The hint has no effect.
    """
    _check_hint(request.hint_json)
    return await _count(ctx, request, _of_system(ctx))


# Pages


@service.operation("GET_PAGE", tx=Tx.READ, access=Access.SIGNED_IN, errors=PAGE_ERRORS)
async def get_page(ctx: Context, request: GetPage) -> EntityPage:
    """Read a page of the entities the caller may read that match the search, 500 rows at most."""
    return await _page(ctx, request.context, 0, _visible(ctx))


@service.operation("GET_PAGE_BY_OFFSET", tx=Tx.READ, access=Access.SIGNED_IN, errors=PAGE_ERRORS)
async def get_page_by_offset(ctx: Context, request: GetPageOffset) -> EntityPage:
    """Read a page before or after one that was read earlier. A page behind the end is empty."""
    return await _page(ctx, request.context, request.page_offset, _visible(ctx))


@service.operation("GET_SYSTEM_ENTITY_PAGE", tx=Tx.READ, access=Access.SERVER, errors=PAGE_ERRORS)
async def get_system_page(ctx: Context, request: GetPage) -> EntityPage:
    """Read a page of the entities that belong to nobody, whatever their ACL, 500 rows at most."""
    return await _page(ctx, request.context, 0, _of_system(ctx))


@service.operation("GET_SYSTEM_ENTITY_PAGE_BY_OFFSET", tx=Tx.READ, access=Access.SERVER, errors=PAGE_ERRORS)
async def get_system_page_by_offset(ctx: Context, request: GetPageOffset) -> EntityPage:
    """Read a page of system entities before or after one that was read earlier."""
    return await _page(ctx, request.context, request.page_offset, _of_system(ctx))


# What operations have in common


@dataclass(frozen=True)
class Scope:
    """Which entities an operation is about, and who reads them.

    `parts`: those of a type, or all, in parts with tallies.
    """

    condition: ColumnElement[bool]
    reader: str
    parts: Callable[[str | None], list[Part]] | None = None


def _visible(ctx: Context) -> Scope:
    return Scope(
        storage.visible(ctx.app.id, ctx.profile_id, ctx.now_ms),
        ctx.profile_id or "",
        partial(storage.visible_parts, ctx.app.id, ctx.profile_id),
    )


def _of_system(ctx: Context) -> Scope:
    if not ctx.caller.is_studio:
        return Scope(storage.of_system(ctx.app.id, ctx.now_ms, READABLE), OF_SYSTEM)
    parts = partial(storage.system_parts, ctx.app.id)
    return Scope(storage.of_system(ctx.app.id, ctx.now_ms, NOTHING), OF_SYSTEM, parts)


def _listing(ctx: Context, scope: Scope, search: dict[str, Any]) -> Listing | None:
    """Return the list of the entities that a search finds, if it asks for no more than a type."""
    if scope.parts is None or not query.asks_only(search, "entityType"):
        return None
    parts = scope.parts(search.get("entityType"))
    return Listing(ctx.core.get(ListCounts), parts, storage.alive(ctx.now_ms), storage.expired(ctx.now_ms))


def _check_hint(hint: Where) -> None:
    query.as_object(hint, "data.hintJson")


async def _list(ctx: Context, request: GetList, scope: Scope) -> EntityList:
    condition = query.where(request.where, storage.FIELDS)
    ordering = query.order(request.order_by, storage.FIELDS)
    statement = _some([scope.condition, condition], ordering, request.max_return)
    find = ctx.tx.search if request.where or request.order_by else ctx.tx.all
    return _listed(ctx, await find(statement))


async def _random(ctx: Context, request: Some) -> EntityList:
    condition = query.where(request.where, storage.FIELDS)
    statement = _some([_visible(ctx).condition, condition], [func.random()], request.max_return)
    return _listed(ctx, await ctx.tx.search(statement))


def _some(
    conditions: list[ColumnElement[bool]], ordering: list[ColumnElement[Any]], most: int | None
) -> Select[Any]:
    """Return the statement for so many entities that meet conditions, the first in an order."""
    if most is not None and most < 1:
        raise InvalidParameterValue("data.maxReturn: expected 1 or more")
    limit = LISTED_DEFAULT if most is None else min(most, ROWS_MAX)
    return select(*storage.COLUMNS).where(*conditions).order_by(*ordering).limit(limit)


def _listed(ctx: Context, rows: Sequence[Row]) -> EntityList:
    ctx.reserve_bytes(row["data"] for row in rows)
    found = [entity(row) for row in rows]
    return EntityList(entity_list=found, entity_list_count=len(found), server_time=ctx.now_ms)


async def _count(ctx: Context, request: Criteria, scope: Scope) -> EntityCount:
    condition = query.where(request.where, storage.FIELDS)
    listing = _listing(ctx, scope, query.as_object(request.where, "data.where"))
    if listing is not None:
        return EntityCount(entity_list_count=await listing.count(ctx.tx))
    statement = select(func.count()).select_from(storage.entities).where(scope.condition, condition)
    [row] = await ctx.tx.search(statement)
    return EntityCount(entity_list_count=row[0])


async def _page(ctx: Context, context: Where, offset: int, scope: Scope) -> EntityPage:
    page = read_context(context, offset, scope.reader)
    listing = _listing(ctx, scope, query.as_object(page.search, "data.context.searchCriteria"))
    found = await read_page(ctx.tx, page, storage.COLUMNS, scope.condition, storage.FIELDS, listing)
    ctx.reserve_bytes(row["data"] for row in found.rows)
    items = [entity(row) for row in found.rows]
    return EntityPage(results=found.results(items), context=found.context, server_time=ctx.now_ms)
