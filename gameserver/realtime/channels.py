"""Who listens to what: channels, and those connections of this process that listen to them."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Protocol

import structlog
from prometheus_client import Counter

from gameserver.realtime.bus import Bus
from gameserver.realtime.frames import FRAME_BYTES_MAX, Frame
from gameserver.realtime.orders import (
    Count,
    Counted,
    Disband,
    EndAll,
    Kind,
    LogState,
    Move,
    Moved,
    Order,
    Release,
    Skip,
    decode,
    encode,
)
from gameserver.realtime.reasons import ALL_ENDED, Reason
from gameserver.realtime.sequence import Numbered, Ordering, Place
from gameserver.sessions import Session, SessionsUnavailable
from gameserver.wire.errors import GameError

log = structlog.get_logger(__name__)

CHANNELS_PER_CONNECTION_MAX = 200
INVITED_MAX = 50  # channels with which a connection follows invitations: strangers leave room for its own
ALL_PROCESSES = "processes"  # to which each subscribes that takes connections
RESIGN_SECONDS = 0.5
LISTENERS_AT_ONCE = 500  # are sent a message in one turn of the event loop: some milliseconds' work
BEHIND_MAX = 100  # messages that wait for those before them to reach all listeners
ANSWER_SECONDS_MAX = 1.0  # how long a process waits for the others when somebody joins
GAP_SECONDS = 1.0  # how long a message waits for one with a smaller number that is still on its way
HOLD_SECONDS = 5.0  # after which a listener is held no longer, should nobody release it

PUBLISHED = Counter("gameserver_realtime_published", "Messages published to channels.")
LOST = Counter("gameserver_realtime_lost", "Messages that could not be handed over to other processes.")
DELIVERED = Counter("gameserver_realtime_delivered", "Messages handed to connections.")


class TooManyChannels(GameError):
    """A connection listens to as many channels as it may."""

    reason_code = 49126


class Listener(Protocol):
    """A connection as channels know it."""

    session_digest: str
    profile_id: str
    cx_id: str
    channels: set[str]
    muted: frozenset[str]
    is_open: bool

    def send(self, frame: Frame) -> None:
        """Send a frame."""

    def end(self, reason: Reason) -> None:
        """Tell the client why, and close."""


def player_channel(app_id: str, profile_id: str) -> str:
    """Return the channel to which all connections of a player listen, as long as they are open."""
    return f"{_players_of(app_id)}{profile_id}"


def _players_of(app_id: str) -> str:
    """Return what the channels of all players of an app begin with."""
    return f"player:{app_id}:"


class Channels:
    """Publishes to channels, and lets connections listen, whichever process holds them.

    A channel is a name. It is there as long as somebody listens. Delivery is at most once, and in the same
    order for all who listen: what must not be lost is stored by who publishes it, and read back.
    """

    def __init__(self, bus: Bus, process_id: str) -> None:
        """`process_id` names this process among all."""
        self.process_id = process_id
        self._bus = bus
        self._own = f"process:{process_id}"
        self._listeners: dict[str, set[Listener]] = {}
        self._behind: dict[
            str, deque[bytes]
        ] = {}  # of channels whose last message is still on its way to many
        self._orderings: dict[str, Ordering] = {}  # of channels to which somebody has joined held
        self._asked: dict[int, asyncio.Queue[Moved | Counted]] = {}
        self._numbers = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Begin to take part."""
        with suppress(SessionsUnavailable):  # which is told by readiness; it is tried on
            await asyncio.gather(self._bus.subscribe(self._own), self._bus.subscribe(ALL_PROCESSES))

    async def resign(self) -> bool:
        """Say that this process takes no more connections; tells whether another one does."""
        self._bus.unsubscribe(ALL_PROCESSES)
        await asyncio.sleep(RESIGN_SECONDS)  # others that stop at the same time say so, too
        try:
            return await self._bus.count(ALL_PROCESSES) > 0
        except SessionsUnavailable:
            return False

    # For services

    def publish(self, channel: str, frame: bytes, place: Place | None = None) -> None:
        """Send a frame, a JSON object as `encode_frame` makes it, to all who listen to a channel.

        Call it after the commit: `ctx.publish`. Nobody learns whether it arrived. With a `place`, all get it
        in the order of the numbers, whichever process publishes first: see `join`.
        """
        assert len(frame) <= FRAME_BYTES_MAX, "encode_frame refuses larger ones"
        PUBLISHED.inc()
        if place is not None:
            frame = encode(Numbered(place.number, place.is_first, place.author, frame))
        self._send(channel, frame)

    async def join(self, session: Session, channel: str, *, held: bool = False) -> int:
        """Let the connections of a session listen to a channel; returns how many there are that do.

        None: the session has no connection. What is published from now on reaches them. A connection leaves
        when it closes. Raises `TooManyChannels`, `SessionsUnavailable`.

        A channel whose messages have numbers is joined `held`: what comes waits until `release` says up to
        which number the client reads what is stored. So it gets each message once, and in order.
        """
        kind: Kind = "hold" if held else "join"
        moved = await self._move(kind, session.app_id, session.profile_id, session.digest, channel)
        joined = sum(len(each.cx_ids) for each in moved)
        if not joined and any(each.full for each in moved):
            raise TooManyChannels(f"a connection listens to at most {CHANNELS_PER_CONNECTION_MAX} channels")
        return joined

    def release(self, session: Session, channel: str, after: int, muted: Sequence[str] = ()) -> None:
        """Let the connections of a session that were held be sent what has come behind a number, and comes.

        Of players who are `muted` they get nothing from now on, in any channel whose messages have authors.
        Nobody learns whether they are released; after `HOLD_SECONDS` they are in any case.
        """
        of_player = player_channel(session.app_id, session.profile_id)
        self._send(of_player, encode(Release(session.digest, channel, after, list(muted))))

    async def mute(self, app_id: str, profile_id: str, authors: Sequence[str]) -> None:
        """Let all connections of a player get nothing more of some players, in channels with authors.

        Returns when no process sends them any. Raises `SessionsUnavailable`.
        """
        await self._move("mute", app_id, profile_id, "", "", authors)

    async def unmute(self, app_id: str, profile_id: str, authors: Sequence[str]) -> None:
        """Let all connections of a player hear some players again. Raises `SessionsUnavailable`."""
        await self._move("unmute", app_id, profile_id, "", "", authors)

    async def leave(self, session: Session, channel: str) -> int:
        """Let the connections of a session listen to a channel no longer. Raises `SessionsUnavailable`."""
        return len(await self._ids("leave", session.app_id, session.profile_id, session.digest, channel))

    async def join_all(self, session: Session, channels: Sequence[str]) -> int:
        """Let the connections of a session listen to some channels, or to none of them that it does not yet.

        Returns how many there are that do. Raises `TooManyChannels`, `SessionsUnavailable`.
        """
        moved = await self._move("join_all", session.app_id, session.profile_id, session.digest, "", channels)
        if any(each.full for each in moved):
            raise TooManyChannels(f"a connection listens to at most {CHANNELS_PER_CONNECTION_MAX} channels")
        return sum(len(each.cx_ids) for each in moved)

    async def leave_all(self, session: Session, prefix: str) -> int:
        """Let the connections of a session listen to no channel any more whose name begins so.

        Returns how many connections the session has. Raises `SessionsUnavailable`.
        """
        return len(await self._ids("leave_all", session.app_id, session.profile_id, session.digest, prefix))

    async def invite(self, app_id: str, profile_id: str, channel: str) -> int:
        """Let all connections of a player listen to a channel; those that have `INVITED_MAX` already do not.

        Returns how many do. Raises `SessionsUnavailable`.
        """
        return len(await self._ids("invite", app_id, profile_id, "", channel))

    async def expel(self, app_id: str, profile_id: str, channel: str) -> int:
        """Let all connections of a player leave a channel, as when they may no longer listen.

        Returns when no process sends them anything of it any more. Raises `SessionsUnavailable`.
        """
        return len(await self._ids("leave", app_id, profile_id, "", channel))

    async def connections(self, app_id: str, profile_id: str) -> list[str]:
        """Return the ids of all connections of a player, in all processes. Raises `SessionsUnavailable`."""
        return await self._ids("tell", app_id, profile_id, "", "")

    async def count_listeners(self, channel: str) -> int:
        """Count the players who listen to a channel, each once in a process. Raises `SessionsUnavailable`."""
        counted = await self._ask(channel, lambda number: Count(self._own, number))
        return sum(each.count for each in counted if isinstance(each, Counted))

    async def end_all(self, app_id: str) -> int:
        """End all connections of an app, in all processes; returns how many. Raises `SessionsUnavailable`."""
        ended = await self._ask(ALL_PROCESSES, lambda number: EndAll(app_id, self._own, number))
        return sum(each.count for each in ended if isinstance(each, Counted))

    def log_state(self, process_ids: list[str]) -> None:
        """Let processes write into their logs how it stands with connections; all, where none is named."""
        self._send(ALL_PROCESSES, encode(LogState(process_ids)))

    def disband(self, channel: str) -> None:
        """Let everybody leave a channel. What was published before still arrives."""
        self._send(channel, encode(Disband()))

    async def is_listening(self, channel: str) -> bool:
        """Tell whether anybody listens, in any process. Raises `SessionsUnavailable`.

        Of the channel of a player that means: is connected.
        """
        return await self._bus.count(channel) > 0

    def trouble(self) -> str:
        """Say why messages of other processes do not arrive just now, or nothing. For readiness."""
        return self._bus.trouble()

    # For connections

    async def add(self, listener: Listener, channel: str, *, held: bool = False) -> bool:
        """Let a connection of this process listen; returns when nothing is missed any more.

        False, and it does not listen, when it listens to too many channels or has been closed meanwhile.
        `held` as in `join`.
        """
        if _is_full(listener, channel):
            return False
        if held:
            loop = asyncio.get_running_loop()
            end = loop.call_later(HOLD_SECONDS, self._release, listener, channel, 0)
            self._orderings.setdefault(channel, Ordering()).hold(listener, end)
        self._listeners.setdefault(channel, set()).add(listener)
        listener.channels.add(channel)
        try:
            await self._bus.subscribe(channel)
        except SessionsUnavailable:
            self.remove(listener, channel)
            raise
        if not listener.is_open:
            self.remove(listener, channel)
        return channel in listener.channels

    def remove(self, listener: Listener, channel: str) -> None:
        """Let a connection of this process no longer listen."""
        listener.channels.discard(channel)
        listening = self._listeners.get(channel)
        if listening is None:
            return
        listening.discard(listener)
        if (ordering := self._orderings.get(channel)) is not None:
            ordering.forget(listener)
        if not listening:
            del self._listeners[channel]
            self._orderings.pop(channel, None)
            self._bus.unsubscribe(channel)

    def listeners(self, channel: str) -> Collection[Listener]:
        """Return the connections of this process that listen to a channel."""
        return self._listeners.get(channel, ())

    # Between processes

    def receive(self, channel: str, data: bytes) -> None:
        """Take what was published. What goes to very many lets others have the event loop in between."""
        behind = self._behind.get(channel)
        if behind is not None:
            behind.append(data)
        elif len(self._listeners.get(channel, ())) > LISTENERS_AT_ONCE:
            self._behind[channel] = deque((data,))
            self._start(self._take_in_turns(channel))
        else:
            for frame, listening in self._take(channel, data):
                self._deliver(channel, frame, listening)

    async def _take_in_turns(self, channel: str) -> None:
        """Take one message after the other, and each in parts.

        When more come than can be sent, nobody else has the event loop: so no more are read.
        """
        behind = self._behind[channel]
        try:
            while behind:
                for frame, listening in self._take(channel, behind.popleft()):
                    for begin in range(0, len(listening), LISTENERS_AT_ONCE):
                        part = listening[begin : begin + LISTENERS_AT_ONCE]
                        self._deliver(channel, frame, [one for one in part if channel in one.channels])
                        if len(behind) < BEHIND_MAX:
                            await asyncio.sleep(0)
        finally:
            del self._behind[channel]

    def _deliver(self, channel: str, frame: Frame, listening: Collection[Listener]) -> None:
        for listener in listening:
            try:
                listener.send(frame)
            except Exception:  # the others must not miss it
                log.exception("realtime_send_failed", channel=channel)
        DELIVERED.inc(len(listening))

    def _take(self, channel: str, data: bytes) -> "Iterable[_Sent]":
        """Take what came by a channel; returns what is to be sent now, and to whom."""
        if data.startswith(b"{"):
            return ((Frame(data), tuple(self._listeners.get(channel, ()))),)
        match decode(data):
            case Numbered() as message:
                return self._take_numbered(channel, message)
            case Skip(number=number):
                return self._end_gap(channel, number)
            case Move() as move:
                self._start(self._obey(channel, move))
            case Release(digest=digest, channel=released, after=after, muted=muted):
                for listener in tuple(self._listeners.get(channel, ())):
                    if digest == listener.session_digest:
                        listener.muted = listener.muted.union(muted)
                        self._release(listener, released, after)
            case Count(asker=asker, number=number):
                players = {listener.profile_id for listener in self._listeners.get(channel, ())}
                self._send(asker, encode(Counted(number, len(players))))
            case EndAll() as ended:
                ending = self._connections_of(ended.app_id)
                self._send(ended.asker, encode(Counted(ended.number, len(ending))))
                self._start(_end_in_turns(ending))
            case LogState(process_ids=process_ids):
                if not process_ids or self.process_id in process_ids:
                    self._log_state()
            case Moved() | Counted() as answer:
                asked = self._asked.get(answer.number)
                if asked is not None:
                    asked.put_nowait(answer)
            case Disband():
                for listener in tuple(self._listeners.get(channel, ())):
                    self.remove(listener, channel)
        return ()

    # Messages with numbers

    def _take_numbered(self, channel: str, message: Numbered) -> "Iterator[_Sent]":
        ordering = self._orderings.get(channel)
        if ordering is None:  # nobody here reads what is stored first
            yield self._for_whom(channel, message)
            return
        for each in ordering.take(message):
            yield self._for_whom(channel, each)
        self._watch(channel, ordering)

    def _for_whom(self, channel: str, message: Numbered) -> "_Sent":
        listening: Sequence[Listener] = tuple(self._listeners.get(channel, ()))
        if message.author:
            listening = [each for each in listening if message.author not in each.muted]
        ordering = self._orderings.get(channel)
        if ordering is not None and not ordering.is_for_all():
            listening = [each for each in listening if ordering.wants(each, message)]
        return Frame(message.frame), listening

    def _release(self, listener: Listener, channel: str, after: int) -> None:
        """Send a listener that was held what it has missed."""
        ordering = self._orderings.get(channel)
        if ordering is None:
            return
        kept, ready = ordering.release(listener, after)
        for message in kept:
            if message.author not in listener.muted:
                self._deliver(channel, Frame(message.frame), (listener,))
        for message in ready:  # of which none has been sent to anybody: nothing was known of the numbers
            self._deliver(channel, *self._for_whom(channel, message))
        self._watch(channel, ordering)

    def _watch(self, channel: str, ordering: Ordering) -> None:
        """See to it that nothing waits for ever for a message that nobody will publish any more."""
        if ordering.awaited and not ordering.is_watched:
            ordering.is_watched = True
            skip = encode(Skip(ordering.awaited))
            asyncio.get_running_loop().call_later(GAP_SECONDS, self.receive, channel, skip)

    def _end_gap(self, channel: str, number: int) -> "Iterator[_Sent]":
        ordering = self._orderings.get(channel)
        if ordering is None:
            return
        ordering.is_watched = False
        if ordering.awaited == number:
            for each in ordering.skip():
                yield self._for_whom(channel, each)
        self._watch(channel, ordering)

    # Asking other processes

    async def _ids(self, kind: Kind, app_id: str, profile_id: str, digest: str, channel: str) -> list[str]:
        moved = await self._move(kind, app_id, profile_id, digest, channel)
        return [cx_id for each in moved for cx_id in each.cx_ids]

    async def _move(
        self,
        kind: Kind,
        app_id: str,
        profile_id: str,
        digest: str,
        channel: str,
        names: Sequence[str] = (),
    ) -> list[Moved]:
        of_player = player_channel(app_id, profile_id)
        answers = await self._ask(
            of_player, lambda number: Move(kind, digest, channel, self._own, number, list(names))
        )
        return [each for each in answers if isinstance(each, Moved)]

    async def _ask(self, channel: str, order: Callable[[int], Order]) -> list[Moved | Counted]:
        """Send an order to all processes that receive a channel; returns their answers."""
        self._numbers += 1
        number = self._numbers
        answers = self._asked[number] = asyncio.Queue[Moved | Counted]()
        try:
            reached = await self._bus.ask(channel, encode(order(number)))
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                return [await answers.get() for _ in range(reached)]
        except TimeoutError:
            raise SessionsUnavailable("a process does not answer who listens") from None
        finally:
            del self._asked[number]

    async def _obey(self, of_player: str, move: Move) -> None:
        mine = [
            listener
            for listener in self._listeners.get(of_player, ())
            if move.digest in ("", listener.session_digest)
        ]
        full = 0
        match move.kind:
            case "leave":
                for listener in mine:
                    self.remove(listener, move.channel)
            case "leave_all":
                for listener in mine:
                    for channel in [each for each in listener.channels if each.startswith(move.channel)]:
                        self.remove(listener, channel)
            case "join_all":
                full = sum(_has_no_place(listener, move.names) for listener in mine)
                if full:
                    mine = []
                await asyncio.gather(*[self.add(one, each) for one in mine for each in move.names])
            case "invite":
                invited = [each for each in mine if len(each.channels) < INVITED_MAX]
                mine = [each for each in invited if await self.add(each, move.channel)]
            case "mute":
                for listener in mine:
                    listener.muted = listener.muted.union(move.names)
            case "unmute":
                for listener in mine:
                    listener.muted = listener.muted.difference(move.names)
            case "join" | "hold":
                full = sum(_is_full(listener, move.channel) for listener in mine)
                held = move.kind == "hold"
                mine = [each for each in mine if await self.add(each, move.channel, held=held)]
        self._send(move.asker, encode(Moved(move.number, [each.cx_id for each in mine], full)))

    def _connections_of(self, app_id: str) -> list[Listener]:
        """Return the connections of this process that players and servers of an app have."""
        prefix = _players_of(app_id)
        return [
            listener
            for channel, listening in self._listeners.items()
            if channel.startswith(prefix)
            for listener in listening
        ]

    def _log_state(self) -> None:
        log.info(
            "realtime_state",
            process_id=self.process_id,
            channels=len(self._listeners),
            connections=len({id(one) for listening in self._listeners.values() for one in listening}),
            behind={channel: len(waiting) for channel, waiting in self._behind.items()},
            trouble=self.trouble(),
        )

    def _send(self, channel: str, data: bytes) -> None:
        """Hand over to the bus without waiting."""
        asyncio.ensure_future(self._bus.publish(channel, data)).add_done_callback(_count_lost)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(error := task.exception(), Exception):
            log.warning("realtime_move_failed", reason=str(error))


_Sent = tuple[Frame, Sequence[Listener]]
"""What is to be sent now, and to whom."""


def _has_no_place(listener: Listener, channels: Sequence[str]) -> bool:
    return len(listener.channels.union(channels)) > CHANNELS_PER_CONNECTION_MAX


def _is_full(listener: Listener, channel: str) -> bool:
    return len(listener.channels) >= CHANNELS_PER_CONNECTION_MAX and channel not in listener.channels


async def _end_in_turns(listening: Collection[Listener]) -> None:
    """End connections; where these are many, others have the event loop in between."""
    for number, listener in enumerate(listening):
        if number % LISTENERS_AT_ONCE == LISTENERS_AT_ONCE - 1:
            await asyncio.sleep(0)
        listener.end(ALL_ENDED)


def _count_lost(published: "asyncio.Future[Any]") -> None:
    if not published.cancelled() and published.exception() is not None:
        LOST.inc()
