"""The messages, and the boxes they lie in."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Index,
    String,
    Table,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal_column,
    select,
    true,
    update,
)

from gameserver.apps import App
from gameserver.documents.documents import StoredBytes
from gameserver.documents.query import Fields
from gameserver.players.lifecycle import PlayerTable
from gameserver.players.profiles import players
from gameserver.players.quotas import Kept
from gameserver.services.messaging.base import INBOX, MessagingSettings
from gameserver.storage import SearchedJson, insert_row, metadata
from gameserver.storage.expiry import Expiry
from gameserver.storage.tables import StoredBy
from gameserver.storage.timeline import DAY_MS

messages = Table(
    "messages",
    metadata,
    Column("msg_id", String(36), primary_key=True),
    Column("app_id", String(64), nullable=False),
    Column("from_id", String(36), nullable=False),  # empty: the system
    Column("message", SearchedJson, nullable=False),  # {from, to, sentAt, content}
    Column("version", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Index("messages_by_sender", "from_id"),
    Index("messages_by_age", "app_id", "created_ms"),
    info={"stored_by": StoredBy.KEY},
)
boxes = Table(
    "message_boxes",
    metadata,
    Column("owner_id", String(36), primary_key=True),
    Column("entry_id", String(48), primary_key=True),  # the message and the box
    Column("app_id", String(64), nullable=False),
    Column("msg_id", String(36), nullable=False),
    Column("msgbox", String(8), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("is_read", Boolean, nullable=False),
    # Stays as long as the message, which tells to whom it went.
    Column("is_deleted", Boolean, nullable=False),
    Column("is_first", Boolean, nullable=False),  # stands for the message among all of the app
    Index("message_boxes_by_age", "owner_id", "msgbox", "created_ms", "entry_id"),
    Index("message_boxes_by_message", "msg_id"),
    Index("message_boxes_of_app", "app_id", "created_ms"),
    info={"stored_by": StoredBy.PLAYER},
)
_m, _b = messages.c, boxes.c
KEPT = (
    PlayerTable(
        boxes,
        "owner_id",
        {
            "msgId": _b.msg_id,
            "msgbox": _b.msgbox,
            "mbVer": _b.version,
            "mbCr": _b.created_ms,
            "mbUp": _b.updated_ms,
            "read": _b.is_read,
            "message": _m.message,
        },
        source=boxes.join(messages, _m.msg_id == _b.msg_id),
        untold={
            "entry_id": "the message and the box",
            "is_deleted": "the player has thrown it away",
            "is_first": "of no meaning to the player",
        },
    ),
    PlayerTable(
        messages,
        "from_id",
        {
            "msgId": _m.msg_id,
            "fromId": _m.from_id,
            "msgVer": _m.version,
            "msgCr": _m.created_ms,
            "msgUp": _m.updated_ms,
            "message": _m.message,
        },
    ),
)
BOXES_EXPIRY = Expiry(_b.created_ms, _b.app_id == bindparam("app", type_=String))
MESSAGES_EXPIRY = Expiry(_m.created_ms, _m.app_id == bindparam("app", type_=String))


def kept_ms(app: App) -> int:
    """How long an app wants messages to be kept."""
    return app.section(MessagingSettings).keep_days * DAY_MS


_OF_MESSAGE = _m.msg_id == _b.msg_id
# Spelled so that no index of an app's rows seems good for those of a player: SQLite would read them all.
_THIS_APP = _m.app_id.concat("") == bindparam("app", type_=String)
_IN_THIS_APP = _b.app_id.concat("") == bindparam("app", type_=String)
COLUMNS = (
    *(_b[name] for name in ("msgbox", "msg_id", "version", "created_ms", "updated_ms", "is_read")),
    _m.version.label("msg_version"),
    _m.created_ms.label("msg_created_ms"),
    _m.updated_ms.label("msg_updated_ms"),
    _m.message,
)
FIELDS = Fields(
    columns={
        "msgbox": _b.msgbox,
        "msgId": _b.msg_id,
        "mbVer": _b.version,
        "mbCr": _b.created_ms,
        "mbUp": _b.updated_ms,
        "msgVer": _m.version,
        "msgCr": _m.created_ms,
        "msgUp": _m.updated_ms,
        "read": _b.is_read,
    },
    documents={"message": _m.message},
    unique=_b.entry_id,
    default_order=(("mbCr", -1),),
)


def of_owner(app_id: str, owner: str) -> ColumnElement[bool]:
    """Return the condition for what lies in the boxes of a player."""
    return and_(_b.owner_id == owner, _b.app_id.concat("") == app_id, _b.is_deleted.is_(False), _OF_MESSAGE)


def of_app(app_id: str) -> ColumnElement[bool]:
    """Return the condition for all messages of an app, each once."""
    return and_(_b.app_id == app_id, _b.is_first.is_(True), _OF_MESSAGE)


ADD = insert_row(messages)
ADD_ENTRY = insert_row(boxes)
SENDER = select(players.c.name, players.c.picture_url).where(
    players.c.profile_id == bindparam("profile"), players.c.app_id == bindparam("app")
)

_IDS: Any = bindparam("messages", expanding=True)
_THERE = (_IN_THIS_APP, _b.is_deleted.is_(False))
_OWN = (_b.owner_id == bindparam("owner"), *_THERE)
_MINE = (*_OWN, _b.msgbox == bindparam("box"), _b.msg_id.in_(_IDS))
READ = select(*COLUMNS).join(messages, _OF_MESSAGE).where(*_MINE).order_by(_b.created_ms, _b.entry_id)
MARK_READ = (
    update(boxes)
    .where(*_MINE)
    .values(
        is_read=true(),
        version=_b.version + case((_b.is_read, 0), else_=1),
        updated_ms=case((_b.is_read, _b.updated_ms), else_=bindparam("now_ms", type_=BigInteger)),
    )
)
DELETE = (
    update(boxes).where(*_MINE).values(is_deleted=true(), updated_ms=bindparam("now_ms", type_=BigInteger))
)
COUNTS = (
    select(
        _b.msgbox,
        func.count().label("total"),
        func.sum(case((and_(_b.msgbox == INBOX, _b.is_read.is_(False)), 1), else_=0)).label("unread"),
    )
    .where(*_OWN)
    .group_by(_b.msgbox)
)

_ONE = (_m.msg_id == bindparam("msg"), _THIS_APP)
CONTENT = (
    _m.msg_id,
    _m.from_id,
    _m.message,
    _m.version,
    _m.created_ms,
    _m.updated_ms,
)
LOCK_ONE = select(*CONTENT).where(*_ONE).with_for_update()
READ_SOME = select(*CONTENT).where(_m.msg_id.in_(_IDS), _THIS_APP).order_by(_m.created_ms, _m.msg_id)
SET_CONTENT = (
    update(messages)
    .where(*_ONE)
    .values(
        message=bindparam("new_message"),
        version=_m.version + 1,
        updated_ms=bindparam("now_ms", type_=BigInteger),
    )
)
DELETE_SOME = delete(messages).where(_m.msg_id.in_(_IDS), _THIS_APP)
DELETE_ENTRIES = delete(boxes).where(_b.msg_id.in_(_IDS), _IN_THIS_APP)

DELETE_UNWANTED = DELETE_SOME.where(~exists().where(_OF_MESSAGE, _b.is_deleted.is_(False)))
DELETE_UNWANTED_ENTRIES = DELETE_ENTRIES.where(~exists().where(_OF_MESSAGE))

_STORED = func.coalesce(func.sum(StoredBytes(_m.message)), literal_column("0"))
QUOTA = Kept(
    "messages",
    "messages",
    "message_bytes",
    select(func.count(), _STORED)
    .select_from(boxes.join(messages, _OF_MESSAGE))
    .where(
        _b.owner_id == bindparam("owner"),
        _IN_THIS_APP,
        _b.is_deleted.is_(False),
        _b.entry_id != bindparam("but"),
    ),
)

# A player's life

NAMING = (  # messages that name a player: who sent them, and those that came to them
    select(_m.msg_id, _m.message)
    .where(
        _THIS_APP,
        _m.msg_id.in_(
            select(_b.msg_id)
            .where(_b.owner_id == bindparam("profile"), _IN_THIS_APP)
            .union(select(_m.msg_id).where(_m.from_id == bindparam("profile"), _THIS_APP))
        ),
    )
    .order_by(_m.msg_id)
)
RENAME = update(messages).where(_m.msg_id == bindparam("msg")).values(message=bindparam("new_message"))
_PLAYER: ColumnElement[str] = bindparam("profile", type_=String)
_theirs = boxes.alias("theirs")
_those = boxes.alias("those")
_OF_PLAYER = (_theirs.c.owner_id == _PLAYER, _theirs.c.app_id.concat("") == bindparam("app", type_=String))
_IN_THEIR_BOXES = select(_theirs.c.msg_id).where(*_OF_PLAYER)
FORGET_UNWANTED = delete(messages).where(  # what nobody has but a player, or those who threw it away
    _m.msg_id.in_(_IN_THEIR_BOXES),
    ~exists().where(_OF_MESSAGE, _b.is_deleted.is_(False), _b.owner_id != _PLAYER),
)
FORGET_UNWANTED_ENTRIES = delete(boxes).where(_b.msg_id.in_(_IN_THEIR_BOXES), ~exists().where(_OF_MESSAGE))
HAND_OVER = (  # another receiver's place stands for the message from now on
    update(boxes)
    .where(
        _b.msg_id.in_(_IN_THEIR_BOXES.where(_theirs.c.is_first.is_(True))),
        _b.owner_id
        == select(func.min(_those.c.owner_id))
        .where(_those.c.msg_id == _b.msg_id, _those.c.owner_id != _PLAYER)
        .correlate(boxes)
        .scalar_subquery(),
    )
    .values(is_first=true())
)
HAND_OVER_TO = (  # the same where the other one has the message, too: one of the two places goes
    update(boxes)
    .where(
        _b.owner_id == bindparam("target"),
        _b.entry_id.in_(select(_theirs.c.entry_id).where(*_OF_PLAYER, _theirs.c.is_first.is_(True))),
    )
    .values(is_first=true())
)
DELETE_ENTRIES_OF_SENDER = delete(boxes).where(
    _b.msg_id.in_(select(_m.msg_id).where(_m.from_id == bindparam("profile"), _THIS_APP))
)
