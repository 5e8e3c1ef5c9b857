"""event: short notes to other players and to oneself, which wait until they are deleted."""

import asyncio
import hashlib
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta, field

from gameserver.apps import App, LiveApps
from gameserver.documents import documents
from gameserver.domain.social import events, friends, groups
from gameserver.domain.social.events import ANSWERED_MAX, SYSTEM, Event, EventSettings
from gameserver.domain.social.friends import UserBlocked
from gameserver.domain.social.groups import UnknownGroup
from gameserver.domain.social.notices import TOURNAMENT_OVER, TournamentOver
from gameserver.jobs import Job, JobRun, enqueue, forget_of_apps
from gameserver.players.profiles import UnknownPlayer
from gameserver.players.quotas import QuotaReached
from gameserver.players.states import PlayerEvent, PlayerState, StatePart
from gameserver.realtime import Channels, encode_frame, player_channel
from gameserver.rpc import PACKET_MARKED, PLAYER_STATE, Access, Caller, Context, Service, Tx
from gameserver.sessions import Mark, SessionStore
from gameserver.storage import Transaction, locks
from gameserver.wire import json
from gameserver.wire.errors import GameError, PacketTooLarge, RateLimited
from gameserver.wire.shapes import FreeObject, Nothing, Reply, Request

service = Service(events.EVENT_SERVICE, section=EventSettings, sample=events.SAMPLE)

# Errors


class MissingEvent(GameError):
    """No such event waits for the caller."""

    reason_code = 40539


class TooManyRecipients(GameError):
    """More players than the app lets one call send an event to."""

    reason_code = 40735


# Operations that send

EventType = Annotated[
    str, Meta(max_length=events.TYPE_MAX, description="The kind of event, in words of the game's own.")
]
ProfileId = Annotated[
    str, Meta(min_length=1, max_length=documents.TYPE_MAX, description="The id of the player who gets it.")
]
EventData = Annotated[
    FreeObject | None,
    Meta(description="An object of the game's own, up to 10 KiB or what the app says. Null or nothing: {}."),
]


class Sent(Reply):
    """`ev_id` is empty where the event is not kept."""

    ev_id: Annotated[str, Meta(description="The id of the event; empty where it is not kept.")]


class Send(Request):
    to_id: ProfileId
    event_type: EventType | None = None
    event_data: EventData = None


def of_receiver(ctx: Context, request: Send) -> list[str]:
    """Whose list the event is added to."""
    return [locks.player_lock(request.to_id)]


@service.operation(
    "SEND",
    tx=Tx.WRITE,
    access=Access.SIGNED_IN,
    locks=of_receiver,
    errors=(UnknownPlayer, UserBlocked, PacketTooLarge, QuotaReached, RateLimited),
)
async def send(ctx: Context, request: Send) -> Sent:
    """Send an event to a player, who need not be a friend. Of a server without a player it is the system's.

    The receiver finds it in the list of events, in the state at login, and in the answer to the next packet;
    the caller who is the receiver in this very answer. Refused: unknown players, those who have blocked the
    caller, too much data, more than the receiver may keep, and more in a minute than a player may send.
    """
    data = data_text(ctx, request.event_data)
    check_rate(ctx, 1)
    await check_receiver(ctx, request.to_id)
    await ctx.add_to_quota(events.QUOTA, request.to_id, count=1, size=len(data))
    [event] = await store(ctx, ctx.profile_id or SYSTEM, [request.to_id], request.event_type or "", data)
    return Sent(ev_id=event.ev_id)


class SentToProfiles(Reply):
    """`error_profiles`: players who do not exist, have a full list, or have blocked the sender."""

    error_profiles: Annotated[list[str], Meta(description="Players who do not get it.")]
    error_count: Annotated[int, Meta(description="How many players do not get it.")]
    sent_count: Annotated[int, Meta(description="How many players get it.")]


class SendToProfiles(Request):
    """One SDK sends the data as `evemtData`."""

    to_ids: Annotated[
        list[ProfileId], Meta(description="The players who get it; how many one call may name, the app says.")
    ]
    event_type: EventType | None = None
    event_data: EventData = None
    evemt_data: Annotated[EventData, Meta(description="Another name of `eventData`.")] = None

    @property
    def data(self) -> EventData:
        """The event's data, under either name."""
        return self.evemt_data if self.event_data is None else self.event_data


def of_receivers(ctx: Context, request: SendToProfiles) -> list[str]:
    """Whose lists the event is added to. Nobody's where they are more than the app allows: it is refused."""
    wanted = set(request.to_ids)
    if len(wanted) > ctx.section(EventSettings).recipients:
        return []
    return [locks.player_lock(profile_id) for profile_id in wanted]


@service.operation(
    "SEND_EVENT_TO_PROFILES",
    tx=Tx.WRITE,
    locks=of_receivers,
    errors=(TooManyRecipients, PacketTooLarge, RateLimited),
)
async def send_to_profiles(ctx: Context, request: SendToProfiles) -> SentToProfiles:
    """Send an event to several players. Those who cannot get it are named, and the others get it.

    Refused: more players than the app allows, too much data, and more in a minute than a player may send.
    """
    return await send_to_many(ctx, ctx.player_id, request)


class SysSendToProfiles(SendToProfiles, kw_only=True):
    from_profile_id: Annotated[
        str | None, Meta(description="Who sends it: a player; null, nothing or `system`: the system.")
    ] = None


@service.operation(
    "SYS_SEND_EVENT_TO_PROFILES",
    tx=Tx.WRITE,
    access=Access.SERVER,
    locks=of_receivers,
    errors=(TooManyRecipients, PacketTooLarge, UnknownPlayer),
)
async def system_send(ctx: Context, request: SysSendToProfiles) -> SentToProfiles:
    """Send an event to several players, from a player or, with null or "System", from the system.

    Refused: a sender who is no player, more players than the app allows, too much data.
    """
    sender = request.from_profile_id or SYSTEM
    if sender.lower() == "system":
        sender = SYSTEM
    if sender and not (await friends.receivers(ctx.tx, ctx.app.id, SYSTEM, [sender]))[0]:
        raise UnknownPlayer(f"there is no player {sender[:64]!r}")
    return await send_to_many(ctx, sender, request)


@service.operation(
    "SYS_SEND_RTT_ONLY", tx=Tx.READ, access=Access.SERVER, errors=(UnknownPlayer, UserBlocked, PacketTooLarge)
)
async def system_send_rtt_only(ctx: Context, request: Send) -> Sent:
    """Send an event to a player's real-time connections alone. It is not kept, and has no id.

    It is from the player on whose behalf the server calls, or from the system. Refused: unknown players,
    those who have blocked that player, too much data.
    """
    data = data_text(ctx, request.event_data)
    await check_receiver(ctx, request.to_id)
    sender, kind = ctx.profile_id or SYSTEM, request.event_type or ""
    push(ctx, Event("", ctx.app.id, sender, request.to_id, kind, data, ctx.now_ms))
    return Sent(ev_id="")


# Operations on what has come


class Events(Reply):
    incoming_events: Annotated[
        list[PlayerEvent], Meta(description="The events that wait for the caller, the oldest first.")
    ] = field(name="incoming_events")


@service.operation(events.GET_EVENTS, tx=Tx.READ)
async def get_events(ctx: Context, request: Nothing) -> Events:
    """Read the events that wait for the caller, the oldest first. They stay until they are deleted."""
    rows = await ctx.tx.all(events.READ, profile=ctx.player_id, app=ctx.app.id)
    ctx.reserve_bytes(row["data"] for row in rows)
    return Events(incoming_events=[events.of_row(row).shown() for row in rows])


class UpdateData(Request):
    ev_id: Annotated[documents.Id, Meta(description="The id of the event, as SEND answers it.")]
    event_data: EventData = None


@service.operation("UPDATE_EVENT_DATA", tx=Tx.WRITE, errors=(MissingEvent, PacketTooLarge, QuotaReached))
async def update_data(ctx: Context, request: UpdateData) -> None:
    """Replace the data of an event that waits for the caller. Refused: no such event, too much data."""
    if not await set_data(ctx, request):
        raise MissingEvent(f"no event {request.ev_id[:64]!r} waits for the player")


@service.operation("UPDATE_EVENT_DATA_IF_EXISTS", tx=Tx.WRITE, errors=(PacketTooLarge, QuotaReached))
async def update_data_if_exists(ctx: Context, request: UpdateData) -> None:
    """Replace the data of an event that waits for the caller; without one nothing happens."""
    await set_data(ctx, request)


class DeleteOne(Request):
    ev_id: Annotated[documents.Id, Meta(description="The id of the event, as SEND answers it.")]


@service.operation("DELETE_INCOMING", tx=Tx.WRITE, errors=(MissingEvent,))
async def delete_one(ctx: Context, request: DeleteOne) -> None:
    """Delete an event that waits for the caller. Of two who delete the same one is refused: it is gone."""
    if not await ctx.tx.run(events.DELETE_ONE, profile=ctx.player_id, app=ctx.app.id, event=request.ev_id):
        raise MissingEvent(f"no event {request.ev_id[:64]!r} waits for the player")


class Deleted(Reply):
    deleted: Annotated[bool, Meta(description="Whether something was deleted.")]
    deleted_count: Annotated[int, Meta(description="How many events were deleted.")]


class DeleteSome(Request):
    ev_ids: Annotated[list[documents.Id], Meta(max_length=1000, description="Ids of events.")]


@service.operation("DELETE_INCOMING_EVENTS", tx=Tx.WRITE)
async def delete_some(ctx: Context, request: DeleteSome) -> Deleted:
    """Delete events that wait for the caller. Those that do not are no mistake."""
    wanted = sorted(set(request.ev_ids))
    count = await ctx.tx.run(events.DELETE_SOME, profile=ctx.player_id, app=ctx.app.id, events=wanted)
    return Deleted(deleted=count > 0, deleted_count=count)


class DeleteOlder(Request):
    date_millis: Annotated[
        int, Meta(ge=0, le=2**53, description="Events before this time: ms since 1970-01-01 UTC.")
    ]
    event_type: Annotated[
        str | None, Meta(description="Only events of this kind; null or nothing: of every kind.")
    ] = None


@service.operation("DELETE_INCOMING_EVENTS_OLDER_THAN", tx=Tx.WRITE)
async def delete_older(ctx: Context, request: DeleteOlder) -> Deleted:
    """Delete the caller's events from before a time; only those of a type if one is named."""
    params: dict[str, Any] = {"profile": ctx.player_id, "app": ctx.app.id, "before": request.date_millis}
    if request.event_type:
        count = await ctx.tx.run(events.DELETE_OLDER_OF_TYPE, **params, of_type=request.event_type)
    else:
        count = await ctx.tx.run(events.DELETE_OLDER, **params)
    return Deleted(deleted=count > 0, deleted_count=count)


class DeleteOlderOfType(Request):
    date_millis: Annotated[
        int, Meta(ge=0, le=2**53, description="Events before this time: ms since 1970-01-01 UTC.")
    ]
    event_type: EventType


@service.operation("DELETE_INCOMING_EVENTS_BY_TYPE_OLDER_THAN", tx=Tx.WRITE)
async def delete_older_of_type(ctx: Context, request: DeleteOlderOfType) -> Deleted:
    """Delete the caller's events of a type from before a time."""
    return await delete_older(
        ctx, DeleteOlder(date_millis=request.date_millis, event_type=request.event_type)
    )


# Rules


def data_text(ctx: Context, data: EventData) -> str:
    """Return the data of an event as it is stored. Raises `PacketTooLarge`."""
    text = json.encode_free(data or {})
    most = ctx.section(EventSettings).data_bytes
    if len(text) > most:
        raise PacketTooLarge(f"data.eventData: at most {most} bytes of JSON, got {len(text)}")
    return text.decode()


async def check_receiver(ctx: Context, profile_id: str) -> None:
    """Raise `UnknownPlayer`, or `UserBlocked` when the receiver has blocked the caller."""
    there, blocking = await friends.receivers(ctx.tx, ctx.app.id, ctx.profile_id or SYSTEM, [profile_id])
    if not there:
        raise UnknownPlayer(f"there is no player {profile_id[:64]!r}")
    if blocking:
        raise UserBlocked("the receiver has blocked the sender")


def check_rate(ctx: Context, count: int) -> None:
    """Count what a player sends; servers are free. Raises `RateLimited`."""
    if ctx.caller is Caller.CLIENT:
        ctx.core.quotas.send_events(ctx.app, ctx.player_id, count, ctx.now_ms)


async def store(
    ctx: Context, sender: str, receivers: Sequence[str], event_type: str, data: str
) -> list[Event]:
    """Store an event for players who exist, and see to it that they are told after the commit."""
    answers = ctx.section(EventSettings).in_answers
    is_own_packet = ctx.caller is not Caller.SERVER and ctx.packet_id is not None
    own = [ctx.player_id] if answers and is_own_packet and ctx.profile_id in receivers else []
    sent = await events.send(
        ctx.tx,
        ctx.app.id,
        sender,
        receivers,
        event_type,
        data,
        ctx.now_ms,
        ctx.core.random_bytes,
        place=len(ctx.outbox) * ANSWERED_MAX,
        answered=own,
    )
    for event in sent:
        if event.owner_id in own:
            ctx.add_event(event.told())
        push(ctx, event)
    others = [event for event in sent if event.owner_id not in own]
    if answers and others:
        ctx.after_commit(partial(events.wake, ctx.core.sessions, others))
    return sent


def push(ctx: Context, event: Event) -> None:
    """Send an event to the receiver's real-time connections."""
    ctx.publish(player_channel(ctx.app.id, event.owner_id), service.name, events.GET_EVENTS, event.shown())


async def send_to_many(ctx: Context, sender: str, request: SendToProfiles) -> SentToProfiles:
    """Send an event to several players. Raises `TooManyRecipients`, `PacketTooLarge`, `RateLimited`."""
    wanted = sorted(set(request.to_ids))
    most = ctx.section(EventSettings).recipients
    if len(wanted) > most:
        raise TooManyRecipients(f"data.toIds: at most {most} players, got {len(wanted)}")
    data = data_text(ctx, request.data)
    check_rate(ctx, len(wanted))
    there, blocking = await friends.receivers(ctx.tx, ctx.app.id, sender, wanted)
    there -= blocking
    receivers, errors = [], [one for one in wanted if one not in there]
    for profile_id in sorted(there):
        try:
            await ctx.add_to_quota(events.QUOTA, profile_id, count=1, size=len(data))
        except QuotaReached:
            errors.append(profile_id)
        else:
            receivers.append(profile_id)
    await store(ctx, sender, receivers, request.event_type or "", data)
    return SentToProfiles(error_profiles=errors, error_count=len(errors), sent_count=len(receivers))


async def set_data(ctx: Context, request: UpdateData) -> bool:
    """Replace the data of one of the caller's events; False when it is not there. Raises `PacketTooLarge`."""
    data = data_text(ctx, request.event_data)
    await ctx.add_to_quota(events.QUOTA, ctx.player_id, size=len(data), instead_of=request.ev_id)
    which = {"profile": ctx.player_id, "app": ctx.app.id, "event": request.ev_id}
    return await ctx.tx.run(events.SET_DATA, **which, new_data=data) > 0


# Telling


@service.on(PACKET_MARKED)
async def tell_waiting(ctx: Context, mark: Mark) -> None:
    """Let the answer bring along events that have come since the session is open."""
    settings = ctx.section(EventSettings)
    assert ctx.session is not None, "which packets have"
    most = settings.per_answer - len(ctx.effects.events) if settings.in_answers else 0
    found: list[Event] = []
    if most > 0:
        found = await events.untold(ctx.tx, ctx.app.id, ctx.player_id, mark.since_ms, most)
        for event in found:
            ctx.add_event(event.told())
    if len(found) < most or not settings.in_answers:
        ctx.after_commit(partial(ctx.core.sessions.unmark, ctx.session, mark))


async def sweep(run: JobRun) -> None:
    """Mark sessions for events whose sender died before it did so, and for those that jobs have sent.

    A session that was opened after the event has told it at login.
    """
    until = run.now_ms - SWEEP_DELAY_MS
    since = min(int(run.memo or until), until) - SWEEP_DELAY_MS
    sessions = run.get(SessionStore)

    async def of_app(app: App) -> None:
        if not app.section(EventSettings).in_answers:
            return
        window = {"app": app.id, "since": since, "until": until, "most": SWEPT_AT_ONCE}
        after = ""
        while True:
            async with run.database.read() as tx:
                rows = await tx.all(events.NEW_ONES, **window, after=after)
            await asyncio.gather(*(mark_of(app, row["owner_id"], row["since"]) for row in rows))
            if len(rows) < SWEPT_AT_ONCE:
                return
            after = rows[-1]["owner_id"]

    async def mark_of(app: App, owner: str, first_ms: int) -> None:
        opened = await sessions.list(app.id, owner)
        if any(session.created_ms < first_ms for session in opened):
            await sessions.mark(app.id, owner, first_ms)

    await run.for_each_app(of_app)
    run.memo = str(until)


SWEEP_DELAY_MS = 5_000  # in which those who are alive have marked what they sent
SWEPT_AT_ONCE = 1000  # receivers
service.runs(
    Job("event.sweep", sweep, every_seconds=30),
    forget_of_apps("event.forget", events.EXPIRY, events.kept_ms),
)


@service.on(TOURNAMENT_OVER)
async def tell_of_tournament(tx: Transaction, over: TournamentOver) -> list[str]:
    """Send players the event that says that a tournament is over, as the system.

    Groups are many players: each of these gets the event of each group, from a job.
    """
    data = {"leaderboardId": over.board_id, "versionId": over.version}
    if over.of_groups:
        there = sorted(await groups.some(tx, over.app_id, over.member_ids))
        period = hashlib.blake2b(f"{over.board_id}/{over.version}".encode(), digest_size=16).hexdigest()
        for group_id in there:
            payload = {"app": over.app_id, "group": group_id, "data": {**data, "groupId": group_id}}
            await enqueue(tx, TELL_GROUP, f"{group_id}/{period}", payload, at_ms=over.now_ms)
        return there
    players, _ = await friends.receivers(tx, over.app_id, SYSTEM, over.member_ids)
    told = [member for member in over.member_ids if member in players]
    text = json.encode(data).decode()
    await events.send(tx, over.app_id, SYSTEM, told, TOURNAMENT_COMPLETE, text, over.now_ms)
    return told


class GroupTold(msgspec.Struct):
    """What the members of a group are to be told of a tournament."""

    app: str
    group: str
    data: dict[str, Any]


async def tell_group(run: JobRun) -> None:
    """Send all who are members of a group now the event that says that a tournament is over."""
    what = msgspec.convert(run.payload, GroupTold)
    text = json.encode(what.data).decode()

    async def send_all(tx: Transaction) -> list[Event]:
        await run.done(tx)
        try:
            members = await groups.member_ids(tx, what.app, what.group)
        except UnknownGroup:  # it has gone meanwhile
            return []
        return await events.send(tx, what.app, SYSTEM, members, TOURNAMENT_COMPLETE, text, run.now_ms)

    sent = await run.database.transact(send_all)
    channels = run.get(Channels)
    for event in sent:
        frame = encode_frame(service.name, events.GET_EVENTS, event.shown())
        channels.publish(player_channel(what.app, event.owner_id), frame)
    await events.wake(run.get(SessionStore), sent)


TOURNAMENT_COMPLETE = "SYSTEM_TOURNAMENT_COMPLETE"
TELL_GROUP = Job("event.tellGroup", tell_group, at_once=2)
service.runs(TELL_GROUP)


# A player's life

NO_EVENTS = "[]"


def tell_incoming(apps: LiveApps, app: App, stored: str | None, state: PlayerState) -> None:
    """Add the events that wait for the player to their state."""
    if stored is not None and stored != NO_EVENTS:
        state.incoming_events = events.from_state(stored)


def tell_sent(apps: LiveApps, app: App, stored: str | None, state: PlayerState) -> None:
    """Add the events of the player that wait for others."""
    if stored is not None and stored != NO_EVENTS:
        state.sent_events = events.from_state(stored)


service.subscribe(PLAYER_STATE, StatePart(events.INCOMING, tell_incoming))
service.subscribe(PLAYER_STATE, StatePart(events.SENT, tell_sent))
service.keeps(events.KEPT)
