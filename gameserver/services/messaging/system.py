"""What servers do with the content of messages, which all boxes share."""

from typing import Annotated, Any

from msgspec import Meta

from gameserver.documents.documents import VERSION_ANY, Version, data_out, version_wanted
from gameserver.domain.social.contents import CONTENT_ERRORS, Content, MessageNotFound, MessageVersionMismatch
from gameserver.rpc import Access, Context, Tx
from gameserver.services.messaging import storage
from gameserver.services.messaging.base import (
    ContentChanged,
    ContentMade,
    ContentVersion,
    Counted,
    MessageId,
    MessagingNotEnabled,
    Named,
    Sent,
    check_enabled,
    content_of,
    of_messages,
    service,
)
from gameserver.storage import Row, locks
from gameserver.wire import json
from gameserver.wire.errors import PacketTooLarge
from gameserver.wire.shapes import Empty, FreeValue, Reply, Request


class OneMessage(Request):
    """`msg_ver` is the version that the caller has read; -1 and null skip the check."""

    msg_id: MessageId
    msg_ver: Version = None


def of_message(ctx: Context, request: OneMessage) -> list[str]:
    """Return the lock of a message."""
    return [locks.shared_lock(ctx.app.id, "message", request.msg_id)]


class UpdateMessage(OneMessage, kw_only=True):
    content_json: Content


@service.operation(
    "SYS_UPDATE_MESSAGE",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=of_message,
    errors=(MessagingNotEnabled, MessageVersionMismatch, *CONTENT_ERRORS),
)
async def system_update(ctx: Context, request: UpdateMessage) -> Sent:
    """Replace the content of a message: all who have it see that. For servers.

    `actual` is 0 where there is no such message. Refused: it has changed since the caller read it, too much
    content or none.
    """
    check_enabled(ctx)
    content = content_of(ctx, request.content_json)
    row = await _lock(ctx, request)
    if row is None:
        return Sent(requested=1, actual=0, msg_id=request.msg_id)
    body: dict[str, Any] = {**json.read_stored(row["message"]), "content": content}
    await ctx.tx.run(
        storage.SET_CONTENT,
        msg=request.msg_id,
        app=ctx.app.id,
        new_message=json.encode_free(body).decode(),
        now_ms=ctx.now_ms,
    )
    return Sent(requested=1, actual=1, msg_id=request.msg_id)


@service.operation(
    "SYS_DELETE_MESSAGE",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=of_message,
    errors=(MessagingNotEnabled, MessageNotFound, MessageVersionMismatch),
)
async def system_delete(ctx: Context, request: OneMessage) -> Empty:
    """Delete a message out of all boxes. For servers. Refused: it is not there, or has changed meanwhile."""
    check_enabled(ctx)
    if await _lock(ctx, request) is None:
        raise MessageNotFound(f"there is no message {request.msg_id[:64]!r}")
    await _delete(ctx, [request.msg_id])
    return Empty()


@service.operation(
    "SYS_DELETE_MESSAGES",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=of_messages,
    errors=(MessagingNotEnabled,),
)
async def system_delete_some(ctx: Context, request: Named) -> Counted:
    """Delete messages out of all boxes. For servers. Those that are not there are no mistake."""
    check_enabled(ctx)
    wanted = sorted(set(request.msg_ids))
    return Counted(requested=len(wanted), actual=await _delete(ctx, wanted))


class SharedMessage(Reply):
    """What all boxes share of a message."""

    msg_id: MessageId
    msg_ver: ContentVersion
    msg_cr: ContentMade
    msg_up: ContentChanged
    message: Annotated[FreeValue, Meta(description="`{from: {id, name, pic}, to, sentAt, content}`.")]


class SharedMessages(Reply):
    requested: Annotated[int, Meta(description="How many messages were named.")]
    actual: Annotated[int, Meta(description="How many of them are here.")]
    items: Annotated[list[SharedMessage], Meta(description="The messages, the oldest first.")]


@service.operation(
    "SYS_GET_MESSAGES", tx=Tx.READ, access=Access.SERVER, errors=(MessagingNotEnabled, PacketTooLarge)
)
async def system_get(ctx: Context, request: Named) -> SharedMessages:
    """Read messages, whoever has them, the oldest first, without those that are not there. For servers."""
    check_enabled(ctx)
    wanted = sorted(set(request.msg_ids))
    rows = await ctx.tx.all(storage.READ_SOME, messages=wanted, app=ctx.app.id)
    ctx.reserve_bytes(row["message"] for row in rows)
    items = [
        SharedMessage(
            msg_id=row["msg_id"],
            msg_ver=row["version"],
            msg_cr=row["created_ms"],
            msg_up=row["updated_ms"],
            message=data_out(row["message"]),
        )
        for row in rows
    ]
    return SharedMessages(requested=len(wanted), actual=len(items), items=items)


async def _lock(ctx: Context, request: OneMessage) -> Row | None:
    """Return a message and keep others from changing it. Raises `MessageVersionMismatch`."""
    row = await ctx.tx.one(storage.LOCK_ONE, msg=request.msg_id, app=ctx.app.id)
    version = version_wanted(request.msg_ver)
    if row is not None and version not in (VERSION_ANY, row["version"]):
        raise MessageVersionMismatch(f"the message {request.msg_id[:64]!r} has changed")
    return row


async def _delete(ctx: Context, msg_ids: list[str]) -> int:
    await ctx.tx.run(storage.DELETE_ENTRIES, messages=msg_ids, app=ctx.app.id)
    return await ctx.tx.run(storage.DELETE_SOME, messages=msg_ids, app=ctx.app.id)
