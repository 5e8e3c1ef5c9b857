"""Sending messages, for players and for the system."""

from collections.abc import Iterable
from typing import Annotated, Any

from msgspec import Meta

from gameserver.documents import documents
from gameserver.domain.social import friends
from gameserver.domain.social.contents import (
    CONTENT_ERRORS,
    SENDER_ERRORS,
    Content,
    SystemSender,
    screen,
    system_sender,
)
from gameserver.domain.social.word_filters import ProfaneText, ProfanitySettings, WordFilters
from gameserver.players.quotas import QuotaReached
from gameserver.players.webhooks import EventData
from gameserver.realtime import player_channel
from gameserver.rpc import Access, Caller, Context, Tx
from gameserver.services.messaging import storage
from gameserver.services.messaging.base import (
    INBOX,
    SENT,
    MessagingNotEnabled,
    MessagingSettings,
    Sent,
    TooManyRecipients,
    check_enabled,
    content_of,
    service,
)
from gameserver.storage import locks
from gameserver.wire import json
from gameserver.wire.errors import NoSession, PacketTooLarge, RateLimited
from gameserver.wire.shapes import Request

INCOMING = "INCOMING"  # the message over real-time connections
ProfileId = Annotated[str, Meta(min_length=1, max_length=documents.TYPE_MAX)]


class ToProfiles(Request):
    to_profile_ids: Annotated[
        list[ProfileId],
        Meta(description="The players who get it; how many one message may go to, the app says."),
    ]


def of_receivers(ctx: Context, request: ToProfiles) -> list[str]:
    """Return the locks of who sends and who receives; none for more than the app allows, which is refused."""
    if len(set(request.to_profile_ids)) > ctx.section(MessagingSettings).recipients:
        return []
    sender = [] if ctx.profile_id is None else [ctx.profile_id]
    return [locks.player_lock(profile_id) for profile_id in (*sender, *request.to_profile_ids)]


# By players


@service.emits
class MessageSent(EventData):
    """A player has sent a message to others, or the system, without a player. What it says is not told."""

    event = "message.sent"

    message_id: Annotated[str, Meta(description="The id of the message.")]
    to_profile_ids: Annotated[list[str], Meta(description="The players who got it.")]


class Send(ToProfiles, kw_only=True):
    content_json: Content


@service.operation(
    "SEND_MESSAGE",
    tx=Tx.WRITE,
    locks=of_receivers,
    errors=(MessagingNotEnabled, TooManyRecipients, *CONTENT_ERRORS, ProfaneText, QuotaReached, RateLimited),
)
async def send_message(ctx: Context, request: Send) -> Sent:
    """Send a message to players, who find it in their inbox; the caller finds it in the box of sent ones.

    `actual` counts who gets it: not who is no player, has blocked the caller, or has as many messages as a
    player may have. Words that nobody wants to read are hidden in `text` and `subject`, or the message is
    refused, as the app says. Refused: no messages in this app, too many receivers, too much content or none,
    more messages than the caller may have, and more in a minute than a player may send.
    """
    return await _send_for_player(ctx, request.to_profile_ids, request.content_json)


class SendSimple(ToProfiles, kw_only=True):
    text: Annotated[str, Meta(description="What the message says.")]


@service.operation(
    "SEND_MESSAGE_SIMPLE",
    tx=Tx.WRITE,
    locks=of_receivers,
    errors=(MessagingNotEnabled, TooManyRecipients, PacketTooLarge, ProfaneText, QuotaReached, RateLimited),
)
async def send_simple(ctx: Context, request: SendSimple) -> Sent:
    """Send a text to players, as SEND_MESSAGE does with the content `{text}`."""
    return await _send_for_player(ctx, request.to_profile_ids, {"text": request.text})


# By the system


class SystemSend(ToProfiles, kw_only=True):
    """`from_json`: `{name, pic}` of who the message is from; an `id` is null."""

    content_json: Content
    from_json: SystemSender


@service.operation(
    "SYS_SEND_MESSAGE",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=of_receivers,
    errors=(MessagingNotEnabled, TooManyRecipients, *CONTENT_ERRORS, *SENDER_ERRORS),
)
async def system_send(ctx: Context, request: SystemSend) -> Sent:
    """Send a message to players as the system. Refused: a sender with an id, or without a name."""
    return await _send_for_system(ctx, request.to_profile_ids, request.content_json, request.from_json)


class SystemSendSimple(ToProfiles, kw_only=True):
    text: Annotated[str, Meta(description="What the message says.")]
    from_json: SystemSender


@service.operation(
    "SYS_SEND_MESSAGE_SIMPLE",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=of_receivers,
    errors=(MessagingNotEnabled, TooManyRecipients, PacketTooLarge, *SENDER_ERRORS),
)
async def system_send_simple(ctx: Context, request: SystemSendSimple) -> Sent:
    """Send a text to players as the system, as SYS_SEND_MESSAGE does with the content `{text}`."""
    return await _send_for_system(ctx, request.to_profile_ids, {"text": request.text}, request.from_json)


# Rules


async def _send_for_player(ctx: Context, to_ids: Iterable[str], content: Any) -> Sent:
    check_enabled(ctx)
    wanted = _check_count(ctx, to_ids)
    content = screen(
        ctx.app, ctx.core.get(WordFilters), content_of(ctx, content), ctx.section(ProfanitySettings).messages
    )
    if ctx.caller is Caller.CLIENT:
        ctx.core.quotas.send_message(ctx.app, ctx.player_id, ctx.now_ms)
    row = await ctx.tx.one(storage.SENDER, profile=ctx.player_id, app=ctx.app.id)
    if row is None:
        raise NoSession("the player is gone")
    sender = {"id": ctx.player_id, "name": row["name"], "pic": row["picture_url"]}
    there, blocking = await friends.receivers(ctx.tx, ctx.app.id, ctx.player_id, wanted)
    size = len(json.encode_free(content))
    await ctx.add_to_quota(storage.QUOTA, ctx.player_id, count=1, size=size)
    receivers = await _with_room(ctx, there - blocking, size)
    return await _store(ctx, sender, receivers, content, len(wanted))


async def _send_for_system(
    ctx: Context, to_ids: Iterable[str], content: Any, from_json: dict[str, Any]
) -> Sent:
    check_enabled(ctx)
    wanted = _check_count(ctx, to_ids)
    content = content_of(ctx, content)
    sender = system_sender(from_json, "data.fromJson")._asdict()
    there, _ = await friends.receivers(ctx.tx, ctx.app.id, "", wanted)
    return await _store(ctx, sender, sorted(there), content, len(wanted))


def _check_count(ctx: Context, to_ids: Iterable[str]) -> list[str]:
    wanted = sorted(set(to_ids))
    most = ctx.section(MessagingSettings).recipients
    if len(wanted) > most:
        raise TooManyRecipients(f"data.toProfileIds: at most {most} players, got {len(wanted)}")
    return wanted


async def _with_room(ctx: Context, wanted: Iterable[str], size: int) -> list[str]:
    receivers = []
    for profile_id in sorted(wanted):
        try:
            await ctx.add_to_quota(storage.QUOTA, profile_id, count=1, size=size)
        except QuotaReached:
            continue
        receivers.append(profile_id)
    return receivers


async def _store(
    ctx: Context, sender: dict[str, Any], receivers: list[str], content: dict[str, Any], requested: int
) -> Sent:
    """Store a message and its places in boxes, and tell real-time connections of the receivers."""
    msg_id, now = ctx.core.new_id(), ctx.now_ms
    body = {"from": sender, "to": receivers, "sentAt": now, "content": content}
    await ctx.tx.defer(
        storage.ADD,
        msg_id=msg_id,
        app_id=ctx.app.id,
        from_id=sender["id"] or "",
        message=json.encode_free(body).decode(),
        version=1,
        created_ms=now,
        updated_ms=now,
    )
    places = [] if sender["id"] is None else [(sender["id"], SENT)]
    places += [(receiver, INBOX) for receiver in receivers]
    for number, (owner, box) in enumerate(places):
        await ctx.tx.defer(
            storage.ADD_ENTRY,
            owner_id=owner,
            entry_id=f"{msg_id}/{box}",
            app_id=ctx.app.id,
            msg_id=msg_id,
            msgbox=box,
            version=1,
            created_ms=now,
            updated_ms=now,
            is_read=False,
            is_deleted=False,
            is_first=not number,
        )
    told = {"msgbox": INBOX, "msgId": msg_id, "mbVer": 1, "mbCr": now, "mbUp": now, "read": False}
    for receiver in receivers:
        channel = player_channel(ctx.app.id, receiver)
        ctx.publish(channel, service.name, INCOMING, {**told, "message": body})
    await ctx.emit(MessageSent(profile_id=sender["id"] or "", message_id=msg_id, to_profile_ids=receivers))
    return Sent(requested=requested, actual=len(receivers), msg_id=msg_id)
