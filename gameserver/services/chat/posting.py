"""Posting, changing and deleting messages, for players."""

from typing import Annotated, Any

from msgspec import Meta

from gameserver.documents.documents import VERSION_ANY, Version, version_wanted
from gameserver.domain.social.availability import RealtimeDisabled
from gameserver.domain.social.contents import (
    CONTENT_ERRORS,
    Content,
    MessageNotFound,
    MessageVersionMismatch,
    Sender,
    screen,
)
from gameserver.domain.social.word_filters import ProfaneText, ProfanitySettings, WordFilters
from gameserver.realtime import Place
from gameserver.rpc import Caller, Context, Tx
from gameserver.services.chat import storage
from gameserver.services.chat.base import (
    DELETE,
    INCOMING,
    UPDATE,
    Channel,
    ChatMessage,
    ChatSettings,
    Kind,
    MessageId,
    OfChannel,
    SenderShown,
    UnknownChannel,
    admit,
    content_of,
    kept_ms,
    of_channel,
    service,
    shown,
)
from gameserver.services.chat.history import NOBODY, read_one
from gameserver.storage import Row
from gameserver.wire import json
from gameserver.wire.errors import NoSession, NotAllowed, PacketTooLarge, RateLimited
from gameserver.wire.shapes import Empty, Reply

Recorded = Annotated[
    bool | None,
    Meta(description="false: it is told to who listens, and not kept. Null or nothing: it is kept."),
]
POST_ERRORS = (RealtimeDisabled, UnknownChannel, NotAllowed, ProfaneText, RateLimited)


class Posted(Reply):
    msg_id: MessageId


class Post(OfChannel, kw_only=True):
    content: Content
    record_in_history: Recorded = None


@service.operation("POST_CHAT_MESSAGE", tx=Tx.WRITE, locks=of_channel, errors=(*POST_ERRORS, *CONTENT_ERRORS))
async def post_message(ctx: Context, request: Post) -> Posted:
    """Post a message to a channel: all who listen to it get it, the caller as well.

    The first message to a dynamic channel makes it. Words that nobody wants to read are hidden in `text` and
    `subject`, or the message is refused, as the app says. Who has blocked the caller does not get it.

    Refused: as to listen; too much content or none; more messages in a minute than a player may post.
    """
    return await _post_for_player(ctx, request, request.content)


class PostSimple(OfChannel, kw_only=True):
    text: Annotated[str, Meta(description="What the message says.")]
    record_in_history: Recorded = None


@service.operation(
    "POST_CHAT_MESSAGE_SIMPLE", tx=Tx.WRITE, locks=of_channel, errors=(*POST_ERRORS, PacketTooLarge)
)
async def post_simple(ctx: Context, request: PostSimple) -> Posted:
    """Post a text to a channel, as POST_CHAT_MESSAGE does with the content `{text}`."""
    return await _post_for_player(ctx, request, {"text": request.text})


class ChangeMessage(OfChannel, kw_only=True):
    msg_id: MessageId
    version: Version = None


class UpdateMessage(ChangeMessage, kw_only=True):
    content: Content


@service.operation(
    "UPDATE_CHAT_MESSAGE",
    tx=Tx.WRITE,
    locks=of_channel,
    errors=(*POST_ERRORS, *CONTENT_ERRORS, MessageNotFound, MessageVersionMismatch),
)
async def update_message(ctx: Context, request: UpdateMessage) -> Empty:
    """Replace the content of a message of the caller. All who listen to the channel are told.

    Refused: as to post; no such message, or no more; one of somebody else; it has changed since it was read.
    """
    channel = await admit(ctx, request.channel_id, writes=True)
    content = _screened(ctx, content_of(ctx, request.content))
    _count(ctx)
    await change(ctx, channel, request, ctx.player_id, content)
    return Empty()


class Deleted(Reply):
    deleted: Annotated[int, Meta(description="How many messages were deleted: 1, or 0 when it was gone.")]


@service.operation(
    "DELETE_CHAT_MESSAGE",
    tx=Tx.WRITE,
    locks=of_channel,
    errors=(RealtimeDisabled, UnknownChannel, NotAllowed, MessageVersionMismatch),
)
async def delete_message(ctx: Context, request: ChangeMessage) -> Deleted:
    """Delete a message of the caller. All who listen to the channel are told.

    Refused: as to listen; a message of somebody else; it has changed since it was read.
    """
    channel = await admit(ctx, request.channel_id, writes=True)
    return await delete(ctx, channel, request, ctx.player_id)


# Rules


async def _post_for_player(ctx: Context, request: Post | PostSimple, content: Any) -> Posted:
    channel = await admit(ctx, request.channel_id, writes=True)
    content = _screened(ctx, content_of(ctx, content))
    _count(ctx)
    return await post(ctx, channel, await _player(ctx), content, request.record_in_history)


def _screened(ctx: Context, content: dict[str, Any]) -> dict[str, Any]:
    how = ctx.section(ProfanitySettings).chat
    return screen(ctx.app, ctx.core.get(WordFilters), content, how)


def _count(ctx: Context) -> None:
    if ctx.caller is Caller.CLIENT:
        ctx.core.quotas.post_chat(ctx.app, ctx.player_id, ctx.now_ms)


async def _player(ctx: Context) -> Sender:
    """Return the calling player as who a message is from. Raises `NoSession`."""
    row = await ctx.tx.one(storage.SENDER, profile=ctx.player_id, app=ctx.app.id)
    if row is None:
        raise NoSession("the player is gone")
    return Sender(ctx.player_id, row["name"], row["picture_url"])


async def post(
    ctx: Context,
    channel: Channel,
    sender: Sender,
    content: dict[str, Any],
    is_recorded: bool | None,
) -> Posted:
    """Post a message. Raises `RateLimited` for too many new channels."""
    place = await _take_place(ctx, channel, sender.id or "")
    if is_recorded is not False:
        await ctx.tx.defer(
            storage.ADD,
            channel_id=channel.id,
            number=place.number,
            app_id=ctx.app.id,
            from_id=sender.id or "",
            from_name=sender.name,
            from_pic=sender.pic,
            content=json.encode_free(content).decode(),
            version=1,
            created_ms=ctx.now_ms,
            updated_ms=ctx.now_ms,
        )
        await ctx.tx.defer(storage.TRIM, channel=channel.id, most=ctx.section(ChatSettings).history)
    message = ChatMessage(
        ch_id=channel.id,
        msg_id=str(place.number),
        date=ctx.now_ms,
        ver=1,
        from_=SenderShown(id=sender.id, name=sender.name, pic=sender.pic),
        content=content,
        updated_at=ctx.now_ms,
        expires_at=ctx.now_ms + kept_ms(ctx.app),
    )
    ctx.publish(channel.room, service.name, INCOMING, message, place)
    return Posted(msg_id=message.msg_id)


async def change(
    ctx: Context, channel: Channel, request: ChangeMessage, author: str | None, content: dict[str, Any]
) -> None:
    """Replace the content of a message, which is of the author if one is named.

    Raises `MessageNotFound`, `NotAllowed`, `MessageVersionMismatch`.
    """
    before = await _hold(ctx, channel, request, author)
    if before is None:
        raise MessageNotFound(f"there is no message {request.msg_id[:64]!r}, or no more")
    place = await _take_place(ctx, channel, before["from_id"])
    row = await ctx.tx.one(
        storage.SET_CONTENT,
        channel=channel.id,
        msg=before["number"],
        new_content=json.encode_free(content).decode(),
        now_ms=ctx.now_ms,
    )
    if row is None:
        raise MessageNotFound(f"the message {request.msg_id!r} has just lapsed")
    ctx.publish(channel.room, service.name, UPDATE, shown(ctx, row), place)


async def delete(ctx: Context, channel: Channel, request: ChangeMessage, author: str | None) -> Deleted:
    """Delete a message, which is of the author if one is named.

    Raises `NotAllowed`, `MessageVersionMismatch`.
    """
    before = await _hold(ctx, channel, request, author)
    if before is None:
        return Deleted(deleted=0)
    place = await _take_place(ctx, channel, before["from_id"])
    done = await ctx.tx.run(storage.DELETE_ONE, channel=channel.id, msg=before["number"])
    gone = shown(ctx, before)
    gone.content = {}
    ctx.publish(channel.room, service.name, DELETE, gone, place)
    return Deleted(deleted=done)


async def _hold(ctx: Context, channel: Channel, request: ChangeMessage, author: str | None) -> Row | None:
    """Return a message that may be changed, and let nobody else post, change or delete until the commit.

    Raises `NotAllowed`, `MessageVersionMismatch`.
    """
    await ctx.tx.one(storage.HOLD_CHANNEL, channel=channel.id)
    row = await read_one(ctx, channel, request.msg_id, author or NOBODY)
    if row is None:
        return None
    if author is not None and row["from_id"] != author:
        raise NotAllowed("the message is somebody else's")
    if version_wanted(request.version) not in (VERSION_ANY, row["version"]):
        raise MessageVersionMismatch(f"the message {request.msg_id[:64]!r} has changed")
    return row


async def _take_place(ctx: Context, channel: Channel, author: str) -> Place:
    """Take the next number of a channel, which nobody else can until the commit; make the channel if need be.

    Raises `RateLimited` for a player who makes too many channels.
    """
    row = await ctx.tx.one(
        storage.TAKE_NUMBER,
        channel_id=channel.id,
        app_id=ctx.app.id,
        kind=channel.kind,
        number=ctx.now_ms,
        first_number=ctx.now_ms,
        used_ms=ctx.now_ms,
    )
    assert row is not None, "a counter has always a next number"
    is_first = row["number"] == row["first_number"]
    if is_first and channel.kind is Kind.DYNAMIC and ctx.caller is Caller.CLIENT:
        ctx.core.quotas.make_chat(ctx.app, ctx.player_id, ctx.now_ms)
    return Place(row["number"], is_first, author)
