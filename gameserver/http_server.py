"""Speaks HTTP in front of an ASGI application: uvicorn's server and protocol, within limits.

Everything that a stranger can make the server keep is bounded here: the head of a request, the time it takes
to arrive, the requests that wait behind each other, answers that nobody reads, and connections. A request
that goes beyond is answered behind those before it, and nothing after it is read.
"""

import asyncio
import contextlib
import ipaddress
import re
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import httptools
import structlog
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

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
CONNECTIONS_MAX = 50_000  # of one process; fewer when it may open fewer descriptors
CONNECTIONS_PER_ADDRESS_MAX = 4096
DESCRIPTORS_RESERVED = 256  # for databases, files and what else is not a client

LINGER_SECONDS = 2  # for a client to read that its request was refused, while it still sends

GRACE_SECONDS = 65  # for the end of the server; a little more than the longest a packet runs
CLOSING_RECEIVE_SECONDS_MAX = 10  # from the wish to stop on, to the last byte of a request that has begun
CLOSING_WRITE_SECONDS_MAX = 5

TICKS_PER_SECOND = 10  # of uvicorn's main loop
TELL_SECONDS = 60  # between two lines of the log about the same trouble

_LEAKED_LINE_FEED = re.compile(rb"(?i)(\r\nx-appid:[^\r\n]*)\n(?=\r\n)")


# Connections


class Incidents:
    """What strangers do wrong, counted by kind; the log hears of each kind once a minute at most."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._told: dict[str, float] = {}

    def count(self, kind: str) -> None:
        """Count one."""
        self._counts[kind] += 1
        metrics.HTTP_TROUBLES.count((kind,))

    def tell(self, now: float) -> None:
        """Log what was not told yet, if it is time to. `now` is the event loop's time."""
        for kind, times in list(self._counts.items()):
            if now - self._told.get(kind, -TELL_SECONDS) >= TELL_SECONDS:
                self._told[kind] = now
                del self._counts[kind]
                log.warning("http_trouble", kind=kind, times=times)


class Places:
    """How many connections there may be, in all and from one address. IPv6 addresses count by their /64."""

    def __init__(
        self, most: int, most_per_address: int, is_unlimited: Callable[[str], bool] = lambda _: False
    ) -> None:
        """`is_unlimited` tells addresses that stand for many clients, such as a proxy's."""
        self.most = most
        self.most_per_address = most_per_address
        self._is_unlimited = is_unlimited
        self._taken = 0
        self._by_network: Counter[str] = Counter()

    def take(self, address: str) -> str:
        """Take a place, whether there is one or not; returns what is wrong, or "". Each is left later."""
        self._taken += 1
        network = _network(address)
        self._by_network[network] += 1
        if self._taken > self.most:
            return "too many connections"
        if self._by_network[network] > self.most_per_address and not self._is_unlimited(address):
            return "too many connections of one address"
        return ""

    def leave(self, address: str) -> None:
        """Give a place back."""
        self._taken -= 1
        network = _network(address)
        self._by_network[network] -= 1
        if not self._by_network[network]:
            del self._by_network[network]


def _network(address: str) -> str:
    if ":" not in address:
        return address
    try:
        return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address


def raise_descriptor_limit() -> int:
    """Let this process open as many descriptors as it may; returns how many that are."""
    try:
        import resource  # noqa: PLC0415 - absent on Windows, which has no such limit
    except ImportError:
        return CONNECTIONS_MAX + DESCRIPTORS_RESERVED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX + DESCRIPTORS_RESERVED
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # a system with a limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
        return soft
    return wanted


def connections_max(descriptors: int) -> int:
    """Return how many connections leave enough descriptors for everything else."""
    return min(CONNECTIONS_MAX, max(descriptors - DESCRIPTORS_RESERVED, descriptors // 2))


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


class _Config(uvicorn.Config):
    """What all connections of a server share."""

    places: Places
    incidents: Incidents


class _Protocol(HttpToolsProtocol):
    """HTTP as uvicorn speaks it, within limits, with answers in one piece, and a way to drop a connection.

    `Upgrade` is ignored, as HTTP allows: the request is answered like any other. The parser thinks otherwise
    and would take the body for the next request; so it gets the head once more, without those headers.
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
        """Answer what is in flight. Who does not send or read any more is not waited for."""
        hurry = asyncio.create_task(self._hurry())
        try:
            await super().shutdown(sockets)
        finally:
            hurry.cancel()

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
) -> WebServer:
    """Make a server for sockets that are bound. `tls` are the files of the certificate and its key."""
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
    config.places, config.incidents = places, Incidents()
    return WebServer(config, ready, takes_signals=takes_signals)
