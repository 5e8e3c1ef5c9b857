"""Channels that somebody has posted to, and what is kept of their messages.

A channel has one counter, which each message, change and deletion takes a number of: whoever has the number
holds the channel's row until the commit, so numbers are committed in their order.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    String,
    Table,
    Text,
    bindparam,
    delete,
    exists,
    func,
    select,
    update,
)

from gameserver.domain.social import groups
from gameserver.domain.social.friends import blocks
from gameserver.domain.social.groups import social_groups
from gameserver.players.lifecycle import PlayerTable
from gameserver.players.profiles import players
from gameserver.storage import Json, excluded, insert_row, metadata, upsert
from gameserver.storage.expiry import Expiry
from gameserver.storage.tables import StoredBy

CHANNEL_ID_MAX = 160  # characters: the app, the type, and a code or the id of a group
DIGITS_MAX = 18  # of a message's id

channels = Table(
    "chat_channels",
    metadata,
    Column("channel_id", String(CHANNEL_ID_MAX), primary_key=True),
    Column("app_id", String(64), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("number", BigInteger, nullable=False),  # the last that was taken
    Column("first_number", BigInteger, nullable=False),
    Column("used_ms", BigInteger, nullable=False),
    Index("chat_channels_by_use", "app_id", "kind", "used_ms"),
    info={"stored_by": StoredBy.KEY},
)
messages = Table(
    "chat_messages",
    metadata,
    Column(
        "channel_id",
        String(CHANNEL_ID_MAX),
        ForeignKey(channels.c.channel_id, ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("number", BigInteger, primary_key=True),
    Column("app_id", String(64), nullable=False),
    Column("from_id", String(36), nullable=False),  # empty: the system
    Column("from_name", Text),
    Column("from_pic", Text),
    Column("content", Json, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Index("chat_messages_by_sender", "from_id"),
    Index("chat_messages_by_age", "app_id", "created_ms"),
    info={"stored_by": StoredBy.PARENT},
)
_c, _m = channels.c, messages.c
KEPT = PlayerTable(
    messages,
    "from_id",
    {
        "chId": _m.channel_id,
        "msgId": _m.number,
        "fromId": _m.from_id,
        "name": _m.from_name,
        "pic": _m.from_pic,
        "date": _m.created_ms,
        "updatedAt": _m.updated_ms,
        "ver": _m.version,
        "content": _m.content,
    },
)
MESSAGES_EXPIRY = Expiry(_m.created_ms, _m.app_id == bindparam("app", type_=String))
IDLE_EXPIRY = Expiry(_c.used_ms, _c.app_id == bindparam("app", type_=String), _c.kind == "dy")

_CHANNEL: ColumnElement[str] = bindparam("channel", type_=String)
_NUMBER: ColumnElement[int] = bindparam("msg", type_=BigInteger)
_ONE = (_m.channel_id == _CHANNEL, _m.number == _NUMBER)

# Channels

CHANNEL = select(_c.number).where(_c.channel_id == _CHANNEL)
HOLD_CHANNEL = CHANNEL.with_for_update()
MAKE_CHANNEL = upsert(channels, ["channel_id"], ["used_ms"], returning=[_c.number])
TAKE_NUMBER = upsert(
    channels,
    ["channel_id"],
    {"number": _c.number + 1, "used_ms": excluded(channels).used_ms},
    returning=[_c.number, _c.first_number],
)
DELETE_CHANNEL = delete(channels).where(_c.channel_id == _CHANNEL)
COUNTS = (
    select(_m.channel_id, func.count().label("messages"))
    .where(_m.channel_id.in_(bindparam("channels", expanding=True)))
    .group_by(_m.channel_id)
)

HOLD_STANDING = groups.STANDING.with_for_update(read=True, key_share=True)
GROUPS = select(social_groups.c.group_id, social_groups.c.name, social_groups.c.member_count).where(
    social_groups.c.group_id.in_(bindparam("groups", expanding=True)), groups.OF_APP
)

# Messages

ADD = insert_row(messages)
TRIM = delete(messages).where(
    _m.channel_id == _CHANNEL,
    _m.number
    <= select(_m.number)
    .where(_m.channel_id == _CHANNEL)
    .order_by(_m.number.desc())
    .limit(1)
    .offset(bindparam("most", type_=BigInteger))
    .correlate(None)
    .scalar_subquery(),
)
COLUMNS = tuple(
    _m[name]
    for name in (
        "channel_id",
        "number",
        "from_id",
        "from_name",
        "from_pic",
        "content",
        "version",
        "created_ms",
        "updated_ms",
    )
)
# What players who are blocked have written is not there for who blocks them; servers block nobody.
_WANTED = ~exists().where(
    blocks.c.owner_id == bindparam("reader", type_=String), blocks.c.blocked_id == _m.from_id
)
RECENT = (
    select(*COLUMNS)
    .where(_m.channel_id == _CHANNEL, _m.number <= bindparam("last", type_=BigInteger), _WANTED)
    .order_by(_m.number.desc())
    .limit(bindparam("most", type_=BigInteger))
)
READ_ONE = select(*COLUMNS).where(*_ONE, _WANTED)
SET_CONTENT = (
    update(messages)
    .where(*_ONE)
    .values(
        content=bindparam("new_content"),
        version=_m.version + 1,
        updated_ms=bindparam("now_ms", type_=BigInteger),
    )
    .returning(*COLUMNS)
)
DELETE_ONE = delete(messages).where(*_ONE)

# Who a message is from

SENDER = select(players.c.name, players.c.picture_url).where(
    players.c.profile_id == bindparam("profile"), players.c.app_id == bindparam("app")
)
