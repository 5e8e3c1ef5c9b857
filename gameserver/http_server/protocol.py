"""One connection: HTTP as uvicorn speaks it, within limits; others may take it over."""

import asyncio
import re
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import httptools
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gameserver.http_server.places import Incidents, Places
from gameserver.wire import json

HEAD_BYTES_MAX = 32 << 10  # of request line and headers together
HEADERS_MAX = 100
URL_BYTES_MAX = 8 << 10
PIPELINED_MAX = 100  # requests that wait for those before them on one connection

LINGER_SECONDS = 2  # for a client to read that its request was refused, while it still sends


_LEAKED_LINE_FEED = re.compile(rb"(?i)(\r\nx-appid:[^\r\n]*)\n(?=\r\n)")


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


class Config(uvicorn.Config):
    """What all connections of a server share."""

    places: Places
    incidents: Incidents
    realtime: Realtime | None


class HttpProtocol(HttpToolsProtocol):
    """HTTP as uvicorn speaks it, within limits, with answers in one piece, and a way to drop a connection.

    An offer of WebSockets at `/` is taken: `Realtime` has the transport from then on, as it has one that
    begins with the byte 0. Any other `Upgrade` is ignored, as HTTP allows: the request is answered like any
    other. The parser thinks otherwise and would take the body for the next request; so it gets the head once
    more, without those headers.
    """

    config: Config
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
        """Begin, if there is a place."""
        super().connection_made(_OneWrite(transport))  # type: ignore[arg-type]  # looks like one
        self.receiving_since = self.loop.time()
        if self.scheme == "http":
            transport.set_write_buffer_limits(high=0)  # to hear of everything that the client does not take
        if trouble := self.config.places.take(self._address()):
            self.config.incidents.count(trouble)
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
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
        """Read what comes, within the limits."""
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
        """Begin to count what comes of a request."""
        super().on_message_begin()
        self._is_in_head, self._upgrades, self._trailer_begins = True, False, False
        self._head_bytes = self._first_piece_bytes = self._piece_bytes
        self._trailer_bytes = 0
        self.receiving_since = self.receiving_since or self.loop.time()  # it may follow another in one piece
        self.scope["extensions"] = {"gameserver.abort": self.transport.abort}  # type: ignore[dict-item]

    def on_url(self, url: bytes) -> None:
        """Take a part of the URL."""
        self.url += url
        if len(self.url) > URL_BYTES_MAX:
            raise _Refused(414, "a URL that is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        headers = self.headers
        if len(headers) >= HEADERS_MAX:
            raise _Refused(431, "too many headers")
        if self._is_in_head:  # what comes behind a body would pass for part of the head
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Refuse what must not run; everything else is the base's to begin."""
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
        """Take a part of the body."""
        self._trailer_begins, self._trailer_bytes = False, 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that everything has come."""
        if self._upgrades:  # it has only begun
            return
        super().on_message_complete()
        self.receiving_since = 0.0
        self._trailer_begins = False

    def _begin_parser(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as in the base
        self._is_in_head = False

    def _read_no_more(self) -> None:
        self.parser = _Deaf()  # type: ignore[assignment]  # all that is asked of it
        self.receiving_since = 0.0

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
            self._read_no_more()
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
        self._read_no_more()  # and the parser, which holds this protocol, lets go of it
        bare = transport.hand_over()
        bare.set_protocol(taker)
        taker.connection_made(bare)
        if data:
            taker.data_received(data)

    # Refusing

    def _refuse(self, refused: _Refused) -> None:
        """Answer behind the requests before this one, then hang up."""
        self.config.incidents.count(refused.kind)
        self._read_no_more()
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
