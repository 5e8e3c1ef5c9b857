"""What a player does with the messages in their boxes."""

from typing import Annotated

from msgspec import Meta
from sqlalchemy import Update

from gameserver.domain.social.contents import MessageNotFound
from gameserver.rpc import Context, Tx
from gameserver.services.messaging import storage
from gameserver.services.messaging.base import (
    INBOX,
    SENT,
    Box,
    Counted,
    Message,
    MessagingNotEnabled,
    Named,
    check_enabled,
    of_messages,
    service,
    shown,
)
from gameserver.wire.errors import PacketTooLarge
from gameserver.wire.shapes import Nothing, Reply


class Boxes(Reply):
    items: Annotated[list[str], Meta(description="The names of the boxes.")]


@service.operation("GET_MESSAGE_BOXES", tx=Tx.NONE, errors=(MessagingNotEnabled,))
async def get_boxes(ctx: Context, request: Nothing) -> Boxes:
    """List the boxes that every player has."""
    check_enabled(ctx)
    return Boxes(items=[INBOX, SENT])


class BoxCounts(Reply):
    """How many messages are in a box, and how many of them were not read; of sent ones always 0."""

    total: Annotated[int, Meta(description="How many messages are in the box.")] = 0
    unread: Annotated[int, Meta(description="How many of them were not read; of sent ones always 0.")] = 0


class Counts(Reply):
    inbox: Annotated[BoxCounts, Meta(description="Messages that others sent.")]
    sent: Annotated[BoxCounts, Meta(description="Messages that the player sent.")]


@service.operation("GET_MESSAGE_COUNTS", tx=Tx.READ, errors=(MessagingNotEnabled,))
async def get_counts(ctx: Context, request: Nothing) -> Counts:
    """Count the messages in the caller's boxes."""
    check_enabled(ctx)
    rows = await ctx.tx.all(storage.COUNTS, owner=ctx.player_id, app=ctx.app.id)
    counted = {row["msgbox"]: BoxCounts(total=row["total"], unread=row["unread"]) for row in rows}
    return Counts(inbox=counted.get(INBOX, BoxCounts()), sent=counted.get(SENT, BoxCounts()))


class InBox(Named, kw_only=True):
    msgbox: Box


class GetMessages(InBox, kw_only=True):
    """Some SDKs say `markAsRead`, one says `markMessageRead`."""

    mark_as_read: Annotated[bool | None, Meta(description="Whether they have been read with that.")] = None
    mark_message_read: Annotated[bool | None, Meta(description="Another name of `markAsRead`.")] = None


class Messages(Reply):
    requested: Annotated[int, Meta(description="How many messages were named.")]
    actual: Annotated[int, Meta(description="How many of them are here.")]
    items: Annotated[list[Message], Meta(description="The messages, the oldest first.")]


@service.operation("GET_MESSAGES", tx=Tx.WRITE, errors=(MessagingNotEnabled, MessageNotFound, PacketTooLarge))
async def get_messages(ctx: Context, request: GetMessages) -> Messages:
    """Read messages of one of the caller's boxes, the oldest first. Refused: none of them is there."""
    check_enabled(ctx)
    wanted = sorted(set(request.msg_ids))
    which = {"owner": ctx.player_id, "app": ctx.app.id, "box": request.msgbox, "messages": wanted}
    if request.mark_as_read or request.mark_message_read:
        await ctx.tx.run(storage.MARK_READ, **which, now_ms=ctx.now_ms)
    rows = await ctx.tx.all(storage.READ, **which)
    if wanted and not rows:
        raise MessageNotFound(f"no such message is in the box {request.msgbox}")
    ctx.reserve_bytes(row["message"] for row in rows)
    return Messages(requested=len(wanted), actual=len(rows), items=[shown(row) for row in rows])


@service.operation("MARK_MESSAGES_READ", tx=Tx.WRITE, errors=(MessagingNotEnabled,))
async def mark_read(ctx: Context, request: InBox) -> Counted:
    """Mark messages of one of the caller's boxes as read. `actual` counts those that are there."""
    return await _change(ctx, request, storage.MARK_READ)


@service.operation("DELETE_MESSAGES", tx=Tx.WRITE, locks=of_messages, errors=(MessagingNotEnabled,))
async def delete_messages(ctx: Context, request: InBox) -> Counted:
    """Delete messages of one of the caller's boxes. Others who have them keep them."""
    done = await _change(ctx, request, storage.DELETE)
    if done.actual:  # what nobody has any more is gone
        those = {"messages": sorted(set(request.msg_ids)), "app": ctx.app.id}
        await ctx.tx.defer(storage.DELETE_UNWANTED, **those)
        await ctx.tx.defer(storage.DELETE_UNWANTED_ENTRIES, **those)
    return done


async def _change(ctx: Context, request: InBox, statement: Update) -> Counted:
    check_enabled(ctx)
    wanted = sorted(set(request.msg_ids))
    which = {"owner": ctx.player_id, "app": ctx.app.id, "box": request.msgbox, "messages": wanted}
    done = await ctx.tx.run(statement, **which, now_ms=ctx.now_ms)
    return Counted(requested=len(wanted), actual=done)
