"""What servers do: channels of their own, messages of the system, and moderation of those of players."""

from typing import Annotated

from msgspec import Meta, field

from gameserver.domain.social.availability import RealtimeDisabled, check_enabled
from gameserver.domain.social.contents import (
    CONTENT_ERRORS,
    SENDER_ERRORS,
    Content,
    MessageNotFound,
    MessageVersionMismatch,
    SystemSender,
    system_sender,
)
from gameserver.realtime import Channels
from gameserver.rpc import Access, Context, Tx
from gameserver.services.chat import storage
from gameserver.services.chat.base import (
    ChannelType,
    Kind,
    OfChannel,
    UnknownChannel,
    check_app,
    check_code,
    content_of,
    of_channel,
    open_for_server,
    parse,
    service,
)
from gameserver.services.chat.channels import ChannelIdShown
from gameserver.services.chat.posting import (
    ChangeMessage,
    Deleted,
    Posted,
    Recorded,
    UpdateMessage,
    change,
    delete,
    post,
)
from gameserver.storage import locks
from gameserver.wire.errors import NotAllowed, PacketTooLarge, ServersOnly
from gameserver.wire.shapes import Empty, Request

MADE_BY_SERVERS = (Kind.DYNAMIC, Kind.SYSTEM)

# Channels


class MakeChannel(Request):
    channel_type: ChannelType
    channel_sub_id: Annotated[
        str, Meta(max_length=256, description="The code: letters, digits, dashes and underscores.")
    ]


def of_new_channel(ctx: Context, request: MakeChannel) -> list[str]:
    """Return the lock of a channel that is to be there."""
    channel_id = f"{ctx.app.id}:{request.channel_type}:{request.channel_sub_id}"
    return [locks.shared_lock(ctx.app.id, "chat", channel_id)]


@service.operation(
    "SYS_CREATE_CHANNEL",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=of_new_channel,
    errors=(ServersOnly, RealtimeDisabled, UnknownChannel),
)
async def create_channel(ctx: Context, request: MakeChannel) -> ChannelIdShown:
    """Make a dynamic channel, or one of servers. For servers. One that is there stays as it is.

    Refused: another type than `dy` and `sy`, or a code that is none.
    """
    check_enabled(ctx.app)
    if request.channel_type not in MADE_BY_SERVERS:
        raise UnknownChannel("data.channelType: expected dy or sy")
    channel = check_code(ctx, Kind(request.channel_type), request.channel_sub_id)
    await ctx.tx.run(
        storage.MAKE_CHANNEL,
        channel_id=channel.id,
        app_id=ctx.app.id,
        kind=channel.kind,
        number=ctx.now_ms,
        first_number=ctx.now_ms + 1,  # of its first message
        used_ms=ctx.now_ms,
    )
    return ChannelIdShown(channel_id=channel.id)


@service.operation(
    "SYS_DELETE_CHANNEL",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=of_channel,
    errors=(ServersOnly, RealtimeDisabled, UnknownChannel, NotAllowed),
)
async def delete_channel(ctx: Context, request: OfChannel) -> Empty:
    """Delete a dynamic channel, or one of servers, with its messages; nobody listens to it any more.

    For servers. Whoever posts to a dynamic channel again makes a new one. Refused: channels of other types.
    """
    check_enabled(ctx.app)
    check_app(ctx, request.channel_id)
    channel = parse(ctx, request.channel_id)
    if channel.kind not in MADE_BY_SERVERS:
        raise UnknownChannel("data.channelId: expected a channel of the type dy or sy")
    await ctx.tx.run(storage.DELETE_CHANNEL, channel=channel.id)

    async def disband() -> None:
        ctx.core.get(Channels).disband(channel.room)

    ctx.after_commit(disband)
    return Empty()


# Messages


class SystemPost(OfChannel, kw_only=True):
    content: Content
    record_in_history: Recorded = None
    from_: SystemSender = field(name="from")


class SystemPostSimple(OfChannel, kw_only=True):
    text: Annotated[str, Meta(description="What the message says.")]
    record_in_history: Recorded = None
    from_: SystemSender = field(name="from")


@service.operation(
    "SYS_POST_CHAT_MESSAGE",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=of_channel,
    errors=(ServersOnly, RealtimeDisabled, UnknownChannel, NotAllowed, *CONTENT_ERRORS, *SENDER_ERRORS),
)
async def system_post(ctx: Context, request: SystemPost) -> Posted:
    """Post a message of the system to any channel. For servers. Refused: a sender with an id, or no name."""
    channel = await open_for_server(ctx, request.channel_id, writes=True)
    sender = system_sender(request.from_, "data.from")
    return await post(ctx, channel, sender, content_of(ctx, request.content), request.record_in_history)


@service.operation(
    "SYS_POST_CHAT_MESSAGE_SIMPLE",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=of_channel,
    errors=(ServersOnly, RealtimeDisabled, UnknownChannel, NotAllowed, PacketTooLarge, *SENDER_ERRORS),
)
async def system_post_simple(ctx: Context, request: SystemPostSimple) -> Posted:
    """Post a text as the system, as SYS_POST_CHAT_MESSAGE does with the content `{text}`. For servers."""
    channel = await open_for_server(ctx, request.channel_id, writes=True)
    sender = system_sender(request.from_, "data.from")
    content = content_of(ctx, {"text": request.text})
    return await post(ctx, channel, sender, content, request.record_in_history)


@service.operation(
    "SYS_UPDATE_CHAT_MESSAGE",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=of_channel,
    errors=(
        ServersOnly,
        RealtimeDisabled,
        UnknownChannel,
        NotAllowed,
        *CONTENT_ERRORS,
        MessageNotFound,
        MessageVersionMismatch,
    ),
)
async def system_update(ctx: Context, request: UpdateMessage) -> Empty:
    """Replace the content of any message, whoever it is from. For servers."""
    channel = await open_for_server(ctx, request.channel_id, writes=True)
    await change(ctx, channel, request, None, content_of(ctx, request.content))
    return Empty()


@service.operation(
    "SYS_DELETE_CHAT_MESSAGE",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=of_channel,
    errors=(ServersOnly, RealtimeDisabled, UnknownChannel, NotAllowed, MessageVersionMismatch),
)
async def system_delete(ctx: Context, request: ChangeMessage) -> Deleted:
    """Delete any message, whoever it is from. For servers."""
    channel = await open_for_server(ctx, request.channel_id, writes=True)
    return await delete(ctx, channel, request, None)
