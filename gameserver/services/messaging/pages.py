"""Messages page by page: a player's own, and for servers those of a player or of all."""

from typing import Annotated

from msgspec import Meta
from sqlalchemy import ColumnElement

from gameserver.documents.paging import (
    InvalidContext,
    NextContext,
    PageContext,
    PageOffset,
    Results,
    UnreadableContext,
    read_context,
    read_page,
)
from gameserver.documents.query import InvalidFieldInWhere, InvalidWhere
from gameserver.rpc import Access, Context, Tx
from gameserver.services.messaging import storage
from gameserver.services.messaging.base import (
    MessagingNotEnabled,
    MessagingSettings,
    OwnerPagesOnly,
    check_enabled,
    service,
    shown,
)
from gameserver.services.messaging.sending import ProfileId
from gameserver.wire.errors import PacketTooLarge
from gameserver.wire.shapes import Reply, Request

PAGE_ERRORS = (
    MessagingNotEnabled,
    UnreadableContext,
    InvalidContext,
    InvalidWhere,
    InvalidFieldInWhere,
    PacketTooLarge,
)


class MessagePage(Reply):
    """A page, and the context of the next call."""

    context: NextContext
    results: Annotated[Results, Meta(description="The page.")]


class GetPage(Request):
    context: PageContext = None


class GetPageOffset(GetPage):
    page_offset: PageOffset = 0


@service.operation("GET_MESSAGES_PAGE", tx=Tx.READ, errors=PAGE_ERRORS)
async def get_page(ctx: Context, request: GetPage) -> MessagePage:
    """Read a page of the messages in the caller's boxes, the newest first unless the context says otherwise.

    A search may ask for `msgbox`, `msgId`, `read`, `mbCr`, `mbUp`, `mbVer`, `msgCr`, `msgUp`, `msgVer` and
    members of `message`, such as `message.from.id` and `message.to`. 500 rows at most.
    """
    return await _owned(ctx, ctx.player_id, request.context, 0)


@service.operation("GET_MESSAGES_PAGE_OFFSET", tx=Tx.READ, errors=PAGE_ERRORS)
async def get_page_offset(ctx: Context, request: GetPageOffset) -> MessagePage:
    """Read a page of the caller's messages before or after one that was read earlier."""
    return await _owned(ctx, ctx.player_id, request.context, request.page_offset)


class GetOwnersPage(GetPage, kw_only=True):
    owner_id: Annotated[ProfileId, Meta(description="The id of the player whose boxes they are in.")]


class GetOwnersPageOffset(GetOwnersPage, kw_only=True):
    page_offset: PageOffset = 0


@service.operation("SYS_GET_MESSAGES_FOR_OWNER_PAGE", tx=Tx.READ, access=Access.SERVER, errors=PAGE_ERRORS)
async def system_get_owners_page(ctx: Context, request: GetOwnersPage) -> MessagePage:
    """Read a page of the messages in a player's boxes, as GET_MESSAGES_PAGE does. For servers."""
    return await _owned(ctx, request.owner_id, request.context, 0)


@service.operation(
    "SYS_GET_MESSAGES_FOR_OWNER_PAGE_OFFSET", tx=Tx.READ, access=Access.SERVER, errors=PAGE_ERRORS
)
async def system_get_owners_page_offset(ctx: Context, request: GetOwnersPageOffset) -> MessagePage:
    """Read a page of a player's messages before or after one that was read earlier. For servers."""
    return await _owned(ctx, request.owner_id, request.context, request.page_offset)


@service.operation(
    "SYS_GET_MESSAGES_PAGE", tx=Tx.READ, access=Access.SERVER, errors=(*PAGE_ERRORS, OwnerPagesOnly)
)
async def system_get_page(ctx: Context, request: GetPage) -> MessagePage:
    """Read a page of all messages of the app, each once, as the first box it is in has it. For servers.

    Those of the system have null as `message.from.id`. Refused where the app lets servers read the messages
    of one player at a time.
    """
    return await _all(ctx, request.context, 0)


@service.operation(
    "SYS_GET_MESSAGES_PAGE_OFFSET", tx=Tx.READ, access=Access.SERVER, errors=(*PAGE_ERRORS, OwnerPagesOnly)
)
async def system_get_page_offset(ctx: Context, request: GetPageOffset) -> MessagePage:
    """Read a page of all messages before or after one that was read earlier. For servers."""
    return await _all(ctx, request.context, request.page_offset)


async def _owned(ctx: Context, owner: str, context: PageContext, offset: int) -> MessagePage:
    scope = storage.of_owner(ctx.app.id, owner)
    return await _page(ctx, context, offset, f"messages/{owner}", scope)


async def _all(ctx: Context, context: PageContext, offset: int) -> MessagePage:
    if ctx.section(MessagingSettings).owner_pages_only:
        raise OwnerPagesOnly("the app lets servers read the messages of one player at a time")
    return await _page(ctx, context, offset, "messages", storage.of_app(ctx.app.id))


async def _page(
    ctx: Context, context: PageContext, offset: int, reader: str, scope: ColumnElement[bool]
) -> MessagePage:
    check_enabled(ctx)
    page = read_context(context, offset, reader)
    found = await read_page(ctx.tx, page, storage.COLUMNS, scope, storage.FIELDS)
    ctx.reserve_bytes(row["message"] for row in found.rows)
    return MessagePage(context=found.context, results=found.results([shown(row) for row in found.rows]))
