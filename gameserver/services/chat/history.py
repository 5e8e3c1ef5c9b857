"""What is kept of a channel's messages."""

from msgspec.structs import asdict

from gameserver.domain.social.availability import RealtimeDisabled
from gameserver.rpc import Access, Context, Tx
from gameserver.services.chat import storage
from gameserver.services.chat.base import (
    Channel,
    ChatMessage,
    ChatSettings,
    FoundMessage,
    MessageId,
    Messages,
    MostReturned,
    OfChannel,
    UnknownChannel,
    admit,
    number_of,
    open_for_server,
    service,
    shown,
)
from gameserver.storage import Row
from gameserver.wire.errors import NotAllowed, PacketTooLarge, ServersOnly

NOBODY = ""  # who reads for the system: has blocked nobody


class GetRecent(OfChannel, kw_only=True):
    max_return: MostReturned


@service.operation(
    "GET_RECENT_MESSAGES",
    "GET_RECENT_CHAT_MESSAGES",
    tx=Tx.READ,
    errors=(RealtimeDisabled, UnknownChannel, NotAllowed, PacketTooLarge),
)
async def get_recent(ctx: Context, request: GetRecent) -> Messages:
    """Read the last messages of a channel, the oldest of them first, without listening to it.

    What players have written whom the caller has blocked is not among them. Refused: as in CHANNEL_CONNECT.
    """
    channel = await admit(ctx, request.channel_id)
    messages, _ = await read_recent(ctx, channel, request.max_return, ctx.player_id)
    return Messages(messages=messages)


@service.operation(
    "SYS_GET_RECENT_CHAT_MESSAGES",
    tx=Tx.READ,
    access=Access.SERVER,
    errors=(ServersOnly, RealtimeDisabled, UnknownChannel, NotAllowed, PacketTooLarge),
)
async def system_get_recent(ctx: Context, request: GetRecent) -> Messages:
    """Read the last messages of any channel. For servers."""
    channel = await open_for_server(ctx, request.channel_id)
    messages, _ = await read_recent(ctx, channel, request.max_return, NOBODY)
    return Messages(messages=messages)


class GetOne(OfChannel, kw_only=True):
    msg_id: MessageId


@service.operation("GET_CHAT_MESSAGE", tx=Tx.READ, errors=(RealtimeDisabled, UnknownChannel, NotAllowed))
async def get_one(ctx: Context, request: GetOne) -> FoundMessage:
    """Read a message of a channel. The answer is empty where there is no such message, or no more."""
    channel = await admit(ctx, request.channel_id)
    row = await read_one(ctx, channel, request.msg_id, ctx.player_id)
    return found(ctx, row)


@service.operation(
    "SYS_GET_CHAT_MESSAGE",
    tx=Tx.READ,
    access=Access.SERVER,
    errors=(ServersOnly, RealtimeDisabled, UnknownChannel, NotAllowed),
)
async def system_get_one(ctx: Context, request: GetOne) -> FoundMessage:
    """Read a message of any channel, as GET_CHAT_MESSAGE does. For servers."""
    channel = await open_for_server(ctx, request.channel_id)
    row = await read_one(ctx, channel, request.msg_id, NOBODY)
    return found(ctx, row)


def found(ctx: Context, row: Row | None) -> FoundMessage:
    """Return a message as clients read it, if there is one."""
    return FoundMessage() if row is None else FoundMessage(**asdict(shown(ctx, row)))


async def read_recent(
    ctx: Context, channel: Channel, most: int, reader: str
) -> tuple[list[ChatMessage], int]:
    """Return the last messages, the oldest first, and the number of what they tell of last.

    What has a greater number is told by real-time connections. Raises `PacketTooLarge`.
    """
    counter = await ctx.tx.one(storage.CHANNEL, channel=channel.id)
    last = 0 if counter is None else int(counter[0])
    rows = await ctx.tx.all(
        storage.RECENT,
        channel=channel.id,
        last=last,
        most=min(most, ctx.section(ChatSettings).history),
        reader=reader,
    )
    ctx.reserve_bytes(row["content"] for row in rows)
    return [shown(ctx, row) for row in reversed(rows)], last


async def read_one(ctx: Context, channel: Channel, msg_id: str, reader: str) -> Row | None:
    """Return the row of a message, if it is there."""
    return await ctx.tx.one(storage.READ_ONE, channel=channel.id, msg=number_of(msg_id), reader=reader)
