"""The service, its part of `app.toml`, its refusals, and what its operations share."""

import re
from enum import StrEnum
from typing import Annotated, Any, NamedTuple

from msgspec import UNSET, Meta, UnsetType, field

from gameserver.apps import App, Settings
from gameserver.documents.documents import data_out
from gameserver.domain.social import groups
from gameserver.domain.social.availability import check_enabled
from gameserver.domain.social.contents import CONTENT_BYTES_MAX, read_content
from gameserver.rpc import Context, Service
from gameserver.services.chat import storage
from gameserver.storage import Row, locks
from gameserver.storage.timeline import DAY_MS
from gameserver.wire.errors import GameError, NotAllowed
from gameserver.wire.shapes import FreeValue, Reply, Request

CODE_MAX = 64  # characters of a channel's code
HISTORY_MAX = 500  # messages of a channel
GLOBAL_MAX = 100  # channels that an app declares
INCOMING, UPDATE, DELETE = "INCOMING", "UPDATE", "DELETE"  # what real-time connections are told
SAMPLE = """\
# Chat. Of each channel so many messages are kept, each for so many days and with so many bytes of content. A
# dynamic channel that nobody posts to for so many days is deleted; players make such channels by posting to
# them, unless only servers may. [quotas] say how much a player may post, [profanity] which words are hidden.
[chat]
#history = 50
#keep_days = 30
#content_bytes = 10240
#dynamic_idle_days = 30
#players_make_channels = true
# Channels of all players of the app, by their codes.
#[chat.channels.main]
#name = "Main"
#description = "Talk about anything."
"""

Code = Annotated[str, Meta(pattern=rf"^[A-Za-z0-9_-]{{1,{CODE_MAX}}}$")]


class GlobalChannel(Settings, kw_only=True):
    """A channel of all players of the app."""

    name: Annotated[str, Meta(max_length=256, description="What clients call it; its code if empty.")] = ""
    description: Annotated[str, Meta(max_length=1024, description="What it is for, as clients show it.")] = ""


class ChatSettings(Settings, kw_only=True):
    """Chat: channels, and what is kept of them."""

    history: Annotated[
        int, Meta(ge=1, le=HISTORY_MAX, description="Messages that are kept of each channel, the newest.")
    ] = 50
    keep_days: Annotated[int, Meta(ge=1, le=3650, description="Days after which messages are forgotten.")] = (
        30
    )
    content_bytes: Annotated[
        int, Meta(ge=2, le=CONTENT_BYTES_MAX, description="Bytes of JSON that the content may have.")
    ] = 10 << 10
    dynamic_idle_days: Annotated[
        int,
        Meta(ge=1, le=3650, description="Days without a message after which a dynamic channel is deleted."),
    ] = 30
    players_make_channels: Annotated[
        bool, Meta(description="Whether players make dynamic channels, by posting to them.")
    ] = True
    channels: Annotated[
        dict[Code, GlobalChannel],
        Meta(max_length=GLOBAL_MAX, description="Channels of all players of the app, by their codes."),
    ] = field(default_factory=dict)


service = Service("chat", section=ChatSettings, sample=SAMPLE)

# Errors


class UnknownChannel(GameError):
    """There is no such channel."""

    reason_code = 40603


# Shapes

ChannelId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=storage.CHANNEL_ID_MAX,
        description="The id of the channel: `<app>:<type>:<code>`, as GET_CHANNEL_ID answers it.",
    ),
]
MessageId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=256,
        description="The id of the message, unique in its channel: digits, and of two messages the later one "
        "has the greater number.",
    ),
]
ChannelType = Annotated[
    str,
    Meta(
        max_length=16,
        description="`gl`: of all players, as the app declares it. `gr`: of a group. `dy`: of whoever knows "
        "it. `sy`: of servers.",
    ),
]
MostReturned = Annotated[
    int,
    Meta(ge=0, le=2**31, description="How many messages to return at most: the newest. No more are kept."),
]


class OfChannel(Request):
    channel_id: ChannelId


class SenderShown(Reply):
    """Who a message is from, as they were called when they wrote it."""

    id: Annotated[str | None, Meta(description="The player; null: the message is of the system.")]
    name: Annotated[str | None, Meta(description="The name of the player, or what the system gave.")]
    pic: Annotated[str | None, Meta(description="The address of a picture; null: none.")]


PostedAt = Annotated[int, Meta(description="When it was posted: ms since 1970-01-01 UTC.")]
MessageVersion = Annotated[int, Meta(description="Its version: 1, and one more for each change.")]
From = Annotated[SenderShown, Meta(description="Who it is from.")]
ContentShown = Annotated[FreeValue, Meta(description="What it says: an object, by convention with `text`.")]
UpdatedAt = Annotated[int, Meta(description="When it last changed: ms since 1970-01-01 UTC.")]
ExpiresAt = Annotated[int, Meta(description="When it is forgotten: ms since 1970-01-01 UTC.")]


class ChatMessage(Reply):
    """A line of a chat."""

    ch_id: ChannelId
    msg_id: MessageId
    date: PostedAt
    ver: MessageVersion
    from_: From = field(name="from")
    content: ContentShown
    updated_at: UpdatedAt
    expires_at: ExpiresAt


class FoundMessage(Reply):
    """A line of a chat; without any member where there is none."""

    ch_id: ChannelId | UnsetType = UNSET
    msg_id: MessageId | UnsetType = UNSET
    date: PostedAt | UnsetType = UNSET
    ver: MessageVersion | UnsetType = UNSET
    from_: From | UnsetType = field(name="from", default=UNSET)
    content: ContentShown | UnsetType = UNSET
    updated_at: UpdatedAt | UnsetType = UNSET
    expires_at: ExpiresAt | UnsetType = UNSET


class Messages(Reply):
    messages: Annotated[list[ChatMessage], Meta(description="The messages, the oldest first.")]


# Channels


class Kind(StrEnum):
    """Types of channels."""

    GLOBAL = "gl"
    GROUP = "gr"
    DYNAMIC = "dy"
    SYSTEM = "sy"


class Channel(NamedTuple):
    """A channel that the caller may use."""

    id: str
    kind: Kind
    code: str

    @property
    def room(self) -> str:
        """The channel of real-time connections."""
        return f"chat:{self.id}"


_CODE = re.compile(rf"[A-Za-z0-9_-]{{1,{CODE_MAX}}}")
_GROUP = re.compile(r"[!-9;-~]{1,64}")  # ids of groups hold no colon


def channel_of(app_id: str, kind: Kind, code: str) -> Channel:
    """Return a channel by its code."""
    return Channel(f"{app_id}:{kind}:{code}", kind, code)


def parse(ctx: Context, channel_id: str) -> Channel:
    """Take an id apart. Raises `UnknownChannel` for what is none of this app."""
    start, _, rest = channel_id.removeprefix(ctx.app.id).partition(":")
    kind, _, code = rest.partition(":")
    if start or not channel_id.startswith(ctx.app.id) or kind not in Kind._value2member_map_:
        raise UnknownChannel(f"there is no channel {channel_id[:64]!r}")
    return check_code(ctx, Kind(kind), code)


def check_code(ctx: Context, kind: Kind, code: str) -> Channel:
    """Return the channel of a code that can be one. Raises `UnknownChannel`."""
    if (_GROUP if kind is Kind.GROUP else _CODE).fullmatch(code) is None or (
        kind is Kind.GLOBAL and code not in ctx.section(ChatSettings).channels
    ):
        raise UnknownChannel(f"there is no channel {kind}:{code[:64]!r}")
    return channel_of(ctx.app.id, kind, code)


async def admit(ctx: Context, channel_id: str, *, writes: bool = False) -> Channel:
    """Return a channel that the calling player may read and write.

    With `writes` a group stays until the commit: or a message would bring the channel of one back that goes.

    Raises `RealtimeDisabled`, `UnknownChannel`, and `NotAllowed` for channels of servers and of groups of
    which the player is no member.
    """
    check_enabled(ctx.app)
    channel = parse(ctx, channel_id)
    if channel.kind is Kind.SYSTEM:
        raise NotAllowed("the channel is for servers")
    await check_exists(ctx, channel, ctx.player_id, writes=writes)
    return channel


async def open_for_server(ctx: Context, channel_id: str, *, writes: bool = False) -> Channel:
    """Return any channel of the app; `writes` as in `admit`.

    Raises `RealtimeDisabled`, `UnknownChannel`, and `NotAllowed` for channels of other apps.
    """
    check_enabled(ctx.app)
    check_app(ctx, channel_id)
    channel = parse(ctx, channel_id)
    await check_exists(ctx, channel, writes=writes)
    return channel


def check_app(ctx: Context, channel_id: str) -> None:
    """Raise `NotAllowed` for what looks like a channel of another app."""
    app_id, kind, _ = (*channel_id.split(":", 2), "", "")[:3]
    if app_id != ctx.app.id and kind in Kind._value2member_map_:
        raise NotAllowed(f"the channel is of another app than {ctx.app.id}")


async def check_exists(
    ctx: Context, channel: Channel, member: str | None = None, *, writes: bool = False
) -> None:
    """Raise `UnknownChannel` for a channel that nobody has made, and one of no group.

    Of a channel of a group, `member` has to be one. Raises `NotAllowed`.
    """
    if channel.kind is Kind.GROUP:
        standing = storage.HOLD_STANDING if writes else groups.STANDING
        row = await ctx.tx.one(standing, app=ctx.app.id, group=channel.code, profile=member or "")
        if row is None:
            raise UnknownChannel(f"there is no group {channel.code!r}")
        if member is not None and row["role"] is None:
            raise NotAllowed("the channel is for members of the group")
    is_made_by_servers = channel.kind is Kind.SYSTEM or (
        channel.kind is Kind.DYNAMIC
        and not ctx.caller.is_studio
        and not ctx.section(ChatSettings).players_make_channels
    )
    if is_made_by_servers and await ctx.tx.one(storage.CHANNEL, channel=channel.id) is None:
        raise UnknownChannel(f"there is no channel {channel.id!r}")


# Messages


def of_channel(ctx: Context, request: OfChannel) -> list[str]:
    """Return the locks of a channel, and of its group: who deletes that deletes the channel."""
    names = [locks.shared_lock(ctx.app.id, "chat", request.channel_id)]
    _, kind, group_id = (*request.channel_id.split(":", 2), "", "")[:3]
    return [*names, groups.group_lock(ctx.app.id, group_id)] if kind == Kind.GROUP else names


def content_of(ctx: Context, content: Any) -> dict[str, Any]:
    """Return content that may have come as text. Raises `InvalidContent`, `PacketTooLarge`."""
    return read_content(content, ctx.section(ChatSettings).content_bytes, "data.content")


def kept_ms(app: App) -> int:
    """How long an app wants messages to be kept."""
    return app.section(ChatSettings).keep_days * DAY_MS


def shown(ctx: Context, row: Row) -> ChatMessage:
    """Return a row as clients read it."""
    return ChatMessage(
        ch_id=row["channel_id"],
        msg_id=str(row["number"]),
        date=row["created_ms"],
        ver=row["version"],
        from_=SenderShown(id=row["from_id"] or None, name=row["from_name"], pic=row["from_pic"]),
        content=data_out(row["content"]),
        updated_at=row["updated_ms"],
        expires_at=row["created_ms"] + kept_ms(ctx.app),
    )


def number_of(msg_id: str) -> int:
    """Return the number of a message; -1 for what is no id of one."""
    is_number = msg_id.isascii() and msg_id.isdigit() and len(msg_id) <= storage.DIGITS_MAX
    return int(msg_id) if is_number else -1
