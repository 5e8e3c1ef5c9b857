"""One connection of a client: what both forms of it share."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from gameserver.realtime.frames import Frame, encode_frame
from gameserver.realtime.reasons import CLOSED, FLOOD, SLOW, Reason

MESSAGE_BYTES_MAX = 64 << 10  # of a client's; all it has to say fits into a few hundred
QUEUE_BYTES_MAX = 1 << 20  # what a client may leave unread
SPENT_MAX = 700  # messages, and KiB, of a client between two looks at it, which are half a minute apart
LINGER_SECONDS = 1.0  # for a client to take what it was sent last, and to close
CLOSE_SECONDS_MAX = 5.0  # for what was not taken by then
NOBODY: frozenset[str] = frozenset()


class Owner(Protocol):
    """Who is told what happens to connections."""

    def opened(self, connection: "Connection") -> None:
        """It is there, but nobody knows whose it is."""

    def said(self, connection: "Connection", message: bytes) -> None:
        """The client has sent a message."""

    def closed(self, connection: "Connection", reason: Reason) -> None:
        """It has ended. Told once."""

    def gone(self, connection: "Connection") -> None:
        """Its transport is closed."""


class Connection(asyncio.Protocol):
    """A connection. Until its CONNECT is accepted, `session_digest` is empty.

    `is_open` until one of both sides ends it. `heard` is when the client last showed that it is alive, by the
    event loop's clock; `spent` counts its messages and their KiB since somebody looked, or since it ended.
    `muted` are the players from whom it is sent nothing, in channels whose messages have authors.
    """

    __slots__ = (
        "_leave",
        "_owner",
        "app_id",
        "channels",
        "cx_id",
        "heard",
        "is_connecting",
        "is_open",
        "muted",
        "offered_secret",
        "profile_id",
        "session_digest",
        "spent",
        "transport",
    )

    def __init__(self, owner: Owner, leave: Callable[[], None], offered_secret: str = "") -> None:
        """`leave` is called when the transport is gone; `offered_secret` came before any message."""
        self._owner = owner
        self._leave = leave
        self.offered_secret = offered_secret
        self.session_digest = self.app_id = self.profile_id = self.cx_id = ""
        self.channels: set[str] = set()
        self.muted = NOBODY
        self.is_open = True
        self.is_connecting = False
        self.heard = 0.0
        self.spent = 0
        self.transport: asyncio.Transport

    # What the forms differ in

    def form(self, frame: Frame) -> bytes:
        """Return a frame as it travels here."""
        raise NotImplementedError

    def ping(self) -> None:
        """Ask whether the client is there, where the form has a way to."""

    def say_goodbye(self) -> None:
        """Send what the form ends with."""

    # For the owner

    def send(self, frame: Frame) -> None:
        """Send a frame. A client that does not read is cut off: what it missed it would never notice."""
        if not self.is_open:
            return
        self.transport.write(self.form(frame))
        if self.transport.get_write_buffer_size() > QUEUE_BYTES_MAX:
            self.lose(SLOW)
            self.transport.abort()

    def end(self, reason: Reason) -> None:
        """Tell the client why, and close."""
        if not self.is_open:
            return
        self.lose(reason)
        text = encode_frame("rtt", "DISCONNECT", {"reasonCode": reason.code, "reason": reason.text})
        self.transport.write(self.form(Frame(text)))
        self.say_goodbye()
        self.linger()

    def linger(self) -> None:
        """Close in a moment: one that is closed with bytes unread is reset, and the last words are lost."""
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self.close_transport)

    def close_transport(self) -> None:
        """Close when everything is sent, or when that takes too long."""
        self.transport.close()
        if self.transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(CLOSE_SECONDS_MAX, self.transport.abort)

    def lose(self, reason: Reason) -> None:
        """Note that it has ended."""
        if self.is_open:
            self.is_open = False
            self.spent = 0
            self._owner.closed(self, reason)

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport  # type: ignore[assignment]  # that of another event loop looks like one
        self.transport.set_write_buffer_limits(high=QUEUE_BYTES_MAX)
        self.heard = asyncio.get_running_loop().time()
        self._owner.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - whatever it was
        """End."""
        self.lose(CLOSED)
        self._leave()
        self._owner.gone(self)

    def message(self, message: bytes) -> None:
        """Take a message of the client."""
        self.spent += 1
        if self.is_open:
            self._owner.said(self, message)

    def hear(self, size: int) -> None:
        """Note that the client is alive, and how much it has said."""
        self.heard = asyncio.get_running_loop().time()
        self.spent += size >> 10

    def check_spent(self) -> None:
        """End the connection of a client that says too much; one that then goes on is cut off."""
        if self.spent <= SPENT_MAX:
            return
        if self.is_open:
            self.end(FLOOD)
        else:
            self.transport.abort()
