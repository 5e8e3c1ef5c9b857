"""Who listens to what: channels, and those connections of this process that listen to them."""

import asyncio
from collections import deque
from collections.abc import Collection, Coroutine
from contextlib import suppress
from typing import Any, Literal, Protocol

import msgspec
import structlog
from prometheus_client import Counter

from gameserver.realtime.bus import Bus
from gameserver.realtime.frames import FRAME_BYTES_MAX, Frame
from gameserver.sessions import Session, SessionsUnavailable

log = structlog.get_logger(__name__)

CHANNELS_PER_CONNECTION_MAX = 200
ALL_PROCESSES = "processes"  # to which each subscribes that takes connections
RESIGN_SECONDS = 0.5
LISTENERS_AT_ONCE = 500  # are sent a message in one turn of the event loop: some milliseconds' work
BEHIND_MAX = 100  # messages that wait for those before them to reach all listeners
ANSWER_SECONDS_MAX = 1.0  # how long a process waits for the others when somebody joins

PUBLISHED = Counter("gameserver_realtime_published", "Messages published to channels.")
LOST = Counter("gameserver_realtime_lost", "Messages that could not be handed over to other processes.")
DELIVERED = Counter("gameserver_realtime_delivered", "Messages handed to connections.")


class Listener(Protocol):
    """A connection as channels know it."""

    session_digest: str
    cx_id: str
    channels: set[str]
    is_open: bool

    def send(self, frame: Frame) -> None:
        """Send a frame."""


class _Order(msgspec.Struct, array_like=True, tag=True):
    """What one process asks others to do; it travels among the frames, which begin with a brace."""


Kind = Literal["join", "leave", "tell"]


class _Move(_Order, tag="m"):
    """Let a player's connections join or leave a channel, or only tell; of one session, if it is named."""

    kind: Kind
    digest: str
    channel: str
    asker: str
    number: int


class _Moved(_Order, tag="d"):
    """The answer to a `_Move`: the ids of the connections that did."""

    number: int
    cx_ids: list[str]


class _Disband(_Order, tag="x"):
    """Let everybody leave the channel by which this comes."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Move | _Moved | _Disband).decode


def player_channel(app_id: str, profile_id: str) -> str:
    """Return the channel to which all connections of a player listen, as long as they are open."""
    return f"player:{app_id}:{profile_id}"


class Channels:
    """Publishes to channels, and lets connections listen, whichever process holds them.

    A channel is a name. It is there as long as somebody listens. Delivery is at most once, and in the same
    order for all who listen: what must not be lost is stored by who publishes it, and read back.
    """

    def __init__(self, bus: Bus, process_id: str) -> None:
        """`process_id` names this process among all."""
        self._bus = bus
        self._own = f"process:{process_id}"
        self._listeners: dict[str, set[Listener]] = {}
        self._behind: dict[
            str, deque[bytes]
        ] = {}  # of channels whose last message is still on its way to many
        self._asked: dict[int, asyncio.Queue[list[str]]] = {}
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

    def publish(self, channel: str, frame: bytes) -> None:
        """Send a frame, a JSON object as `encode_frame` makes it, to all who listen to a channel.

        Call it after the commit: `ctx.publish`. Nobody learns whether it arrived.
        """
        assert len(frame) <= FRAME_BYTES_MAX, "encode_frame refuses larger ones"
        PUBLISHED.inc()
        self._send(channel, frame)

    async def join(self, session: Session, channel: str) -> int:
        """Let the connections of a session listen to a channel; returns how many there are that do.

        None: the session has no connection. What is published from now on reaches them. A connection leaves
        when it closes. Raises `SessionsUnavailable`.
        """
        return len(await self._move("join", session.app_id, session.profile_id, session.digest, channel))

    async def leave(self, session: Session, channel: str) -> int:
        """Let the connections of a session listen to a channel no longer. Raises `SessionsUnavailable`."""
        return len(await self._move("leave", session.app_id, session.profile_id, session.digest, channel))

    async def expel(self, app_id: str, profile_id: str, channel: str) -> int:
        """Let all connections of a player leave a channel, as when they may no longer listen.

        Returns when no process sends them anything of it any more. Raises `SessionsUnavailable`.
        """
        return len(await self._move("leave", app_id, profile_id, "", channel))

    async def connections(self, app_id: str, profile_id: str) -> list[str]:
        """Return the ids of all connections of a player, in all processes. Raises `SessionsUnavailable`."""
        return await self._move("tell", app_id, profile_id, "", "")

    def disband(self, channel: str) -> None:
        """Let everybody leave a channel. What was published before still arrives."""
        self._send(channel, _encode(_Disband()))

    async def is_listening(self, channel: str) -> bool:
        """Tell whether anybody listens, in any process. Raises `SessionsUnavailable`.

        Of the channel of a player that means: is connected.
        """
        return await self._bus.count(channel) > 0

    def trouble(self) -> str:
        """Say why messages of other processes do not arrive just now, or nothing. For readiness."""
        return self._bus.trouble()

    # For connections

    async def add(self, listener: Listener, channel: str) -> bool:
        """Let a connection of this process listen; returns when nothing is missed any more.

        False, and it does not listen, when it listens to too many channels or has been closed meanwhile.
        """
        if len(listener.channels) >= CHANNELS_PER_CONNECTION_MAX and channel not in listener.channels:
            return False
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
        if not listening:
            del self._listeners[channel]
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
        elif data.startswith(b"{"):
            self._deliver(channel, Frame(data), tuple(self._listeners.get(channel, ())))
        else:
            self._take_order(channel, data)

    async def _take_in_turns(self, channel: str) -> None:
        """Take one message after the other, and each in parts.

        When more come than can be sent, nobody else has the event loop: so no more are read.
        """
        behind = self._behind[channel]
        try:
            while behind:
                data = behind.popleft()
                if not data.startswith(b"{"):
                    self._take_order(channel, data)
                    continue
                frame, listening = Frame(data), tuple(self._listeners.get(channel, ()))
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

    def _take_order(self, channel: str, data: bytes) -> None:
        match _decode(data):
            case _Move() as move:
                self._start(self._obey(channel, move))
            case _Moved(number=number, cx_ids=cx_ids):
                asked = self._asked.get(number)
                if asked is not None:
                    asked.put_nowait(cx_ids)
            case _Disband():
                for listener in tuple(self._listeners.get(channel, ())):
                    self.remove(listener, channel)

    async def _move(self, kind: Kind, app_id: str, profile_id: str, digest: str, channel: str) -> list[str]:
        self._numbers += 1
        number = self._numbers
        answers = self._asked[number] = asyncio.Queue[list[str]]()
        order = _Move(kind, digest, channel, self._own, number)
        try:
            reached = await self._bus.ask(player_channel(app_id, profile_id), _encode(order))
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                return [cx_id for _ in range(reached) for cx_id in await answers.get()]
        except TimeoutError:
            raise SessionsUnavailable("a process does not answer who listens") from None
        finally:
            del self._asked[number]

    async def _obey(self, of_player: str, move: _Move) -> None:
        mine = [
            listener
            for listener in self._listeners.get(of_player, ())
            if move.digest in ("", listener.session_digest)
        ]
        match move.kind:
            case "leave":
                for listener in mine:
                    self.remove(listener, move.channel)
            case "join":
                mine = [listener for listener in mine if await self.add(listener, move.channel)]
        self._send(move.asker, _encode(_Moved(move.number, [listener.cx_id for listener in mine])))

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


def _count_lost(published: "asyncio.Future[Any]") -> None:
    if not published.cancelled() and published.exception() is not None:
        LOST.inc()
