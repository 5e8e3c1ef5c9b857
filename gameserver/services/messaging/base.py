"""The service, its part of `app.toml`, its refusals, and what its operations share."""

from http import HTTPStatus
from typing import Annotated, Any, Literal

from msgspec import Meta

from gameserver.apps import Settings
from gameserver.documents import documents
from gameserver.documents.documents import data_out
from gameserver.domain.social.contents import CONTENT_BYTES_MAX, read_content
from gameserver.rpc import Context, Service
from gameserver.storage import Row, locks
from gameserver.wire.errors import GameError
from gameserver.wire.shapes import FreeValue, Reply, Request

IDS_MAX = 500  # messages that one call may name
INBOX, SENT = "inbox", "sent"
SAMPLE = """\
# Messages between players. Nobody writes to more than so many at once, with more bytes of content; after so
# many days a message is forgotten. [quotas] have more limits. owner_pages_only: servers read the messages of
# one player, and not those of all.
[messaging]
#enabled = true
#recipients = 5
#content_bytes = 10240
#keep_days = 365
#owner_pages_only = false
"""


class MessagingSettings(Settings, kw_only=True):
    """Messages between players."""

    enabled: Annotated[bool, Meta(description="Whether there are messages at all.")] = True
    recipients: Annotated[int, Meta(ge=1, le=100, description="Players that a message goes to at most.")] = 5
    content_bytes: Annotated[
        int,
        Meta(ge=2, le=CONTENT_BYTES_MAX, description="Bytes of JSON that the content may have."),
    ] = 10 << 10
    keep_days: Annotated[int, Meta(ge=1, le=3650, description="Days after which messages are forgotten.")] = (
        365
    )
    owner_pages_only: Annotated[
        bool, Meta(description="Whether servers read messages of one player alone, page by page.")
    ] = False


service = Service("messaging", section=MessagingSettings, sample=SAMPLE)

# Errors


class MessagingNotEnabled(GameError):
    """The app has no messages."""

    reason_code = 40601


class TooManyRecipients(GameError):
    """More players than the app lets a message go to."""

    reason_code = 40621


class OwnerPagesOnly(GameError):
    """The app lets servers read messages of one player at a time."""

    status = HTTPStatus.BAD_REQUEST
    reason_code = 40001


# Shapes

Box = Annotated[Literal["inbox", "sent"], Meta(description="inbox or sent.")]
MessageId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=documents.TYPE_MAX,
        description="The id of the message, as SEND_MESSAGE answers it.",
    ),
]
MessageIds = Annotated[list[MessageId], Meta(max_length=IDS_MAX, description="Ids of messages.")]


class Named(Request):
    msg_ids: MessageIds


ContentVersion = Annotated[
    int,
    Meta(description="The version of the content, which all boxes share: 1, and one more for each change."),
]
ContentMade = Annotated[int, Meta(description="When the message was sent: ms since 1970-01-01 UTC.")]
ContentChanged = Annotated[int, Meta(description="When its content last changed: ms since 1970-01-01 UTC.")]


class Message(Reply):
    """A message in a box. `mb…` is of the box: when it came, when it was changed, and its version there.

    `msg…` is the same of the content, which all boxes share.
    """

    msgbox: Annotated[str, Meta(description="The box that it is in: inbox or sent.")]
    msg_id: MessageId
    mb_ver: Annotated[
        int,
        Meta(
            description="The version of the message in its box: 1, and one more for each change "
            "there, such as being read."
        ),
    ]
    mb_cr: Annotated[int, Meta(description="When it came into the box: ms since 1970-01-01 UTC.")]
    mb_up: Annotated[int, Meta(description="When it last changed in the box: ms since 1970-01-01 UTC.")]
    msg_ver: ContentVersion
    msg_cr: ContentMade
    msg_up: ContentChanged
    read: Annotated[bool, Meta(description="Whether it has been read.")]
    message: Annotated[FreeValue, Meta(description="`{from: {id, name, pic}, to, sentAt, content}`.")]


class Sent(Reply):
    """How many players were asked for, and how many get it: those who exist, have room, and want it."""

    requested: Annotated[int, Meta(description="How many players were named.")]
    actual: Annotated[int, Meta(description="How many of them get it.")]
    msg_id: MessageId


class Counted(Reply):
    """How many messages were named, and for how many it was done."""

    requested: Annotated[int, Meta(description="How many messages were named.")]
    actual: Annotated[int, Meta(description="For how many of them it was done.")]


# Rules


def of_messages(ctx: Context, request: Named) -> list[str]:
    """Return the locks of messages."""
    return [locks.shared_lock(ctx.app.id, "message", msg_id) for msg_id in request.msg_ids]


def check_enabled(ctx: Context) -> None:
    """Raise `MessagingNotEnabled` unless the app has messages."""
    if not ctx.section(MessagingSettings).enabled:
        raise MessagingNotEnabled("the app has no messages")


def content_of(ctx: Context, content: Any, where: str = "data.contentJson") -> dict[str, Any]:
    """Return content that may have come as text. Raises `InvalidContent`, `PacketTooLarge`."""
    return read_content(content, ctx.section(MessagingSettings).content_bytes, where)


def shown(row: Row) -> Message:
    """Return a row of a box, joined with its message, as clients read it."""
    return Message(
        msgbox=row["msgbox"],
        msg_id=row["msg_id"],
        mb_ver=row["version"],
        mb_cr=row["created_ms"],
        mb_up=row["updated_ms"],
        msg_ver=row["msg_version"],
        msg_cr=row["msg_created_ms"],
        msg_up=row["msg_updated_ms"],
        read=row["is_read"],
        message=data_out(row["message"]),
    )
