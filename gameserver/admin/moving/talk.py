"""What players say to each other, in lines: chat, messages in boxes, and events that wait.

What an app keeps for some days only is neither told nor taken when these are over.
"""

from collections import defaultdict
from typing import Any

from sqlalchemy import BigInteger, String, bindparam, case, select, tuple_

from gameserver.admin.moving import lines
from gameserver.admin.moving.kinds import APP, IDS, MOST, Found, Kind, NotTaken, Page, Taking, after
from gameserver.domain.social import events
from gameserver.domain.social.contents import read_content
from gameserver.domain.social.events import SYSTEM, EventSettings, player_events
from gameserver.rpc import Context
from gameserver.services.chat import storage as chat
from gameserver.services.chat.base import ChatSettings, check_code
from gameserver.services.chat.base import Kind as ChannelKind
from gameserver.services.chat.base import kept_ms as chat_kept_ms
from gameserver.services.chat.lives import idle_ms
from gameserver.services.messaging import storage as mail
from gameserver.services.messaging.base import INBOX, SENT, MessagingSettings
from gameserver.storage import Row, Transaction, excluded, insert_row, upsert
from gameserver.wire import json


def _must_be_kept(at_ms: int, now_ms: int, kept_ms: int, where: str) -> None:
    if at_ms <= now_ms - kept_ms:
        raise NotTaken(f"{where}: the app keeps these for {kept_ms // 86_400_000} days, and they are over")


# Chat


async def tell_channels(page: Page, tx: Transaction, after: list[Any] | None) -> Found:
    """Tell channels that there have been messages in, or that a server has made."""
    rows = await page.rows(tx, CHANNELS, after or [_first(page)])
    since = page.now_ms - idle_ms(page.app)
    found = [
        {
            **_channel(page, row),
            "lastMsgId": str(row["number"]),
            "usedAt": row["used_ms"],
        }
        for row in rows
        if row["used_ms"] > since or row["kind"] != ChannelKind.DYNAMIC
    ]
    return found, page.following(rows, "channel_id")


def _first(page: Page) -> str:
    """Return what the ids of all channels of an app begin with."""
    return f"{page.app.id}:"


def _channel(page: Page, row: Row) -> dict[str, Any]:
    """Return how a line names a channel: without the app, which may be another one where it goes."""
    kind, _, code = row["channel_id"].removeprefix(_first(page)).partition(":")
    return {"channelType": kind, "channelCode": code}


async def take_channel(taking: Taking, ctx: Context, line: lines.ChatChannel) -> bool:
    """Make a channel."""
    used = ctx.now_ms if line.used_at is None else line.used_at
    if ChannelKind(line.channel_type) is ChannelKind.DYNAMIC:
        _must_be_kept(used, ctx.now_ms, idle_ms(taking.app), "usedAt")
    channel_id = await _open(taking, ctx, line)
    if channel_id is None:
        return True
    number = ctx.now_ms if line.last_msg_id is None else int(line.last_msg_id)
    return await ctx.tx.unless_taken(
        ADD_CHANNEL,
        channel_id=channel_id,
        app_id=taking.app.id,
        kind=line.channel_type,
        number=number,
        first_number=number,
        used_ms=used,
    )


async def _open(taking: Taking, ctx: Context, line: lines.ChatChannel | lines.ChatMessage) -> str | None:
    """Return the id of a channel that there may be; None for a group's of which a dry run only speaks.

    Raises `UnknownChannel` for one that the app does not declare.
    """
    channel = check_code(ctx, ChannelKind(line.channel_type), line.channel_code)
    if channel.kind is ChannelKind.GROUP:
        row = await ctx.tx.one(chat.HOLD_STANDING, app=taking.app.id, group=channel.code, profile="")
        if row is None:
            if channel.code in taking.promised:
                return None
            raise NotTaken(f"app {taking.app.id} has no group {channel.code}; its line comes before this")
    return channel.id


async def tell_chat(page: Page, tx: Transaction, after: list[Any] | None) -> Found:
    """Tell the messages that channels keep, the oldest of a channel first."""
    rows = await page.rows(tx, CHAT_MESSAGES, after or [_first(page), -1])
    since = page.now_ms - chat_kept_ms(page.app)
    found = [
        {
            **_channel(page, row),
            "msgId": str(row["number"]),
            "from": {"id": row["from_id"] or None, "name": row["from_name"], "pic": row["from_pic"]},
            "content": json.read_stored(row["content"]),
            "ver": row["version"],
            "date": row["created_ms"],
            "updatedAt": row["updated_ms"],
        }
        for row in rows
        if row["created_ms"] > since
    ]
    return found, page.following(rows, "channel_id", "number")


async def take_chat(taking: Taking, ctx: Context, line: lines.ChatMessage) -> bool:
    """Put a message where it has been in its channel, as long as the channel keeps so many."""
    taking.must_be_here(*line.players())
    settings = taking.app.section(ChatSettings)
    content = read_content(line.content, settings.content_bytes, "content")
    _must_be_kept(line.date, ctx.now_ms, chat_kept_ms(taking.app), "date")
    channel_id = await _open(taking, ctx, line)
    if channel_id is None:
        return True
    number = int(line.msg_id)
    await ctx.tx.run(
        REACH,
        channel_id=channel_id,
        app_id=taking.app.id,
        kind=line.channel_type,
        number=number,
        first_number=number,
        used_ms=line.date,
    )
    oldest = await ctx.tx.one(OLDEST_KEPT, channel=channel_id, place=settings.history - 1)
    if oldest is not None and number < oldest["number"]:
        raise NotTaken(f"the channel keeps {settings.history} messages, and has newer ones")
    is_new = await ctx.tx.unless_taken(
        chat.ADD,
        channel_id=channel_id,
        number=number,
        app_id=taking.app.id,
        from_id=line.from_.id or "",
        from_name=line.from_.name,
        from_pic=line.from_.pic,
        content=json.encode_free(content).decode(),
        version=line.ver,
        created_ms=line.date,
        updated_ms=line.date if line.updated_at is None else line.updated_at,
    )
    if is_new:
        await ctx.tx.defer(chat.TRIM, channel=channel_id, most=settings.history)
    return is_new


# Messages in boxes


async def tell_messages(page: Page, tx: Transaction, after: list[Any] | None) -> Found:
    """Tell messages with the boxes that they lie in."""
    rows = await page.rows(tx, MESSAGES, after or [-1, ""])
    boxes: dict[str, list[Row]] = defaultdict(list)
    if rows:
        for row in await tx.all(BOXES, app=page.app.id, ids=[row["msg_id"] for row in rows]):
            boxes[row["msg_id"]].append(row)
    since = page.now_ms - mail.kept_ms(page.app)
    found = [
        _message(row, boxes[row["msg_id"]])
        for row in rows
        if row["created_ms"] > since and boxes[row["msg_id"]]
    ]
    return found, page.following(rows, "created_ms", "msg_id")


def _message(row: Row, boxes: list[Row]) -> dict[str, Any]:
    body = json.read_stored(row["message"])
    places = {profile_id: place for place, profile_id in enumerate(body["to"])}
    last = len(places)
    in_order = sorted(boxes, key=lambda box: (box["msgbox"] != SENT, places.get(box["owner_id"], last)))
    return {
        "msgId": row["msg_id"],
        "from": body["from"],
        "content": body["content"],
        "msgVer": row["version"],
        "msgCr": row["created_ms"],
        "msgUp": row["updated_ms"],
        "boxes": [
            {
                "profileId": box["owner_id"],
                "msgbox": box["msgbox"],
                "read": bool(box["is_read"]),
                "isDeleted": bool(box["is_deleted"]),
                "mbVer": box["version"],
                "mbCr": box["created_ms"],
                "mbUp": box["updated_ms"],
            }
            for box in in_order
        ],
    }


async def take_message(taking: Taking, ctx: Context, line: lines.Message) -> bool:
    """Put a message into the boxes of those who are here."""
    if line.from_.id is not None:
        taking.must_be_here(line.from_.id)
    content = read_content(line.content, taking.app.section(MessagingSettings).content_bytes, "content")
    _must_be_kept(line.msg_cr, ctx.now_ms, mail.kept_ms(taking.app), "msgCr")
    boxes: dict[tuple[str, str], lines.Boxed] = {}
    for place, box in enumerate(line.boxes):
        if not taking.is_here(box.profile_id):
            taking.skip(
                f"boxes[{place}]: app {taking.app.id} has no player {box.profile_id}; taken without it"
            )
        else:
            boxes.setdefault((box.profile_id, box.msgbox), box)
    if not boxes:
        raise NotTaken(f"boxes: app {taking.app.id} has none of these players")
    sender = {"id": line.from_.id, "name": line.from_.name, "pic": line.from_.pic}
    to = [profile_id for profile_id, box in boxes if box == INBOX]
    body = {"from": sender, "to": to, "sentAt": line.msg_cr, "content": content}
    is_new = await ctx.tx.unless_taken(
        mail.ADD,
        msg_id=line.msg_id,
        app_id=taking.app.id,
        from_id=line.from_.id or "",
        message=json.encode_free(body).decode(),
        version=line.msg_ver,
        created_ms=line.msg_cr,
        updated_ms=line.msg_cr if line.msg_up is None else line.msg_up,
    )
    if not is_new:
        if await ctx.tx.one(mail.LOCK_ONE, app=taking.app.id, msg=line.msg_id) is None:
            raise NotTaken(f"{line.msg_id} is a message of another app")
        return False
    for number, box in enumerate(boxes.values()):
        created = line.msg_cr if box.mb_cr is None else box.mb_cr
        await ctx.tx.defer(
            mail.ADD_ENTRY,
            owner_id=box.profile_id,
            entry_id=f"{line.msg_id}/{box.msgbox}",
            app_id=taking.app.id,
            msg_id=line.msg_id,
            msgbox=box.msgbox,
            version=box.mb_ver,
            created_ms=created,
            updated_ms=created if box.mb_up is None else box.mb_up,
            is_read=box.read,
            is_deleted=box.is_deleted,
            is_first=not number,
        )
    return True


# Events


async def tell_events(page: Page, tx: Transaction, after: list[Any] | None) -> Found:
    """Tell events that wait for players."""
    rows = await page.rows(tx, EVENTS, after or [-1, "", ""])
    since = page.now_ms - events.kept_ms(page.app)
    found = [
        {
            "evId": row["ev_id"],
            "toPlayerId": row["owner_id"],
            "fromPlayerId": row["from_id"] or None,
            "eventType": row["event_type"],
            "eventData": json.read_stored(row["data"]),
            "createdAt": row["created_ms"],
        }
        for row in rows
        if row["created_ms"] > since
    ]
    return found, page.following(rows, "created_ms", "owner_id", "ev_id")


async def take_event(taking: Taking, ctx: Context, line: lines.Event) -> bool:
    """Let an event wait for a player. The state at login tells of it; no answer brings it along again."""
    taking.must_be_here(*line.players())
    text = json.encode_free(line.event_data or {}).decode()
    most = taking.app.section(EventSettings).data_bytes
    if len(text.encode()) > most:
        raise NotTaken(f"eventData: at most {most} bytes of JSON")
    _must_be_kept(line.created_at, ctx.now_ms, events.kept_ms(taking.app), "createdAt")
    return await ctx.tx.unless_taken(
        events.ADD,
        ev_id=line.ev_id,
        app_id=taking.app.id,
        from_id=line.from_player_id or SYSTEM,
        owner_id=line.to_player_id,
        event_type=line.event_type,
        data=text,
        created_ms=line.created_at,
        is_told=True,
    )


# Storage

_c, _t, _m, _b, _v = (
    chat.channels.c,
    chat.messages.c,
    mail.messages.c,
    mail.boxes.c,
    player_events.c,
)
# Spelled so that no index of an app's rows seems good: the order of these pages is that of the primary key.
_CHANNEL_OF_APP, _CHAT_OF_APP = (column.concat("") == APP for column in (_c.app_id, _t.app_id))
CHANNELS = (
    select(*_c)
    .where(_CHANNEL_OF_APP, _c.channel_id > bindparam("after0", type_=String()))
    .order_by(_c.channel_id)
    .limit(MOST)
)
ADD_CHANNEL = insert_row(chat.channels)
CHAT_MESSAGES = (
    select(*_t)
    .where(_CHAT_OF_APP, _t.channel_id >= bindparam("after0", type_=String()))
    .where(tuple_(_t.channel_id, _t.number) > after(String(), BigInteger()))
    .order_by(_t.channel_id, _t.number)
    .limit(MOST)
)
# The counter of a channel is never behind its messages.
_new_number = excluded(chat.channels).number
REACH = upsert(
    chat.channels,
    ["channel_id"],
    {"number": case((_c.number < _new_number, _new_number), else_=_c.number)},
)
OLDEST_KEPT = (
    select(_t.number)
    .where(_t.channel_id == bindparam("channel"))
    .order_by(_t.number.desc())
    .limit(1)
    .offset(bindparam("place", type_=BigInteger))
)
MESSAGES = (
    select(*_m)
    .where(_m.app_id == APP, _m.created_ms >= bindparam("after0", type_=BigInteger()))
    .where(tuple_(_m.created_ms, _m.msg_id) > after(BigInteger(), String()))
    .order_by(_m.created_ms, _m.msg_id)
    .limit(MOST)
)
BOXES = select(*_b).where(_b.msg_id.in_(IDS), _b.app_id == APP).order_by(_b.entry_id, _b.owner_id)
_AGE = (_v.created_ms, _v.owner_id, _v.ev_id)
EVENTS = (
    select(*_v)
    .where(_v.app_id == APP, _v.created_ms >= bindparam("after0", type_=BigInteger()))
    .where(tuple_(*_AGE) > after(BigInteger(), String(), String()))
    .order_by(*_AGE)
    .limit(MOST)
)

CHAT_CHANNEL = Kind("chatChannel", lines.ChatChannel, ((str,),), tell_channels, take_channel)
CHAT_MESSAGE = Kind("chatMessage", lines.ChatMessage, ((str, int),), tell_chat, take_chat)
MESSAGE = Kind("message", lines.Message, ((int, str),), tell_messages, take_message)
EVENT = Kind("event", lines.Event, ((int, str, str),), tell_events, take_event)
