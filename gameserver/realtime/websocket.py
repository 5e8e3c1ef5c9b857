"""Connections over WebSocket. The library reads and makes frames; nothing else of it is used."""

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import parse_qs

from websockets.datastructures import Headers
from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN, SERVER, Protocol
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol
from websockets.utils import accept_key

from gameserver.realtime.connection import MESSAGE_BYTES_MAX, Connection, Owner
from gameserver.realtime.frames import Frame
from gameserver.realtime.objects import ObjectCutter
from gameserver.realtime.reasons import CLOSED, PROTOCOL, TOO_LARGE

SUBPROTOCOL = Subprotocol("brainCloud")
NORMAL_CLOSURE = 1000
SWITCHING_PROTOCOLS = 101

PIECE_BYTES = 4096  # read at once: of all that comes in one turn a stranger may make 40,000 frames

# Of a message, and of a fragment: some messages have no end, and each fragment is used up at once.
_SIZES = (None, MESSAGE_BYTES_MAX)
_CONTROL = {Opcode.PING, Opcode.PONG, Opcode.CLOSE}

_KEY = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")  # 16 bytes
_GRANT = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: %s\r\n%s\r\n"
)

_quiet = logging.getLogger("gameserver.realtime.websocket")
_quiet.setLevel(logging.ERROR)


def greet(target: str, headers: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, str | None]:
    """Answer a request for a WebSocket: the bytes to send, and the secret in the URL.

    None instead of the secret when the request is refused.
    """
    headers = list(headers)
    answer = _granted(headers)
    if answer is None:
        asked = Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers])
        handshake = ServerProtocol(select_subprotocol=_select, logger=_quiet)
        judged = handshake.accept(Request(target, asked))
        answer = judged.serialize()
        if judged.status_code != SWITCHING_PROTOCOLS:
            return answer, None
    secrets = parse_qs(target.partition("?")[2], max_num_fields=20).get("X-RTT-SECRET", [""])
    return answer, secrets[0]


def _granted(headers: Sequence[tuple[bytes, bytes]]) -> bytes | None:
    """Answer a request that is written as clients write it, which is most of what a connection costs.

    None for any other: what else is granted, and how it is refused, the library knows.
    """
    asked = dict(headers)
    key, protocol = asked.get(b"sec-websocket-key", b""), asked.get(b"sec-websocket-protocol")
    is_usual = (
        len(asked) == len(headers)  # none comes twice
        and asked.get(b"upgrade", b"").lower() == b"websocket"
        and b"upgrade" in asked.get(b"connection", b"").lower().replace(b",", b" ").split()
        and asked.get(b"sec-websocket-version") == b"13"
        and _KEY.fullmatch(key) is not None
        and protocol in (None, SUBPROTOCOL.encode())
    )
    if not is_usual:
        return None
    told = b"" if protocol is None else b"Sec-WebSocket-Protocol: " + protocol + b"\r\n"
    return _GRANT % (accept_key(key.decode()).encode(), told)


def _select(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


class WebSocketConnection(Connection):
    """A connection over WebSocket, after its handshake."""

    __slots__ = ("_cutter", "_frames")

    def __init__(self, owner: Owner, leave: Callable[[], None], offered_secret: str = "") -> None:
        super().__init__(owner, leave, offered_secret)
        self._frames = Protocol(SERVER, state=OPEN, max_size=_SIZES, logger=_quiet)
        self._cutter: ObjectCutter | None = None  # made for the few who send fragments

    def form(self, frame: Frame) -> bytes:
        """Return a frame as it travels here."""
        return frame.websocket

    def ping(self) -> None:
        """Ask whether the client is there: also one that sends no heartbeats answers this by itself."""
        self._frames.send_ping(b"")
        self._flush()

    def say_goodbye(self) -> None:
        """Send what a WebSocket ends with."""
        if self._frames.state is OPEN:
            self._frames.send_close(NORMAL_CLOSURE)
            self._flush()

    def data_received(self, data: bytes) -> None:
        """Read frames."""
        self.hear(len(data))
        for begin in range(0, len(data), PIECE_BYTES):
            self._frames.receive_data(data[begin : begin + PIECE_BYTES])
            for event in self._frames.events_received():
                assert isinstance(event, WebSocketFrame), "the handshake is over"
                if event.opcode not in _CONTROL:
                    self._take(event)
                elif event.opcode is Opcode.PING:
                    self.spent += 1
            self._flush()
            self.check_spent()
            if self.transport.is_closing():
                return

    def _take(self, frame: WebSocketFrame) -> None:
        cutter = self._cutter
        if frame.fin and (cutter is None or cutter.is_empty):
            self.message(bytes(frame.data))
            return
        if cutter is None:
            cutter = self._cutter = ObjectCutter(MESSAGE_BYTES_MAX)
        try:
            messages = cutter.feed(bytes(frame.data))
        except ValueError:
            self.end(TOO_LARGE)
            return
        self.spent += not messages
        for message in messages:
            self.message(message)
        if frame.fin:
            cutter.clear()

    def _flush(self) -> None:
        for data in self._frames.data_to_send():
            if data:
                self.transport.write(data)
            elif self._frames.parser_exc is None:  # the client has closed
                self.lose(CLOSED)
                self.close_transport()
            else:
                self.lose(PROTOCOL)
                self.linger()
