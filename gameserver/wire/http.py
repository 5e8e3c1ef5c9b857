"""What the faces that take packets over HTTP share: bodies within limits, and one answer to each request."""

import asyncio
import zlib
from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple

from starlette.types import Receive, Scope, Send

from gameserver.wire import errors, json
from gameserver.wire.errors import GameError
from gameserver.wire.packet import UNKNOWN_PACKET_ID

BODY_BYTES_MAX = 1 << 20
INFLATED_BYTES_MAX = 4 << 20
INFLATED_RATIO_MAX = 100
INFLATED_BYTES_FREE = BODY_BYTES_MAX  # the ratio counts above what a body may have without being packed
MEMBERS_MAX = 64  # of a gzip body; each costs a pass over what follows it
BLOCKING_BYTES_MAX = 8 << 10  # larger gzip bodies are unpacked in a thread
LARGE_BYTES = 64 << 10  # what takes as long as a body has bytes is done in a thread for those with more

T = TypeVar("T")
Rest = TypeVarTuple("Rest")

Header = tuple[bytes, bytes]

JSON_CONTENT: Header = (b"content-type", b"application/json")


class Connection:
    """One HTTP request that waits for its answer. `headers` go with every answer."""

    __slots__ = ("_abort", "_headers", "_receive", "_send", "_watch", "answered", "packet_id", "sending")

    def __init__(self, scope: Scope, receive: Receive, send: Send, *headers: Header) -> None:
        self._receive = receive
        self._send = send
        self._watch: asyncio.Task[Any] | None = None
        extensions = scope.get("extensions")
        self._abort: Callable[[], None] | None = extensions.get("gameserver.abort") if extensions else None
        self._headers = (JSON_CONTENT, *headers)
        self.answered = False
        self.packet_id = UNKNOWN_PACKET_ID
        self.sending: asyncio.Task[None] | None = None

    def close(self) -> None:
        """End the connection without an answer: a client that got two would run its callbacks twice."""
        if self._abort is not None:
            self._abort()  # whatever is sent from here on goes nowhere

    def time_out(self) -> None:
        """Answer 504 now; whatever is sent later is dropped."""
        self.sending = asyncio.ensure_future(
            self.send(504, transport_error(504, self.packet_id, "the packet takes too long; ask again"))
        )

    def watch(self) -> None:
        """Look out for the end of the connection from now on; only for requests whose body has been read."""
        if self._watch is None:
            self._watch = asyncio.ensure_future(self._receive())  # ends with the answer, too

    @property
    def is_gone(self) -> bool:
        """Whether the client has hung up; known only of a connection that is watched."""
        return self._watch is not None and self._watch.done() and not self.answered

    async def send(self, status: int, body: bytes, *headers: Header) -> None:
        """Answer, unless that has happened."""
        if self.answered:
            return
        self.answered = True
        await self._send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [*self._headers, (b"content-length", b"%d" % len(body)), *headers],
            }
        )
        await self._send({"type": "http.response.body", "body": body})


def transport_error(
    status: int, packet_id: int, message: str, reason: type[GameError] = errors.PacketInProgress
) -> bytes:
    """Return the body beside an HTTP status other than 200: one client throws on a body that is not JSON."""
    return json.encode_plain(
        {
            "packetId": packet_id,
            "status": status,
            "reason_code": reason.reason_code,
            "status_message": message,
            "severity": "ERROR",
        }
    )


async def beside_the_loop(work: Callable[[bytes, *Rest], T], body: bytes, *rest: *Rest) -> T:
    """Do work that takes as long as a body has bytes: in a thread, if it has many."""
    if len(body) > LARGE_BYTES:
        return await asyncio.to_thread(work, body, *rest)
    return work(body, *rest)


async def read_body(headers: dict[bytes, bytes], receive: Receive) -> bytes:
    """Read and unpack a request body, within the limits. Raises a `GameError`."""
    event: Any = await receive()
    if b"content-encoding" not in headers and "body" in event and not event.get("more_body"):
        body: bytes = event["body"]  # as nearly all come
        if len(body) <= BODY_BYTES_MAX:
            return body
    chunks: list[bytes] = []
    size = 0
    while True:
        if event["type"] == "http.disconnect":
            raise errors.InvalidRequest("the client went away")
        chunk = event.get("body", b"")
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise errors.PacketTooLarge(f"a packet has at most {BODY_BYTES_MAX} bytes")
        chunks.append(chunk)
        if not event.get("more_body", False):
            break
        event = await receive()
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    match headers.get(b"content-encoding", b"identity").strip().lower():
        case b"identity" | b"":
            return body
        case b"gzip":
            if size > BLOCKING_BYTES_MAX:
                return await asyncio.to_thread(inflate, body)
            return inflate(body)
        case other:
            name = other[:32].decode("latin-1")
            raise errors.InvalidRequest(f"Content-Encoding {name!r} is not supported; use gzip")


def inflate(body: bytes) -> bytes:
    """Unpack gzip, within the limits; it may have several members. Raises a `GameError`."""
    members: list[bytes] = []
    size = 0
    rest = body
    while not members or rest:
        unpacker = zlib.decompressobj(wbits=31)  # gzip framing
        try:
            members.append(unpacker.decompress(rest, INFLATED_BYTES_MAX + 1 - size))
        except zlib.error:
            raise errors.UnreadableJson("the body is not gzip") from None
        size += len(members[-1])
        if size > INFLATED_BYTES_MAX:
            raise errors.PacketTooLarge(f"a packet has at most {INFLATED_BYTES_MAX} bytes when unpacked")
        if size > max(INFLATED_BYTES_FREE, INFLATED_RATIO_MAX * len(body)):
            raise errors.PacketTooLarge(f"a packet shrinks to no less than 1/{INFLATED_RATIO_MAX}")
        if not unpacker.eof:
            raise errors.UnreadableJson("the gzip body is cut short")
        if len(members) > MEMBERS_MAX:
            raise errors.UnreadableJson(f"a gzip body has at most {MEMBERS_MAX} members")
        rest = unpacker.unused_data
    return members[0] if len(members) == 1 else b"".join(members)
