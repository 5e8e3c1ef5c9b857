"""Speaks HTTP in front of an ASGI application: uvicorn's server and protocol, within limits.

Everything that a stranger can make the server keep is bounded here: the head of a request, the time it takes
to arrive, the requests that wait behind each other, answers that nobody reads, and connections. A request
that goes beyond is answered behind those before it, and nothing after it is read.
"""

import asyncio
import contextlib
import re
import signal
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol

import httptools
import structlog
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gameserver.connection_places import Incidents, Places
from gameserver.frame import stop
from gameserver.rpc import metrics
from gameserver.wire import json

log = structlog.get_logger(__name__)

HEAD_BYTES_MAX = 32 << 10  # of request line and headers together
HEADERS_MAX = 100
URL_BYTES_MAX = 8 << 10
PIPELINED_MAX = 100  # requests that wait for those before them on one connection
RECEIVE_SECONDS_MAX = 60  # from the first byte of a request, or from the connection on, to its last byte
WRITE_SECONDS_MAX = 60  # without a byte of an answer being taken
KEEP_ALIVE_SECONDS = 75  # longer than balancers keep idle connections: who closes first must not be this end
TLS_HANDSHAKE_SECONDS_MAX = 10

LINGER_SECONDS = 2  # for a client to read that its request was refused, while it still sends

GRACE_SECONDS = 65  # for the end of the server; a little more than the longest a packet runs
CLOSING_RECEIVE_SECONDS_MAX = 10  # from the wish to stop on, to the last byte of a request that has begun
CLOSING_WRITE_SECONDS_MAX = 5

TICKS_PER_SECOND = 10  # of uvicorn's main loop

_LEAKED_LINE_FEED = re.compile(rb"(?i)(\r\nx-appid:[^\r\n]*)\n(?=\r\n)")


# One connection


class _OneWrite:
    """A transport that sends what is written in one turn of the event loop at once.

    uvicorn writes the head of an answer and its body one after the other. Each write is a system call that
    wakes the other side: together they cost as much as everything else in a small packet.
    """

    __slots__ = ("_loop", "_transport", "_waiting")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._waiting: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def hand_over(self) -> asyncio.Transport:
        self._flush()
        return self._transport

    def _flush(self) -> None:
        if self._waiting:
            data = b"".join(self._waiting)
            self._waiting.clear()
            if not self._transport.is_closing():
                self._transport.write(data)


class _Lingering:
    """A transport that goes on reading for a moment after it is closed.

    A connection that is closed with bytes unread is reset, and the last answer is lost with it.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        asyncio.get_running_loop().call_soon(self._end)  # behind what was written in this turn

    def _end(self) -> None:
        transport = self._transport
        if not transport.is_closing() and transport.can_write_eof():
            transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER_SECONDS, transport.close)


class _Refused(Exception):
    """The request goes beyond a limit, or against HTTP. Raised inside callbacks of the parser."""

    def __init__(self, status: int, kind: str) -> None:
        super().__init__(kind)
        self.status = status
        self.kind = kind


class _Deaf:
    """Takes the place of a parser when nothing more is to be read."""

    def feed_data(self, data: bytes) -> None:
        """Forget what comes."""


class Realtime(Protocol):
    """Takes over connections on which something else than HTTP is spoken from now on."""

    def greet(
        self, target: str, headers: list[tuple[bytes, bytes]], leave: Callable[[], None]
    ) -> tuple[bytes, asyncio.Protocol | None]:
        """Answer a request for a WebSocket; returns what to send, and who takes over, if it is granted."""

    def take_tcp(self, leave: Callable[[], None]) -> asyncio.Protocol:
        """Return who takes over a connection that did not begin with HTTP."""

    async def move(self) -> None:
        """Ask all to connect elsewhere; returns when everybody was asked."""


class _Config(uvicorn.Config):
    """What all connections of a server share."""

    places: Places
    incidents: Incidents
    realtime: Realtime | None


class _Protocol(HttpToolsProtocol):
    """HTTP as uvicorn speaks it, within limits, with answers in one piece, and a way to drop a connection.

    An offer of WebSockets at `/` is taken: `Realtime` has the transport from then on, as it has one that
    begins with the byte 0. Any other `Upgrade` is ignored, as HTTP allows: the request is answered like any
    other. The parser thinks otherwise and would take the body for the next request; so it gets the head once
    more, without those headers.
    """

    config: _Config
    receiving_since = 0.0  # by the loop's clock; 0 while the server is to speak, or nobody
    unsent_bytes = 0  # what waited when somebody looked last …
    unsent_since = 0.0  # … and since when it has not become less; 0 for nothing
    _is_in_head = False
    _upgrades = False
    _trailer_begins = False  # a chunk was announced of which nothing came yet: only the last one has nothing
    _piece_bytes = 0  # what is being fed to the parser
    _head_bytes = 0  # at least what has come of the head, the piece in which it began included
    _first_piece_bytes = 0
    _trailer_bytes = 0

    # Coming and going

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in its base
        super().connection_made(_OneWrite(transport))  # type: ignore[arg-type]  # looks like one
        self.receiving_since = self.loop.time()
        if self.scheme == "http":
            transport.set_write_buffer_limits(high=0)  # to hear of everything that the client does not take
        if trouble := self.config.places.take(self._address()):
            self.config.incidents.count(trouble)
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.config.places.leave(self._address())
        super().connection_lost(exc)

    def _address(self) -> str:
        return self.client[0] if self.client else ""

    def is_stuck(self, now: float, receive_seconds_max: float, write_seconds_max: float) -> str:
        """Tell what the client has failed to do for too long, or ""."""
        if 0 < self.receiving_since < now - receive_seconds_max:
            return "a request that did not arrive"
        is_closing = self.transport.is_closing()
        may_wait = self.flow.write_paused or is_closing or self.scheme == "https"
        unsent = self.transport.get_write_buffer_size() if may_wait else 0
        if not unsent and not is_closing:
            self.unsent_since = 0.0
        elif not self.unsent_since or unsent < self.unsent_bytes:
            self.unsent_bytes, self.unsent_since = unsent, now
        elif self.unsent_since < now - write_seconds_max:
            return "an answer that was not read"
        return ""

    # Reading

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if not data[0] and not self._is_in_head and self._hands_over_tcp(data):
            return
        if not self.receiving_since:
            self.receiving_since = self.loop.time()
        is_fresh = not self._is_in_head
        if self._is_in_head:
            self._head_bytes += len(data)
        if self._trailer_begins:
            self._trailer_bytes += len(data)
        cycle = self.cycle
        while data:
            self._piece_bytes = len(data)
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if self._is_for_websocket():
                    self._hand_over_websocket(data[upgrade.args[0] :])
                    return
                data = self._without_upgrade() + data[upgrade.args[0] :]
                continue
            except httptools.HttpParserError as error:
                reason = error.__context__
                if isinstance(reason, _Refused):
                    self._refuse(reason)
                    return
                repaired = data
                if is_fresh and self._is_in_head and self.cycle is cycle:
                    repaired = _LEAKED_LINE_FEED.sub(rb"\1", data, count=1)
                if repaired is not data and repaired != data:
                    self._begin_parser()
                    data, is_fresh = repaired, False
                    continue
                self._refuse(_Refused(400, "a request that is not HTTP"))
                return
            break
        if self._is_in_head and self._head_bytes - self._first_piece_bytes > HEAD_BYTES_MAX:
            self._refuse(_Refused(431, "a head that is too large"))
        elif self._trailer_bytes > HEAD_BYTES_MAX:
            self._refuse(_Refused(431, "trailers that are too large"))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head, self._upgrades, self._trailer_begins = True, False, False
        self._head_bytes = self._first_piece_bytes = self._piece_bytes
        self._trailer_bytes = 0
        self.receiving_since = self.receiving_since or self.loop.time()  # it may follow another in one piece
        self.scope["extensions"] = {"gameserver.abort": self.transport.abort}  # type: ignore[dict-item]

    def on_url(self, url: bytes) -> None:
        self.url += url
        if len(self.url) > URL_BYTES_MAX:
            raise _Refused(414, "a URL that is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        headers = self.headers
        if len(headers) >= HEADERS_MAX:
            raise _Refused(431, "too many headers")
        if self._is_in_head:  # what comes behind a body would pass for part of the head
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            headers.append((name, value))

    def on_headers_complete(self) -> None:
        headers = self.headers
        if self._head_bytes > HEAD_BYTES_MAX:  # perhaps: that counts what came with the head
            exactly = len(self.url) + sum(len(name) + len(value) + 4 for name, value in headers)
            if exactly > HEAD_BYTES_MAX:
                raise _Refused(431, "a head that is too large")
        hosts = [name for name, _ in headers].count(b"host")
        if hosts != 1 and (hosts or self.parser.get_http_version() != "1.0"):
            raise _Refused(400, "a request without exactly one Host")
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise _Refused(501, "a request for a tunnel")
            self._upgrades = True
            return
        if len(self.pipeline) >= PIPELINED_MAX:
            raise _Refused(429, "too many requests at once")
        super().on_headers_complete()
        self._is_in_head = False

    def on_chunk_header(self) -> None:
        """Look out for the end: the parser collects trailers of any length."""
        self._trailer_begins = True

    def on_body(self, body: bytes) -> None:
        self._trailer_begins, self._trailer_bytes = False, 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._upgrades:  # it has only begun
            return
        super().on_message_complete()
        self.receiving_since = 0.0
        self._trailer_begins = False

    def _begin_parser(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as in the base
        self._is_in_head = False

    def _without_upgrade(self) -> bytes:
        """Return the head that was just read as if its client had not offered another protocol."""
        lines = [
            b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        ]
        for name, value in self.headers:
            match name:
                case b"upgrade":
                    continue
                case b"connection":
                    tokens = [token.strip() for token in value.split(b",")]
                    value = b", ".join(token for token in tokens if token.lower() != b"upgrade")  # noqa: PLW2901 - what is left of it
            lines.append(b"%b: %b" % (name, value))
        self._begin_parser()
        return b"\r\n".join((*lines, b"\r\n"))

    # Handing over

    def _is_for_websocket(self) -> bool:
        """Tell whether the head that was just read offers what is taken, and nothing is unanswered."""
        offers = dict(self.headers).get(b"upgrade", b"").lower() == b"websocket"
        is_get = self.parser.get_method() == b"GET"
        is_free = self.cycle is None or self.cycle.response_complete
        at_root = not self.url.partition(b"?")[0].strip(b"/")
        return self.config.realtime is not None and offers and is_get and is_free and at_root

    def _hand_over_websocket(self, rest: bytes) -> None:
        realtime, transport = self.config.realtime, self.transport
        assert realtime is not None, "asked by the caller"
        target, headers = self.url.decode("latin-1"), self.headers
        answer, taker = realtime.greet(target, headers, partial(self.config.places.leave, self._address()))
        transport.write(answer)
        if taker is None:
            self.parser = _Deaf()  # type: ignore[assignment]  # all that is asked of it
            transport.close()
        else:
            self._hand_over(taker, rest)

    def _hands_over_tcp(self, data: bytes) -> bool:
        realtime = self.config.realtime
        cycle: RequestResponseCycle | None = self.cycle  # of which the base says that there always is one
        if realtime is None or cycle is not None:
            return False
        self._hand_over(realtime.take_tcp(partial(self.config.places.leave, self._address())), data)
        return True

    def _hand_over(self, taker: asyncio.Protocol, data: bytes) -> None:
        """Let somebody else have the transport; what is left here is garbage."""
        transport: Any = self.transport  # as connection_made has made it
        self.connections.discard(self)
        self.parser = _Deaf()  # type: ignore[assignment]  # the parser holds this protocol, and is held by it
        self.receiving_since = 0.0
        bare = transport.hand_over()
        bare.set_protocol(taker)
        taker.connection_made(bare)
        if data:
            taker.data_received(data)

    # Refusing

    def _refuse(self, refused: _Refused) -> None:
        """Answer behind the requests before this one, then hang up."""
        self.config.incidents.count(refused.kind)
        self.parser = _Deaf()  # type: ignore[assignment]  # all that is asked of it
        self.receiving_since = 0.0
        unfinished = self.cycle if self.cycle is not None and self.cycle.more_body else None
        if self._is_in_head or unfinished is None:
            self._answer_refused(refused)
        elif unfinished.response_complete:
            self.transport.close()
        elif self.pipeline:  # it is the last one, and has not begun
            self.pipeline.popleft()
            self._answer_refused(refused)
        elif unfinished.response_started:
            self.transport.abort()
        else:
            unfinished.disconnected = True  # nobody is there to hear what its application says
            unfinished.message_event.set()
            self.cycle = None  # type: ignore[assignment]  # as before the first request
            self._answer_refused(refused)

    def _answer_refused(self, refused: _Refused) -> None:
        """Make the refusal the last request of this connection."""
        if not self._is_in_head:
            super().on_message_begin()
        self._is_in_head = False
        self.scope["method"] = "GET"
        before = self.cycle
        self.cycle = RequestResponseCycle(
            scope=self.scope,
            transport=_Lingering(self.transport),  # type: ignore[arg-type]  # looks like one
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )
        self.cycle.more_body = False
        application = _refusal(refused)
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, application)  # type: ignore[arg-type]  # an ASGI application
        else:
            self.pipeline.appendleft((self.cycle, application))  # type: ignore[arg-type]


def _refusal(refused: _Refused) -> ASGIApp:
    body = json.encode({"status": refused.status, "status_message": refused.kind})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]

    async def answer(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": refused.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return answer


# The server


class WebServer(uvicorn.Server):
    """Serves on a socket that is bound already, tells when it does, and ends in good order on a signal."""

    config: _Config

    def __init__(self, config: _Config, ready: Callable[[], None], *, takes_signals: bool) -> None:
        super().__init__(config)
        self._ready = ready
        self._takes_signals = takes_signals

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen. As the base does on sockets that are bound, with less patience for TLS."""
        loop = asyncio.get_running_loop()
        patience: dict[str, Any] = {}
        if self.config.ssl:
            patience = {
                "ssl_handshake_timeout": TLS_HANDSHAKE_SECONDS_MAX,
                "ssl_shutdown_timeout": CLOSING_WRITE_SECONDS_MAX,
            }

        def connect() -> asyncio.Protocol:
            return _Protocol(self.config, self.server_state, {}, loop)

        self.servers = [
            await loop.create_server(connect, sock=bound, ssl=self.config.ssl, backlog=2048, **patience)
            for bound in sockets or []
        ]
        self.started = True
        self._ready()

    async def on_tick(self, counter: int) -> bool:
        """Settle what was counted, and hang up on clients that are stuck: they would stay."""
        if counter % TICKS_PER_SECOND == 0:
            try:
                metrics.settle()
            except Exception:  # a full disk under the files of several workers must not end the server
                log.exception("counts_not_settled")
            self._drop_stuck(RECEIVE_SECONDS_MAX, WRITE_SECONDS_MAX)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is in flight, and let clients connect elsewhere. A second wish to stop ends both.

        Who does not send or read any more is not waited for.
        """
        hurry, moving = asyncio.create_task(self._hurry()), asyncio.create_task(self._move())
        try:
            await super().shutdown(sockets)
            while not (moving.done() or self.force_exit):
                await asyncio.wait({moving}, timeout=1 / TICKS_PER_SECOND)
        finally:
            await stop(hurry)
            await stop(moving)

    async def _move(self) -> None:
        if self.config.realtime is not None:
            await self.config.realtime.move()

    async def _hurry(self) -> None:
        loop = asyncio.get_running_loop()
        stopped = loop.time()
        while True:
            await asyncio.sleep(1 / TICKS_PER_SECOND)
            waited = loop.time() - stopped
            # What was on its way when the wish to stop came has that long from then on.
            is_over = waited > CLOSING_RECEIVE_SECONDS_MAX
            self._drop_stuck(0 if is_over else RECEIVE_SECONDS_MAX, CLOSING_WRITE_SECONDS_MAX)

    def _drop_stuck(self, receive_seconds_max: float, write_seconds_max: float) -> None:
        now = asyncio.get_running_loop().time()
        for connection in tuple(self.server_state.connections):
            if isinstance(connection, _Protocol) and (
                trouble := connection.is_stuck(now, receive_seconds_max, write_seconds_max)
            ):
                self.config.incidents.count(trouble)
                connection.transport.abort()
        self.config.incidents.tell(now)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take a signal as a wish to stop in good order: unlike in uvicorn, the process ends with 0."""
        if not self._takes_signals:
            yield
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def web_server(
    app: ASGIApp,
    places: Places,
    *,
    ready: Callable[[], None] = lambda: None,
    tls: tuple[str, str] | None = None,
    takes_signals: bool = True,
    realtime: Realtime | None = None,
) -> WebServer:
    """Make a server for sockets that are bound. `tls` are the files of the certificate and its key.

    Without `realtime` it speaks HTTP alone.
    """
    config = _Config(
        app,
        interface="asgi3",
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ssl_certfile=tls[0] if tls else None,
        ssl_keyfile=tls[1] if tls else None,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    config.places, config.incidents, config.realtime = places, Incidents(), realtime
    return WebServer(config, ready, takes_signals=takes_signals)
