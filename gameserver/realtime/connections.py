"""The connections of this process: whose they are, whether they live, and when they end."""

import asyncio
import hmac
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from secrets import token_urlsafe

import msgspec
import structlog
from prometheus_client import Counter, Gauge

from gameserver.frame import stop
from gameserver.realtime.channels import Channels, player_channel
from gameserver.realtime.connection import Connection
from gameserver.realtime.frames import Frame, encode_frame
from gameserver.realtime.lapses import Lapses
from gameserver.realtime.reasons import (
    MOVE,
    NO_CONNECT,
    SILENT,
    SLOW,
    TOO_MANY,
    UNAVAILABLE,
    WRONG_SECRET,
    Reason,
    session_over,
)
from gameserver.realtime.roster import Roster
from gameserver.realtime.tcp import TcpConnection
from gameserver.realtime.tickets import Tickets
from gameserver.realtime.websocket import WebSocketConnection, greet
from gameserver.sessions import SERVER_PROFILE_ID, Ended, Session, SessionStore, SessionsUnavailable
from gameserver.wire.clock import Clock

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 30
CONNECT_SECONDS_MAX = 10.0  # from the connection to its CONNECT
PING_SECONDS = 35.0  # of silence, after which a client is asked
SILENT_SECONDS_MAX = 70.0  # two heartbeats, and some
CONNECTIONS_PER_PLAYER_MAX = 10
LOOK_SECONDS = 0.25
SESSIONS_AT_ONCE = 500  # looked at
RETRY_MS = 1000
MOVES_PER_SECOND = 50
MOVE_SECONDS_MAX = 60.0
MOVE_STEP_SECONDS = 0.05
GOODBYE_SECONDS_MAX = 2.0
SUFFIX_BYTES = 9

OPEN = Gauge("gameserver_realtime_connections", "Connections that are open.", multiprocess_mode="livesum")
CONNECTS = Counter(
    "gameserver_realtime_connects", "Connections whose CONNECT was accepted, by form.", ["form"]
)
ENDS = Counter("gameserver_realtime_ends", "Connections that ended, by reason.", ["reason"])


class _Said(msgspec.Struct):
    operation: str = ""
    service: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")


class _Auth(msgspec.Struct):
    secret: str = msgspec.field(default="", name="X-RTT-SECRET")


class _Connect(msgspec.Struct):
    """What a CONNECT tells that matters. Whose connection it is says the session, and nothing else."""

    session_id: str = msgspec.field(default="", name="sessionId")
    auth: _Auth | None = None


_read_said = msgspec.json.Decoder(_Said).decode
_read_connect = msgspec.json.Decoder(_Connect).decode


class _Refused(Exception):
    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.text)
        self.reason = reason


class Connections:
    """Takes connections, gives them to sessions, and ends them with these. One for each process."""

    def __init__(
        self, sessions: SessionStore, channels: Channels, roster: Roster, tickets: Tickets, clock: Clock
    ) -> None:
        self._sessions = sessions
        self._channels = channels
        self._roster = roster
        self._clock = clock
        self.tickets = tickets
        self._open: set[Connection] = set()
        self._ending: set[Connection] = set()  # those that have been told, and whose transports are there yet
        self._none_ending = asyncio.Event()
        self._by_session: dict[str, set[Connection]] = {}
        self._looks: dict[int, list[Connection]] = defaultdict(list)  # by second of the event loop's clock
        self._looked = 0  # the last second that was looked at
        self._lapses = Lapses[str]()  # when sessions may have lapsed
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_moving = False

    def __len__(self) -> int:
        return len(self._open)

    # Taking connections

    def greet(
        self, target: str, headers: Iterable[tuple[bytes, bytes]], leave: Callable[[], None]
    ) -> tuple[bytes, Connection | None]:
        """Answer a request for a WebSocket; returns what to send, and who takes over, if it is granted.

        `leave` is called when the transport is gone.
        """
        answer, secret = greet(target, headers)
        return answer, None if secret is None else WebSocketConnection(self, leave, secret)

    def take_tcp(self, leave: Callable[[], None]) -> Connection:
        """Return who takes over a transport on which the bare form is spoken."""
        return TcpConnection(self, leave)

    # What connections tell

    def opened(self, connection: Connection) -> None:
        """It is there, but nobody knows whose it is."""
        self._open.add(connection)
        OPEN.set(len(self._open))
        self._look_in(connection, CONNECT_SECONDS_MAX)
        if self._is_moving:
            connection.end(MOVE)

    def said(self, connection: Connection, message: bytes) -> None:
        """Take a message. What is none is left out: it harms nobody, and is counted."""
        try:
            said = _read_said(message)
            if said.operation == "CONNECT" and not connection.is_connecting:
                asked = _read_connect(said.data)
            else:
                return  # a heartbeat: the connection has noted that it heard something
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        connection.is_connecting = True
        task = asyncio.create_task(self._connect(connection, asked))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def closed(self, connection: Connection, reason: Reason) -> None:
        """It has ended."""
        ENDS.labels(reason.kind).inc()
        self._open.discard(connection)
        self._ending.add(connection)
        self._none_ending.clear()
        OPEN.set(len(self._open))
        for channel in tuple(connection.channels):
            self._channels.remove(connection, channel)
        if connection.cx_id and connection.profile_id != SERVER_PROFILE_ID:
            self._roster.leave(connection.app_id, connection.profile_id, connection.cx_id)
        of_session = self._by_session.get(connection.session_digest)
        if of_session is not None:
            of_session.discard(connection)
            if not of_session:
                if reason in (SILENT, SLOW):
                    self._roster.fall_silent(connection.session_digest)
                del self._by_session[connection.session_digest]
                self._lapses.forget(connection.session_digest)

    def gone(self, connection: Connection) -> None:
        """Its transport is closed."""
        self._ending.discard(connection)
        if not self._ending:
            self._none_ending.set()

    # Connecting

    async def _connect(self, connection: Connection, asked: _Connect) -> None:
        try:
            await self._admit(connection, asked)
        except _Refused as refused:
            connection.end(refused.reason)
        except SessionsUnavailable:
            connection.end(UNAVAILABLE)
        except Exception:
            log.exception("connect_failed")
            connection.end(UNAVAILABLE)
        else:
            if connection.is_open:
                CONNECTS.labels("tcp" if isinstance(connection, TcpConnection) else "ws").inc()
                data = {"cxId": connection.cx_id, "heartbeatSeconds": HEARTBEAT_SECONDS}
                connection.send(Frame(encode_frame("rtt", "CONNECT", data)))

    async def _admit(self, connection: Connection, asked: _Connect) -> None:
        """Give the connection to the session that asked for it. Raises `_Refused`."""
        digest = self._sessions.digest(asked.session_id) or ""
        secret = (asked.auth.secret if asked.auth is not None else "") or connection.offered_secret
        connection.offered_secret = ""
        granted = await self.tickets.take(secret) if digest and secret else None
        if granted is None or not hmac.compare_digest(granted, digest):
            raise _Refused(WRONG_SECRET)
        if not connection.is_open:
            return
        connection.session_digest = digest
        # From here on an end of the session ends the connection, too; one before is found by looking.
        self._by_session.setdefault(digest, set()).add(connection)
        session = await self._sessions.peek_digest(digest)
        if isinstance(session, Ended):
            raise _Refused(session_over(session.reason))
        self._note_lapse(digest, _lapse_ms(session))
        connection.app_id, connection.profile_id = session.app_id, session.profile_id
        connection.cx_id = f"{session.app_id}:{session.profile_id}:{token_urlsafe(SUFFIX_BYTES)}"
        channel = player_channel(session.app_id, session.profile_id)
        if not await self._channels.add(connection, channel):
            return  # closed meanwhile: nobody would say that it goes
        # Counted with this one in, so that of several at once none is overlooked.
        if session.profile_id == SERVER_PROFILE_ID:  # which all servers of an app are
            count = len(self._by_session[digest])
        else:
            enter = self._roster.enter(session.app_id, session.profile_id, connection.cx_id)
            count, _ = await asyncio.gather(self._count(session), enter)
        if count > CONNECTIONS_PER_PLAYER_MAX:
            raise _Refused(TOO_MANY)

    async def _count(self, session: Session) -> int:
        """Count a player's connections; those of this process alone while another one does not answer."""
        try:
            return len(await self._channels.connections(session.app_id, session.profile_id))
        except SessionsUnavailable:
            return len(self._channels.listeners(player_channel(session.app_id, session.profile_id)))

    # Ending

    def session_ended(self, digest: str, reason: str) -> None:
        """End the connections of a session that some process has ended."""
        for connection in tuple(self._by_session.get(digest, ())):
            connection.end(session_over(reason))

    def look_at_all_sessions(self) -> None:
        """Ends of sessions may have been missed: look which are still there."""
        now = self._clock.ms()
        for digest in self._by_session:
            self._note_lapse(digest, now)

    async def run(self) -> None:
        """Look after connections."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                self._look_at_silence(loop.time())
                await self._look_at_sessions()
            except Exception:
                log.exception("looking_after_connections_failed")
            await asyncio.sleep(LOOK_SECONDS)

    def _look_in(self, connection: Connection, seconds: float) -> None:
        self._looks[int(asyncio.get_running_loop().time() + seconds) + 1].append(connection)

    def _look_at_silence(self, now: float) -> None:
        """End connections that nobody has claimed, or that nothing is heard of."""
        begin = self._looked or int(now)
        self._looked = int(now)
        for second in range(begin, int(now) + 1):
            for connection in self._looks.pop(second, ()):
                if connection.is_open:
                    self._look_at(connection, now)

    def _look_at(self, connection: Connection, now: float) -> None:
        if not connection.is_connecting:
            connection.end(NO_CONNECT)
            return
        connection.spent = 0
        silence = now - connection.heard
        if silence >= SILENT_SECONDS_MAX:
            connection.end(SILENT)
        elif silence >= PING_SECONDS:
            connection.ping()
            self._look_in(connection, SILENT_SECONDS_MAX - silence)
        else:
            self._look_in(connection, PING_SECONDS - silence)

    def _note_lapse(self, digest: str, at_ms: int) -> None:
        if digest in self._by_session:  # its last connection may have closed meanwhile
            self._lapses.note(digest, at_ms)

    async def _look_at_sessions(self) -> None:
        """End the connections of sessions that have lapsed; for others note when that may be."""
        while due := self._lapses.take(self._clock.ms(), SESSIONS_AT_ONCE):
            await asyncio.gather(*[self._look_at_session(digest) for digest in due])

    async def _look_at_session(self, digest: str) -> None:
        try:
            session = await self._sessions.peek_digest(digest)
        except SessionsUnavailable:
            self._note_lapse(digest, self._clock.ms() + RETRY_MS)
            return
        if isinstance(session, Ended):
            self.session_ended(digest, session.reason)
        else:
            self._note_lapse(digest, _lapse_ms(session))

    # The end of the process

    async def move(self) -> None:
        """Ask clients to connect elsewhere: not all at once, but within a minute; new ones at once.

        Where there is no other process that takes them, nobody is kept waiting for the next one to start.
        """
        self._is_moving = True
        are_others = bool(self._open) and await self._channels.resign()
        leaving = list(self._open)
        seconds = min(MOVE_SECONDS_MAX, len(leaving) / MOVES_PER_SECOND) if are_others else 0
        steps = max(1, int(seconds / MOVE_STEP_SECONDS))
        for step in range(steps):
            for connection in leaving[step::steps]:
                connection.end(MOVE)
            if step + 1 < steps:
                await asyncio.sleep(MOVE_STEP_SECONDS)
        await self.close()

    async def close(self) -> None:
        """End those that are left, and wait a moment for their clients to hear of it."""
        self._is_moving = True
        for connection in tuple(self._open):
            connection.end(MOVE)
        if self._ending:
            with suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_SECONDS_MAX):
                    await self._none_ending.wait()
        for connection in tuple(self._ending):
            connection.transport.abort()
        await asyncio.gather(*[stop(task) for task in tuple(self._tasks)])


def _lapse_ms(session: Session) -> int:
    return session.last_used_ms + session.life_seconds * 1000
