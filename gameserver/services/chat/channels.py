"""Which channels there are, and who listens to them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from gameserver.domain.social import friends, groups
from gameserver.domain.social.availability import RealtimeDisabled, check_enabled
from gameserver.realtime import Channels, TooManyChannels
from gameserver.rpc import Access, Context, Tx
from gameserver.services.chat import storage
from gameserver.services.chat.base import (
    Channel,
    ChannelType,
    ChatMessage,
    ChatSettings,
    Kind,
    Messages,
    MostReturned,
    OfChannel,
    UnknownChannel,
    admit,
    channel_of,
    check_code,
    check_exists,
    open_for_server,
    parse,
    service,
)
from gameserver.services.chat.history import NOBODY, read_recent
from gameserver.storage import Row
from gameserver.wire.errors import InvalidParameterValue, NotAllowed, PacketTooLarge, ServersOnly
from gameserver.wire.shapes import Empty, Reply, Request

COUNTED_MAX = 100  # channels of groups of which one call counts who listens

# Listening


class Connect(OfChannel, kw_only=True):
    max_return: MostReturned


@service.operation(
    "CHANNEL_CONNECT",
    tx=Tx.READ,
    errors=(RealtimeDisabled, UnknownChannel, NotAllowed, TooManyChannels, PacketTooLarge),
)
async def connect(ctx: Context, request: Connect) -> Messages:
    """Listen to a channel with the real-time connections of the caller's session; returns its last messages.

    What is posted, changed and deleted behind them comes by these connections as `INCOMING`, `UPDATE` and
    `DELETE` of the service `chat`: each once, in the order in which it happened, the same for all. It ends
    with CHANNEL_DISCONNECT, with the connection, and when the player leaves the group. A session without
    a connection gets the messages alone. What players write whom the caller has blocked does not come.

    Refused: no real-time connections in this app, no such channel, one that the caller may not use, and more
    channels than a connection listens to.
    """
    check_enabled(ctx.app)
    channel = parse(ctx, request.channel_id)

    async def read() -> tuple[list[ChatMessage], int]:
        await admit(ctx, request.channel_id)  # behind the join: who leaves the group meanwhile is expelled
        return await read_recent(ctx, channel, request.max_return, ctx.player_id)

    return await _listen(ctx, channel, read, lambda: friends.blocked(ctx.tx, ctx.app.id, ctx.player_id))


@service.operation("CHANNEL_DISCONNECT", tx=Tx.READ, errors=(RealtimeDisabled, UnknownChannel, NotAllowed))
async def disconnect(ctx: Context, request: OfChannel) -> Empty:
    """Listen to a channel no longer, with any connection of the caller's session. Refused: as to connect."""
    channel = await admit(ctx, request.channel_id)
    if ctx.session is not None:
        await ctx.core.get(Channels).leave(ctx.session, channel.room)
    return Empty()


@service.operation(
    "SYS_CHANNEL_CONNECT",
    tx=Tx.READ,
    access=Access.SERVER,
    errors=(ServersOnly, RealtimeDisabled, UnknownChannel, NotAllowed, TooManyChannels, PacketTooLarge),
)
async def system_connect(ctx: Context, request: Connect) -> Messages:
    """Listen to any channel with the connections of the server's session, as CHANNEL_CONNECT does."""
    channel = await open_for_server(ctx, request.channel_id)
    return await _listen(ctx, channel, lambda: read_recent(ctx, channel, request.max_return, NOBODY), _nobody)


@service.operation(
    "SYS_CHANNEL_DISCONNECT",
    tx=Tx.READ,
    access=Access.SERVER,
    errors=(ServersOnly, RealtimeDisabled, UnknownChannel, NotAllowed),
)
async def system_disconnect(ctx: Context, request: OfChannel) -> Empty:
    """Listen to a channel no longer, with any connection of the server's session."""
    channel = await open_for_server(ctx, request.channel_id)
    if ctx.session is not None:
        await ctx.core.get(Channels).leave(ctx.session, channel.room)
    return Empty()


async def _nobody() -> list[str]:
    return []


async def _listen(
    ctx: Context,
    channel: Channel,
    read: Callable[[], Awaitable[tuple[list[ChatMessage], int]]],
    unwanted: Callable[[], Awaitable[list[str]]],
) -> Messages:
    """Listen to what comes behind the messages that are read, but for what is `unwanted` players'.

    If they cannot be read, nobody listens.
    """
    session, channels = ctx.session, ctx.core.get(Channels)
    if session is None or not await channels.join(session, channel.room, held=True):
        messages, _ = await read()
        return Messages(messages=messages)
    try:
        messages, last = await read()
        muted = await unwanted()  # behind the join: whom the player blocks meanwhile is muted by that
    except BaseException:
        await channels.leave(session, channel.room)
        raise
    channels.release(session, channel.room, last, muted)
    return Messages(messages=messages)


# Finding channels


class GetId(Request):
    channel_type: ChannelType
    channel_sub_id: Annotated[
        str, Meta(max_length=256, description="The code of the channel, or the id of the group.")
    ]


class ChannelIdShown(Reply):
    channel_id: Annotated[str, Meta(description="The id of the channel.")]


@service.operation(
    "GET_CHANNEL_ID", tx=Tx.READ, access=Access.SIGNED_IN, errors=(RealtimeDisabled, UnknownChannel)
)
async def get_id(ctx: Context, request: GetId) -> ChannelIdShown:
    """Return the id of the channel with a code, or of a group. Refused: there is none, or its type is none.

    A dynamic channel is there for every code of letters, digits, dashes and underscores, unless the app lets
    only servers make them.
    """
    check_enabled(ctx.app)
    if request.channel_type not in Kind._value2member_map_:
        raise UnknownChannel("data.channelType: expected gl, gr, dy or sy")
    channel = check_code(ctx, Kind(request.channel_type), request.channel_sub_id)
    if channel.kind is Kind.SYSTEM and not ctx.caller.is_studio:
        raise UnknownChannel(f"there is no channel {channel.id!r}")
    await check_exists(ctx, channel)
    return ChannelIdShown(channel_id=channel.id)


class Stats(Reply):
    """How much is going on in a channel."""

    message_count: Annotated[int, Meta(description="Messages that are kept.")]
    member_count: Annotated[
        int | UnsetType, Meta(description="Members of the group; only of channels of groups.")
    ] = UNSET
    listener_count: Annotated[
        int | UnsetType,
        Meta(
            description="Players who listen just now; not of global channels, and of the first 100 others. "
            "Who has connections to several processes of the server counts once for each."
        ),
    ] = UNSET


class ChannelShown(Reply):
    """A channel, and how much is going on there."""

    id: Annotated[str, Meta(description="The id of the channel.")]
    type: ChannelType
    code: Annotated[str, Meta(description="The code; of a channel of a group, the group's name.")]
    name: Annotated[str, Meta(description="What to call it: as the app says, or the group's name.")]
    desc: Annotated[str, Meta(description="What it is for, as the app says.")]
    stats: Annotated[Stats, Meta(description="How much is going on.")]


@service.operation("GET_CHANNEL_INFO", tx=Tx.READ, errors=(RealtimeDisabled, UnknownChannel, NotAllowed))
async def get_info(ctx: Context, request: OfChannel) -> ChannelShown:
    """Describe a channel that the caller may use. Refused: as in CHANNEL_CONNECT."""
    channel = await admit(ctx, request.channel_id)
    [described] = await describe(ctx, [channel])
    return described


@service.operation(
    "SYS_GET_CHANNEL_INFO",
    tx=Tx.READ,
    access=Access.SERVER,
    errors=(ServersOnly, RealtimeDisabled, UnknownChannel, NotAllowed),
)
async def system_get_info(ctx: Context, request: OfChannel) -> ChannelShown:
    """Describe any channel. For servers."""
    channel = await open_for_server(ctx, request.channel_id)
    [described] = await describe(ctx, [channel])
    return described


class GetSubscribed(Request):
    channel_type: Annotated[
        Annotated[str, Meta(max_length=16)] | None,
        Meta(description='`gl`, `gr`, or `all`, which is also what "" and nothing mean.'),
    ] = None


class Subscribed(Reply):
    channels: Annotated[
        list[ChannelShown], Meta(description="The app's channels, and those of the player's groups.")
    ]


@service.operation("GET_SUBSCRIBED_CHANNELS", tx=Tx.READ, errors=(RealtimeDisabled, InvalidParameterValue))
async def get_subscribed(ctx: Context, request: GetSubscribed) -> Subscribed:
    """List channels that the caller may use, whether or not anybody listens: global ones, and of groups.

    Dynamic channels are nobody's; whoever knows the code of one uses it.
    """
    check_enabled(ctx.app)
    wanted = request.channel_type or "all"
    if wanted not in ("all", *Kind):
        raise InvalidParameterValue("data.channelType: expected gl, gr or all")
    found: list[Channel] = []
    if wanted in ("all", Kind.GLOBAL):
        found += [channel_of(ctx.app.id, Kind.GLOBAL, code) for code in ctx.section(ChatSettings).channels]
    if wanted in ("all", Kind.GROUP):
        theirs = await groups.ids_of(ctx.tx, ctx.app.id, ctx.player_id)
        found += [channel_of(ctx.app.id, Kind.GROUP, group_id) for group_id in theirs]
    return Subscribed(channels=await describe(ctx, found))


async def describe(ctx: Context, channels: Sequence[Channel]) -> list[ChannelShown]:
    """Return channels as clients see them; of more than `COUNTED_MAX` nobody counts who listens."""
    rows = await ctx.tx.all(storage.COUNTS, channels=[channel.id for channel in channels])
    messages = {row["channel_id"]: row["messages"] for row in rows}
    of_groups = [channel.code for channel in channels if channel.kind is Kind.GROUP]
    rows = await ctx.tx.all(storage.GROUPS, groups=of_groups, app=ctx.app.id) if of_groups else ()
    found = {row["group_id"]: row for row in rows}
    counted = [channel for channel in channels if channel.kind is not Kind.GLOBAL][:COUNTED_MAX]
    numbers = await asyncio.gather(*(ctx.core.get(Channels).count_listeners(each.room) for each in counted))
    listeners = dict(zip(counted, numbers, strict=True))
    return [
        _shown(
            ctx,
            channel,
            found.get(channel.code),
            Stats(message_count=messages.get(channel.id, 0), listener_count=listeners.get(channel, UNSET)),
        )
        for channel in channels
    ]


def _shown(ctx: Context, channel: Channel, group: Row | None, stats: Stats) -> ChannelShown:
    code, name, description = channel.code, channel.code, ""
    if channel.kind is Kind.GROUP and group is not None:
        code = name = group["name"]
        stats.member_count = group["member_count"]
    if channel.kind is Kind.GLOBAL:
        declared = ctx.section(ChatSettings).channels[channel.code]
        name, description = declared.name or channel.code, declared.description
    return ChannelShown(id=channel.id, type=channel.kind, code=code, name=name, desc=description, stats=stats)
